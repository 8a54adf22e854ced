"""`kdgat runs ...`: list, show, archive, remove and repair."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson, RunReference, complete_run
from kdgat.cli.output import cell, counted, err, print_json, print_table, say
from kdgat.errors import RunError
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ledger.states import State
    from kdgat.ops.runs import Archiving, Removal

app = typer.Typer(help="Look at runs, put them away, remove and repair them.", no_args_is_help=True)
RunReferences = Annotated[
    list[str],
    typer.Argument(help="Run ids, or beginnings of them.", autocompletion=complete_run),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@app.command(name="list")
def list_(
    dataset: Annotated[str | None, typer.Option(help="Only this dataset's.")] = None,
    stage: Annotated[str | None, typer.Option(help="Only this stage's.")] = None,
    state: Annotated[str | None, typer.Option(help="Only those in this state.")] = None,
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List runs, newest first.

    Example: kdgat runs list --dataset hcrl_sa --stage evaluation
    """
    from kdgat.ops.runs import list_runs

    found = list_runs(
        Workspace.find(), dataset=dataset, stage=stage, state=state, archived=archived, limit=limit
    )
    if as_json:
        return print_json(found)
    away = set(found.archived)
    rows = (
        (run.run_id, run.name, run.stage, _state(run.state, run.run_id in away), run.seed)
        for run in found.items
    )
    print_table(counted(found.total, "run"), ("run", "name", "stage", "state", "seed"), rows)
    say(*(f"{run.run_id} {run.state.value}: {run.reason}" for run in found.items if run.reason))
    if found.truncated:
        say(f"{found.total - len(found.items)} more: raise --limit, or filter")
    if found.hidden:
        say(f"{found.hidden} archived: --archived shows them")
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
        "state": _state(record.state, view.archived)
        + (f" ({record.reason})" if record.reason else ""),
        "aliases": view.aliases or None,
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


@app.command()
def archive(runs: RunReferences, as_json: AsJson = False) -> None:
    """Put runs away: lists and leaderboards leave them out; nothing is deleted.

    Example: kdgat runs archive 20261121-074455-123f9a2
    """
    from kdgat.ops.runs import archive_runs

    _print_archiving(archive_runs(Workspace.find(), runs), as_json=as_json)


@app.command()
def unarchive(runs: RunReferences, as_json: AsJson = False) -> None:
    """Take archived runs back into lists and leaderboards.

    Example: kdgat runs unarchive 20261121-074455-123f9a2
    """
    from kdgat.ops.runs import unarchive_runs

    _print_archiving(unarchive_runs(Workspace.find(), runs), as_json=as_json)


@app.command()
def rm(
    runs: RunReferences,
    force: Annotated[
        bool, typer.Option("--force", help="Also what others were made from; never a champion.")
    ] = False,
    dry_run: DryRun = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove runs for good: their checkpoints, figures and artifacts.

    Example: kdgat runs rm 20261121-074455-123f9a2 --dry-run
    """
    from kdgat.ops.runs import remove_runs

    ws = Workspace.find()
    planned = remove_runs(ws, runs, force=force, dry_run=True)
    if not (dry_run or yes):
        names = ", ".join(f"{item.run_id} ({item.name}, {item.stage})" for item in planned.items)
        _confirm(f"remove {names} for good?")
    removal = planned if dry_run else remove_runs(ws, runs, force=force)
    if as_json:
        return print_json(removal)
    return _print_removal(removal)


@app.command()
def repair(dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Name what among the runs is no whole run; mend what a killed job left.

    Foreign and corrupt files are named and never touched.

    Example: kdgat runs repair --dry-run
    """
    from kdgat.ops.runs import repair_runs

    report = repair_runs(Workspace.find(), dry_run=dry_run)
    if as_json:
        return print_json(report)
    if not report.items:
        return say("every run is whole")
    rows = ((each.path, each.fault, each.action) for each in report.items)
    left = sum(each.action == "left" for each in report.items)
    mended = f"{len(report.items) - left} {'to mend' if dry_run else 'mended'}"
    title = f"{mended}, {left} left to you" if left else mended
    print_table(title, ("path", "fault", "would be" if dry_run else "action"), rows)
    return say(*(f"{each.path}: {each.next_step}" for each in report.items if each.next_step))


def _confirm(question: str) -> None:
    """Ask on the terminal; a no ends the command.

    Raises:
        RunError: there is no terminal to ask on.
    """
    if not sys.stdin.isatty():
        raise RunError(
            "nobody is there to confirm the removal, and nothing was removed",
            hint="add --yes, or look first with --dry-run",
        )
    # typer.confirm writes a space to standard output, where only the result belongs.
    err.print(f"{question} [y/N]", markup=False, soft_wrap=True, end=" ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        err.print("nothing was removed")
        raise typer.Exit(1)


def _state(state: State, archived: bool) -> str:
    return f"{state.value}, archived" if archived else state.value


def _print_archiving(done: Archiving, *, as_json: bool) -> None:
    if as_json:
        return print_json(done)
    now = "archived" if done.archived else "back in the lists"
    say(*(f"{run_id} is {now}" for run_id in done.changed))
    was = "archived already" if done.archived else "not archived"
    return say(*(f"{run_id} was {was}" for run_id in done.unchanged))


def _print_removal(removal: Removal) -> None:
    rows = (
        (item.run_id, item.name, item.stage, f"{item.size_bytes / 1e6:.1f} MB")
        for item in removal.items
    )
    title = "would be removed" if removal.dry_run else "removed"
    print_table(title, ("run", "name", "stage", "size"), rows)
