"""`kdgat hook`: what the agent's client starts by itself, started by hand."""

from __future__ import annotations

from typing import Annotated

import typer


def hook(
    event: Annotated[
        str, typer.Argument(help="SessionStart, UserPromptSubmit, PostToolUse, Stop.")
    ],
    _as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON, as it does anyway, or nothing.")
    ] = False,
) -> None:
    """Answer a hook as the script kdgat/agent/hook.py does: JSON in, JSON or nothing out.

    Example: kdgat hook SessionStart < payload.json
    """
    from kdgat.agent.hook import main

    main([event])
