"""`kdgat work`: what a job's script calls on its node; people call `kdgat submit`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from kdgat.cli.options import AsJson, RunReference
from kdgat.cli.output import print_json, say
from kdgat.ledger.record import utc_now
from kdgat.progress import Progress
from kdgat.workspace import Workspace


def work(
    run: RunReference,
    prepare: Annotated[
        bool,
        typer.Option(
            "--prepare", help="Only make the graphs and plan the memory, before several share it."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train or judge a submitted run, as its job does; exits with 75 to be requeued.

    Example: kdgat work 20261121-074455-123f9a2
    """
    from kdgat.ops.work import work as do
    from kdgat.slurm.script import SAVED

    # Of several processes that share a training, one tells.
    silent = as_json or os.environ.get("SLURM_PROCID", "0") != "0"
    report = do(Workspace.find(), run, prepare=prepare, progress=_lines(silent=silent))
    if as_json:
        print_json(report)
    elif not silent:
        told = f": {report.reason}" if report.reason else ""
        say(f"{utc_now()} {report.run_id} {report.name}: {report.outcome}{told}")
    if report.outcome == "paused":
        raise typer.Exit(SAVED if report.requeue else 1)


def _lines(*, silent: bool) -> Progress:
    """A listener for a log: one line whenever the work comes to something else."""
    before = ""

    def listen(what: str, done: int, total: int) -> None:
        nonlocal before
        if what != before and not silent:
            before = what
            say(f"{utc_now()} {what} ({done} of {total})")

    return listen
