"""Operations that plan a submission now and carry it out later: exactly that, and once.

What makes it once is in the jobs' own records: each names its plan, and is written before anything
is given. So whoever submits a plan again, also after a kill at any instant, finds what is there of
it, asks the scheduler for what it may have, and gives nothing twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from kdgat.agent.limits import check_price
from kdgat.errors import PlanError, RunError
from kdgat.ledger.jobs import Job, JobState
from kdgat.ledger.plans import (
    KEPT_FOR,
    Asker,
    KeptPlan,
    Price,
    check_plan_id,
    jobs_of_plan,
    keep_plan,
    mark_of,
    new_plan_id,
    read_plan,
    whole,
)
from kdgat.ledger.states import State
from kdgat.ledger.workers import take, worker_of
from kdgat.ops.delivery import alone, give, run_folder, take_back, taken, write_down
from kdgat.ops.here import claim, run_here, start_here
from kdgat.ops.job_request import SubmitRequest
from kdgat.ops.kept import (
    check_holds,
    cluster_digest,
    kept_jobs,
    kept_runs,
    marked,
    nothing_left,
    request_from,
    request_values,
)
from kdgat.ops.submission import DraftJob, Notes, code_root, draft
from kdgat.ops.submit import (
    GivenJob,
    SubmissionPlan,
    bring_up_to_date,
    foresee,
    given_job,
    jobs_in,
    need_scheduler,
    needed_first,
    notes_on,
    settled,
)
from kdgat.ops.wanted import WantedJob, wanted_jobs
from kdgat.progress import Progress, quiet
from kdgat.runs.lease import Lease
from kdgat.slurm.client import Slurm
from kdgat.slurm.cluster import Cluster, load_cluster
from kdgat.slurm.snapshot import Snapshot, freeze, look
from kdgat.workspace import Workspace

__all__ = ["GivenRun", "JobPlan", "PlannedSubmission", "check_caps", "plan_job", "submit_plan"]


@dataclass(frozen=True)
class JobPlan:
    """A submission that was planned, and is kept under an id. Times are ISO 8601 in UTC."""

    plan_id: str
    expires_at: str
    price: Price
    """When every job uses up its time limit."""
    most: Price
    """When it uses up every restart too; what caps count."""
    plan: SubmissionPlan
    """What would be submitted; new runs and jobs get other ids when they are."""


@dataclass(frozen=True)
class GivenRun:
    """One run of a submitted plan, as it is now."""

    run_id: str
    name: str
    work: str
    state: State
    reason: str | None
    job: str | None


@dataclass(frozen=True)
class PlannedSubmission:
    """What there is of a submitted plan."""

    plan_id: str
    given: bool
    """Whether this very call submitted it; False where an earlier one did, or all is done."""
    jobs: tuple[GivenJob, ...]
    runs: tuple[GivenRun, ...]
    failed: tuple[str, ...]
    """Runs that did not complete, of those that ran here in this call."""
    warnings: tuple[str, ...]
    seconds: float


def plan_job(ws: Workspace, asked: SubmitRequest, *, client: Slurm | None = None) -> JobPlan:
    """Plan a submission, and keep the plan for a day; nothing else is written.

    Args:
        ws: the workspace.
        asked: what is asked for.
        client: the scheduler that a preflight asks; by default this machine's.

    Raises:
        ConfigError, RunError, MemoryPlanError, SlurmError: as `plan_submission`.
        StorageError: the file system refused.
    """
    seen = foresee(ws, asked, client=client)
    now = datetime.now(UTC)
    kept = KeptPlan(
        plan_id=new_plan_id(),
        root=str(ws.root.resolve()),
        created_at=now.isoformat(timespec="seconds"),
        expires_at=(now + KEPT_FOR).isoformat(timespec="seconds"),
        cluster=seen.cluster.name,
        cluster_digest=cluster_digest(seen.cluster),
        snapshot=seen.plan.snapshot,
        request=request_values(asked),
        runs=kept_runs(seen.drafts),
        jobs=kept_jobs(seen.drafts, seen.cluster),
    )
    keep_plan(ws.agent / "plans", kept)
    return JobPlan(kept.plan_id, kept.expires_at, kept.price, kept.most, seen.plan)


def check_caps(ws: Workspace, plan: JobPlan | KeptPlan) -> None:
    """Refuse what an agent may not submit by itself; `submit_plan` does so too.

    Raises:
        PlanError: a cap of agent/mcp.toml would be exceeded, or that file is wrong.
        RunError: a job's record can't be read, so that nobody knows what is used.
    """
    check_price(ws, plan.most)


def submit_plan(
    ws: Workspace,
    plan_id: str,
    *,
    by: Asker,
    detached: bool = False,
    client: Slurm | None = None,
    progress: Progress = quiet,
) -> PlannedSubmission:
    """Submit exactly what was planned, once; called again, it tells what became of it.

    Args:
        ws: the workspace.
        plan_id: the plan.
        by: who asks for it: the caps hold for an agent alone.
        detached: where the cluster has no scheduler, let a process of its own do the work, and
            return when that has begun; else it is done before this returns.
        client: the scheduler; by default this machine's.
        progress: told of the epochs of a run that is done here.

    Raises:
        PlanError: the plan is unknown, damaged, too old, another workspace's, or holds no longer,
            or a cap is reached.
        ConfigError, RunError, MemoryPlanError, DataError, SlurmError, Refused, Unanswered: as
            `submit`.
    """
    started = time.monotonic()
    check_plan_id(plan_id)
    client = client or Slurm()
    jobs = jobs_of_plan(ws.jobs, plan_id)
    ready = None if whole(jobs) else _ready(ws, plan_id, client)
    drafts = () if ready is None else ready.drafts
    given = False
    here: list[Job] = []
    if ready is not None or any(_left_open(ws, jobs)):
        # What was cut off is given now only while the plan still holds.
        read_plan(ws.agent / "plans", plan_id)
        with alone(ws) as lease:
            jobs = jobs_of_plan(ws.jobs, plan_id)
            if ready is not None and not whole(jobs):
                drafts = _written(ws, ready, jobs, by, lease, client)
                jobs = jobs_of_plan(ws.jobs, plan_id)
                given = bool(jobs)
            here = _deliver(ws, jobs, drafts, client, detached=detached)
    failed = run_here(ws, here, drafts, progress) if here else ()
    return PlannedSubmission(
        plan_id,
        given=given,
        jobs=tuple(given_job(ws, job.job_id) for job in jobs),
        runs=tuple(_runs_of(ws, jobs, drafts)),
        failed=failed,
        warnings=() if ready is None else tuple(ready.notes.warnings),
        seconds=time.monotonic() - started,
    )


@dataclass(frozen=True)
class _Ready:
    """A plan that holds, and what there is of its runs."""

    kept: KeptPlan
    cluster: Cluster
    wanted: tuple[WantedJob, ...]
    snapshot: Snapshot
    notes: Notes
    drafts: tuple[DraftJob, ...] = ()


def _ready(ws: Workspace, plan_id: str, client: Slurm) -> _Ready:
    """Look at a plan and at what there is of its runs, before anybody else has to wait."""
    kept = read_plan(ws.agent / "plans", plan_id)
    if kept.root != str(ws.root.resolve()):
        raise PlanError(
            f"plan '{plan_id}' was made in the workspace '{kept.root}', not in '{ws.root}'",
            hint="submit it there, or plan again here",
        )
    asked = request_from(kept)
    cluster = load_cluster(ws, kept.cluster)
    wanted = wanted_jobs(ws, asked, cluster)
    snapshot = look(code_root(), ws.snapshots)
    ready = _Ready(kept, cluster, wanted, snapshot, notes_on(snapshot))
    if cluster.scheduler == "slurm" and client.present():
        bring_up_to_date(ws, client, ready.notes)
    drafts = _look(ws, ready)
    if not jobs_of_plan(ws.jobs, plan_id):
        _check(ready, drafts)
    if cluster.scheduler == "slurm" and jobs_in(drafts):
        need_scheduler(client, cluster.name)
    # Last: code that is not what was planned is not kept.
    return replace(ready, snapshot=freeze(code_root(), ws.snapshots), drafts=drafts)


def _look(ws: Workspace, ready: _Ready) -> tuple[DraftJob, ...]:
    asked, cluster, wanted = request_from(ready.kept), ready.cluster, ready.wanted
    return draft(ws, cluster, asked, wanted, ready.snapshot, ready.notes, strict=True)


def _check(ready: _Ready, drafts: Sequence[DraftJob]) -> None:
    if not nothing_left(ready.kept, drafts):
        check_holds(ready.kept, drafts, ready.cluster, ready.snapshot.name)


def _written(
    ws: Workspace, ready: _Ready, found: Sequence[Job], by: Asker, lease: Lease, client: Slurm
) -> tuple[DraftJob, ...]:
    """Write the plan's jobs down, now that nobody else submits; none where nothing is to do."""
    _withdraw(ws, found, client)
    scheduler = client if ready.cluster.scheduler == "slurm" else None
    drafts = settled(ws, ready.cluster, scheduler, lambda: _look(ws, ready))
    _check(ready, drafts)
    if not jobs_in(drafts):
        return drafts
    if by == "agent":
        check_caps(ws, ready.kept)
    drafts = marked(drafts, ready.kept, by)
    lease.check()
    write_down(ws, drafts)
    return drafts


def _withdraw(ws: Workspace, jobs: Sequence[Job], client: Slurm) -> None:
    """Take back jobs of a submission that was cut off before it had written down all of them.

    Nothing is given before all is written, unless somebody gave the same runs by other words.
    """
    reason = "its submission was cut off"
    for job in jobs:
        if job.state is JobState.INTENDED:
            given = client.named(job.name, datetime.fromisoformat(job.created_at))
            if given is not None:
                taken(ws, job, given)
            else:
                take_back(ws, [job], reason)
        elif _waits_here(ws, job) and take(ws.jobs / job.job_id):
            take_back(ws, [job], reason)


def _deliver(
    ws: Workspace,
    jobs: Sequence[Job],
    drafts: Sequence[DraftJob],
    client: Slurm,
    *,
    detached: bool,
) -> list[Job]:
    """Give what is written down to the scheduler, or to a process here.

    Returns:
        What this process took to do itself.
    """
    left = list(needed_first(_left_open(ws, jobs)))
    intended = [job for job in left if job.state is JobState.INTENDED]
    if intended:
        need_scheduler(client, intended[0].cluster)
        give(ws, client, intended, drafts)
        return []
    if left and detached:
        start_here(ws, left, drafts)
        return []
    return claim(ws, left)


def _left_open(ws: Workspace, jobs: Sequence[Job]) -> Iterator[Job]:
    """Jobs that are written down, and that nobody is known to have."""
    for job in jobs:
        if job.state is JobState.INTENDED or _waits_here(ws, job):
            yield job


def _waits_here(ws: Workspace, job: Job) -> bool:
    """Whether it is a job without a scheduler that no process took."""
    here = job.state is JobState.SUBMITTED and job.scheduler_id is None
    return here and worker_of(ws.jobs / job.job_id) is None


def _runs_of(ws: Workspace, jobs: Sequence[Job], drafts: Sequence[DraftJob]) -> Iterator[GivenRun]:
    """The plan's runs as they are now: those of its jobs, and what was done or live before."""
    runs = [run for made in drafts for run in made.runs]
    places = {place: (run.record.run_id, run.work) for place, run in enumerate(runs)}
    for job in jobs:
        mark = mark_of(job)
        for place, task in zip(mark.runs if mark else (), job.tasks, strict=True):
            places[place] = (task.run_id, task.work)
    for _, (run_id, work) in sorted(places.items()):
        with suppress(RunError):
            # One that was removed since has nothing to be told of.
            record = run_folder(ws, run_id).current()
            yield GivenRun(run_id, record.name, work, record.state, record.reason, record.job)
