"""`kdgat submit`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson, Fresh, Overrides
from kdgat.cli.output import print_json, print_table, progress_bar, say, warn
from kdgat.cli.submit_options import (
    Account,
    Cores,
    Evaluate,
    Gpus,
    MaxRestarts,
    MemoryGb,
    Multirun,
    Nodes,
    PartitionName,
    Pipeline,
    Preflight,
    Throttle,
    Time,
    asked_for,
    complete_cluster,
    complete_plan,
)
from kdgat.errors import ConfigError
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.plans import PlannedSubmission
    from kdgat.ops.submit import (
        GivenJob,
        PlannedJob,
        PlannedRun,
        SubmissionPlan,
        SubmissionReport,
    )

_OUTCOMES = {
    "new": "to be done",
    "resume": "goes on",
    "intended": "given before; it is found out",
    "live": "submitted already",
    "done": "done already",
}


def submit(
    context: typer.Context,
    cluster: Annotated[
        str | None,
        typer.Option(help="Where to: a file of slurm/clusters.", autocompletion=complete_cluster),
    ] = None,
    overrides: Overrides = None,
    multirun: Multirun = False,
    pipeline: Pipeline = False,
    evaluate: Evaluate = False,
    time: Time = None,
    gpus: Gpus = None,
    nodes: Nodes = None,
    cores: Cores = None,
    memory_gb: MemoryGb = None,
    partition: PartitionName = None,
    account: Account = None,
    throttle: Throttle = None,
    max_restarts: MaxRestarts = None,
    fresh: Fresh = False,
    plan: Annotated[
        str | None,
        typer.Option(help="What `kdgat plan` planned, and no other.", autocompletion=complete_plan),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be submitted, and submit nothing.")
    ] = False,
    preflight: Preflight = False,
    as_json: AsJson = False,
) -> None:
    """Give runs to a cluster's scheduler, each once; what is done or given is not given again.

    Examples:
        kdgat submit dataset=hcrl_sa model=gat --cluster pitzer --dry-run
        kdgat submit -m dataset=hcrl_sa 'seed=range(5)' --cluster pitzer --throttle 2 --evaluate
        kdgat submit --pipeline dataset=hcrl_sa --cluster pitzer --time 2:00:00
        kdgat submit --plan plan-20261121-074455-123f9a2
    """
    from kdgat.ops.submit import plan_submission
    from kdgat.ops.submit import submit as give

    if plan is not None:
        return _submit_plan(context, plan, as_json)
    if cluster is None:
        hint = "add --cluster NAME (`kdgat clusters list`)"
        raise ConfigError("nothing says where to submit to", hint=hint)
    ws, asked = Workspace.find(), asked_for(locals())
    if dry_run:
        foreseen = plan_submission(ws, asked)
        return print_json(foreseen) if as_json else print_plan(foreseen)
    with progress_bar() as listen:
        report = give(ws, asked, progress=listen)
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if report.failed:
        raise typer.Exit(1)
    return None


def _submit_plan(context: typer.Context, plan_id: str, as_json: bool) -> None:
    """Submit a plan, which says everything by itself."""
    from kdgat.ops.plans import submit_plan

    for name, value in context.params.items():
        source = context.get_parameter_source(name)
        given = source is not None and source.name != "DEFAULT"
        if given and name not in ("plan", "as_json"):
            what = " ".join(value) if name == "overrides" else f"--{name.replace('_', '-')}"
            raise ConfigError(
                f"'{what}' is given beside --plan, and a plan says all by itself",
                hint="leave it out, or plan anew with it: kdgat plan",
            )
    with progress_bar() as listen:
        done = submit_plan(Workspace.find(), plan_id, by="user", progress=listen)
    if as_json:
        print_json(done)
    else:
        _print_planned(done)
    if done.failed:
        raise typer.Exit(1)


def _print_planned(done: PlannedSubmission) -> None:
    rows = ((run.run_id, run.name, run.work, run.state.value, run.job) for run in done.runs)
    print_table("runs", ("run", "name", "work", "state", "job"), rows)
    if not done.jobs:
        say("nothing was submitted: all of it is done or submitted already")
    elif not done.given:
        say("it was submitted before, and is not again")
    _print_jobs(done.jobs, done.plan_id)
    warn(*done.warnings)
    _print_next(done.failed, done.jobs)


def print_plan(plan: SubmissionPlan) -> None:
    """A plan as a person reads it."""
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
        _print_jobs(report.jobs, report.cluster)
    else:
        say("nothing was submitted: all of it is done or submitted already")
    say(*(f"assumed: {each}" for each in report.assumed))
    warn(*report.warnings)
    _print_next(report.failed, report.jobs)


def _print_jobs(jobs: tuple[GivenJob, ...], where: str) -> None:
    columns = ("job", "scheduler's id", "state", "runs", "after")
    rows = (
        (job.job_id, job.scheduler_id, job.state, len(job.runs), ", ".join(job.needs) or None)
        for job in jobs
    )
    if jobs:
        print_table(f"jobs of {where}", columns, rows)


def _print_next(failed: tuple[str, ...], jobs: tuple[GivenJob, ...]) -> None:
    if failed:
        say(f"did not complete: {', '.join(failed)}", f"next: kdgat logs {failed[0]}")
    elif jobs:
        say("next: kdgat status")


def _print_runs(runs: Iterable[PlannedRun]) -> None:
    rows = (
        (run.run_id, run.name, run.work, run.teacher if run.work == "train" else run.subject,
         _OUTCOMES[run.outcome], run.job)
        for run in runs
    )  # fmt: skip
    print_table("runs", ("run", "name", "work", "teacher or subject", "outcome", "job"), rows)
