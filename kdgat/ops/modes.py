"""Operations on modes: which one is current, what each is for, and the user's switch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kdgat.errors import KdgatError
from kdgat.modes import packs, state
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class ShownMode:
    """One mode as its file describes it."""

    name: str
    is_current: bool
    since: str | None
    """When the user switched to it, in ISO 8601, UTC; None of the default and of others."""
    by: str | None
    """What he switched with: `cli` or `prompt`."""
    description: str
    tools: tuple[str, ...]
    """Tools beyond those that every mode has."""
    sections: tuple[str, ...]
    """Sections of the session's context, the most important first."""
    budget_tokens: int
    """Most tokens of the whole context."""
    questions: Literal["hidden", "shown"]
    file: str
    text: str
    text_tokens: int
    """Tokens of the steering text, four characters each."""


@dataclass(frozen=True)
class ModeLine:
    """One mode of the list."""

    name: str
    is_current: bool
    description: str
    tools: tuple[str, ...]
    questions: Literal["hidden", "shown"]


@dataclass(frozen=True)
class ModeList:
    """Every mode whose file is right; `broken` says what is wrong with others or the state."""

    items: tuple[ModeLine, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True)
class SwitchedMode:
    """What a switch did."""

    name: str
    before: str | None
    """The mode until then; None where nobody could tell."""
    is_changed: bool
    description: str


def show_mode(ws: Workspace, *, name: str | None = None) -> ShownMode:
    """One mode.

    Args:
        ws: the workspace.
        name: the mode; None is the current one.

    Raises:
        ModeError: there is no such mode, its file is wrong, or the state is damaged.
        StorageError: one of them can't be read.
    """
    current = _state(ws) if name else state.read_state(ws)
    mode = packs.load_mode(ws, name or current.mode)
    is_current = mode.name == current.mode
    return ShownMode(
        name=mode.name,
        is_current=is_current,
        since=current.since if is_current else None,
        by=current.by if is_current else None,
        description=mode.description,
        tools=mode.tools,
        sections=mode.sections,
        budget_tokens=mode.budget_tokens,
        questions=mode.questions,
        file=ws.show(mode.path),
        text=mode.text,
        text_tokens=packs.token_count(mode.text),
    )


def list_modes(ws: Workspace) -> ModeList:
    """Every mode; a broken file hides no other, and neither does a damaged state."""
    items, broken = [], []
    current = ""
    try:
        current = state.current_mode(ws)
    except KdgatError as error:
        broken.append(error.problem)
    for name in packs.mode_names(ws):
        try:
            mode = packs.load_mode(ws, name)
        except KdgatError as error:
            broken.append(error.problem)
            continue
        line = ModeLine(name, name == current, mode.description, mode.tools, mode.questions)
        items.append(line)
    return ModeList(tuple(items), tuple(broken))


def switch_mode(ws: Workspace, name: str, *, by: Literal["cli", "prompt"] = "cli") -> SwitchedMode:
    """Make a mode the current one, on the user's word; to the current one changes nothing.

    Raises:
        ModeError: there is no such mode, or its file is wrong; the old one stays.
        StorageError: the state can't be written; the old one stays.
    """
    before = _state(ws).mode or None
    now = state.switch(ws, name, by)
    description = packs.load_mode(ws, name).description
    return SwitchedMode(now.mode, before, now.mode != before, description)


def _state(ws: Workspace) -> state.ModeState:
    """The state, where it can be told."""
    try:
        return state.read_state(ws)
    except KdgatError:
        return state.ModeState("")
