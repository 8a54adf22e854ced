"""Jobs of a cluster that has no scheduler, done on this machine, one task after another.

A process takes the jobs first, so that nobody else does them too: the one that submits, or one in a
session of its own that outlives it. Whoever wants a task to end leaves a word in the job's folder,
which is looked for twice a second.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterable, Sequence
from itertools import takewhile

from kdgat.errors import SlurmError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.jobs import Job, JobFolder, JobState
from kdgat.ledger.record import RunRecord, utc_now
from kdgat.ledger.states import State
from kdgat.ledger.workers import asked_to_stop, take, tasks_to_stop
from kdgat.ops.delivery import run_folder, take_back
from kdgat.ops.experiment import UNFINISHED
from kdgat.ops.submission import DraftJob
from kdgat.progress import Progress, quiet
from kdgat.slurm.local import run_script, start_alone
from kdgat.slurm.reconcile import cancel_dependents
from kdgat.slurm.script import SAVED
from kdgat.slurm.snapshot import CODE
from kdgat.workspace import Workspace

LOG = "worker.log"
"""What a process that does jobs by itself prints, in the first job's folder."""
_SAID = {State.COMPLETED: "COMPLETED", State.CANCELLED: "CANCELLED"}
"""A scheduler's words for how a run ended; all others are failures."""


def claim(ws: Workspace, jobs: Iterable[Job]) -> list[Job]:
    """Take jobs that no scheduler has, and their runs, for this process.

    Args:
        ws: the workspace.
        jobs: the jobs, the needed ones first.

    Returns:
        Those that are now this process's: from one on that another has, none is taken.

    Raises:
        StorageError: the file system refused.
    """
    return list(takewhile(lambda job: _claim(ws, job), jobs))


def _claim(ws: Workspace, job: Job) -> bool:
    if not take(ws.jobs / job.job_id):
        return False
    for task in job.tasks:
        run = run_folder(ws, task.run_id)
        record = run.record()
        if record.job == job.job_id and record.state in (State.PLANNED, State.LOST):
            run.update(
                state=State.PLANNED,
                reason=None,
                ended_at=None,
                host=socket.gethostname(),
                pid=os.getpid(),
            )
    return True


def run_here(
    ws: Workspace,
    jobs: Sequence[Job],
    drafts: Sequence[DraftJob] = (),
    progress: Progress = quiet,
) -> tuple[str, ...]:
    """Run jobs on this machine that this process has taken, one task after another.

    Args:
        ws: the workspace.
        jobs: the jobs, the needed ones first.
        drafts: what runs were before, for the case that this is interrupted.
        progress: told of the epochs.

    Returns:
        The ids of the runs that did not complete.
    """
    failed: list[str] = []

    def look() -> None:
        for each in jobs:
            _cancel_waiting(ws, each)

    for place, job in enumerate(jobs):
        folder = JobFolder(ws.jobs / job.job_id)
        try:
            for number in range(len(job.tasks)):
                job = _run_task(ws, folder, job, number, progress, look)
        except KeyboardInterrupt:
            reason = "interrupted from the keyboard"
            take_back(ws, jobs[place:], reason, drafts, JobState.ENDED)
            raise
        folder.update(state=JobState.ENDED)
        failed += (task.run_id for task in job.tasks if task.state != "COMPLETED")
    return tuple(failed)


def start_here(ws: Workspace, jobs: Sequence[Job], drafts: Sequence[DraftJob] = ()) -> None:
    """Have jobs done by a process in a session of its own, which has taken them on return.

    Args:
        ws: the workspace.
        jobs: the jobs, the needed ones first.
        drafts: what runs were before, for the case that there is no such process.

    Raises:
        SlurmError: it ended before it began, and the jobs are marked as refused; or bash could not
            be started, and they still wait.
    """
    first = jobs[0]
    log = ws.jobs / first.job_id / LOG
    words = ("work-here", *(job.job_id for job in jobs))
    code = ws.snapshots / str(first.snapshot) / CODE
    if start_alone(words, code=code, home=ws.home.resolve(), log=log):
        return
    # Taking them is what decides: a process that was only slow finds them taken.
    if all(take(ws.jobs / job.job_id) for job in jobs):
        take_back(ws, jobs, "its process could not begin", drafts)
        raise SlurmError(
            f"the process that was to do job '{first.job_id}' ended before it began",
            hint=f"'{ws.show(log)}' tells why; `kdgat submit` does the work in this shell",
        )


def work_here(
    ws: Workspace,
    job_ids: Sequence[str],
    *,
    begun: Callable[[], None] = lambda: None,
    progress: Progress = quiet,
) -> tuple[str, ...]:
    """Do jobs that were written down for this machine, unless somebody has them.

    A polite kill (SIGTERM) ends them as an interrupt does: what works saves or ends, and can be
    taken up again.

    Args:
        ws: the workspace.
        job_ids: the jobs, the needed ones first.
        begun: called once the jobs are this process's, or are known to be another's.
        progress: told of the epochs.

    Returns:
        The ids of the runs that did not complete.

    Raises:
        RunError: there is no such job.
        KeyboardInterrupt: it was interrupted, and has marked the runs so.
    """
    # Whoever starts this in the background has it ignore interrupts, and its children too.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.default_int_handler)
    jobs = [JobFolder(ws.jobs / job_id).record() for job_id in job_ids]
    waiting = [job for job in jobs if job.state is JobState.SUBMITTED and job.scheduler_id is None]
    ours = claim(ws, waiting)
    begun()
    return run_here(ws, ours, progress=progress)


class _Stopped(Exception):
    """Somebody asked for the end of the task that is being done."""


def _cancel_waiting(ws: Workspace, job: Job) -> None:
    """Cancel what somebody wants to end and has not begun."""
    folder = JobFolder(ws.jobs / job.job_id)
    for number in tasks_to_stop(folder.path):
        run = run_folder(ws, job.tasks[number].run_id)
        record = run.record()
        waits = folder.record().tasks[number].state is None
        if waits and (record.job, record.state) == (job.job_id, State.PLANNED):
            reason = _cancelled(run, asked_to_stop(folder.path, number)).reason or ""
            cancel_dependents(ws, job.job_id, reason, run_id=record.run_id)


def _run_task(
    ws: Workspace,
    folder: JobFolder,
    job: Job,
    number: int,
    progress: Progress,
    look: Callable[[], None],
) -> Job:
    """Run one task here, unless it was cancelled, or another job has taken its run up."""
    look()
    run = run_folder(ws, job.tasks[number].run_id)
    record = run.record()
    if record.job != job.job_id:
        reason = f"its run is job '{record.job}'s"
        return folder.write(job.with_task(number, state="CANCELLED", reason=reason))
    if record.state is State.CANCELLED:
        return folder.write(job.with_task(number, state="CANCELLED", reason=record.reason))
    job = folder.write(job.with_task(number, state="RUNNING", started_at=utc_now()))
    try:
        status = _run_turns(folder, job, number, run, progress, look)
    except _Stopped:
        status = -signal.SIGINT
    done = _end_of(run, asked_to_stop(folder.path, number), status)
    if done.state is not State.COMPLETED:
        cancel_dependents(ws, job.job_id, done.reason or done.state.value, run_id=done.run_id)
    return folder.write(
        job.with_task(
            number,
            state=_SAID.get(done.state, "FAILED"),
            reason=done.reason,
            ended_at=utc_now(),
            exit_code=f"{max(status, 0)}:{max(-status, 0)}",
        )
    )


def _run_turns(
    folder: JobFolder,
    job: Job,
    number: int,
    run: RunFolder,
    progress: Progress,
    look: Callable[[], None],
) -> int:
    """Run a task's script until it needs no other turn; its exit status.

    Raises:
        _Stopped: somebody asked for its end, and it has ended.
    """
    epochs = int(run.config()["training"]["max_epochs"])
    what = f"{job.tasks[number].work} {run.record().name}"

    def waiting() -> None:
        look()
        if asked_to_stop(folder.path, number) is not None:
            raise _Stopped
        progress(what, len(run.metrics()), epochs)

    turns, status = 0, SAVED
    while status == SAVED and turns <= job.request.max_restarts:
        waiting()
        turns += 1
        status = run_script(folder.script, folder.log(job, number), number, waiting=waiting)
    return status


def _end_of(run: RunFolder, stopped_by: str | None, status: int) -> RunRecord:
    """A run's record after its script has ended, with the end that it could not write itself."""
    done = run.current()
    if done.state is State.COMPLETED:
        return done
    if stopped_by is not None:
        return _cancelled(run, stopped_by)
    if run.record().state in UNFINISHED:
        told = f"its process ended with exit status {status}"
        done = run.update(state=State.FAILED, reason=told, ended_at=utc_now())
        run.event(State.FAILED.value, reason=told)
    return done


def _cancelled(run: RunFolder, by: str | None) -> RunRecord:
    reason = f"cancelled by {by}"
    done = run.update(state=State.CANCELLED, reason=reason, ended_at=utc_now())
    run.event(State.CANCELLED.value, reason=reason)
    return done
