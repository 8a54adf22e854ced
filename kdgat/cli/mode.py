"""`kdgat mode`: look at the agent's modes, and switch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson
from kdgat.cli.output import cell, print_json, print_table, say
from kdgat.errors import ModeError
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.modes import ShownMode

_LIST, _SHOW = "list", "show"


def complete_mode(incomplete: str) -> list[str]:
    """Names of modes that fit what was typed so far."""
    from kdgat.errors import WorkspaceError
    from kdgat.modes.packs import RESERVED, mode_names

    try:
        names = mode_names(Workspace.find())
    except WorkspaceError:
        # Half a line is typed: an error in the middle of it would help nobody.
        return []
    return [name for name in names if name.startswith(incomplete) and name not in RESERVED]


def complete_word(incomplete: str) -> list[str]:
    """The same, and the words that look at modes."""
    words = [word for word in (_LIST, _SHOW) if word.startswith(incomplete)]
    return [*complete_mode(incomplete), *words]


def mode(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A mode to switch to, or 'list', or 'show'; without, the current mode.",
            autocompletion=complete_word,
        ),
    ] = None,
    shown: Annotated[
        str | None,
        typer.Argument(
            help="After 'show': the mode; without, the current one.", autocompletion=complete_mode
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """See or switch what the agent is for: its tools, its context and what it is told.

    Switching is yours: the agent has no tool for it, and can only ask.

    Examples:
        kdgat mode
        kdgat mode research
        kdgat mode list
        kdgat mode show research
    """
    if shown is not None and name != _SHOW:
        raise ModeError(
            f"'{shown}' is one word too many after `kdgat mode {name}`",
            hint=f"`kdgat mode {_SHOW} NAME` shows a mode, `kdgat mode NAME` switches to it",
        )
    match name:
        case None:
            _current(as_json)
        case "list":
            _list(as_json)
        case "show":
            _show(shown, as_json)
        case _:
            _switch(name, as_json)


def _current(as_json: bool) -> None:
    from kdgat.ops.modes import show_mode

    found = show_mode(Workspace.find())
    if as_json:
        return print_json(found)
    return say(*_head(found))


def _list(as_json: bool) -> None:
    from kdgat.ops.modes import list_modes

    found = list_modes(Workspace.find())
    if as_json:
        return print_json(found)
    rows = [
        (one.name, one.is_current, one.questions, one.tools or None, one.description)
        for one in found.items
    ]
    columns = ("mode", "current", "questions", "tools of its own", "what for")
    print_table(f"{len(rows)} modes", columns, rows)
    return say(*(f"broken: {problem}" for problem in found.broken))


def _show(name: str | None, as_json: bool) -> None:
    from kdgat.ops.modes import show_mode

    found = show_mode(Workspace.find(), name=name)
    if as_json:
        return print_json(found)
    say(*_head(found))
    say(f"context: {cell(found.sections)}; at most {found.budget_tokens:,} tokens")
    return say(f"{found.file}, {found.text_tokens:,} tokens:", "", found.text)


def _switch(name: str, as_json: bool) -> None:
    from kdgat.ops.modes import switch_mode

    done = switch_mode(Workspace.find(), name)
    if as_json:
        return print_json(done)
    if not done.is_changed:
        return say(f"{done.name} is the mode already: {done.description}")
    return say(f"{done.name} is the mode now (it was {cell(done.before)}): {done.description}")


def _head(found: ShownMode) -> tuple[str, str]:
    since = f" (since {found.since}, by {found.by})" if found.since else ""
    tools = cell(found.tools) or "none"
    return (
        f"{found.name}{since}: {found.description}",
        f"tools of its own: {tools}; open questions: {found.questions}",
    )
