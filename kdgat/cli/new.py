"""`kdgat new`: a model, a format, a stage or a text file that works as it is."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from kdgat.cli.options import AsJson
from kdgat.cli.output import print_json, say
from kdgat.workspace import Workspace


def new(
    kind: Annotated[
        Literal[
            "model",
            "dataset-format",
            "stage",
            "mode",
            "cluster",
            "question",
            "decision",
            "paper",
        ],
        typer.Argument(help="What to make."),
    ],
    name: Annotated[str, typer.Argument(help="Its name; of a question, the question in one line.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the files and edits, and write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make something new that works as it is: its files, its test, its rows in tables.

    All of it is written, or nothing.

    Examples:
        kdgat new model edge_mlp --dry-run
        kdgat new dataset-format semicolons
        kdgat new paper itsc-2027
    """
    from kdgat.ops.new import new_thing

    done = new_thing(Workspace.find(), kind, name, dry_run=dry_run)
    if as_json:
        return print_json(done)
    if dry_run:
        return say(*(each.diff.rstrip("\n") for each in done.files))
    say(*(f"{each.file} is {'new' if each.is_new else 'edited'}" for each in done.files))
    return say("next:", *(f"  {each}" for each in done.next))
