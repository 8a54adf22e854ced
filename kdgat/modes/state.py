"""Which mode the agent is in: one small file, `<home>/agent/mode.json`, renamed into place.

Everything that serves the agent reads it at every call, so nothing is held in memory and a switch
holds from the next call on. Reading needs the standard library alone, and little of it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from kdgat.errors import KdgatError, ModeError, StorageError
from kdgat.modes.packs import load_mode, mode_file
from kdgat.workspace import Workspace

DEFAULT = "mlops"
"""The mode of a workspace in which nobody has switched: it shows the least."""
_LONGEST = 80


@dataclass(frozen=True)
class ModeState:
    """The current mode, and how it came to be that."""

    mode: str
    since: str | None = None
    """When the user switched, in ISO 8601, UTC; None where nobody has."""
    by: str | None = None
    """What he switched with: `cli` or `prompt`."""


def state_path(ws: Workspace) -> Path:
    """The file that says which mode is current; absent until the first switch."""
    return ws.agent / "mode.json"


def current_mode(ws: Workspace) -> str:
    """The name of the current mode, whose file is there.

    Raises:
        ModeError: the state is damaged, or the mode's file is gone.
        StorageError: the state can't be read.
    """
    return read_state(ws).mode


def read_state(ws: Workspace) -> ModeState:
    """The current mode, since when, and by what.

    Raises:
        ModeError: the state is damaged, or the mode's file is gone.
        StorageError: the state can't be read.
    """
    state = _stored(ws)
    try:
        mode_file(ws, state.mode)
    except ModeError as error:
        raise ModeError(
            f"the current mode is '{state.mode}', which can't be used: {error.problem}",
            hint=f"restore its file, or switch: `kdgat mode {DEFAULT}` (`kdgat mode list`)",
        ) from error
    return state


def switch(ws: Workspace, name: str, by: Literal["cli", "prompt"]) -> ModeState:
    """Make a mode the current one; only ever on the user's word.

    Switching to the current mode changes nothing. Of two switches at once one is last, and whole.

    Args:
        ws: the workspace.
        name: the mode.
        by: what the user switched with.

    Raises:
        ModeError: there is no such mode, or its file is wrong; the old one stays.
        StorageError: the state can't be written; the old one stays.
    """
    from kdgat.ledger.files import write_json
    from kdgat.ledger.record import utc_now

    load_mode(ws, name)
    # Whatever is wrong with the old state, a new one mends it.
    with suppress(KdgatError):
        if (before := _stored(ws)).mode == name:
            return before
    state = ModeState(name, utc_now(), by)
    write_json(state_path(ws), asdict(state))
    return state


def questions_shown(ws: Workspace) -> bool:
    """Whether the current mode may see open questions; an error is no yes.

    Raises:
        ModeError: the state is damaged, or the mode's file is gone or wrong.
        StorageError: one of them can't be read.
    """
    return load_mode(ws, current_mode(ws)).questions == "shown"


def _stored(ws: Workspace) -> ModeState:
    path = state_path(ws)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ModeState(DEFAULT)
    except OSError as error:
        raise StorageError(
            f"can't read '{ws.show(path)}': {error.strerror or error}",
            hint="mend its permissions, or move what stands in its place",
        ) from error
    try:
        # RecursionError: a nest of a thousand brackets is damage too.
        values = json.loads(data)
        mode = _printable(values["mode"])
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise _damaged(ws, path) from error
    if mode is None:
        raise _damaged(ws, path)
    return ModeState(mode, _printable(values.get("since")), _printable(values.get("by")))


def _damaged(ws: Workspace, path: Path) -> ModeError:
    return ModeError(
        f"'{ws.show(path)}' is damaged: it does not say which mode is current",
        hint=f"switch anew: `kdgat mode {DEFAULT}`, or another of `kdgat mode list`",
    )


def _printable(value: object) -> str | None:
    """A short text without control characters, or nothing."""
    if isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isprintable():
        return value
    return None
