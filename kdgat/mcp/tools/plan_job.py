"""The tool `plan_job`: what a submission would do and cost, kept under an id for `submit_job`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from kdgat.configs.resources import GIB
from kdgat.errors import SlurmError
from kdgat.mcp.answers import Cell, Cursor, page
from kdgat.mcp.tools.tables import cell
from kdgat.mcp.tools.texts import parts
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.job_request import SubmitRequest
    from kdgat.ops.plans import JobPlan
    from kdgat.ops.submit import PlannedJob, PlannedRun

_RUNS = 20
"""Runs that are told one by one."""
_SCRIPTS = 3_500
"""Characters of scripts that stand beside a plan; longer ones have pages of their own."""
_PAGE = 4

Text = Annotated[str, Field(max_length=80)]


@dataclass(frozen=True)
class Offer:
    """One job, as it would be given; hours are those charged when its time limit is used up."""

    work: str
    runs: int
    place: str
    time_limit: str
    gpu_memory: str | None
    core_hours: float
    gpu_hours: float
    starts_at: str | None
    quoted: str


@dataclass(frozen=True)
class PlanAnswer:
    """A plan; `config` is what overrides and presets set, `most_gpu_hours` counts restarts."""

    plan_id: str
    expires_at: str
    config: dict[str, Cell]
    runs: tuple[str, ...]
    items: tuple[Offer, ...]
    total: int
    next_cursor: str | None
    truncated: bool
    hint: str
    core_hours: float
    gpu_hours: float
    most_gpu_hours: float
    notes: tuple[str, ...]

    def summary(self) -> str:
        """The id, the price and how many runs are to be done."""
        if not self.plan_id:
            return f"scripts, part {len(self.items)} of {self.total}; nothing is planned by this"
        price = f"{self.gpu_hours:g} GPU-hours, {self.core_hours:g} core-hours"
        jobs = f"{self.total} job{'s' * (self.total != 1)}"
        return f"{self.plan_id}: {jobs}, {price}; {'; '.join(self.runs[:2])}"


def plan_job(
    ws: Workspace,
    *,
    overrides: Annotated[
        list[str], Field(description="such as dataset=hcrl_sa model=gat", max_length=40)
    ],
    cluster: Text,
    multirun: Annotated[bool, Field(description="every combination")] = False,
    pipeline: Annotated[bool, Field(description="every stage")] = False,
    evaluate: bool = False,
    time: Annotated[str, Field(description="4:00:00", max_length=20)] = "",
    gpus: Annotated[int | None, Field(ge=0)] = None,
    partition: Text = "",
    fresh: bool = False,
    script: bool = False,
    cursor: Cursor = "",
) -> PlanAnswer:
    """Plan a job: config, memory, cost, start, the exact script, and a plan_id for submit_job.

    Use when anything is to be trained or judged; script=true pages long scripts.
    Not when only memory is asked (memory_plan).
    """
    from kdgat.ops.job_request import SubmitRequest
    from kdgat.slurm.client import Slurm

    asked = SubmitRequest(
        overrides=tuple(overrides),
        cluster=cluster,
        multirun=multirun,
        pipeline=pipeline,
        evaluate=evaluate,
        time=time or None,
        gpus=gpus,
        partition=partition or None,
        fresh=fresh,
        preflight=Slurm().present(),
    )
    return _scripts(ws, asked, cursor) if script else _planned(ws, asked)


def _planned(ws: Workspace, asked: SubmitRequest) -> PlanAnswer:
    kept, note = _kept(ws, asked)
    plan = kept.plan
    told = sum(len(each.script) for each in plan.jobs) <= _SCRIPTS
    hint = "show the user what it does and costs, then submit_job(plan_id)"
    if not plan.jobs:
        hint = "nothing is left to do: all of it is done or submitted already (status, runs)"
    elif not told:
        hint += "; the same call with script=true gives the scripts"
    return PlanAnswer(
        plan_id=kept.plan_id,
        expires_at=kept.expires_at,
        config=_config(ws, plan.runs),
        runs=tuple(_told(plan.runs)),
        items=tuple(_offer(each, script=told) for each in plan.jobs),
        total=len(plan.jobs),
        next_cursor=None,
        truncated=False,
        hint=hint,
        core_hours=round(kept.price.core_hours, 2),
        gpu_hours=round(kept.price.gpu_hours, 2),
        most_gpu_hours=round(kept.most.gpu_hours, 2),
        notes=(*note, *plan.warnings, *(f"assumed: {each}" for each in plan.assumed)),
    )


def _kept(ws: Workspace, asked: SubmitRequest) -> tuple[JobPlan, tuple[str, ...]]:
    """The plan; where the scheduler gives no estimate, the plan without one, and why."""
    from kdgat.ops.plans import plan_job as keep

    try:
        return keep(ws, asked), ()
    except SlurmError as error:
        if not asked.preflight:
            raise
        return keep(ws, replace(asked, preflight=False)), (f"no start estimate: {error.problem}",)


def _scripts(ws: Workspace, asked: SubmitRequest, cursor: str) -> PlanAnswer:
    """The scripts in parts; nothing is kept."""
    from kdgat.ops.submit import plan_submission

    jobs = plan_submission(ws, replace(asked, preflight=False)).jobs
    found = [
        replace(_offer(job, script=False), quoted=part)
        for job in jobs
        for part in parts(job.script)
    ]
    items, after = page(found, cursor, _PAGE)
    hint = "ids of runs and jobs in it become others when it is submitted"
    truncated = after is not None
    return PlanAnswer("", "", {}, (), items, len(found), after, truncated, hint, 0, 0, 0, ())


def _offer(planned: PlannedJob, *, script: bool) -> Offer:
    from kdgat.slurm.spelling import show_time

    request, tasks = planned.job.request, len(planned.runs)
    size = f"{request.nodes} x {request.tasks_per_node} x {request.cores_per_task} cores"
    if request.gpus_per_node:
        size += f", {request.nodes} x {request.gpus_per_node} {request.gpu or 'GPU'}"
    return Offer(
        work=planned.runs[0].work,
        runs=tasks,
        place=": ".join(filter(None, (request.partition, size))),
        time_limit=show_time(request.time_limit_s),
        gpu_memory=_peak(planned),
        core_hours=round(planned.cost.core_hours * tasks, 2),
        gpu_hours=round(planned.cost.gpu_hours * tasks, 2),
        starts_at=planned.start.starts_at if planned.start else None,
        quoted=planned.script if script else "",
    )


def _peak(planned: PlannedJob) -> str | None:
    if planned.memory is None:
        return None
    peak, capacity = (
        planned.memory[f"{name}_bytes"] / GIB for name in ("peak_reserved", "capacity")
    )
    return f"{peak:.2f} of {capacity:.2f} GiB at the peak"


def _config(ws: Workspace, runs: Iterable[PlannedRun]) -> dict[str, Cell]:
    """What is not as by default in the first run's config, and where it comes from."""
    from kdgat.ops.config import explain_config

    first = next(iter(runs), None)
    if first is None:
        return {}
    fields = explain_config(ws, overrides=first.overrides)
    return {
        each.field: cell(each.value) for each in fields if not each.origin.startswith("default")
    }


def _told(runs: tuple[PlannedRun, ...]) -> Iterable[str]:
    for run in runs[:_RUNS]:
        # A run that is new gets its id when it is submitted.
        which = "" if run.outcome == "new" else f" {run.run_id}"
        values = f" ({' '.join(run.overrides)})" if len(runs) > 1 else ""
        yield f"{run.work} {run.name}{which}: {run.outcome}{values}"[:200]
    if len(runs) > _RUNS:
        yield f"... and {len(runs) - _RUNS} more"
