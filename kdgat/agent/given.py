"""What higher layers show in the context, as values: commands of the CLI, tools of the server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GivenTool:
    """One tool of the MCP server."""

    name: str
    every_mode: bool
    """Whether every mode serves it; else those whose file names it."""


@dataclass(frozen=True)
class Given:
    """Facts of the layers above, in the order in which they are shown."""

    commands: tuple[str, ...] = ()
    """As typed, without the program: `runs list`."""
    tools: tuple[GivenTool, ...] = ()
