"""Ending the jobs of runs, and seeing that they ended.

A scheduler is told to; a process that does a job here finds a word in the job's folder.
"""

from __future__ import annotations

import getpass
import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from kdgat.errors import RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.jobs import Job, JobFolder, readable_jobs
from kdgat.ledger.record import utc_now
from kdgat.ledger.scan import readable, run_folders
from kdgat.ledger.states import State
from kdgat.ledger.workers import ask_to_stop, worker_of
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
    """Without a scheduler, kdgat's own id of the job."""
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

    Of a job without a scheduler the other tasks go on.

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
    given = [task for task in tasks if task[1].scheduler_id is not None]
    here = [task for task in tasks if task[1].scheduler_id is None]
    polled = poll(client, [job for _, job, _ in given])
    if not dry_run:
        for _, job, number in given:
            client.cancel(job.scheduler_task(number) or "")
        for task in here:
            _ask_here(ws, *task)
        polled = _wait_for_ends(client, given, wait_s) if given else polled
        _wait_here(ws, here, wait_s)
    items = []
    for folder, job, number in tasks:
        if job.scheduler_id is None:
            items.append(_ended_here(ws, folder, job))
            continue
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
    if job.scheduler_id is None and worker_of(ws.jobs / job.job_id) is None:
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


def _ask_here(ws: Workspace, folder: RunFolder, job: Job, number: int) -> None:
    """Ask the process that does a job to end one task; where that is gone, end the run itself."""
    where = ws.jobs / job.job_id
    ask_to_stop(where, number, _user())
    worker, record = worker_of(where), folder.current()
    if worker is None or not worker.gone or record.state not in _CANCELLABLE:
        return
    if record.state is State.RUNNING:
        # What it started goes on without it. A beating heart on this host says whose the id is.
        if record.host == worker.host and isinstance(record.pid, int):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(record.pid, signal.SIGINT)
        return
    reason = f"cancelled by {_user()}"
    folder.update(state=State.CANCELLED, reason=reason, ended_at=utc_now(), host=None, pid=None)
    folder.event(State.CANCELLED.value, reason=reason)
    cancel_dependents(ws, job.job_id, reason, run_id=record.run_id)


def _wait_here(ws: Workspace, tasks: Sequence[tuple[RunFolder, Job, int]], wait_s: float) -> None:
    """Wait until the runs have ended, and who does their jobs has seen to what that means."""
    until = time.monotonic() + wait_s
    while any(_at_work(ws, *each) for each in tasks) and time.monotonic() < until:
        time.sleep(_PAUSE_S)


def _at_work(ws: Workspace, folder: RunFolder, job: Job, number: int) -> bool:
    if folder.record().state in _CANCELLABLE:
        return True
    where = JobFolder(ws.jobs / job.job_id)
    worker = worker_of(where.path)
    if worker is None or worker.gone:
        return False
    return where.record().tasks[number].state == "RUNNING"


def _ended_here(ws: Workspace, folder: RunFolder, job: Job) -> Cancelled:
    """What became of a run without a scheduler, and of those that waited for it."""
    record = folder.record()
    ended = record.state not in _CANCELLABLE
    blocked = []
    if record.state is State.CANCELLED:
        needed = {record.run_id}
        for _, each in reversed(list(readable_jobs(ws.jobs))):
            needed |= {task.run_id for task in each.tasks if task.needs in needed}
        ids = sorted(needed - {record.run_id})
        runs = readable(folder for each in ids for folder in run_folders(ws.runs, name=each))
        blocked = [other.run_id for _, other in runs if other.state is State.CANCELLED]
    word = record.state.value.upper()
    return Cancelled(record.run_id, job.job_id, word, ended, tuple(blocked))


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "its owner"
