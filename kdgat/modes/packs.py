"""Modes as files: `modes/<name>.md`, front matter that is checked, and the steering text below it.

A file of the workspace hides one of the same name that comes with kdgat. Only the standard library
is imported until a file is read; a file that did not change is parsed once a process.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

from kdgat.errors import ModeError, StorageError, did_you_mean
from kdgat.modes.front_matter import LARGEST_BYTES, Place, read
from kdgat.modes.schema import NAME, NAME_HINT, checked
from kdgat.workspace import Workspace

RESERVED = frozenset({"list", "show", "questions"})
"""Words of `kdgat mode`, and the folder of open questions."""
_CHARACTERS_PER_TOKEN = 4
_LONGEST_SHOWN = 40


@dataclass(frozen=True)
class Mode:
    """What the agent is for: its tools beyond every mode's, its context and its steering text."""

    name: str
    description: str
    tools: tuple[str, ...]
    """Tools beyond those that every mode has."""
    sections: tuple[str, ...]
    """Sections of the session's context, the most important first."""
    budget_tokens: int
    """Most tokens of the whole context, the steering text included."""
    questions: Literal["hidden", "shown"]
    """Whether open questions may be seen."""
    text: str
    path: Path
    tool_lines: tuple[int, ...] = field(default=(), repr=False, compare=False)
    """The line of each tool's name in the file."""


def load_mode(ws: Workspace, name: str) -> Mode:
    """One mode.

    Raises:
        ModeError: there is none of that name, or its file is wrong: file, line and next step.
        StorageError: its file can't be read.
    """
    path = mode_file(ws, name)
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise StorageError(
            f"can't read '{ws.show(path)}': {error.strerror or error}",
            hint="mend its permissions, or restore the file",
        ) from error
    return _parsed(data, path, ws.show(path))


def list_modes(ws: Workspace) -> tuple[Mode, ...]:
    """Every mode by name.

    Raises:
        ModeError: a file is wrong: file, line and next step.
        StorageError: a file can't be read.
    """
    return tuple(load_mode(ws, name) for name in mode_names(ws))


def mode_names(ws: Workspace) -> tuple[str, ...]:
    """The name of every mode that has a file, right or wrong, without reading it."""
    return tuple(sorted(_files(ws)))


def mode_file(ws: Workspace, name: str) -> Path:
    """The file of a mode.

    Raises:
        ModeError: there is none, or no mode may have that name.
    """
    known = _files(ws)
    named = name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..."
    if name not in known:
        modes = sorted(set(known) - RESERVED)
        raise ModeError(
            f"there is no mode {named!r} in '{ws.show(ws.modes)}'",
            hint=did_you_mean(named, modes) + " (`kdgat mode list` says what they are for)",
        )
    if name in RESERVED or not NAME.fullmatch(name):
        why = "that word has another meaning" if name in RESERVED else "that is no mode's name"
        hint = f"rename the file; {NAME_HINT}"
        raise Place(ws.show(known[name])).fault(1, f"no mode can be named {named!r}: {why}", hint)
    return known[name]


def check_tools(mode: Mode, known: Collection[str]) -> None:
    """Refuse a mode that names a tool which is not `known`.

    Raises:
        ModeError: file and line of the first such name, and the nearest known one.
    """
    lines = mode.tool_lines or (1,) * len(mode.tools)
    for tool, line in zip(mode.tools, lines, strict=True):
        if tool not in known:
            hint = did_you_mean(tool, known)
            raise Place(str(mode.path)).fault(line, f"there is no tool '{tool}'", hint)


def lacks_tool(ws: Workspace, mode: str, tool: str) -> ModeError:
    """What to answer when `mode` does not serve `tool`: which mode does, and who switches."""
    having = []
    for name in mode_names(ws):
        try:
            if tool in load_mode(ws, name).tools:
                having.append(name)
        except (ModeError, StorageError):
            # Another mode's broken file is no reason to answer less.
            continue
    problem = f"the tool '{tool}' is not served in mode '{mode}'"
    if not having:
        return ModeError(problem, hint=f"no mode has it: `kdgat mode show {mode}` says what it has")
    where = " and ".join(f"'{name}'" for name in having)
    modes = "mode" if len(having) == 1 else "modes"
    hint = f"it is in {modes} {where}; the user switches with `kdgat mode {having[0]}`"
    return ModeError(problem, hint=hint)


def token_count(text: str) -> int:
    """Tokens of a text, as budgets count them: four characters each, rounded up."""
    return -(-len(text) // _CHARACTERS_PER_TOKEN)


def _files(ws: Workspace) -> dict[str, Path]:
    """Every file by name; the workspace's hides one that comes with kdgat."""
    shipped = Path(__file__).parents[2] / "modes"
    return {
        path.stem: path
        for folder in (shipped, ws.modes)
        for path in folder.glob("*.md")
        # An editor's lock and what is being written aside start with a dot.
        if path.is_file() and not path.name.startswith(".")
    }


@lru_cache(maxsize=64)
def _parsed(data: bytes, path: Path, shown: str) -> Mode:
    """The mode in a file of which `data` is the content."""
    place = Place(shown)
    settings, body, first = read(data, place)
    values = checked(settings, place)
    text = body.strip()
    if not text:
        hint = "say what the agent does in this mode, in what order, and what good looks like"
        raise place.fault(first, "there is no steering text", hint)
    if (tokens := token_count(text)) > values["budget_tokens"]:
        what = f"the steering text alone has {tokens:,} tokens, and budget_tokens is smaller"
        raise place.fault(settings["budget_tokens"].line, what, "shorten the text")
    tool_lines = settings["tools"].item_lines
    return Mode(path.stem, **values, text=text, path=path, tool_lines=tool_lines)
