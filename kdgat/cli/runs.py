"""`kdgat runs ...`: list and show."""

from __future__ import annotations

from typing import Annotated

import typer

from kdgat.cli.options import AsJson, RunReference
from kdgat.cli.output import cell, print_json, print_table, say
from kdgat.workspace import Workspace

app = typer.Typer(help="Look at runs.", no_args_is_help=True)


@app.command(name="list")
def list_(
    dataset: Annotated[str | None, typer.Option(help="Only this dataset's.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only this stage's.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first.

    Example: kdgat runs list --dataset hcrl_sa --stage evaluation
    """
    from kdgat.ops.runs import list_runs

    found = list_runs(Workspace.find(), dataset=dataset, stage=stage, state=state, limit=limit)
    if as_json:
        return print_json(found)
    rows = ((run.run_id, run.name, run.stage, run.state.value, run.seed) for run in found.items)
    print_table(f"{found.total} runs", ("run", "name", "stage", "state", "seed"), rows)
    say(*(f"{run.run_id} {run.state.value}: {run.reason}" for run in found.items if run.reason))
    if found.truncated:
        say(f"{found.total - len(found.items)} more: raise --limit, or filter")
    return say(*(f"broken: {problem}" for problem in found.broken))


@app.command()
def show(run: RunReference = "latest", as_json: AsJson = False) -> None:
    """Show one run: its record, figures, epochs and history.

    Example: kdgat runs show latest
    """
    from kdgat.ops.runs import show_run

    view = show_run(Workspace.find(), run)
    if as_json:
        return print_json(view)
    record = view.record
    facts = {
        "name": record.name,
        "stage": record.stage,
        "state": record.state.value + (f" ({record.reason})" if record.reason else ""),
        "provenance": record.provenance,
        "teacher": record.teacher,
        "subject": record.subject,
        "config": record.digest,
        "dataset": record.dataset_hash[:16],
        "commit": record.environment.get("git_commit"),
        "started": record.started_at,
        "ended": record.ended_at,
        "attempts": record.attempts,
        "folder": view.folder,
    }
    print_table(f"run {record.run_id}", ("what", "value"), facts.items())
    if record.metrics:
        print_table("figures", ("metric", "value"), record.metrics.items())
    if view.epochs:
        names = [name for name in view.epochs[0] if name != "time"]
        rows = ([cell(row.get(name)) for name in names] for row in view.epochs)
        print_table("epochs", names, rows)
    rows = ((each["time"], each["event"]) for each in view.events)
    return print_table("history", ("time", "event"), rows)
