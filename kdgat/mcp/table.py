"""The table of tools: which there are, who serves them, and which commands do the same.

It names functions instead of importing them, so that a server answers before any tool is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass

_HERE = "kdgat.mcp.tools"


@dataclass(frozen=True)
class ToolRow:
    """One tool."""

    name: str
    function: str
    """`module:function`; its signature and docstring are the tool's schemas and description."""
    read_only: bool = True
    """Whether it leaves everything as it was, caches and the agent's own plans aside."""
    destructive: bool = False
    """Whether it may end or overwrite what is there."""
    idempotent: bool = True
    """Whether a second call with the same arguments changes nothing more."""
    every_mode: bool = True
    """Whether every mode serves it; else those whose front matter names it."""
    commands: tuple[str, ...] = ()
    """Commands of the command line that do the same."""


TOOLS: tuple[ToolRow, ...] = (
    ToolRow(
        "status",
        f"{_HERE}.status:status",
        commands=("status", "logs", "queue", "efficiency"),
    ),
    ToolRow(
        "runs",
        f"{_HERE}.runs:runs",
        commands=("runs list", "runs show", "runs query", "compare", "history sql",
                  "history tables"),
    ),
    ToolRow(
        "registry",
        f"{_HERE}.registry:registry",
        commands=("models list", "models show", "models diff", "leaderboard", "pareto",
                  "effect"),
    ),
    ToolRow(
        "memory_plan",
        f"{_HERE}.memory_plan:memory_plan",
        commands=("memory plan", "memory explain"),
    ),
    ToolRow(
        "plan_job",
        f"{_HERE}.plan_job:plan_job",
        idempotent=False,
        commands=("plan", "config show"),
    ),
    ToolRow(
        "submit_job",
        f"{_HERE}.submit_job:submit_job",
        read_only=False,
        commands=("submit",),
    ),
    ToolRow(
        "cancel",
        f"{_HERE}.cancel:cancel",
        read_only=False,
        destructive=True,
        commands=("cancel",),
    ),
    ToolRow(
        "docs_lookup",
        f"{_HERE}.docs_lookup:docs_lookup",
        commands=("docs search", "docs read", "docs troubleshoot", "docs related"),
    ),
    ToolRow(
        "prior_art",
        f"{_HERE}.prior_art:prior_art",
        commands=("prior-art",),
    ),
    ToolRow(
        "log_question",
        f"{_HERE}.log_question:log_question",
        read_only=False,
        idempotent=False,
        every_mode=False,
        commands=("questions add",),
    ),
    ToolRow(
        "questions",
        f"{_HERE}.questions:questions",
        read_only=False,
        idempotent=False,
        every_mode=False,
        commands=("questions add", "questions list", "questions show", "questions link",
                  "questions close", "questions search"),
    ),
    ToolRow(
        "suggest",
        f"{_HERE}.suggest:suggest",
        every_mode=False,
        commands=("suggest",),
    ),
    ToolRow(
        "paper",
        f"{_HERE}.paper:paper",
        every_mode=False,
        commands=("paper check", "paper findings"),
    ),
)  # fmt: skip
"""Every tool, in the order in which it is listed."""


def tool_row(name: str) -> ToolRow | None:
    """The row of a tool; None when there is no such tool."""
    return next((row for row in TOOLS if row.name == name), None)


def served(named: tuple[str, ...]) -> tuple[ToolRow, ...]:
    """The rows that a mode serves, in the table's order.

    Args:
        named: the tools that the mode's front matter names beyond every mode's.
    """
    return tuple(row for row in TOOLS if row.every_mode or row.name in named)
