"""Operations that submit: plan it, and do it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdgat.configs.run import RunConfig
from kdgat.errors import SlurmError
from kdgat.ledger.files import write_text
from kdgat.ledger.jobs import Job, JobFolder
from kdgat.ledger.scan import LATEST
from kdgat.ops.job_request import SubmitRequest
from kdgat.ops.scorers import scorers_settled
from kdgat.ops.submission import (
    DraftJob,
    Notes,
    Outcome,
    code_root,
    draft,
    job_record,
    task_cost,
)
from kdgat.ops.wanted import WantedJob, Work, wanted_jobs
from kdgat.progress import Progress, quiet
from kdgat.slurm.client import Slurm, StartEstimate
from kdgat.slurm.cluster import Cluster, Cost, load_cluster
from kdgat.slurm.snapshot import Snapshot, freeze, look
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class PlannedRun:
    """One run that was asked for, and what there is of it."""

    run_id: str
    name: str
    work: Work
    outcome: Outcome
    digest: str | None
    """None where the teacher is `latest`, or a scorer a kind, and not known here."""
    teacher: str | None
    subject: str | None
    overrides: tuple[str, ...]
    job: str | None
    """The job that works on it already."""


@dataclass(frozen=True)
class PlannedJob:
    """One job as it would be given to the scheduler."""

    job: Job
    script: str
    runs: tuple[PlannedRun, ...]
    """By the number of their task."""
    memory: dict[str, Any] | None
    """The tightest of its trainings' memory plans."""
    cost: Cost
    """Of one task, at the time limit."""
    start: StartEstimate | None = None


@dataclass(frozen=True)
class SubmissionPlan:
    """What a submission would do."""

    cluster: str
    jobs: tuple[PlannedJob, ...]
    runs: tuple[PlannedRun, ...]
    """All that were asked for, those that are done or live too."""
    snapshot: str
    assumed: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Foreseen:
    """A plan, and what it was made from."""

    plan: SubmissionPlan
    cluster: Cluster
    drafts: tuple[DraftJob, ...]


@dataclass(frozen=True)
class GivenJob:
    """One job that was given to a scheduler, or ran here."""

    job_id: str
    scheduler_id: str | None
    state: str
    runs: tuple[str, ...]
    needs: tuple[str, ...]
    folder: str


@dataclass(frozen=True)
class SubmissionReport:
    """What a submission did."""

    cluster: str
    jobs: tuple[GivenJob, ...]
    runs: tuple[PlannedRun, ...]
    failed: tuple[str, ...]
    """Runs that did not complete, of those that ran here."""
    snapshot: str
    assumed: tuple[str, ...]
    warnings: tuple[str, ...]
    seconds: float


def plan_submission(
    ws: Workspace, asked: SubmitRequest, *, client: Slurm | None = None
) -> SubmissionPlan:
    """What a submission would do; nothing is written but the cache of memory plans.

    Args:
        ws: the workspace.
        asked: what is asked for.
        client: the scheduler that a preflight asks; by default this machine's.

    Raises:
        ConfigError: an override, the cluster or an option is wrong.
        RunError: a teacher can't be found.
        MemoryPlanError: a run does not fit the partition's GPUs.
        SlurmError: the code can't be frozen, or the preflight found that a job would be refused.
    """
    return foresee(ws, asked, client=client).plan


def foresee(ws: Workspace, asked: SubmitRequest, *, client: Slurm | None = None) -> Foreseen:
    """`plan_submission`, with what it rests on.

    Raises:
        ConfigError, RunError, MemoryPlanError, SlurmError: as `plan_submission`.
    """
    started = time.monotonic()
    cluster = load_cluster(ws, asked.cluster)
    # Git looks at the code while the configs are composed.
    with ThreadPoolExecutor(1) as pool:
        code = pool.submit(look, code_root(), ws.snapshots)
        wanted = wanted_jobs(ws, asked, cluster)
        snapshot = code.result()
    notes = notes_on(snapshot)
    drafts = draft(ws, cluster, asked, wanted, snapshot, notes, strict=False)
    jobs = [_planned_job(cluster, made, made.job) for made in drafts if made.job is not None]
    if asked.preflight and cluster.scheduler == "slurm":
        jobs = [_estimated(client or Slurm(), planned) for planned in jobs]
    plan = SubmissionPlan(
        cluster.name,
        tuple(jobs),
        _runs(drafts),
        snapshot.name,
        tuple(notes.assumed),
        tuple(notes.warnings),
        time.monotonic() - started,
    )
    return Foreseen(plan, cluster, drafts)


def submit(
    ws: Workspace,
    asked: SubmitRequest,
    *,
    client: Slurm | None = None,
    progress: Progress = quiet,
) -> SubmissionReport:
    """Give runs to a cluster's scheduler, each once: what is done or given is not given again.

    Where the cluster has no scheduler the runs are done here, one after another.

    Args:
        ws: the workspace.
        asked: what is asked for.
        client: the scheduler; by default this machine's.
        progress: told of the epochs of a run that is done here.

    Raises:
        ConfigError, RunError, MemoryPlanError, SlurmError: as `plan_submission`.
        DataError: a dataset is not ingested.
        Refused: the scheduler did not take a job; its runs are as they were, or cancelled.
        Unanswered: whether a job was taken is not known; the next submission finds out.
    """
    started = time.monotonic()
    cluster = load_cluster(ws, asked.cluster)
    client = None if cluster.scheduler == "none" else client or Slurm()
    wanted = wanted_jobs(ws, asked, cluster)
    snapshot = freeze(code_root(), ws.snapshots)
    notes = notes_on(snapshot)
    if client is not None and client.present():
        bring_up_to_date(ws, client, notes)
    # Planning the memory may take long: that is done before anybody else has to wait.
    drafts = draft(ws, cluster, asked, wanted, snapshot, notes, strict=True)
    if client is not None:
        # Last, so that a mistake in what is asked for is told on any machine.
        need_scheduler(client, cluster.name)
    if asked.preflight and client is not None:
        for made in drafts:
            if made.job is not None:
                _estimated(client, _planned_job(cluster, made, made.job))
    drafts = _submitted(ws, cluster, asked, wanted, snapshot, notes, client)
    failed: tuple[str, ...] = ()
    if client is None:
        from kdgat.ops.here import run_here

        failed = run_here(ws, jobs_in(drafts), drafts, progress)
    return SubmissionReport(
        cluster.name,
        tuple(given_job(ws, job.job_id) for job in jobs_in(drafts)),
        _runs(drafts),
        failed,
        snapshot.name,
        tuple(notes.assumed),
        tuple(notes.warnings),
        time.monotonic() - started,
    )


def _submitted(
    ws: Workspace,
    cluster: Cluster,
    asked: SubmitRequest,
    wanted: Sequence[WantedJob],
    snapshot: Snapshot,
    notes: Notes,
    client: Slurm | None,
) -> tuple[DraftJob, ...]:
    """Look once more at what there is, now that nobody else submits, and give what is to do."""
    from kdgat.ops.delivery import alone, give, write_down
    from kdgat.ops.here import claim

    def look_again() -> tuple[DraftJob, ...]:
        return draft(ws, cluster, asked, wanted, snapshot, notes, strict=True)

    with alone(ws) as lease:
        drafts = settled(ws, cluster, client, look_again)
        lease.check()
        write_down(ws, drafts)
        if client is None:
            claim(ws, jobs_in(drafts))
        else:
            give(ws, client, jobs_in(drafts), drafts)
    return drafts


def settled(
    ws: Workspace,
    cluster: Cluster,
    client: Slurm | None,
    look_again: Callable[[], tuple[DraftJob, ...]],
) -> tuple[DraftJob, ...]:
    """What there is to do once it is found out what became of earlier submissions of the runs.

    Raises:
        Refused, Unanswered, SlurmError: as `submit`.
    """
    from kdgat.ops.delivery import give

    drafts = look_again()
    runs = (run for each in drafts for run in each.runs if run.outcome == "intended")
    ids = dict.fromkeys(run.record.job for run in runs if run.record.job is not None)
    found = filter(None, (job_record(ws, job_id) for job_id in ids))
    left_open = [job for job in found if job.cluster == cluster.name]
    if client is None or not left_open:
        return drafts
    give(ws, client, needed_first(left_open), ())
    # Their runs are live now.
    return look_again()


def needed_first(jobs: Iterable[Job]) -> Iterator[Job]:
    """Jobs in an order in which each comes after those it needs."""
    waiting = list(jobs)
    while waiting:
        there = {job.job_id for job in waiting}
        ready = [job for job in waiting if not there & set(job.needs)]
        yield from ready
        waiting = [job for job in waiting if job not in ready]


def jobs_in(drafts: Iterable[DraftJob]) -> list[Job]:
    """The jobs for what is to do."""
    return [each.job for each in drafts if each.job is not None]


def need_scheduler(client: Slurm, cluster: str) -> None:
    """Refuse to submit where the scheduler's commands are not.

    Raises:
        SlurmError: they are not here.
    """
    if not client.present():
        raise SlurmError(
            "'sbatch' is not on PATH here",
            hint=f"log in to a login node of {cluster}, or use --cluster local",
        )


def bring_up_to_date(ws: Workspace, client: Slurm, notes: Notes) -> None:
    """Runs whose job ended without a word are not taken for live ones."""
    from kdgat.slurm.reconcile import open_jobs, reconcile

    if open_jobs(ws) and (silent := reconcile(ws, client).polled.queue) is not None:
        notes.warnings[f"what became of earlier jobs is not known: {silent}"] = None


def notes_on(snapshot: Snapshot) -> Notes:
    """Notes that begin with what is to be known of the code."""
    notes = Notes()
    notes.warnings |= dict.fromkeys(snapshot.warnings)
    return notes


def _estimated(client: Slurm, planned: PlannedJob) -> PlannedJob:
    """A planned job with the scheduler's estimate of its start.

    Raises:
        Refused: it would not be taken.
    """
    with tempfile.TemporaryDirectory(prefix="kdgat-") as folder:
        write_text(Path(folder) / "job.sh", planned.script)
        start = client.test_only(Path("job.sh"), cwd=Path(folder))
    parts = {name: getattr(planned, name) for name in ("job", "script", "runs", "memory", "cost")}
    # Whether a job that waits for another one would be taken is told as well, but not its start.
    return PlannedJob(**parts, start=None if planned.job.needs else start)


def _planned_job(cluster: Cluster, made: DraftJob, job: Job) -> PlannedJob:
    return PlannedJob(
        job=job,
        script=made.script,
        runs=_runs([made], to_do=True),
        memory=job.details.get("memory"),
        cost=task_cost(cluster, made),
    )


def _runs(drafts: Iterable[DraftJob], *, to_do: bool = False) -> tuple[PlannedRun, ...]:
    return tuple(
        PlannedRun(
            run_id=run.record.run_id,
            name=run.record.name,
            work=run.work,
            outcome=run.outcome,
            digest=run.record.digest if _settled(run.config) else None,
            teacher=run.record.teacher,
            subject=run.record.subject,
            overrides=run.wanted.overrides,
            job=run.record.job if run.outcome in ("live", "intended") else None,
        )
        for made in drafts
        for run in (made.to_do if to_do else made.runs)
    )


def _settled(config: RunConfig) -> bool:
    """Whether all runs that a config rests on are known, so that its digest is known too."""
    return config.distillation.teacher != LATEST and scorers_settled(config)


def given_job(ws: Workspace, job_id: str) -> GivenJob:
    """A job as it is now."""
    folder = JobFolder(ws.jobs / job_id)
    job = folder.record()
    return GivenJob(
        job_id=job.job_id,
        scheduler_id=job.scheduler_id,
        state=job.state.value,
        runs=tuple(task.run_id for task in job.tasks),
        needs=job.needs,
        folder=ws.show(folder.path),
    )
