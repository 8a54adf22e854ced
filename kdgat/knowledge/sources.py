"""Sites of documentation: what `knowledge/sources.toml` lists, and what a site's settings say.

```toml
[[source]]
name = "lab-setup-guide"
path = "../lab-setup-guide"     # from the workspace's root; the folder of mkdocs.yml
# git = "git@example.org:lab/guide.git"   # or a repository, cloned below the home by `docs sync`
```
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdgat.errors import KnowledgeError, did_you_mean
from kdgat.workspace import Workspace

LIST = Path("knowledge") / "sources.toml"
_CONFIGS = ("mkdocs.yml", "mkdocs.yaml")
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,63}")


@dataclass(frozen=True)
class Source:
    """One entry of the list: a folder, or a repository to clone."""

    name: str
    path: Path | None = None
    git: str | None = None


@dataclass(frozen=True)
class Site:
    """A folder of pages, and what its settings say of them."""

    name: str
    root: Path
    docs: Path
    config: Path | None = None
    nav: Mapping[str, str] = field(default_factory=dict)
    """Pages of the navigation with the titles they have there ('' where it has none)."""
    has_nav: bool = False
    appended: tuple[str, ...] = ()
    """Files that are added to every page: abbreviations."""
    snippet_folders: tuple[str, ...] = (".",)
    problems: tuple[str, ...] = ()


def listed(ws: Workspace) -> tuple[Source, ...]:
    """The sources of the workspace's list; none where there is no list.

    Raises:
        KnowledgeError: the list can't be read, or an entry is wrong.
    """
    file = ws.root / LIST
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise KnowledgeError(f"can't read '{file}': {error}", hint="mend the file") from error
    entries = table.pop("source", [])
    if table or not isinstance(entries, list):
        what = next(iter(table), "source")
        raise KnowledgeError(
            f"'{file}': '{what}' is no list of sources", hint="write [[source]] above each"
        )
    sources = tuple(_source(ws, file, number, each) for number, each in enumerate(entries, 1))
    names = [source.name for source in sources]
    for name in names:
        if names.count(name) > 1:
            raise KnowledgeError(
                f"'{file}' lists two sources of the name '{name}'", hint="rename one of them"
            )
    return sources


def source_named(sources: tuple[str, ...], name: str) -> str:
    """`name`, if it is one of them.

    Raises:
        KnowledgeError: it is not.
    """
    if name in sources:
        return name
    raise KnowledgeError(
        f"there is no documentation source '{name}'",
        hint=did_you_mean(name, sources, otherwise="" if sources else "`kdgat docs sync` first"),
    )


def name_of(folder: Path) -> str:
    """The name of a site that is given by its folder."""
    name = re.sub(r"[^\w.-]+", "-", folder.resolve().name).strip("-.")
    if not _NAME.fullmatch(name):
        raise KnowledgeError(
            f"the folder '{folder}' has no name that a source can have",
            hint=f"list it in {LIST} under a name of letters and digits",
        )
    return name


def site_at(name: str, root: Path) -> Site:
    """The site in a folder: its pages are in `docs_dir` of mkdocs.yml, in `docs/` or right there.

    Raises:
        KnowledgeError: there is no such folder.
    """
    root = root.resolve()
    if not root.is_dir():
        raise KnowledgeError(
            f"the documentation source '{name}' is not there: no folder '{root}'",
            hint=f"mend its path in {LIST}, or give --path",
        )
    config = next((root / each for each in _CONFIGS if (root / each).is_file()), None)
    settings, problem = _settings(config) if config else ({}, None)
    problems = [f"{config.name}: {problem}"] if config and problem else []
    docs = root / str(settings.get("docs_dir") or "docs")
    if not docs.is_dir():
        if config and settings.get("docs_dir"):
            problems.append(f"{config.name}: docs_dir '{settings['docs_dir']}' is no folder")
        docs = root
    nav = settings.get("nav")
    snippets = _extension(settings, "pymdownx.snippets")
    return Site(
        name=name,
        root=root,
        docs=docs,
        config=config,
        nav=dict(_nav(nav)),
        has_nav=isinstance(nav, list),
        appended=tuple(_texts(snippets.get("auto_append"))),
        snippet_folders=tuple(_texts(snippets.get("base_path"))) or (".",),
        problems=tuple(problems),
    )


def _source(ws: Workspace, file: Path, number: int, entry: Any) -> Source:
    entry = dict(entry) if isinstance(entry, dict) else {"": entry}
    name = entry.get("name")
    where = f"'{file}', source {number}"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise KnowledgeError(f"{where}: name = {name!r}", hint="a name of letters, digits, - and .")
    unknown = set(entry) - {"name", "path", "git"}
    given = [entry[key] for key in ("path", "git") if key in entry]
    if unknown or len(given) != 1 or not isinstance(given[0], str) or not given[0]:
        what = f"unknown '{min(unknown)}'" if unknown else "it needs a path or a git URL, not both"
        raise KnowledgeError(f"{where} ({name}): {what}", hint='write path = "a folder"')
    if "git" in entry:
        return Source(name, git=entry["git"])
    return Source(name, path=ws.root / Path(entry["path"]).expanduser())


def _settings(config: Path) -> tuple[dict[str, Any], str | None]:
    import yaml

    class Loader(yaml.SafeLoader):
        """Tags such as !!python/name are settings of the site's build, which is not run here."""

    Loader.add_multi_constructor("", lambda _loader, _suffix, _node: None)
    try:
        # bandit's rule against `load` is about the full loader.
        read = yaml.load(config.read_text(encoding="utf-8"), Loader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        return {}, f"can't be read ({str(error).splitlines()[0]})"
    return (read, None) if isinstance(read, dict) else ({}, "is no table of settings")


def _extension(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    extensions = settings.get("markdown_extensions")
    if isinstance(extensions, dict):
        extensions = [extensions]
    for each in extensions if isinstance(extensions, list) else ():
        if isinstance(each, dict) and isinstance(each.get(name), dict):
            return each[name]
    return {}


def _texts(value: Any) -> Iterator[str]:
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str):
            yield each


def _nav(entry: Any, title: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(entry, str):
        if "://" not in entry:
            yield entry, title
    elif isinstance(entry, list):
        for each in entry:
            yield from _nav(each)
    elif isinstance(entry, dict):
        for name, each in entry.items():
            yield from _nav(each, str(name))
