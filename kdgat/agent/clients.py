"""The files by which an agent's client finds kdgat: CLAUDE.md, .mcp.json, .claude/settings.json.

Each is merged into what is there: of the JSON files only kdgat's own entries are written, and a
file that already says the same is left as it is spelt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from kdgat.agent.reading import parse_object, read_toml, text_or_none
from kdgat.agent.wiring import hook_groups
from kdgat.errors import WorkspaceError
from kdgat.workspace import Workspace

AGENTS, CLAUDE = "AGENTS.md", "CLAUDE.md"
SERVERS, SETTINGS = ".mcp.json", ".claude/settings.json"
_INCLUDE = f"@{AGENTS}"
_INCLUDED = re.compile(r"(?<!\S)@(\./)?AGENTS\.md(?![\w/])")
_SERVER = {"command": "uv", "args": ["run", "kdgat", "mcp"]}
ASK = (
    "Bash(kdgat mode:*)",
    "Bash(uv run kdgat mode:*)",
    "Bash(.venv/bin/kdgat mode:*)",
    "Edit(**/agent/mode.json)",
)
"""Only the user switches modes, so his client asks before a command or an edit that does."""
_OURS = re.compile(r"kdgat/agent/hook\.py|\bkdgat hook\b")
_OUR_RULES = re.compile(r"kdgat mode\b|/agent/mode\.json\b")


def claude_text(there: str | None) -> str:
    """CLAUDE.md: one line that includes AGENTS.md; another's text is kept below it."""
    if there is None or not there.strip():
        return f"{_INCLUDE}\n"
    if _INCLUDED.search(there):
        return there
    return f"{_INCLUDE}\n\n{there}"


def servers_text(ws: Workspace, there: str | None) -> str:
    """.mcp.json with kdgat's server as `[server]` of agent/mcp.toml has it.

    Raises:
        WorkspaceError: one of the files is wrong.
        StorageError: one of them can't be read.
    """
    return _merged(there, SERVERS, lambda values: _with_server(values, _server(ws)))


def settings_text(ws: Workspace, there: str | None) -> str:
    """.claude/settings.json with kdgat's hooks, and with its rules of what to ask before.

    Raises:
        WorkspaceError: one of the files is wrong.
        StorageError: one of them can't be read.
    """
    hooks = hook_groups(ws)

    def merge(values: dict[str, Any]) -> None:
        _with_hooks(_table(values, "hooks", SETTINGS), hooks)
        if not values["hooks"]:
            del values["hooks"]
        permissions = _table(values, "permissions", SETTINGS)
        asked = permissions.setdefault("ask", [])
        if not isinstance(asked, list):
            raise _wrong(SETTINGS, "permissions.ask", asked, "a list")
        permissions["ask"] = _in_place(
            asked, list(ASK), lambda rule: isinstance(rule, str) and bool(_OUR_RULES.search(rule))
        )

    return _merged(there, SETTINGS, merge)


def client_texts(ws: Workspace) -> dict[str, tuple[str | None, str]]:
    """Each of the three files: its text now, and as it should be.

    Raises:
        WorkspaceError: one of them, or what it is made from, is wrong.
        StorageError: one of them can't be read.
    """
    now = {name: text_or_none(ws.root / name, name) for name in (CLAUDE, SERVERS, SETTINGS)}
    claude = now[CLAUDE]
    return {
        CLAUDE: (claude, claude if claude and _is_agents(ws) else claude_text(claude)),
        SERVERS: (now[SERVERS], servers_text(ws, now[SERVERS])),
        SETTINGS: (now[SETTINGS], settings_text(ws, now[SETTINGS])),
    }


def _is_agents(ws: Workspace) -> bool:
    """Whether CLAUDE.md is AGENTS.md itself by a link, either way: then it needs no line."""
    claude, agents = ws.root / CLAUDE, ws.root / AGENTS
    return (claude.is_symlink() or agents.is_symlink()) and claude.resolve() == agents.resolve()


def _server(ws: Workspace) -> dict[str, Any]:
    path = ws.root / "agent" / "mcp.toml"
    server = read_toml(path, ws.show(path)).get("server", {})
    if not isinstance(server, dict):
        raise _wrong(ws.show(path), "server", server, "a table")
    kinds = {"command": str, "args": list, "env": dict}
    for key, value in server.items():
        if key not in kinds or not isinstance(value, kinds[key]):
            raise _wrong(ws.show(path), f"server.{key}", value, "command, args or env of a server")
    return {**_SERVER, **server}


def _with_server(values: dict[str, Any], server: dict[str, Any]) -> None:
    _table(values, "mcpServers", SERVERS)["kdgat"] = server


def _with_hooks(there: dict[str, Any], hooks: dict[str, list[dict[str, Any]]]) -> None:
    for event in list(there):
        if not isinstance(there[event], list):
            raise _wrong(SETTINGS, f"hooks.{event}", there[event], "a list")
    for event in dict.fromkeys((*there, *hooks)):
        groups = [_without_ours(group) for group in there.get(event, [])]
        there[event] = _in_place(groups, hooks.get(event, []), lambda group: group is None)
        if not there[event]:
            del there[event]


def _without_ours(group: Any) -> Any:
    """A group of hooks without kdgat's own; None where no other was in it."""
    inner = group.get("hooks") if isinstance(group, dict) else None
    if not isinstance(inner, list):
        return group
    others = [hook for hook in inner if not _is_ours(hook)]
    if len(others) == len(inner):
        return group
    return {**group, "hooks": others} if others else None


def _is_ours(hook: Any) -> bool:
    return isinstance(hook, dict) and bool(_OURS.search(str(hook.get("command", ""))))


def _in_place(there: list[Any], ours: list[Any], is_ours: Callable[[Any], bool]) -> list[Any]:
    """A list with our entries where the first of them was; at its end where none was."""
    first = next((n for n, each in enumerate(there) if is_ours(each)), len(there))
    kept = [each for each in there if not is_ours(each)]
    first -= sum(1 for each in there[:first] if is_ours(each))
    return [*kept[:first], *ours, *kept[first:]]


def _merged(there: str | None, shown: str, merge: Callable[[dict[str, Any]], None]) -> str:
    values = parse_object(there or "", shown)
    before = json.dumps(values)
    merge(values)
    if there is not None and json.dumps(values) == before:
        return there
    indent = re.search(r"^([ \t]+)\S", there or "", re.MULTILINE)
    return json.dumps(values, indent=indent[1] if indent else 2, ensure_ascii=False) + "\n"


def _table(values: dict[str, Any], key: str, shown: str) -> dict[str, Any]:
    inner = values.setdefault(key, {})
    if not isinstance(inner, dict):
        raise _wrong(shown, key, inner, "an object")
    return inner


def _wrong(shown: str, key: str, value: object, wanted: str) -> WorkspaceError:
    problem = f"{shown}: {key} is {str(value)[:60]!r}, and should be {wanted}"
    return WorkspaceError(problem, hint="mend or delete it")
