"""`kdgat submit`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson, Fresh, Overrides
from kdgat.cli.output import print_json, print_table, progress_bar, say, warn
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.submit import PlannedJob, PlannedRun, SubmissionPlan, SubmissionReport

_OUTCOMES = {
    "new": "to be done",
    "resume": "goes on",
    "intended": "given before; it is found out",
    "live": "submitted already",
    "done": "done already",
}


def complete_cluster(incomplete: str) -> list[str]:
    """Names of clusters that fit what was typed so far."""
    from kdgat.errors import WorkspaceError
    from kdgat.slurm.cluster import cluster_names

    try:
        return [name for name in cluster_names(Workspace.find()) if name.startswith(incomplete)]
    except WorkspaceError:
        # Half a line is typed: an error in the middle of it would help nobody.
        return []


def submit(
    cluster: Annotated[
        str,
        typer.Option(help="Where to: a file of slurm/clusters.", autocompletion=complete_cluster),
    ],
    overrides: Overrides = None,
    multirun: Annotated[
        bool, typer.Option("--multirun", "-m", help="Every combination of values, as one array.")
    ] = False,
    pipeline: Annotated[
        bool, typer.Option("--pipeline", help="Every model: large, then its student, each judged.")
    ] = False,
    evaluate: Annotated[
        bool, typer.Option("--evaluate", help="Judge what was trained, in a job after it.")
    ] = False,
    time: Annotated[str | None, typer.Option(help="Time limit, such as 4:00:00 or 90m.")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs on all nodes together.")] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="Nodes that share a training.")] = None,
    cores: Annotated[int | None, typer.Option(min=1, help="Cores for each GPU.")] = None,
    memory_gb: Annotated[float | None, typer.Option(help="Memory of each node, in GB.")] = None,
    partition: Annotated[str | None, typer.Option(help="Partition; see clusters show.")] = None,
    account: Annotated[str | None, typer.Option(help="What the jobs are charged to.")] = None,
    throttle: Annotated[
        int | None, typer.Option(min=1, help="Most runs of a sweep that go on at once.")
    ] = None,
    max_restarts: Annotated[
        int | None, typer.Option(min=0, help="Turns after the first, each up to the time limit.")
    ] = None,
    fresh: Fresh = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be submitted, and submit nothing.")
    ] = False,
    preflight: Annotated[
        bool, typer.Option("--preflight", help="Ask first whether it would be taken, and when.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Give runs to a cluster's scheduler, each once; what is done or given is not given again.

    Examples:
        kdgat submit dataset=hcrl_sa model=gat --cluster pitzer --dry-run
        kdgat submit -m dataset=hcrl_sa 'seed=range(5)' --cluster pitzer --throttle 2 --evaluate
        kdgat submit --pipeline dataset=hcrl_sa --cluster pitzer --time 2:00:00
    """
    from kdgat.ops.job_request import SubmitRequest
    from kdgat.ops.submit import plan_submission
    from kdgat.ops.submit import submit as give

    asked = SubmitRequest(
        overrides=tuple(overrides or ()),
        cluster=cluster,
        multirun=multirun,
        pipeline=pipeline,
        evaluate=evaluate,
        time=time,
        gpus=gpus,
        nodes=nodes,
        cores=cores,
        memory_gb=memory_gb,
        partition=partition,
        account=account,
        throttle=throttle,
        max_restarts=max_restarts,
        fresh=fresh,
        preflight=preflight,
    )
    ws = Workspace.find()
    if dry_run:
        plan = plan_submission(ws, asked)
        return print_json(plan) if as_json else _print_plan(plan)
    with progress_bar() as listen:
        report = give(ws, asked, progress=listen)
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if report.failed:
        raise typer.Exit(1)
    return None


def _print_plan(plan: SubmissionPlan) -> None:
    # The scripts first: what a person reads is then at the end.
    for number, planned in enumerate(plan.jobs, 1):
        say(f"script of job {number}:", "", planned.script)
    _print_runs(plan.runs)
    if plan.jobs:
        columns = (
            "job", "work", "runs", "partition", "size", "time", "memory", "GPU memory",
            "core-hours", "GPU-hours", "after", "start",
        )  # fmt: skip
        rows = (_job_row(planned, number, plan.jobs) for number, planned in enumerate(plan.jobs, 1))
        print_table(f"would be submitted to {plan.cluster}", columns, rows)
        say("core-hours and GPU-hours are what is charged when the time limit is used up")
    else:
        say("nothing would be submitted: all of it is done or submitted already")
    say(*(f"assumed: {each}" for each in plan.assumed))
    warn(*plan.warnings)


def _job_row(planned: PlannedJob, number: int, jobs: tuple[PlannedJob, ...]) -> tuple[object, ...]:
    from kdgat.slurm.spelling import show_time

    request, tasks = planned.job.request, len(planned.runs)
    places = {each.job.job_id: str(place) for place, each in enumerate(jobs, 1)}
    size = f"{request.nodes} x {request.tasks_per_node} x {request.cores_per_task} cores"
    if request.gpus_per_node:
        size = f"{request.nodes} x {request.gpus_per_node} {request.gpu or 'GPU'}"
    return (
        number,
        planned.runs[0].work,
        f"{tasks}" + (f", {request.throttle} at once" if request.throttle else ""),
        request.partition,
        size,
        show_time(request.time_limit_s),
        None if request.memory_mb is None else f"{request.memory_mb:,} MB a node",
        None if planned.memory is None else _peak(planned.memory),
        f"{planned.cost.core_hours * tasks:.1f}",
        f"{planned.cost.gpu_hours * tasks:.1f}",
        ", ".join(places.get(job_id, job_id) for job_id in planned.job.needs) or None,
        None if planned.start is None else planned.start.starts_at,
    )


def _peak(memory: dict[str, int]) -> str:
    peak, capacity = (memory[f"{name}_bytes"] / 2**30 for name in ("peak_reserved", "capacity"))
    return f"{peak:.2f} of {capacity:.2f} GiB"


def _print_report(report: SubmissionReport) -> None:
    _print_runs(report.runs)
    if report.jobs:
        columns = ("job", "scheduler's id", "state", "runs", "after")
        rows = (
            (job.job_id, job.scheduler_id, job.state, len(job.runs), ", ".join(job.needs) or None)
            for job in report.jobs
        )
        print_table(f"jobs on {report.cluster}", columns, rows)
    else:
        say("nothing was submitted: all of it is done or submitted already")
    say(*(f"assumed: {each}" for each in report.assumed))
    warn(*report.warnings)
    if report.failed:
        say(f"did not complete: {', '.join(report.failed)}", f"next: kdgat logs {report.failed[0]}")
    elif report.jobs:
        say("next: kdgat status")


def _print_runs(runs: Iterable[PlannedRun]) -> None:
    rows = (
        (run.run_id, run.name, run.work, run.teacher if run.work == "train" else run.subject,
         _OUTCOMES[run.outcome], run.job)
        for run in runs
    )  # fmt: skip
    print_table("runs", ("run", "name", "work", "teacher or subject", "outcome", "job"), rows)
