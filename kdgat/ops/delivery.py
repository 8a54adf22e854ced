"""Jobs written down and given to a scheduler, once each.

The order is what makes it safe to be stopped at any instant: first the runs, as planned and with
their job's id; then the job, as intended; then sbatch; then what it answered. A job whose folder is
missing was never given. One that is intended may have been: its name is asked for before it is
given again.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from kdgat.errors import RunError, SlurmError, Unanswered
from kdgat.ledger.files import write_json
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.jobs import Job, JobFolder, JobState
from kdgat.ledger.record import RunRecord, utc_now
from kdgat.ledger.states import State
from kdgat.ops.submission import DraftJob, DraftRun
from kdgat.runs.lease import Lease, hold_lease, take_lease
from kdgat.slurm.client import Slurm
from kdgat.slurm.script import dependency_options
from kdgat.workspace import Workspace

_PATIENCE_S = 60.0
_LOOK_S = 0.2


@contextmanager
def alone(ws: Workspace) -> Iterator[Lease]:
    """Be the one who submits, while the block lasts; waits for another one to finish.

    Yields:
        The lease: `check` tells whether it was lost while this process stood still.

    Raises:
        StorageError: another one takes longer than a minute, or the file system refused.
    """
    folder, what = ws.jobs / ".lease", "the submitting of jobs"
    deadline = time.monotonic() + _PATIENCE_S
    while (lease := take_lease(folder, what)) is None:
        if time.monotonic() > deadline:
            with hold_lease(folder, what) as held:
                yield held
            return
        time.sleep(_LOOK_S)
    try:
        yield lease
    finally:
        lease.release()


def write_down(ws: Workspace, drafts: Sequence[DraftJob]) -> None:
    """Write what is about to be given: every run, then every job."""
    made = [(each, each.job) for each in drafts if each.job is not None]
    for each, job in made:
        for run in each.to_do:
            _plan_run(ws, run, job.job_id)
    for each, job in made:
        JobFolder.create(ws.jobs, job, each.script)


def give(ws: Workspace, client: Slurm, jobs: Iterable[Job], drafts: Sequence[DraftJob]) -> None:
    """Give jobs to the scheduler in this order, each unless it has it already.

    Args:
        ws: the workspace.
        client: the scheduler.
        jobs: jobs that are intended.
        drafts: what runs were before, for the case that a job is refused.

    Raises:
        Refused: a job was not taken; it and those after it are marked so.
        Unanswered: nobody knows whether a job was taken; it and those after it stay intended.
    """
    known = {each.job.job_id for each in drafts if each.job is not None}
    waiting = list(jobs)
    given = 0
    while waiting:
        job = waiting[0]
        try:
            found = None
            if job.job_id not in known:
                found = client.named(job.name, datetime.fromisoformat(job.created_at))
            taken(ws, job, found or _sbatch(ws, client, job))
        except Unanswered as error:
            raise Unanswered(
                f"{error.problem}; whether job '{job.name}' was taken is not known",
                hint="the same kdgat submit asks for it (without --fresh), and gives nothing twice",
            ) from error
        except SlurmError as error:
            take_back(ws, waiting, error.problem, drafts)
            before = f" ({given} before it were taken: `kdgat status`)" if given else ""
            raise type(error)(error.problem + before, hint=error.hint) from error
        waiting.pop(0)
        given += 1


def taken(ws: Workspace, job: Job, scheduler_id: str) -> None:
    """Write down that the scheduler has a job."""
    job = JobFolder(ws.jobs / job.job_id).update(
        state=JobState.SUBMITTED, scheduler_id=scheduler_id, submitted_at=utc_now()
    )
    for task in job.tasks:
        run = run_folder(ws, task.run_id)
        record = run.record()
        # It may have begun already, and then knows better.
        if record.job == job.job_id and record.state in (State.PLANNED, State.LOST):
            run.submitted(job.job_id)


def take_back(
    ws: Workspace,
    jobs: Sequence[Job],
    reason: str,
    drafts: Sequence[DraftJob] = (),
    state: JobState = JobState.REFUSED,
) -> None:
    """Mark jobs that will not run, and leave their runs as they were before, or cancelled."""
    before: Mapping[str, RunRecord] = {
        run.record.run_id: run.record
        for each in drafts
        for run in each.runs
        if run.folder is not None
    }
    for job in jobs:
        JobFolder(ws.jobs / job.job_id).update(state=state, reason=reason)
        for task in job.tasks:
            run = run_folder(ws, task.run_id)
            if run.record().job != job.job_id or run.record().state is not State.PLANNED:
                continue
            old = before.get(task.run_id)
            if old is not None and old.job != job.job_id:
                kept = ("state", "reason", "ended_at", "job", "host", "pid")
                run.update(**{name: getattr(old, name) for name in kept})
            else:
                run.update(
                    state=State.CANCELLED, reason=reason, ended_at=utc_now(), host=None, pid=None
                )
            run.event("not_submitted", reason=reason)


def run_folder(ws: Workspace, run_id: str) -> RunFolder:
    """The folder of a run, by its whole id.

    Raises:
        RunError: there is none.
    """
    for path in ws.runs.glob(f"*/*/{run_id}"):
        return RunFolder(path)
    raise RunError(f"no run '{run_id}'", hint="`kdgat runs list` shows every run id")


def _plan_run(ws: Workspace, run: DraftRun, job_id: str) -> None:
    config = run.config.model_dump(mode="json")
    if run.folder is None:
        RunFolder.create(ws.runs, run.record.with_changes(job=job_id), config)
        return
    if run.folder.config() != config:
        # Only where it computes may differ: another number of GPUs, say.
        write_json(run.folder.path / "config.json", config)
    run.folder.update(
        state=State.PLANNED,
        job=job_id,
        reason=None,
        ended_at=None,
        host=socket.gethostname(),
        pid=os.getpid(),
    )
    run.folder.event("planned", job=job_id)


def _sbatch(ws: Workspace, client: Slurm, job: Job) -> str:
    folder = JobFolder(ws.jobs / job.job_id)
    ids = tuple(_waits_for(ws, job))
    options = dependency_options(ids, corresponding=_corresponds(ws, job))
    return client.sbatch(Path(folder.script.name), cwd=folder.path, options=options)


def _corresponds(ws: Workspace, job: Job) -> bool:
    """Whether each task waits for the task of its own number, in one other array."""
    if not job.array or len(job.needs) != 1:
        return False
    needed = JobFolder(ws.jobs / job.needs[0]).record()
    return [task.needs for task in job.tasks] == [task.run_id for task in needed.tasks]


def _waits_for(ws: Workspace, job: Job) -> Iterator[str]:
    """The scheduler's ids of the tasks that must complete before; what has completed needs no wait.

    Raises:
        SlurmError: such a job was not given itself.
    """
    after = {task.needs for task in job.tasks}
    for job_id in job.needs:
        needed = JobFolder(ws.jobs / job_id).record()
        tasks = [
            number
            for number, task in enumerate(needed.tasks)
            if task.run_id in after
            and run_folder(ws, task.run_id).record().state is not State.COMPLETED
        ]
        if not tasks:
            continue
        if needed.scheduler_id is None:
            raise SlurmError(
                f"job '{job_id}', which must complete before, was not given to the scheduler",
                hint="submit its runs first (`kdgat status` shows them)",
            )
        if len(tasks) == len(needed.tasks) or _corresponds(ws, job):
            yield needed.scheduler_id
        else:
            yield from filter(None, map(needed.scheduler_task, tasks))
