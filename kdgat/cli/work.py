"""`kdgat work` and `work-here`: what jobs and their like call; people call `kdgat submit`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
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


def work_here(
    jobs: Annotated[list[str], typer.Argument(help="Ids of jobs, the needed ones first.")],
    as_json: AsJson = False,
) -> None:
    """Do jobs of a cluster without a scheduler, in a process that nobody waits for.

    Example: kdgat work-here 20261121-074455-123f9a2
    """
    from kdgat.ops.here import work_here as do

    # Whoever started this reads a first line, and then no more.
    failed = do(Workspace.find(), jobs, begun=lambda: None if as_json else _told("taken"))
    if as_json:
        print_json({"failed": failed})
    if failed:
        raise typer.Exit(1)


def _told(word: str) -> None:
    """Say a word on standard output, which from then on is what standard error is."""
    with suppress(BrokenPipeError):
        print(word, flush=True)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


def _lines(*, silent: bool) -> Progress:
    """A listener for a log: one line whenever the work comes to something else."""
    before = ""

    def listen(what: str, done: int, total: int) -> None:
        nonlocal before
        if what != before and not silent:
            before = what
            say(f"{utc_now()} {what} ({done} of {total})")

    return listen
