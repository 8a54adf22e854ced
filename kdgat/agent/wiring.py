"""Which hooks a client runs: `agent/hooks.toml`, in the shape of .claude/settings.json.

[[hooks.PostToolUse]]
matcher = "Edit|Write"
command = "python3 -S -E kdgat/agent/hook.py PostToolUse"
timeout_s = 10
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kdgat.agent.reading import read_toml, text_or_none
from kdgat.errors import WorkspaceError, did_you_mean
from kdgat.workspace import Workspace

_KINDS = {"command": str, "matcher": str, "timeout_s": int}
_WORDS = {str: "a text", int: "a whole number of seconds"}
_EVENT = re.compile(r"[A-Z][A-Za-z]+")
_TABLE = re.compile(r"\s*\[\[?\s*hooks\s*\.\s*([^\s\]]+)\s*\]")
_KEY = re.compile(r"\s*([\w-]+)\s*=")


def hook_groups(ws: Workspace) -> dict[str, list[dict[str, Any]]]:
    """Groups of hooks by event, in the file's order; none where there is no such file.

    Raises:
        WorkspaceError: the file is wrong: its name and line, the key, the value, the next step.
        StorageError: it can't be read.
    """
    path = ws.root / "agent" / "hooks.toml"
    shown = ws.show(path)
    events = read_toml(path, shown).get("hooks", {})
    text = text_or_none(path, shown) or ""
    if not isinstance(events, Mapping):
        raise _wrong(shown, "hooks", events, "tables by event")
    return {event: _groups(shown, text, event, hooks) for event, hooks in events.items()}


def _groups(shown: str, text: str, event: str, hooks: object) -> list[dict[str, Any]]:
    where = f"{shown}:{_line(text, event)}"
    if not isinstance(hooks, list) or not all(isinstance(each, Mapping) for each in hooks):
        raise _wrong(where, f"hooks.{event}", hooks, f"a list of tables: [[hooks.{event}]]")
    if not _EVENT.fullmatch(event):
        raise _wrong(where, "the event", event, "a word such as SessionStart")
    return [
        _group(hook, event, lambda key, n=number: f"{shown}:{_line(text, event, n, key)}")
        for number, hook in enumerate(hooks)
    ]


def _group(hook: Mapping[str, Any], event: str, where: Callable[[str], str]) -> dict[str, Any]:
    for key, value in hook.items():
        if key not in _KINDS:
            problem = f"'{where(key)}', hooks.{event}: unknown setting '{key}'"
            raise WorkspaceError(problem, hint=did_you_mean(key, _KINDS))
        if not isinstance(value, _KINDS[key]) or isinstance(value, bool):
            raise _wrong(where(key), f"hooks.{event}.{key}", value, _WORDS[_KINDS[key]])
    if not hook.get("command"):
        raise _wrong(where("command"), f"hooks.{event}.command", hook.get("command"), "a command")
    run: dict[str, Any] = {"type": "command", "command": hook["command"]}
    if "timeout_s" in hook:
        run["timeout"] = hook["timeout_s"]
    return {**({"matcher": hook["matcher"]} if "matcher" in hook else {}), "hooks": [run]}


def _line(text: str, event: str, number: int = 0, key: str = "") -> int:
    """The line of a key in an event's table, or of the table; 1 where neither is spelt plainly."""
    seen, inside, found = -1, False, 1
    for at, line in enumerate(text.splitlines(), start=1):
        if match := _TABLE.match(line):
            is_of_event = match[1].strip("\"'") == event
            seen += is_of_event
            inside = is_of_event and seen == number
            found = at if inside else found
        elif inside and (match := _KEY.match(line)) and match[1] == key:
            return at
    return found


def _wrong(where: str, key: str, value: object, wanted: str) -> WorkspaceError:
    problem = f"'{where}': {key} is {str(value)[:60]!r}, and should be {wanted}"
    return WorkspaceError(problem, hint="mend or delete it")
