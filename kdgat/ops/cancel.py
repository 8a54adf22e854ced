"""Ending the jobs of runs, and seeing that they ended."""

from __future__ import annotations

import getpass
import time
from collections.abc import Sequence
from dataclasses import dataclass

from kdgat.errors import RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.jobs import Job
from kdgat.ledger.record import utc_now
from kdgat.ledger.states import State
from kdgat.ops.jobs import LIVE, given_run, job_of
from kdgat.slurm.client import Slurm
from kdgat.slurm.poll import Polled, TaskStatus, poll
from kdgat.slurm.reconcile import cancel_dependents, reconcile
from kdgat.workspace import Workspace

_VERIFY_S = 20.0
_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 4.0
_CANCELLABLE = LIVE | {State.LOST}


@dataclass(frozen=True)
class Cancelled:
    """A run whose job was asked to end; with a dry run, would be."""

    run_id: str
    scheduler_id: str
    state: str
    """The scheduler's word of the task afterwards; with a dry run, now."""
    verified: bool
    """Whether the task has ended for sure."""
    dependents: tuple[str, ...]
    """Runs that can't begin any more."""


@dataclass(frozen=True)
class Cancelling:
    """What was cancelled."""

    items: tuple[Cancelled, ...]
    dry_run: bool


def cancel(
    ws: Workspace,
    runs: Sequence[str],
    *,
    dry_run: bool = False,
    client: Slurm | None = None,
    wait_s: float = _VERIFY_S,
) -> Cancelling:
    """End the jobs of runs, and see that they ended: scancel says nothing of what it did.

    Args:
        ws: the workspace.
        runs: ids of runs, or beginnings of them.
        dry_run: say what would be cancelled, and do nothing.
        client: the scheduler; default: this machine's.
        wait_s: how long their ends are waited for. What has not ended by then is brought up to
            date by the next `status`.

    Raises:
        RunError: a run does not exist, has ended, or has no job; then none is cancelled.
        SlurmError: the scheduler does not answer.
    """
    client = client or Slurm()
    folders = [given_run(ws, run) for run in runs]
    reconcile(ws, client)
    jobs = [_cancellable(ws, folder) for folder in folders]
    tasks = [
        (folder, job, job.task_of(folder.path.name))
        for folder, job in zip(folders, jobs, strict=True)
    ]
    polled = poll(client, jobs)
    if not dry_run:
        for _, job, number in tasks:
            client.cancel(job.scheduler_task(number) or "")
        polled = _wait_for_ends(client, tasks, wait_s)
    items = []
    for folder, job, number in tasks:
        now = polled.task(job, number)
        blocked = _mark(ws, folder, job, now) if now.final and not dry_run else ()
        task_id = job.scheduler_task(number) or ""
        items.append(Cancelled(folder.path.name, task_id, now.state, now.final, blocked))
    if not dry_run:
        reconcile(ws, client)
    return Cancelling(tuple(items), dry_run)


def _cancellable(ws: Workspace, folder: RunFolder) -> Job:
    record = folder.current()
    job = job_of(ws, record)
    if record.state not in _CANCELLABLE:
        raise RunError(
            f"run '{record.run_id}' is {record.state.value}: there is nothing to cancel",
            hint="`kdgat status` lists the runs that wait or work",
        )
    if job.scheduler_id is None:
        raise RunError(
            f"the job of run '{record.run_id}' has no scheduler's id: it was not taken, runs in a "
            "shell, or the scheduler does not answer",
            hint="interrupt it where it runs, or give the same `kdgat submit` again, then cancel",
        )
    return job


def _wait_for_ends(
    client: Slurm, tasks: Sequence[tuple[RunFolder, Job, int]], wait_s: float
) -> Polled:
    until = time.monotonic() + wait_s
    pause = _PAUSE_S
    while True:
        polled = poll(client, [job for _, job, _ in tasks])
        ended = all(polled.task(job, number).final for _, job, number in tasks)
        if ended or time.monotonic() >= until:
            return polled
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)


def _mark(ws: Workspace, folder: RunFolder, job: Job, now: TaskStatus) -> tuple[str, ...]:
    """Write down that a run was cancelled; one that ended by itself meanwhile stays as it is."""
    record = folder.record()
    stopped = record.reason is not None and "SIGTERM" in record.reason
    if now.state != "CANCELLED" or (record.state not in _CANCELLABLE and not stopped):
        return ()
    reason = f"cancelled by {_user()}"
    folder.update(
        state=State.CANCELLED,
        reason=reason,
        ended_at=now.ended_at or utc_now(),
        host=None,
        pid=None,
    )
    folder.event(State.CANCELLED.value, reason=reason)
    return cancel_dependents(ws, job.job_id, reason, run_id=record.run_id)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "its owner"
