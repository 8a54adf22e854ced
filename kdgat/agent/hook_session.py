"""A session's begin, a mode that changed meanwhile, and code that came without a look at prior art.

Of each session a note is kept, `<home>/agent/sessions/<session_id>.json`: when it began, the commit
and the lines it began with, and the mode that it was last told.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from pathlib import Path

from kdgat.agent.hook import Place, keep, log, read_note, what_changed
from kdgat.agent.hook_lines import commit_now, looked, net_lines
from kdgat.agent.hook_processes import KdgatProcess

LINES_WITHOUT_A_LOOK = 200
"""Net lines of code from which a look at prior art is asked for."""
_FACTS_S = 12
_MODE_S = 8
_KEPT_S = 30 * 86_400
_TICK_NS = 1_000_000_000
"""A file's time may lie so far behind the clock's."""


def begin(place: Place, session: str) -> dict:
    """What a session begins with; noted is what it is compared with at its end.

    Raises:
        RuntimeError: the facts can't be told.
        TimeoutError: they took too long.
    """
    rendered = _rendered(place)
    facts = KdgatProcess(place, "kdgat.cli.facts", "session")
    # Git counts while the facts are gathered.
    known = read_note(place, session)
    note = (known or _new_note(place, session)) if session else None
    said = json.loads(facts.answer(_FACTS_S))
    if note is not None:
        _write(place, {**note, "mode": said["mode"]})
    text = said["text"] + (f"\n{rendered}\n" if rendered else "")
    return {"hookSpecificOutput": {"hookEventName": "SessionStart", "additionalContext": text}}


def mode_changed(place: Place, note: dict) -> dict:
    """The new mode's name and text, once.

    Raises:
        RuntimeError: the mode's file can't be used.
        TimeoutError: it took too long.
    """
    said = json.loads(KdgatProcess(place, "kdgat.cli.facts", "mode").answer(_MODE_S))
    _write(place, {**note, "mode": said["mode"]})
    output = {"hookEventName": "UserPromptSubmit", "additionalContext": said["text"]}
    return {"hookSpecificOutput": output}


def without_a_look(place: Place, note: dict) -> dict | None:
    """One sentence where much was written and nobody looked for what exists; once a session.

    Raises:
        TimeoutError: git took too long.
    """
    checked_ns = time.time_ns() - _TICK_NS
    began, commit = note.get("lines"), note.get("commit")
    if not isinstance(began, int) or not isinstance(commit, str):
        return None
    lines = net_lines(place, commit)
    written = 0 if lines is None else lines - began
    told = written >= LINES_WITHOUT_A_LOOK and not looked(place, str(note.get("started_at")))
    _write(place, {**note, "checked_ns": checked_ns, "told": told})
    if not told:
        return None
    reason = (
        f"This session has added {written} net lines of code and looked nothing up: ask "
        "`prior_art` whether kdgat or an installed package does it already, and use that, or say "
        "in one sentence why it won't do."
    )
    return {"decision": "block", "reason": reason}


def _rendered(place: Place) -> str:
    """What was rendered again; a failure is no reason to begin without the facts."""
    if not what_changed(place):
        return ""
    from kdgat.agent.hook_render import rerender

    try:
        return rerender(place)
    except (RuntimeError, OSError) as error:
        log(place, "SessionStart", f"{type(error).__name__}: {error}")
        return ""


def _new_note(place: Place, session: str) -> dict:
    commit = commit_now(place)
    return {
        "session_id": session,
        "started_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit,
        "lines": net_lines(place, commit),
        "checked_ns": time.time_ns() - _TICK_NS,
        "told": False,
    }


def _write(place: Place, note: dict) -> None:
    """Keep a note, and forget those of long ago."""
    path = Path(place.agent("sessions", f"{note['session_id']}.json"))
    is_new = not path.exists()
    keep(str(path), note)
    if is_new:
        with suppress(OSError):
            for old in path.parent.glob("*.json"):
                if old.stat().st_mtime < time.time() - _KEPT_S:
                    old.unlink()
