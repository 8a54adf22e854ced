"""`kdgat status`, `logs`, `cancel`, `queue` and `efficiency`: what was given to a scheduler."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson, RunReference, complete_run
from kdgat.cli.output import err, out, percent, print_json, print_table, say, warn
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.jobs import LogView, RunStatus, StatusReport
    from kdgat.ops.usage import EfficiencyReport, QueueReport

_SHORTEST_S, _LONGEST_S, _GROWTH = 5.0, 60.0, 1.5
"""Seconds between two looks of `--watch`: longer while nothing changes."""
_FOLLOW_S = 1.0
_ASK_S = 30.0
"""Seconds between two questions to the scheduler while a log is followed."""
_GIB = 1 << 30


def status(
    run: Annotated[
        str | None, typer.Argument(help="Only this run.", autocompletion=complete_run)
    ] = None,
    all: Annotated[bool, typer.Option("--all", help="Also what ended over a day ago.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Look until all has ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Where runs stand that wait or work: the ledger, and what the scheduler says.

    Example: kdgat status --watch
    """
    from kdgat.ops.jobs import status as look

    ws = Workspace.find()
    if as_json:
        return print_json(look(ws, run=run, all=all, limit=limit))
    report = look(ws, run=run, all=all, limit=limit)
    _print_status(report)
    pause = _SHORTEST_S
    while watch and not report.over:
        time.sleep(pause)
        before, report = report, look(ws, run=run, all=all, limit=limit)
        if _standing(before) == _standing(report):
            pause = min(_GROWTH * pause, _LONGEST_S)
            continue
        pause = _SHORTEST_S
        if out.is_terminal:
            out.clear()
        _print_status(report)
    return None


def logs(
    run: RunReference = "latest",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")
    ] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="At most so many.")] = 200,
    as_json: AsJson = False,
) -> None:
    """What a run's job printed; tells on standard error which file it is.

    Example: kdgat logs latest -f
    """
    from kdgat.ops.jobs import logs as look

    ws = Workspace.find()
    view = look(ws, run, lines=lines)
    if as_json:
        return print_json(view)
    err.print(view.path, markup=False, soft_wrap=True)
    if view.note:
        err.print(view.note, markup=False, soft_wrap=True)
    _print_piece(view)
    if follow:
        _follow(ws, view)
    return None


def cancel(
    runs: Annotated[
        list[str],
        typer.Argument(help="Run ids, or beginnings of them.", autocompletion=complete_run),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """End the jobs of runs, and see that they ended.

    Example: kdgat cancel 20261121-074455-123f9a2 --dry-run
    """
    from kdgat.ops.cancel import cancel as end

    done = end(Workspace.find(), runs, dry_run=dry_run)
    if as_json:
        return print_json(done)
    for item in done.items:
        if dry_run:
            say(f"would cancel {item.run_id} (job {item.scheduler_id}, {item.state})")
            continue
        if not item.verified:
            warn(
                f"{item.run_id} (job {item.scheduler_id}) was asked to end and is still "
                f"{item.state}; `kdgat status` tells when it has ended"
            )
            continue
        say(f"{item.run_id} (job {item.scheduler_id}) is {item.state.lower()}")
        say(*(f"{each} needed it, and is cancelled too" for each in item.dependents))
    return None


def queue(
    cluster: Annotated[
        str | None, typer.Argument(help="The cluster that is meant, to be sure.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How full this machine's cluster is, and what you have in its queue.

    Example: kdgat queue
    """
    from kdgat.ops.usage import queue as look

    report = look(Workspace.find(), cluster=cluster)
    if as_json:
        return print_json(report)
    return _print_queue(report)


def efficiency(run: RunReference = "latest", as_json: AsJson = False) -> None:
    """What a run's job used of the time, cores and memory it asked for.

    Example: kdgat efficiency latest
    """
    from kdgat.ops.usage import efficiency as look

    report = look(Workspace.find(), run)
    if as_json:
        return print_json(report)
    return _print_efficiency(report)


def _print_status(report: StatusReport) -> None:
    rows = (
        (
            item.run_id,
            f"{item.name} {item.stage}",
            item.state.value,
            _scheduled(item),
            item.scheduler_id,
            item.node or item.partition or item.cluster,
            _of(_clock(item.elapsed_s), _clock(item.time_limit_s)),
            _of(item.epoch, item.epochs),
            item.restarts or None,
        )
        for item in report.items
    )
    columns = ("run", "name", "state", "scheduler", "job", "where", "time", "epoch", "restarts")
    if report.items:
        print_table(f"{len(report.items)} runs", columns, rows)
    else:
        say("no run waits or works; --all shows every run that was given to a scheduler")
    say(*(f"{each.run_id} {each.state.value}: {each.reason}" for each in report.items
          if each.reason))  # fmt: skip
    say(*(f"job {each} was taken by the scheduler after all" for each in report.adopted))
    if report.truncated:
        say("there are more: raise --limit")
    if not report.scheduler.startswith(("answered", "not asked")):
        warn(report.scheduler)


def _scheduled(item: RunStatus) -> str | None:
    if item.scheduler_state is None:
        return None
    reason = f" ({item.scheduler_reason})" if item.scheduler_reason else ""
    begins = f", begins about {item.starts_at[:16]} UTC" if item.starts_at else ""
    return f"{item.scheduler_state}{reason}{begins}"


def _standing(report: StatusReport) -> list[tuple[object, ...]]:
    """What of a status is worth showing anew: everything but the clock."""
    return [
        (each.run_id, each.state, each.scheduler_state, each.scheduler_reason, each.epoch)
        for each in report.items
    ]


def _print_piece(view: LogView) -> None:
    # What a job printed is passed on as it is: it may have its own colours.
    sys.stdout.write(view.text)
    sys.stdout.flush()


def _follow(ws: Workspace, view: LogView) -> None:
    """Print what comes, until the run has ended and its log is read to the end."""
    from kdgat.ops.jobs import logs as look
    from kdgat.ops.jobs import status as ask

    asked = time.monotonic()
    while True:
        last, view = view, look(ws, view.run_id, offset=view.end)
        _print_piece(view)
        if view.ended and last.ended and not view.text:
            return
        if view.text or view.ended:
            continue
        if time.monotonic() - asked > _ASK_S:
            # A job that was killed writes no end: only the scheduler tells.
            ask(ws, run=view.run_id)
            asked = time.monotonic()
        time.sleep(_FOLLOW_S)


def _print_queue(report: QueueReport) -> None:
    rows = (
        (
            each.name, each.time_limit, each.nodes, each.idle, each.mixed, each.allocated,
            each.away, f"{each.cores_free} of {each.cores}",
            f"{each.gpus_free} of {each.gpus}" if each.gpus else None, each.gpu_types or None,
        )
        for each in report.partitions
    )  # fmt: skip
    columns = (
        "partition", "time limit", "nodes", "idle", "mixed", "allocated", "away", "cores free",
        "GPUs free", "GPU",
    )  # fmt: skip
    print_table(f"cluster {report.cluster}", columns, rows)
    mine = (
        (
            job.id, job.name, job.state, job.reason, job.partition, job.node,
            job.started_at[:16].replace("T", " ") if job.started_at else None,
        )
        for job in report.jobs
    )  # fmt: skip
    if not report.jobs:
        return say("you have nothing in the queue")
    columns = ("job", "name", "state", "reason", "partition", "node", "begins (UTC)")
    return print_table(f"{len(report.jobs)} jobs of yours", columns, mine)


def _print_efficiency(report: EfficiencyReport) -> None:
    rows = [
        ("time", _clock(report.elapsed_s), _clock(report.time_limit_s), report.time_share),
        ("cores", _busy(report), report.cores, report.cpu_share),
        ("memory (GiB)", _gib(report.used_memory_bytes), _gib(report.asked_memory_bytes),
         report.memory_share),
    ]  # fmt: skip
    if report.gpu_planned_bytes is not None:
        share = (report.gpu_measured_bytes or 0) / report.gpu_planned_bytes or None
        rows.append(("GPU memory (GiB, of the plan)", _gib(report.gpu_measured_bytes),
                     _gib(report.gpu_planned_bytes), share))  # fmt: skip
    print_table(
        f"run {report.run_id}, job {report.scheduler_id}: {report.state.lower()}",
        ("what", "used", "asked for", "share"),
        ((what, used, asked, percent(share)) for what, used, asked, share in rows),
    )
    say(*report.advice)


def _busy(report: EfficiencyReport) -> str | None:
    if report.cpu_share is None or report.cores is None:
        return None
    return f"{report.cpu_share * report.cores:.1f}"


def _gib(size: int | None) -> str | None:
    return None if size is None else f"{size / _GIB:.2f}"


def _of(part: object, whole: object) -> str | None:
    if part is None:
        return None if whole is None else f"- of {whole}"
    return str(part) if whole is None else f"{part} of {whole}"


def _clock(seconds: int | None) -> str | None:
    if seconds is None:
        return None
    from kdgat.slurm.cluster import show_time

    return show_time(seconds)
