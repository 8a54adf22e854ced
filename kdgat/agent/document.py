"""AGENTS.md: sections within the budget, put between their marks in what is there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from kdgat.agent.marks import Block, Part, blocks, parse
from kdgat.agent.section import Section
from kdgat.agent.template import Slot, Template
from kdgat.modes.packs import token_count


@dataclass(frozen=True)
class SectionState:
    """One section as it is written."""

    name: str
    source: str
    inputs: str
    """Hash of the facts that it shows."""
    tokens: int
    """Of its text with its marks, as written."""
    state: Literal["shown", "left out"]


def chosen_blocks(
    template: Template, made: dict[str, Section]
) -> tuple[tuple[Block, ...], tuple[SectionState, ...]]:
    """The sections as blocks; over the budget the lowest-ranked ones become one line each."""
    slots = [slot for slot in template.slots if made[slot.name].text]
    full = {slot.name: _block(slot, made[slot.name]) for slot in slots}
    shown = dict(full)
    for slot in sorted(slots, key=lambda slot: -slot.rank):
        if sum(token_count(block.text) for block in shown.values()) <= template.budget_tokens:
            break
        line = _left_out(full[slot.name], made[slot.name], template.budget_tokens)
        # Of a short section the line that tells of it may be the longer text.
        if len(line.text) < len(full[slot.name].text):
            shown[slot.name] = line
    states = tuple(
        SectionState(
            name=block.name,
            source=block.source,
            inputs=block.inputs,
            tokens=token_count(block.text),
            state="shown" if block is full[block.name] else "left out",
        )
        for block in shown.values()
    )
    return tuple(shown.values()), states


def document(
    there: str | None, template: Template, made: tuple[Block, ...], shown: str
) -> tuple[Part, ...]:
    """AGENTS.md with these blocks; what stands outside the marks is kept to the byte.

    A file that is not there is made from the template, one without marks gets the blocks at its
    end. A block that the template no longer has goes away.

    Raises:
        WorkspaceError: the marks in the file are damaged.
    """
    by_name = {block.name: block for block in made}
    if there is None or not there.strip():
        return _new(template, by_name)
    parts = list(parse(there, shown))
    if not blocks(tuple(parts)):
        gap = "" if there.endswith("\n\n") else "\n" if there.endswith("\n") else "\n\n"
        return (there + gap, *(each for block in made for each in (block, "\n")))[:-1]
    placed = [by_name.pop(part.name, None) if isinstance(part, Block) else part for part in parts]
    result = [part for part in placed if part is not None]
    order = [slot.name for slot in template.slots]
    for block in made:
        if block.name in by_name:
            at = _place(result, order[: order.index(block.name)])
            result[at:at] = ["\n", block] if at else [block, "\n"]
    return tuple(result)


def text_of(parts: tuple[Part, ...]) -> str:
    """The file's text."""
    return "".join(part.text if isinstance(part, Block) else part for part in parts)


def tokens_by_hand(parts: tuple[Part, ...]) -> int:
    """Tokens of what stands outside the marks."""
    return token_count("".join(part for part in parts if isinstance(part, str)).strip())


def _new(template: Template, by_name: dict[str, Block]) -> tuple[Part, ...]:
    """The template with its slots filled; one with nothing to say goes with the line below it."""
    parts: list[Part] = []
    empty = False
    for part in template.parts:
        if isinstance(part, Slot):
            empty = part.name not in by_name
            parts += [] if empty else [by_name[part.name]]
        elif not (empty and part.strip() == ""):
            parts.append(part)
            empty = False
    return tuple(parts)


def _block(slot: Slot, section: Section) -> Block:
    return Block(slot.name, section.source, section.digest, section.text)


def _left_out(block: Block, section: Section, budget: int) -> Block:
    line = (
        f"Section '{block.name}' is left out: {token_count(block.text)} tokens, and all together "
        f"are over the budget of {budget}. {section.otherwise} tells it."
    )
    return replace(block, body=line[:1].upper() + line[1:])


def _place(parts: list[Part], before: list[str]) -> int:
    """Behind the last section of those that the template has before; else at the file's start."""
    places = [
        number
        for number, part in enumerate(parts, start=1)
        if isinstance(part, Block) and part.name in before
    ]
    return max(places, default=0)
