"""What the scheduler says of kdgat's jobs: one squeue and one sacct, however many there are.

Nothing is guessed: what neither tells is unknown (sacct is blank for seconds after an end).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from kdgat.errors import SlurmError
from kdgat.ledger.jobs import Job
from kdgat.slurm.client import Slurm
from kdgat.slurm.queue import FINAL, WAITING, AccountRow, QueueRow

UNKNOWN = "UNKNOWN"
"""State of a job that the scheduler does not tell."""
NEVER_SATISFIED = "DependencyNeverSatisfied"
LEFT_OUT = "left out of its array"
"""Reason of a task that was cancelled while its array waited: Slurm forgets that it ever was."""
_Task = tuple[str, int]
_Row = TypeVar("_Row", QueueRow, AccountRow)


@dataclass(frozen=True)
class TaskStatus:
    """What the scheduler says of one task. Times are ISO 8601 in UTC."""

    state: str = UNKNOWN
    reason: str | None = None
    partition: str | None = None
    node: str | None = None
    submitted_at: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    expected_at: str | None = None
    """For a waiting task, when the scheduler expects it to begin, where it reckoned."""
    elapsed_s: int | None = None
    time_limit_s: int | None = None
    restarts: int | None = None
    exit_code: str | None = None
    cancelled_by: str | None = None

    @property
    def final(self) -> bool:
        """Whether the task has ended."""
        return self.state in FINAL

    @property
    def waits(self) -> bool:
        """Whether the task waits for its turn, or for its next one."""
        return self.state in WAITING

    @property
    def never_began(self) -> bool:
        """Whether it was cancelled because a job it needs did not complete.

        squeue says so; sacct has only that it waited for one and that nobody cancelled it.
        """
        if self.state != "CANCELLED" or self.started_at or self.cancelled_by:
            return False
        return self.reason in (NEVER_SATISFIED, "Dependency")


@dataclass(frozen=True)
class Polled:
    """What one look at the scheduler told."""

    tasks: Mapping[tuple[str, int], TaskStatus] = field(default_factory=dict)
    """By job (kdgat's id) and number of the task."""
    ids: Mapping[str, str] = field(default_factory=dict)
    """The scheduler's ids of jobs that were only intended, found by their names."""
    queue: str | None = None
    """Why squeue told nothing; None where it answered."""
    accounts: str | None = None
    """Why sacct told nothing; None where it answered, or had nothing to be asked."""

    def task(self, job: Job, number: int) -> TaskStatus:
        """What was told of one task."""
        return self.tasks.get((job.job_id, number), TaskStatus())


def poll(client: Slurm, jobs: Sequence[Job]) -> Polled:
    """Ask for any number of jobs at once: one squeue, and one sacct for what it leaves open."""
    if not jobs:
        return Polled()
    queue = accounts = None
    told: dict[_Task, QueueRow] = {}
    known: dict[_Task, AccountRow] = {}
    try:
        told = _by_task(client.squeue(), jobs)
    except SlurmError as error:
        queue = error.problem
    try:
        known = _by_task(_accounts(client, [job for job in jobs if not _all_told(job, told)]), jobs)
    except SlurmError as error:
        accounts = error.problem
    found = {**known, **told}
    named = {name: row.array_id for (name, _), row in found.items()}
    ids = {
        job.job_id: named[job.name]
        for job in jobs
        if job.scheduler_id is None and job.name in named
    }
    both = queue is None and accounts is None
    tasks = {}
    for job in jobs:
        for number in range(len(job.tasks)):
            task = (job.name, number)
            status = _merged(told.get(task), known.get(task), asked=queue is None)
            # Where both answered and tell its array's other tasks, it left the array early.
            if both and task not in found and job.name in named:
                status = TaskStatus("CANCELLED", LEFT_OUT)
            tasks[job.job_id, number] = status
    return Polled(tasks, ids, queue, accounts)


def _by_task(rows: Iterable[_Row], jobs: Iterable[Job]) -> dict[_Task, _Row]:
    """The rows that are kdgat's jobs, by the job's name and the task's number."""
    names = {job.name: job for job in jobs}
    return {
        (row.name, row.task or 0): row
        for row in rows
        if row.name in names and _is_of(row, names[row.name])
    }


def _is_of(row: QueueRow | AccountRow, job: Job) -> bool:
    """Whether a row of a job's name is the job: what was refused at the door is in there too."""
    if job.scheduler_id is not None:
        return row.array_id == job.scheduler_id
    return not row.never_taken


def _all_told(job: Job, told: Mapping[_Task, QueueRow]) -> bool:
    """Whether squeue said everything of a job; it does not say who cancelled one."""
    rows = [told.get((job.name, number)) for number in range(len(job.tasks))]
    return all(row and (row.state != "CANCELLED" or row.reason == NEVER_SATISFIED) for row in rows)


def _accounts(client: Slurm, jobs: Sequence[Job]) -> list[AccountRow]:
    if not jobs:
        return []
    since = min(moment(job.created_at) for job in jobs) - timedelta(hours=1)
    ids = [job.scheduler_id for job in jobs if job.scheduler_id]
    if len(ids) == len(jobs):
        return client.sacct(ids, since)
    return client.sacct([], since, names=[job.name for job in jobs])


def _merged(queued: QueueRow | None, kept: AccountRow | None, *, asked: bool) -> TaskStatus:
    """One task's status: squeue's where it knows the task, and who cancelled it from sacct."""
    if queued:
        waits = queued.state in WAITING
        # squeue gives even a job that never began the time of its end as its start.
        began = None if waits or queued.node is None else queued.started_at
        return TaskStatus(
            state=queued.state,
            reason=queued.reason,
            partition=queued.partition,
            node=queued.node,
            submitted_at=queued.submitted_at,
            started_at=began,
            ended_at=queued.ended_at if queued.state in FINAL else None,
            expected_at=queued.started_at if waits else None,
            elapsed_s=queued.elapsed_s,
            time_limit_s=queued.time_limit_s,
            restarts=queued.restarts,
            exit_code=queued.exit_code,
            cancelled_by=kept.cancelled_by if kept else None,
        )
    if kept is None:
        return TaskStatus()
    if asked and kept.state not in FINAL:
        # The controller has forgotten it: its end has not reached the database yet, or never will.
        return TaskStatus(reason=f"sacct has it as {kept.state}, squeue has it no more")
    return TaskStatus(
        state=kept.state,
        reason=kept.reason,
        partition=kept.partition,
        node=kept.node,
        submitted_at=kept.submitted_at,
        # The same holds here, now and then.
        started_at=kept.started_at if kept.node else None,
        ended_at=kept.ended_at,
        elapsed_s=kept.elapsed_s,
        time_limit_s=kept.time_limit_s,
        exit_code=kept.exit_code if kept.state in FINAL else None,
        cancelled_by=kept.cancelled_by,
    )


def moment(text: str) -> datetime:
    """A time of the ledger or of the scheduler; without a zone it is UTC."""
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
