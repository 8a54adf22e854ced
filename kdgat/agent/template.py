"""The template `agent/AGENTS.md`: which sections there are, where, and which goes first.

Its other text is written once, when AGENTS.md is made; from then on it is the user's there.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from kdgat.agent.reading import read_text
from kdgat.errors import WorkspaceError, did_you_mean
from kdgat.workspace import Workspace

_LINE = re.compile(r"<!-- kdgat:(template|section)((?: [a-z_]+(?:=\S+)?)*) -->\n?")
_EXAMPLE = "write <!-- kdgat:section map rank=2 -->"
_NUMBERS = {"template": {"budget_tokens"}, "section": {"rank", "most_tokens"}}


@dataclass(frozen=True)
class Slot:
    """The place of a section."""

    name: str
    rank: int
    """1 is kept longest; over the budget the highest goes first."""
    most_tokens: int | None = None
    """What a section that can be told shorter keeps to."""


@dataclass(frozen=True)
class Template:
    """The sections in order, with the text around them."""

    budget_tokens: int
    """Most tokens of all sections together, their marks included."""
    parts: tuple[str | Slot, ...]

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The sections alone."""
        return tuple(part for part in self.parts if isinstance(part, Slot))


def template_path(ws: Workspace) -> Path:
    """The workspace's template, or else the one that comes with kdgat."""
    own = ws.root / "agent" / "AGENTS.md"
    return own if own.is_file() else Path(__file__).parents[2] / "agent" / "AGENTS.md"


def load_template(ws: Workspace, known: Collection[str]) -> Template:
    """The template.

    Args:
        ws: the workspace.
        known: names of the sections that can be made.

    Raises:
        WorkspaceError: it is wrong: file, line and next step.
        StorageError: it can't be read.
    """
    path = template_path(ws)
    shown = ws.show(path)
    budget: int | None = None
    parts: list[str | Slot] = []
    for number, line in enumerate(re.split(r"(?<=\n)", read_text(path, shown)), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            parts.append(line)
            continue
        where = f"{shown}:{number}"
        names, numbers = _settings(match[1], match[2], where)
        if match[1] == "template":
            budget = numbers["budget_tokens"]
            continue
        parts.append(_slot(names, numbers, where, known, parts))
    if budget is None:
        hint = "write <!-- kdgat:template budget_tokens=1600 --> in its first line"
        raise WorkspaceError(f"{shown}:1: the template names no budget", hint=hint)
    return Template(budget, tuple(parts))


def _settings(kind: str, text: str, where: str) -> tuple[list[str], dict[str, int]]:
    names: list[str] = []
    numbers: dict[str, int] = {}
    for word in text.split():
        key, sign, value = word.partition("=")
        if not sign:
            names.append(key)
        elif key not in _NUMBERS[kind]:
            hint = did_you_mean(key, _NUMBERS[kind])
            raise WorkspaceError(f"{where}: unknown setting '{key}'", hint=hint)
        elif not (value.isascii() and value.isdigit() and int(value) > 0):
            problem = f"{where}: {key} is '{value}', no whole number above 0"
            raise WorkspaceError(problem, hint=_EXAMPLE)
        else:
            numbers[key] = int(value)
    missing = {"template": "budget_tokens", "section": "rank"}[kind]
    if missing not in numbers:
        raise WorkspaceError(f"{where}: {missing} is not set", hint=_EXAMPLE)
    return names, numbers


def _slot(
    names: list[str],
    numbers: dict[str, int],
    where: str,
    known: Collection[str],
    before: list[str | Slot],
) -> Slot:
    if len(names) != 1:
        raise WorkspaceError(f"{where}: a section has one name, not {names}", hint=_EXAMPLE)
    name = names[0]
    if name not in known:
        hint = did_you_mean(name, known)
        raise WorkspaceError(f"{where}: there is no section '{name}'", hint=hint)
    if any(isinstance(part, Slot) and part.name == name for part in before):
        raise WorkspaceError(f"{where}: '{name}' is there twice", hint="keep one of them")
    return Slot(name, numbers["rank"], numbers.get("most_tokens"))
