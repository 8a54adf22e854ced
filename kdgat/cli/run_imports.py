"""`kdgat runs import`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson
from kdgat.cli.output import counted, print_json, print_table, progress_bar, say
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.run_imports import ImportReport

_SHOWN = 6


def import_(
    source: Annotated[
        str,
        typer.Argument(help="Folder of result folders, an mlruns folder, or sqlite:///FILE."),
    ],
    with_checkpoints: Annotated[
        bool, typer.Option("--with-checkpoints", help="Copy checkpoints too; none is opened.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would come in, and write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring in runs of other programs: result folders with config.json and metrics.json, or MLflow.

    They are marked as imported, with their protocol unknown, and can't be champion. Importing
    twice brings in nothing new. It ends with 1 where a part was damaged and skipped.

    Examples:
        kdgat runs import ~/experimentruns --dry-run
        kdgat runs import sqlite:///mlflow.db
    """
    from kdgat.ops.run_imports import import_runs

    with progress_bar() as progress:
        report = import_runs(
            Workspace.find(), source, with_checkpoints=with_checkpoints, dry_run=dry_run,
            progress=progress,
        )  # fmt: skip
    print_json(report) if as_json else _print(report)
    if report.skipped:
        raise typer.Exit(1)


def _print(report: ImportReport) -> None:
    rows = (
        (each.source, each.action, each.dataset, each.model + ("-kd" if each.distilled else ""),
         each.size, each.seed, ", ".join(each.splits), each.scenarios, each.f1, each.mapped,
         len(each.not_mapped), each.checkpoints)
        for each in report.items
    )  # fmt: skip
    columns = (
        "source", "what", "dataset", "model", "size", "seed", "figures of", "scenarios", "f1",
        "mapped", "not", "checkpoints",
    )  # fmt: skip
    verb = "would come in" if report.dry_run else "came in"
    print_table(f"{counted(report.new, 'run')} {verb}", columns, rows)
    left = sorted({name for each in report.items for name in each.not_mapped})
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        say(f"not mapped, kept in artifacts/imported: {', '.join(left[:_SHOWN])}{more}")
    beside = sum(each.checkpoints for each in report.items)
    if beside and not report.checkpoints:
        say(f"{counted(beside, 'checkpoint')} left where they are: --with-checkpoints copies them")
    say(*(f"skipped: {each.source}: {each.problem}" for each in report.skipped))
    if report.new and not report.dry_run:
        say("next: kdgat leaderboard")
