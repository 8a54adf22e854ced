"""Answers a hook of the agent's client: JSON on standard input, JSON or nothing on standard output.

    python3 -S -E kdgat/agent/hook.py PostToolUse < payload.json

A plain script, because a hook runs at every prompt and every edit: that nothing changed is told by
`stat` alone, with the standard library, in less time than importing anything takes. Only where
something changed, modules beside it are imported and processes started. Whatever goes wrong, the
session goes on: the exit code is 0, standard output stays empty, and a line in
`<home>/agent/hook-errors.jsonl` says what it was.
"""

# Paths stay plain text here: importing pathlib takes longer than all that a hook mostly does.
# ruff: noqa: PTH100, PTH103, PTH105, PTH110, PTH111, PTH116, PTH118, PTH119, PTH120, PTH123, PTH202

from __future__ import annotations

import json
import os
import signal
import sys
from types import ModuleType

DEFAULT_MODE = "mlops"
"""The mode of a workspace in which nobody has switched."""
LIMIT_S = 25
"""Seconds after which a hook gives up by itself; the client's own limits are longer."""
MOST_BYTES = 8 << 20
"""A payload that is longer says nothing; what a hook does then needs none."""
SOURCES = (".py", ".sh", ".sql", ".js", ".ts", ".css", ".html", ".c", ".cpp", ".cu", ".rs", ".jl")
"""Ends of the names of files that count as code."""
_MOST_LOG_BYTES = 1 << 20
_MOST_ENTRIES = 20_000
_NO_CODE = frozenset({"node_modules", "site", "dist", "build", "__pycache__"})
_SAFE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
_LONGEST = 300


class Place:
    """A workspace, as `kdgat.workspace.Workspace` finds it, without importing that."""

    def __init__(self, root: str, home: str) -> None:
        self.root = root
        self.home = home

    def agent(self, *names: str) -> str:
        """A file of what the agent's hooks and server keep."""
        return os.path.join(self.home, "agent", *names)


def main(arguments: list[str]) -> int:
    """Answer one hook; always 0.

    Args:
        arguments: the event; without it, the payload's own word is taken.
    """
    event, place = (arguments or [""])[0], None
    try:
        signal.signal(signal.SIGALRM, _give_up)
        signal.alarm(LIMIT_S)
        payload, problem = _payload()
        place = find_place(payload)
        if place is not None and problem:
            log(place, event, problem)
        elif place is not None:
            event = event or str(payload.get("hook_event_name", ""))
            _say(answer(place, event, payload))
    except (Exception, KeyboardInterrupt) as error:
        log(place, event, f"{type(error).__name__}: {error}")
    finally:
        signal.alarm(0)
    return 0


def answer(place: Place, event: str, payload: dict) -> dict | None:
    """What the client is told, in its own form; mostly nothing.

    Raises:
        ValueError: there is no such event, or the mode's state is damaged.
        RuntimeError: a process that was started failed.
        TimeoutError: it took too long.
        OSError: a file can't be read or written.
    """
    session = session_of(payload)
    if event == "SessionStart":
        return _later("hook_session").begin(place, session)
    if event in ("PostToolUse", "PostToolBatch"):
        return _later("hook_render").after_edit(place, event) if what_changed(place) else None
    if event == "UserPromptSubmit":
        note = read_note(place, session)
        if note is None or note.get("mode") == mode_now(place):
            return None
        return _later("hook_session").mode_changed(place, note)
    if event == "Stop":
        return _at_the_end(place, session, payload)
    raise ValueError(f"there is nothing to do at the event {event[:40]!r}")


def _at_the_end(place: Place, session: str, payload: dict) -> dict | None:
    said = _later("hook_render").at_the_end(place) if what_changed(place) else None
    # A client that goes on because of a hook's word says so, and is not told again.
    if payload.get("stop_hook_active") is not False:
        return said
    note = read_note(place, session)
    if note is None or note.get("told") or not _has_newer(place, note.get("checked_ns", 0)):
        return said
    asked = _later("hook_session").without_a_look(place, note)
    return {**(said or {}), **(asked or {})} or None


def find_place(payload: dict) -> Place | None:
    """The workspace of the session: that of its project, or of the folder it is in."""
    own = os.environ.get("KDGAT_ROOT")
    starts = (os.environ.get("CLAUDE_PROJECT_DIR"), payload.get("cwd"), os.curdir)
    for start in (own,) if own else starts:
        if not isinstance(start, str) or not start or "\0" in start:
            continue
        folder = os.path.realpath(os.path.expanduser(start))
        while True:
            home = _home_in(folder)
            if home is not None:
                home = os.path.expanduser(os.environ.get("KDGAT_HOME") or home or ".kdgat")
                return Place(folder, os.path.join(folder, home))
            above = os.path.dirname(folder)
            if own or above == folder:
                break
            folder = above
    return None


def _home_in(folder: str) -> str | None:
    """What the `pyproject.toml` of a workspace calls its home; None where there is none."""
    try:
        with open(os.path.join(folder, "pyproject.toml"), encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError):
        return None
    if "kdgat" not in text:
        return None
    lines = [line.strip() for line in text.split("\n")]
    if "[tool.kdgat]" in lines:
        for line in lines[lines.index("[tool.kdgat]") + 1 :]:
            name, _, value = (part.strip() for part in line.partition("="))
            if line.startswith("["):
                break
            if name == "home":
                is_plain = value[:1] == '"' == value[-1:] and "\\" not in value
                return value[1:-1] if is_plain else _home_spelt_otherwise(text)
        return ""
    return _home_spelt_otherwise(text)


def _home_spelt_otherwise(text: str) -> str | None:
    import tomllib

    try:
        table = tomllib.loads(text).get("tool", {}).get("kdgat")
    except (tomllib.TOMLDecodeError, AttributeError):
        return None
    return str(table.get("home", "")) if isinstance(table, dict) else None


def what_changed(place: Place) -> list:
    """What differs from the stamp of the last render: `[path, as it is now]`.

    Empty too where nobody set the agent's files up, and where a render of just this failed.
    """
    try:
        with open(place.agent("context.json"), "rb") as file:
            inputs = json.load(file)["inputs"].items()
    except FileNotFoundError:
        # On a fresh clone AGENTS.md is there, and nothing is known of what it was made from.
        changed = [["AGENTS.md", None]] if _has_marks(place) else []
    except (ValueError, KeyError, AttributeError, TypeError):
        changed = [["context.json", None]]
    else:
        changed = []
        for name, before in inputs:
            try:
                found = os.stat(os.path.join(place.root, name))
                now = [found.st_mtime_ns, found.st_size]
            except OSError:
                now = None
            if now != before:
                changed.append([name, now])
    return changed if changed and changed != read_json(place.agent("render-failed.json")) else []


def _has_marks(place: Place) -> bool:
    try:
        with open(os.path.join(place.root, "AGENTS.md"), "rb") as file:
            return b"<!-- kdgat:begin " in file.read()
    except OSError:
        return False


def _has_newer(place: Place, since_ns: object) -> bool:
    """Whether a file of code was written since a time; too many to look at are taken for a yes."""
    if not isinstance(since_ns, int):
        return True
    folders, entries = [place.root], 0
    while folders:
        try:
            found = list(os.scandir(folders.pop()))
        except OSError:
            continue
        entries += len(found)
        if entries > _MOST_ENTRIES:
            return True
        for entry in found:
            if entry.name[0] == "." or entry.name in _NO_CODE or entry.path == place.home:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            elif entry.name.endswith(SOURCES) and _time_ns(entry) >= since_ns:
                return True
    return False


def _time_ns(entry: os.DirEntry) -> int:
    try:
        return entry.stat(follow_symlinks=False).st_mtime_ns
    except OSError:
        return 0


def session_of(payload: dict) -> str:
    """The session's id where it can be a file's name; empty otherwise."""
    named = payload.get("session_id")
    fits = isinstance(named, str) and 0 < len(named) <= 100 and _SAFE.issuperset(named)
    return str(named) if fits else ""


def read_note(place: Place, session: str) -> dict | None:
    """What was noted when a session began; None where nothing was."""
    note = read_json(place.agent("sessions", f"{session}.json")) if session else None
    return note if isinstance(note, dict) else None


def mode_now(place: Place) -> str:
    """The name of the current mode.

    Raises:
        ValueError: the state is damaged.
    """
    path = place.agent("mode.json")
    if not os.path.lexists(path):
        return DEFAULT_MODE
    state = read_json(path)
    if isinstance(state, dict) and isinstance(state.get("mode"), str):
        return state["mode"]
    raise ValueError(f"'{path}' does not say which mode is current: `kdgat mode NAME` mends it")


def read_json(path: str) -> object:
    """What a file of ours holds; None where it is not there or damaged."""
    try:
        with open(path, "rb") as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError):
        return None


def keep(path: str, value: object) -> None:
    """Write a note, whole or not at all; where that can't be, a word is said later, or twice."""
    aside = os.path.join(os.path.dirname(path), f".partial-{os.getpid()}-{os.path.basename(path)}")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(aside, "w", encoding="utf-8") as file:
            json.dump(value, file)
        os.replace(aside, path)
    except OSError:
        return


def log(place: Place | None, event: str, error: str) -> None:
    """Write down what went wrong, where there is a place for it; a full log starts anew."""
    if place is None:
        return
    import time

    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    told = " ".join(error.split())[:_LONGEST]
    line = json.dumps({"time": now, "event": event[:40], "error": told}) + "\n"
    path = place.agent("hook-errors.jsonl")
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        full = os.path.exists(path) and os.path.getsize(path) > _MOST_LOG_BYTES
        with open(path, "wb" if full else "ab", buffering=0) as file:
            file.write(line.encode())
    except OSError:
        return


def _payload() -> tuple[dict, str]:
    """What the client sent, and what is wrong with it."""
    if sys.stdin is None or sys.stdin.isatty():
        return {}, ""
    stream = sys.stdin.buffer
    data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        while stream.read(1 << 20):
            pass
        return {}, ""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        return {}, f"the payload is no JSON: {error}"
    return (value, "") if isinstance(value, dict) else ({}, "the payload is no JSON object")


def _say(said: dict | None) -> None:
    """Write past Python's buffer: what a client does not read any more is an error here."""
    data = json.dumps(said).encode() + b"\n" if said else b""
    while data:
        data = data[os.write(1, data) :]


def _later(module: str) -> ModuleType:
    """A module beside this one; none of them imports more than the standard library."""
    import importlib

    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if package not in sys.path:
        sys.path.insert(0, package)
    return importlib.import_module(f"kdgat.agent.{module}")


def _give_up(_signal: int, _frame: object) -> None:
    raise TimeoutError(f"it took longer than {LIMIT_S} s")


if __name__ == "__main__":
    # A script's own folder comes before Python's own modules, which a name in it must not hide.
    if sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
        sys.path.pop(0)
    sys.exit(main(sys.argv[1:]))
