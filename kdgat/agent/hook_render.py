"""Renders the agent's files again when an edit made them stale, and says in a line what is new."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kdgat.agent.clients import AGENTS, CLAUDE, SERVERS, SETTINGS
from kdgat.agent.hook import Place, keep, what_changed
from kdgat.agent.hook_processes import KdgatProcess
from kdgat.agent.marks import blocks, parse
from kdgat.errors import WorkspaceError

_RENDER_S = 20


def after_edit(place: Place, event: str) -> dict | None:
    """What to tell after an edit.

    Raises:
        RuntimeError: the render failed, as it does in the middle of an edit of kdgat itself.
        TimeoutError: it took too long.
    """
    told = rerender(place)
    if not told:
        return None
    return {"hookSpecificOutput": {"hookEventName": event, "additionalContext": told}}


def at_the_end(place: Place) -> dict | None:
    """The same when the agent stops: then it is the user who reads it.

    Raises:
        RuntimeError: the render failed.
        TimeoutError: it took too long.
    """
    told = rerender(place)
    return {"systemMessage": told} if told else None


def rerender(place: Place) -> str:
    """Bring the files up to date, and say which of them changed; empty where none did.

    Raises:
        RuntimeError: the render failed; it is not tried again before something else changes.
        TimeoutError: it took too long; the same.
    """
    with _alone(place):
        # Of several edits at once, the first one's hook did it for all.
        if not (changed := what_changed(place)):
            return ""
        before = _texts(place)
        try:
            KdgatProcess(place, "kdgat.cli.main", "agent", "render", "--quiet").answer(_RENDER_S)
        except (RuntimeError, TimeoutError):
            keep(place.agent("render-failed.json"), changed)
            raise
        return _told(before, _texts(place))


def _texts(place: Place) -> dict[str, str]:
    return {
        name: path.read_text(encoding="utf-8", errors="replace")
        for name in (AGENTS, CLAUDE, SERVERS, SETTINGS)
        if (path := Path(place.root, name)).is_file()
    }


def _told(before: dict[str, str], after: dict[str, str]) -> str:
    files = [name for name, text in after.items() if before.get(name) != text]
    if not files:
        return ""
    sections = _sections(before.get(AGENTS, ""), after[AGENTS]) if AGENTS in files else []
    new = f" (new there: {', '.join(sections)}; read them before you rely on them)" * bool(sections)
    return f"kdgat: a change made the context stale, so {', '.join(files)} was rendered again{new}."


def _sections(before: str, after: str) -> list[str]:
    try:
        old, new = ({k: v.text for k, v in blocks(parse(text, AGENTS)).items()}
                    for text in (before, after))  # fmt: skip
    except WorkspaceError:
        return []
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    """While no other hook renders here; where the disk knows no locks, without one."""
    try:
        lock = Path(place.agent("render.lock")).open("ab")  # noqa: SIM115
    except OSError:
        yield
        return
    with lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
