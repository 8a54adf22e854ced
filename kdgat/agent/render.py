"""The agent's files as the checkout gives them now, beside what they are; nothing is written here.

The same checkout gives the same bytes on any machine and in every mode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kdgat.agent.clients import AGENTS, client_texts
from kdgat.agent.document import SectionState, chosen_blocks, document, text_of, tokens_by_hand
from kdgat.agent.given import Given
from kdgat.agent.marks import Block, blocks, parse
from kdgat.agent.modules import ModuleReader, package_folders
from kdgat.agent.reading import text_or_none
from kdgat.agent.section import Material
from kdgat.agent.sections import SECTIONS
from kdgat.agent.stamp import modules_path
from kdgat.agent.template import load_template
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class Rendered:
    """Every file, and what AGENTS.md is made of."""

    before: Mapping[str, str | None]
    """Text of each file as it is; None where it is not there."""
    files: Mapping[str, str]
    """Text of each file as it should be, by its path from the root."""
    blocks: tuple[Block, ...]
    sections: tuple[SectionState, ...]
    facts: Mapping[str, Mapping[str, str]]
    """The facts of every section."""
    tokens_by_hand: int
    budget_tokens: int
    reader: ModuleReader
    """Knows what it read of the modules; `save` keeps that."""

    @property
    def changed(self) -> tuple[str, ...]:
        """The files that are not as they should be."""
        return tuple(name for name, text in self.files.items() if text != self.before[name])

    @property
    def tokens(self) -> int:
        """Of all sections, their marks included."""
        return sum(section.tokens for section in self.sections)


def render(ws: Workspace, given: Given) -> Rendered:
    """The agent's files.

    Args:
        ws: the workspace.
        given: what higher layers show.

    Raises:
        WorkspaceError: the template, a mark or a JSON file is wrong: file, line and next step.
        KdgatError: what a section is made from is wrong, such as a mode or a cluster.
        StorageError: a file can't be read.
    """
    template = load_template(ws, SECTIONS)
    material, reader = _material(ws, given)
    made = {slot.name: SECTIONS[slot.name](material, slot.most_tokens) for slot in template.slots}
    chosen, states = chosen_blocks(template, made)
    there = text_or_none(ws.root / AGENTS, AGENTS)
    parts = document(there, template, chosen, AGENTS)
    clients = client_texts(ws)
    return Rendered(
        before={AGENTS: there, **{name: before for name, (before, _) in clients.items()}},
        files={AGENTS: text_of(parts), **{name: after for name, (_, after) in clients.items()}},
        blocks=chosen,
        sections=states,
        facts={name: dict(section.inputs) for name, section in made.items()},
        tokens_by_hand=tokens_by_hand(parts),
        budget_tokens=template.budget_tokens,
        reader=reader,
    )


def blocks_there(rendered: Rendered) -> dict[str, Block]:
    """The blocks that AGENTS.md has now, by name."""
    return blocks(parse(rendered.before[AGENTS] or "", AGENTS))


def _material(ws: Workspace, given: Given) -> tuple[Material, ModuleReader]:
    reader = ModuleReader(ws.root, modules_path(ws))
    packages = tuple(reader.modules(folder) for folder in package_folders(ws.root))
    return Material(ws, given, packages, reader.scripts()), reader
