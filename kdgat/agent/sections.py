"""SECTIONS: what the context is made of, each from the facts that it shows.

A section's inputs are those facts, so an edit that shows nowhere leaves its hash and the file as
they are.
"""

from __future__ import annotations

from collections.abc import Callable

from kdgat.agent.code_section import map_section
from kdgat.agent.places import places_section, rules_section
from kdgat.agent.section import Material, Section
from kdgat.agent.surface import commands_section, config_section, tables_section, tools_section

SECTIONS: dict[str, Callable[[Material, int | None], Section]] = {
    "rules": rules_section,
    "map": map_section,
    "commands": commands_section,
    "config": config_section,
    "tables": tables_section,
    "tools": tools_section,
    "places": places_section,
}
