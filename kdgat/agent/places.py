"""The sections `places` and `rules`: where things are, and how the lab wants to work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from kdgat.agent.reading import read_text
from kdgat.agent.section import Material, Section
from kdgat.workspace import Workspace


def rules_section(material: Material, _most: int | None) -> Section:
    """What stands in `agent/rules`, a file after the other."""
    ws = material.ws
    files = _markdown(ws.root / "agent" / "rules")
    texts = {ws.show(path): _demoted(read_text(path, ws.show(path))) for path in files}
    return Section(
        source="agent/rules",
        inputs=texts,
        text="\n\n".join(filter(None, texts.values())),
        otherwise="the files in `agent/rules`",
    )


def places_section(material: Material, _most: int | None) -> Section:
    """Where pages, tests, what the agent is told and what is written at run time are."""
    rows = dict(_rows(material.ws))
    lines = [f"- `{name}` {row}" for name, row in rows.items()]
    return Section(
        source="knowledge,agent,tests,kdgat/workspace.py",
        inputs=rows,
        text="\n".join(("## Where things are", *lines)),
        otherwise="`ls`, and `uv run kdgat docs search`",
    )


def _rows(ws: Workspace) -> Iterator[tuple[str, str]]:
    knowledge = ws.root / "knowledge"
    if pages := _names(_markdown(knowledge / "guide")):
        yield "knowledge/guide/", f"how to: {' '.join(pages)}"
    if notes := [path for path in _markdown(knowledge / "decisions") if path.stem[:1].isdigit()]:
        yield "knowledge/decisions/", f"why: {len(notes)}, the last is {notes[-1].stem}"
    if papers := _names(_markdown(knowledge / "papers")):
        yield "knowledge/papers/", f"what was read: {len(papers)} notes"
    if (knowledge / "reference").is_dir():
        yield "knowledge/reference/", "made by `kdgat reference write`"
    if tests := _folders(ws.root / "tests"):
        yield "tests/", " ".join(tests)
    if skills := _folders(ws.root / "agent" / "skills"):
        yield "agent/skills/NAME/SKILL.md", f"read before such a task: {' '.join(skills)}"
    yield ".kdgat/", f"or $KDGAT_HOME, at run time: {' '.join(_home_folders())}"


def _home_folders() -> list[str]:
    """Folders of the home, as the workspace names them."""
    home = Path("/home")
    ws = Workspace(root=Path("/root"), home=home)
    values = [
        each.fget(ws)
        for each in vars(Workspace).values()
        if isinstance(each, property) and each.fget is not None
    ]
    return [path.name for path in values if path.parent == home]


def _names(paths: list[Path]) -> list[str]:
    return [path.stem for path in paths if path.stem != "index"]


def _markdown(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.md") if path.name[0] != "." and path.is_file())


def _folders(place: Path) -> list[str]:
    return sorted(
        path.name for path in place.glob("[!._]*") if path.is_dir() and any(path.glob("[!._]*"))
    )


def _demoted(text: str) -> str:
    """A file's text without front matter, its headings one level down."""
    body = re.sub(r"\A---\n.*?\n---\n", "", text.replace("\r\n", "\n"), flags=re.DOTALL).strip()
    if re.search(r"^# ", body, re.MULTILINE):
        return re.sub(r"^(#{1,5}) ", r"#\1 ", body, flags=re.MULTILINE)
    return body
