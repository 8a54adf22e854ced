"""Why the agent's files are stale: which section or file, and what changed since it was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kdgat.agent.clients import AGENTS, CLAUDE, SERVERS, SETTINGS
from kdgat.agent.marks import Block
from kdgat.agent.render import Rendered, blocks_there

_MOST_NAMED = 3
_LONGEST = 100
_MADE_FROM = {
    CLAUDE: "its line @AGENTS.md",
    SERVERS: "agent/mcp.toml",
    SETTINGS: "agent/hooks.toml",
}


@dataclass(frozen=True)
class Stale:
    """One thing that a render would change."""

    file: str
    section: str
    """Of AGENTS.md; empty for another file."""
    cause: str


def findings(rendered: Rendered, known: Mapping[str, Mapping[str, str]]) -> tuple[Stale, ...]:
    """What is stale, section by section.

    Args:
        rendered: the files.
        known: facts of the last render on this machine, by section.

    Raises:
        WorkspaceError: the marks in AGENTS.md are damaged.
    """
    found = list(_sections(rendered, known)) if AGENTS in rendered.changed else []
    if AGENTS in rendered.changed and not found:
        found.append(Stale(AGENTS, "", "a mark was changed by hand"))
    for name in rendered.changed:
        if name != AGENTS:
            missing = rendered.before[name] is None
            cause = "it is missing" if missing else f"it is not what {_MADE_FROM[name]} asks for"
            found.append(Stale(name, "", cause))
    return tuple(found)


def _sections(rendered: Rendered, known: Mapping[str, Mapping[str, str]]) -> Iterator[Stale]:
    if rendered.before[AGENTS] is None:
        yield Stale(AGENTS, "", "it is missing")
        return
    there = blocks_there(rendered)
    for block in rendered.blocks:
        old = there.pop(block.name, None)
        if old is None:
            yield Stale(AGENTS, block.name, "it is not in the file")
        elif old.text != block.text:
            facts = rendered.facts[block.name]
            yield Stale(AGENTS, block.name, _cause(old, block, known.get(block.name, {}), facts))
    for name in there:
        yield Stale(AGENTS, name, "the template agent/AGENTS.md has no such section")


def _cause(old: Block, new: Block, before: Mapping[str, str], facts: Mapping[str, str]) -> str:
    if old.inputs == new.inputs:
        if old.body == new.body:
            return "its mark was changed by hand"
        return _lines(old, new, "its text was changed by hand, or by another version of kdgat")
    changed = [name for name in facts if name in before and before[name] != facts[name]]
    added = [name for name in facts if name not in before]
    gone = [name for name in before if name not in facts]
    if not before or not (changed or added or gone):
        return _lines(old, new, "its inputs changed")
    told = (_told("changed", changed), _told("new", added), _told("gone", gone))
    return "; ".join(filter(None, told))


def _told(what: str, names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" * (len(names) > _MOST_NAMED)
    return f"{what}: {', '.join(names[:_MOST_NAMED])}{more}" if names else ""


def _lines(old: Block, new: Block, why: str) -> str:
    """The reason, with the first line that differs: what is there, and what should be."""
    before, after = old.body.split("\n"), new.body.split("\n")
    gone = next((line for line in before if line not in after), None)
    come = next((line for line in after if line not in before), None)
    parts = [why]
    if gone is not None:
        parts.append(f"there is {_short(gone)}")
    if come is not None:
        parts.append(f"it should have {_short(come)}")
    return "; ".join(parts)


def _short(line: str) -> str:
    return repr(line if len(line) <= _LONGEST else f"{line[:_LONGEST]}...")
