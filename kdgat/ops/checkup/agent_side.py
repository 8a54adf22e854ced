"""The agent's files, the programs that its client starts, and what its hooks complained of."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from kdgat.agent.clients import AGENTS, SERVERS, SETTINGS
from kdgat.ledger.files import read_lines
from kdgat.ops.checkup.finding import Found, Surroundings, note, problem

HOOK_LOG = "hook-errors.jsonl"
_PUT_AWAY = "hook-errors.1.jsonl"
_MARK = "<!-- kdgat:begin "
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\})")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_OPERATORS = frozenset("();<>|&")
_OF_THE_SHELL = frozenset({
    "!", ".", "[[", "case", "cd", "command", "eval", "exec", "export", "for", "if", "set", "source",
    "until", "while", "{",
})  # fmt: skip
"""First words that name no program."""
_MOST_NAMED = 3


def look_at_context(here: Surroundings) -> Iterator[Found]:
    """Whether AGENTS.md and the client's files are what this checkout gives."""
    from kdgat.ops.agent import check_context, render_context

    path = here.ws.root / AGENTS
    if not path.is_file() or _MARK not in path.read_text(encoding="utf-8", errors="replace"):
        what = f"no agent is set up here: there is no {AGENTS} with sections of kdgat's"
        yield note("context", what, "kdgat agent install")
        return

    def mend() -> str:
        files = render_context(here.ws, here.context).files
        changed = [each.path for each in files if each.state != "unchanged"]
        return f"rendered {', '.join(changed) or 'nothing: it was current'}"

    for stale in check_context(here.ws, here.context).stale:
        section = f", section '{stale.section}'" if stale.section else ""
        what = f"{stale.file}{section} is stale: {stale.cause}"
        yield problem("context", what, "kdgat agent render", where=stale.file, mend=mend)


def look_at_registration(here: Surroundings) -> Iterator[Found]:
    """Whether the servers and hooks that a client starts are programs that exist."""
    servers = _object(here.ws.root / SERVERS).get("mcpServers")
    for name, server in servers.items() if isinstance(servers, dict) else ():
        command = server.get("command") if isinstance(server, dict) else None
        if isinstance(command, str) and not _exists(command, here):
            what = f"{SERVERS} starts the server '{name}' by '{command}', which is no program here"
            where = "[server] in agent/mcp.toml" if name == "kdgat" else f"its entry in {SERVERS}"
            yield problem("mcp", what, f"install it, or mend {where}", where=SERVERS)
    for event, command in _hooks(_object(here.ws.root / SETTINGS)):
        if (missing := _missing_word(command, here)) is not None:
            what = f"{SETTINGS} runs '{missing}' at {event}, which is not there"
            fix = "mend agent/hooks.toml, then `kdgat agent render`"
            yield problem("hook", what, fix, where=SETTINGS)


def look_at_hook_errors(here: Surroundings) -> Iterator[Found]:
    """What hooks wrote down because they may not break a session."""
    path = here.ws.agent / HOOK_LOG
    lines = read_lines(path)
    if not lines:
        return
    counted = Counter(f"{each.get('event')}: {each.get('error')}"[:160] for each in lines)
    told = "; ".join(
        f"{text}{f' ({n} times)' * (n > 1)}" for text, n in counted.most_common(_MOST_NAMED)
    )
    times = [str(each["time"]) for each in lines if each.get("time")]
    last = f", the last at {max(times)}" if times else ""
    what = f"hooks failed {len(lines)} time{'s' * (len(lines) > 1)}{last}: {told}"
    fix = f"mend the cause; `kdgat doctor --fix` puts the log away as {_PUT_AWAY}"
    yield problem("hook", what, fix, where=here.ws.show(path), mend=_put_away(path, here))


def _put_away(path: Path, here: Surroundings) -> Callable[[], str]:
    def mend() -> str:
        away = path.with_name(_PUT_AWAY)
        path.replace(away)
        return f"put the hooks' errors away: {here.ws.show(away)}"

    return mend


def _object(path: Path) -> dict[str, Any]:
    """A JSON object; empty where it is none, which the check of the context tells."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _hooks(settings: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Event and command of every hook."""
    events = settings.get("hooks")
    for event, groups in events.items() if isinstance(events, dict) else ():
        for group in groups if isinstance(groups, list) else ():
            inner = group.get("hooks") if isinstance(group, dict) else None
            for hook in inner if isinstance(inner, list) else ():
                if isinstance(hook, dict) and isinstance(hook.get("command"), str):
                    yield event, hook["command"]


def _missing_word(command: str, here: Surroundings) -> str | None:
    """The program, or the Python file it is given, that is not there.

    Told of `NAME=value PROGRAM WORD ...`, whatever follows `||`; what a shell would make of more
    than that is not guessed at.
    """
    given = {**here.environ, "CLAUDE_PROJECT_DIR": str(here.ws.root)}
    words = _first_command(command)
    while words and (match := _ASSIGNMENT.fullmatch(words[0])):
        given[match[1]] = _filled(match[2], given)
        words = words[1:]
    words = [_filled(word, given) for word in words]
    if not words or words[0] in _OF_THE_SHELL or any(set(word) & set("$`;") for word in words):
        return None
    if not _exists(words[0], replace(here, environ=given)):
        return words[0]
    # What stands behind -c is a program's text, and no file.
    behind = takewhile(lambda word: word != "-c", words[1:])
    scripts = [word for word in behind if word.endswith(".py") and "/" in word]
    return next((word for word in scripts if not (here.ws.root / word).is_file()), None)


def _first_command(command: str) -> list[str]:
    """The words before `||`; none where there is another operator among them."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    try:
        words = list(takewhile(lambda word: word != "||", lexer))
    except ValueError:
        return []
    return [] if any(_OPERATORS.issuperset(word) for word in words) else words


def _filled(word: str, given: Mapping[str, str]) -> str:
    """A word with the values of the variables in it."""
    return _VARIABLE.sub(lambda match: given.get(match[1] or match[2], ""), word)


def _exists(command: str, here: Surroundings) -> bool:
    command = command.replace("~", str(here.user_home), 1) if command[:1] == "~" else command
    if "/" in command:
        path = here.ws.root / command
        return path.is_file() and os.access(path, os.X_OK)
    return shutil.which(command, path=here.environ.get("PATH", "")) is not None
