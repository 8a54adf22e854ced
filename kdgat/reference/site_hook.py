"""mkdocs' hook: what is made while the site is built and lies nowhere in the checkout.

mkdocs loads this file by its path (`hooks` in mkdocs.yml) and calls the functions by their names.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdgat.errors import KdgatError, RunError
from kdgat.reference.leaderboard import leaderboard_page
from kdgat.reference.llms import Entry, llms_text, summary_of
from kdgat.reference.open_questions import questions_page

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.nav import Navigation
    from mkdocs.structure.pages import Page

_WEIGHTS = {"guide": 4, "reference": 2, "decisions": 0.5, "papers": 0.5}
_log = logging.getLogger("mkdocs.hooks.kdgat")


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add what mkdocs.yml lists as `generated_pages`, as it is now."""
    from mkdocs.structure.files import File

    for path in config.extra["generated_pages"]:
        there = files.get_file_from_path(path)
        if there is not None:
            files.remove(there)
        files.append(File.generated(config, path, content=_MADE[path](config)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Give each page a description, and its weight in the search: how-to before why."""
    page.meta.setdefault("description", summary_of(markdown))
    weight = _WEIGHTS.get(page.file.src_uri.partition("/")[0])
    if weight is not None:
        page.meta.setdefault("search", {"boost": weight})
    return markdown


def on_nav(nav: Navigation, config: MkDocsConfig, **_: Any) -> Navigation:
    """Keep the navigation's order for llms.txt."""
    config.extra["kdgat_nav"] = nav
    return nav


def on_post_build(config: MkDocsConfig, **_: Any) -> None:
    """Write llms.txt, and beside every page its Markdown."""
    nav: Navigation = config.extra["kdgat_nav"]
    site = Path(config.site_dir)
    entries = []
    for page in nav.pages:
        path = page.file.src_uri
        target = site / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(page.file.content_string, encoding="utf-8")
        summary = str(page.meta.get("description") or "")
        entries.append(Entry(_section(page), str(page.title), path, summary))
    text = llms_text(config.site_name, config.site_description or "", entries)
    (site / "llms.txt").write_text(text, encoding="utf-8")


def _section(page: Page) -> str:
    ancestors = [each.title for each in page.ancestors if each.title]
    return ancestors[-1] if ancestors else "Start"


def _leaderboard(config: MkDocsConfig) -> str:
    from kdgat.ops.analytics import leaderboard
    from kdgat.workspace import Workspace

    try:
        ws = Workspace.find(Path(config.config_file_path).parent)
        return leaderboard_page(leaderboard(ws, include_simulated=True))
    except RunError:
        return leaderboard_page(None)
    except KdgatError as error:
        _log.warning("the leaderboard can't be made: %s", error.problem)
        return leaderboard_page(None)


def _questions(config: MkDocsConfig) -> str:
    from kdgat.ops.questions import list_questions
    from kdgat.runs.open_questions import read_questions
    from kdgat.workspace import Workspace

    try:
        ws = Workspace.find(Path(config.config_file_path).parent)
        found = list_questions(ws, limit=1_000)
        for fault in (*found.faults, *found.notes):
            _log.warning("open questions: %s", fault)
        return questions_page(found, read_questions(ws)[0])
    except KdgatError as error:
        _log.warning("the page of open questions can't be made: %s", error.problem)
        return questions_page(None, ())


_MADE: dict[str, Callable[[MkDocsConfig], str]] = {
    "leaderboard.md": _leaderboard,
    "open-questions.md": _questions,
}
"""How each of the site's `generated_pages` comes about."""
