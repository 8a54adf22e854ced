"""`kdgat prior-art`: what exists already, before something is built."""

from __future__ import annotations

from typing import Annotated

import typer

from kdgat.cli.options import AsJson
from kdgat.cli.output import print_json, progress_bar, say, warn
from kdgat.workspace import Workspace


def prior_art(
    query: Annotated[str, typer.Argument(help="What is to be built or found out.")],
    limit: Annotated[int, typer.Option(min=1, max=20, help="At most so many hits.")] = 12,
    as_json: AsJson = False,
) -> None:
    """What exists already for a task, here and in installed packages, and how it is used.

    Commands, config fields, functions, packages, pages, decisions, past runs, open questions.

    Example: kdgat prior-art "batch size by memory"
    """
    from kdgat.ops.prior_art import prior_art as look
    from kdgat.ops.prior_art import remember

    ws = Workspace.find()
    with progress_bar() as progress:
        art = look(ws, query, limit=limit, questions=True, progress=progress)
    remember(ws, art)
    if as_json:
        return print_json(art)
    warn(*art.notes)
    if art.low_confidence:
        sure = f"confidence {art.confidence:.2f}"
        say(f"nothing like it here, as it seems ({sure}); searched: {', '.join(art.searched)}")
    for hit in art.items:
        say(f"{hit.name}  ({hit.kind}, {hit.score:.2f})", f"    {hit.what}")
        say(f"    use: {hit.use}", f"    at:  {hit.where}")
    return None
