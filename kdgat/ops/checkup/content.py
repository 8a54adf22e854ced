"""Every file that a researcher edits, read as kdgat reads it: modes, questions, clusters ..."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from kdgat.errors import KdgatError
from kdgat.ops.checkup.finding import Found, Surroundings, of_error, problem
from kdgat.ops.checkup.lines import line_at, line_of
from kdgat.workspace import Workspace

_PAPERS = ("paper.toml", "*/paper.toml", "*/*/paper.toml")
_LONGEST_DESCRIPTION = 1024
"""Characters of a skill's description that clients take."""


def look_at_modes(here: Surroundings) -> Iterator[Found]:
    """The modes, the tools they name, and which one is current."""
    from kdgat.modes.packs import check_tools, load_mode, mode_names
    from kdgat.modes.state import current_mode

    known = [tool.name for tool in here.context.tools]
    for name in mode_names(here.ws):
        try:
            mode = load_mode(here.ws, name)
            if known:
                check_tools(mode, known)
        except KdgatError as error:
            yield _relative(here.ws, of_error("mode", error))
    try:
        current_mode(here.ws)
    except KdgatError as error:
        yield of_error("mode", error, where=here.ws.show(here.ws.agent / "mode.json"))


def look_at_questions(here: Surroundings) -> Iterator[Found]:
    """The open questions."""
    from kdgat.errors import QuestionError
    from kdgat.runs.open_questions import read_questions

    for fault in read_questions(here.ws)[1]:
        hint = "mend that line; knowledge/guide/questions.md shows a whole file"
        yield of_error("question", QuestionError(fault, hint=hint))


def look_at_clusters(here: Surroundings) -> Iterator[Found]:
    """The descriptions of clusters."""
    from kdgat.slurm.cluster import cluster_from

    for path in sorted(here.ws.clusters.glob("*.toml")):
        yield from _read(
            here.ws, "cluster", path, lambda path, shown: cluster_from(path, shown=shown)
        )


def look_at_sources(here: Surroundings) -> Iterator[Found]:
    """The list of documentation sources, and whether their folders are there."""
    from kdgat.knowledge.sources import LIST, listed

    path = here.ws.root / LIST
    try:
        sources = listed(here.ws)
    except KdgatError as error:
        yield of_error("source", error, where=_place(here.ws, path, error))
        return
    for number, source in enumerate(sources):
        if source.path is not None and not source.path.is_dir():
            line = line_at(path.read_text(encoding="utf-8"), ("source", number, "path"))
            what = f"the documentation source '{source.name}' is not there: no '{source.path}'"
            where = f"{here.ws.show(path)}:{line}"
            yield problem("source", what, "mend its path, or take it out of the list", where=where)


def look_at_agent_files(here: Surroundings) -> Iterator[Found]:
    """What the agent is set up with: `agent/*.toml`, and its skills."""
    from kdgat.agent.reading import read_toml

    folder = here.ws.root / "agent"
    for path in sorted(folder.glob("*.toml")):
        faults = list(_read(here.ws, "agent file", path, read_toml))
        yield from faults or _read(
            here.ws, "agent file", path, lambda path, _: _known(here.ws, path)
        )
    for path in sorted(folder.glob("skills/*/SKILL.md")):
        yield from _skill(here.ws, path)


def look_at_papers(here: Surroundings) -> Iterator[Found]:
    """Papers' value files inside the checkout."""
    found = {path for pattern in _PAPERS for path in here.ws.root.glob(pattern)}
    inside = sorted(path for path in found if not _is_hidden(path, here.ws))
    if inside:
        from kdgat.knowledge.papers import load_paper

        for path in inside:
            yield from _read(here.ws, "paper", path, load_paper)


def _known(ws: Workspace, path: Path) -> object:
    """What a file of a known name says, when it says it rightly."""
    if path.name == "hooks.toml":
        from kdgat.agent.wiring import hook_groups

        return hook_groups(ws)
    if path.name == "mcp.toml":
        from kdgat.agent.limits import load_limits

        return load_limits(ws)
    return None


def _skill(ws: Workspace, path: Path) -> Iterator[Found]:
    """A skill's front matter, as clients want it: its name is the folder's, and it says when."""
    from kdgat.modes.front_matter import Place, read

    shown = ws.show(path)
    try:
        settings, _, _ = read(path.read_bytes(), Place(shown))
    except KdgatError as error:
        yield of_error("skill", error)
        return
    name, description = settings.get("name"), settings.get("description")
    if name is None or name.value != path.parent.name:
        value = None if name is None else name.value
        what = f"'{shown}': the skill's name is {value!r}, and its folder '{path.parent.name}'"
        where = f"{shown}:{name.line if name else 1}"
        yield problem("skill", what, f"write name: {path.parent.name}", where=where)
    said = description.value if description else None
    if not isinstance(said, str) or not 0 < len(said.strip()) <= _LONGEST_DESCRIPTION:
        what = (
            f"'{shown}': the skill has no description of at most {_LONGEST_DESCRIPTION} characters"
        )
        where = f"{shown}:{description.line if description else 1}"
        yield problem(
            "skill", what, "write description: what it does, and when to use it", where=where
        )


def _read(
    ws: Workspace, kind: str, path: Path, reader: Callable[[Path, str], object]
) -> Iterator[Found]:
    try:
        reader(path, ws.show(path))
    except KdgatError as error:
        yield of_error(kind, error, where=_place(ws, path, error))


def _place(ws: Workspace, path: Path, error: KdgatError) -> str:
    """File and line of a fault in a TOML file."""
    told = of_error("", error).finding.where
    if told:
        return told
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ws.show(path)
    return f"{ws.show(path)}:{line_of(text, error)}"


def _relative(ws: Workspace, found: Found) -> Found:
    """The same with the file as the workspace shows it."""
    finding = found.finding
    root = f"{ws.root}/"
    what, where = (text.replace(root, "") for text in (finding.what, finding.where))
    return problem(finding.kind, what, finding.fix, where=where)


def _is_hidden(path: Path, ws: Workspace) -> bool:
    if path.is_relative_to(ws.home):
        return True
    return any(part.startswith(".") for part in path.relative_to(ws.root).parts)
