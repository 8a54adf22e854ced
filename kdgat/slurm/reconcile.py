"""The ledger made true by what the scheduler says.

A job that is killed writes no end: only the scheduler knows it. What it says is taken over where
the run has no end of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from kdgat.errors import RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.jobs import Job, JobFolder, JobState, JobTask, readable_jobs
from kdgat.ledger.record import RunRecord, utc_now
from kdgat.ledger.scan import run_folders
from kdgat.ledger.states import State
from kdgat.slurm.client import Slurm
from kdgat.slurm.poll import UNKNOWN, Polled, TaskStatus, moment, poll
from kdgat.slurm.verdict import Verdict, judge
from kdgat.workspace import Workspace

LOCAL = "local"
"""The cluster that has no scheduler."""
_GRACE_S = 30.0
"""Seconds that a job which ended well has for its run's end to be seen from here."""
_LATER_S = 30.0
"""A sign of life so long after a job's end comes from elsewhere: its nodes' clocks may differ."""


@dataclass(frozen=True)
class Change:
    """A run whose state was brought up to date."""

    run_id: str
    job_id: str
    before: State
    after: State
    reason: str | None


@dataclass(frozen=True)
class Reconciled:
    """What was learnt from the scheduler, and written down."""

    polled: Polled
    jobs: tuple[Job, ...] = ()
    """The jobs that had not ended, as they are now."""
    adopted: tuple[str, ...] = ()
    """Jobs that were only intended, and that the scheduler has."""
    changes: tuple[Change, ...] = ()


def open_jobs(ws: Workspace) -> list[tuple[JobFolder, Job]]:
    """The jobs of schedulers that have not ended yet, newest first."""
    return [
        (folder, job)
        for folder, job in readable_jobs(ws.jobs)
        if job.state in (JobState.INTENDED, JobState.SUBMITTED) and job.cluster != LOCAL
    ]


def reconcile(ws: Workspace, client: Slurm, *, now: datetime | None = None) -> Reconciled:
    """Bring jobs and runs up to date with the scheduler.

    Where squeue does not answer, nothing is written: sacct alone may tell the end of a try that
    the scheduler has begun again.

    Raises:
        StorageError: the file system refused.
    """
    jobs = open_jobs(ws)
    polled = poll(client, [job for _, job in jobs])
    if not jobs or polled.queue is not None:
        return Reconciled(polled, tuple(job for _, job in jobs))
    ledger = _Ledger(ws, polled, now or datetime.now(UTC), _folders(ws))
    # The oldest first: of a chain, the first link's end is what the others' is told by.
    after = tuple(ledger.bring_up_to_date(folder, job) for folder, job in reversed(jobs))
    return Reconciled(polled, after[::-1], tuple(polled.ids), tuple(ledger.changes))


def cancel_dependents(
    ws: Workspace, job_id: str, reason: str, *, run_id: str | None = None
) -> tuple[str, ...]:
    """Mark as cancelled what can't begin any more because a job it needs did not complete.

    Args:
        ws: the workspace.
        job_id: the job that did not complete.
        reason: why.
        run_id: the run of it that failed; then `reason` is that run's, and a dependent's own
            reason says whether it was its teacher or its subject.

    Returns:
        The ids of the runs that were marked: those that wait, directly or by way of others.
    """
    changes = _cancel_dependents(ws, _folders(ws), job_id, reason, run_id)
    return tuple(change.run_id for change in changes)


@dataclass
class _Ledger:
    """The runs and jobs, and what is written to them in one go."""

    ws: Workspace
    polled: Polled
    now: datetime
    folders: Mapping[str, RunFolder]
    changes: list[Change] = field(default_factory=list)

    def bring_up_to_date(self, folder: JobFolder, job: Job) -> Job:
        """One job, and every run of it."""
        if job.job_id in self.polled.ids:
            job = self._adopt(folder, job)
        if job.scheduler_id is None:
            return job
        settled = [self._settle(job, number) for number in range(len(job.tasks))]
        tasks = tuple(
            _told(task, self.polled.task(job, number)) for number, task in enumerate(job.tasks)
        )
        state = JobState.ENDED if all(settled) else job.state
        if tasks == job.tasks and state is job.state:
            return job
        return folder.update(tasks=tasks, state=state)

    def _adopt(self, folder: JobFolder, job: Job) -> Job:
        """Take over a job that was given by somebody who did not live to write that down."""
        return folder.update(
            state=JobState.SUBMITTED,
            scheduler_id=self.polled.ids[job.job_id],
            submitted_at=job.submitted_at or self.polled.task(job, 0).submitted_at,
        )

    def _settle(self, job: Job, number: int) -> bool:
        """Bring one task's run up to date; whether nothing is left to be learnt of it."""
        status = self.polled.task(job, number)
        run = self.folders.get(job.tasks[number].run_id)
        record = _readable(run)
        if run is None or record is None or not _works_on(job, record):
            return status.final
        verdict = judge(record, status, alive=_lives(run, record, status))
        if verdict is None:
            return status.final
        # A run that wrote something between the two looks is left for the next one.
        if _too_fresh(status, self.now) or _readable(run) != record:
            return False
        if status.never_began:
            verdict = replace(verdict, reason=self._why_it_never_began(record, job))
        self._write(run, record, verdict, job, number)
        return status.final

    def _write(
        self, run: RunFolder, record: RunRecord, verdict: Verdict, job: Job, number: int
    ) -> None:
        said = self.polled.task(job, number).state
        run.update(
            state=verdict.state,
            reason=verdict.reason,
            ended_at=None if verdict.state is State.SUBMITTED else verdict.ended_at or utc_now(),
            job=job.job_id,
            host=None,
            pid=None,
        )
        kind = "by_scheduler"
        if verdict.state is State.SUBMITTED:
            kind = "submitted" if record.state is State.PLANNED else "requeued"
        why = {"reason": verdict.reason} if verdict.reason else {}
        scheduler_id = job.scheduler_task(number)
        run.event(kind, state=verdict.state.value, said=said, scheduler_id=scheduler_id, **why)
        self.changes.append(
            Change(record.run_id, job.job_id, record.state, verdict.state, verdict.reason)
        )
        if verdict.state is not State.SUBMITTED:
            because = verdict.reason or verdict.state.value
            self.changes += _cancel_dependents(
                self.ws, self.folders, job.job_id, because, record.run_id
            )

    def _why_it_never_began(self, record: RunRecord, job: Job) -> str:
        """Names the run that did not complete, of the jobs that had to complete before."""
        for job_id in job.needs:
            try:
                needed = JobFolder(self.ws.jobs / job_id).record()
            except RunError:
                continue
            for task in needed.tasks:
                before = _readable(self.folders.get(task.run_id))
                if before and before.state is not State.COMPLETED:
                    return _because(record, before.run_id, before.reason or before.state.value)
        return "a job it needs did not complete"


def _cancel_dependents(
    ws: Workspace, folders: Mapping[str, RunFolder], job_id: str, reason: str, run_id: str | None
) -> list[Change]:
    jobs = {job.job_id: job for _, job in readable_jobs(ws.jobs) if job.state is not JobState.ENDED}
    changes = []
    waiting = _needing(jobs, job_id)
    hopeless = _hopeless(waiting, run_id)
    for job in waiting:
        for task in job.tasks:
            if task.run_id not in hopeless:
                # Of an array's other tasks the scheduler knows whether they may begin.
                continue
            run = folders.get(task.run_id)
            record = _readable(run)
            if run is None or record is None or not _works_on(job, record):
                continue
            if record.state not in (State.PLANNED, State.SUBMITTED):
                continue
            why = _because(record, run_id, reason) if run_id else reason
            run.update(state=State.CANCELLED, reason=why, ended_at=utc_now(), host=None, pid=None)
            run.event(State.CANCELLED.value, reason=why)
            changes.append(Change(task.run_id, job.job_id, record.state, State.CANCELLED, why))
    return changes


def _needing(jobs: Mapping[str, Job], job_id: str) -> list[Job]:
    """The jobs that need one, directly or by way of others, the oldest first."""
    blocked = {job_id}
    while more := {each.job_id for each in jobs.values() if blocked & set(each.needs)} - blocked:
        blocked |= more
    return [job for each, job in sorted(jobs.items()) if each in blocked - {job_id}]


def _hopeless(jobs: Sequence[Job], run_id: str | None) -> set[str]:
    """The runs of jobs that wait, directly or by way of others, for a run; for any where None."""
    tasks = [task for job in jobs for task in job.tasks]
    if run_id is None:
        return {task.run_id for task in tasks}
    found = {run_id}
    while more := {t.run_id for t in tasks if t.needs is None or t.needs in found} - found:
        found |= more
    return found


def _because(record: RunRecord, run_id: str, reason: str) -> str:
    roles = {record.teacher: "its teacher", record.subject: "its subject"}
    return f"{roles.get(run_id, 'a run it needs')}, {run_id}, did not complete: {reason}"


def _works_on(job: Job, record: RunRecord) -> bool:
    """Whether a run is this job's still: it may have been given again, in another one."""
    return record.job == job.job_id or (record.job is None and record.state is State.PLANNED)


def _lives(run: RunFolder, record: RunRecord, status: TaskStatus) -> bool:
    """Whether a run that is marked as running runs elsewhere than in its ended or waiting task."""
    if record.state is not State.RUNNING:
        return False
    if not status.final or status.ended_at is None:
        return run.current().state is State.RUNNING
    try:
        beat = moment((run.path / "heartbeat").read_text().strip())
    except (OSError, ValueError):
        return False
    return (beat - moment(status.ended_at)).total_seconds() > _LATER_S


def _told(task: JobTask, status: TaskStatus) -> JobTask:
    """A task with what was told of it; nothing told changes nothing."""
    if status.state == UNKNOWN:
        return task
    return replace(
        task,
        state=status.state,
        reason=status.reason,
        node=status.node or task.node,
        started_at=status.started_at or task.started_at,
        ended_at=status.ended_at,
        exit_code=status.exit_code,
    )


def _too_fresh(status: TaskStatus, now: datetime) -> bool:
    """Whether a job ended well so lately that its run's own end may not be seen from here yet."""
    if status.state != "COMPLETED" or status.ended_at is None:
        return False
    return (now - moment(status.ended_at)).total_seconds() < _GRACE_S


def _readable(run: RunFolder | None) -> RunRecord | None:
    """A run's record; None where it is gone or broken, which never hides the others."""
    try:
        return run.record() if run else None
    except RunError:
        return None


def _folders(ws: Workspace) -> dict[str, RunFolder]:
    return {folder.path.name: folder for folder in run_folders(ws.runs)}
