"""Operations on runs that were given to a scheduler: where they stand, and what they print.

Each look takes one squeue and at most one sacct, however many runs there are, and brings the
ledger up to date by the way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path

from kdgat.errors import RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.jobs import Job, JobFolder
from kdgat.ledger.record import RunRecord
from kdgat.ledger.scan import LATEST, readable, run_folders
from kdgat.ledger.states import State
from kdgat.runs.registry import run_named
from kdgat.slurm.client import Slurm
from kdgat.slurm.poll import Polled, TaskStatus, moment
from kdgat.slurm.reconcile import LOCAL, reconcile
from kdgat.workspace import Workspace

_LATELY = timedelta(days=1)
LIVE = frozenset({State.PLANNED, State.SUBMITTED, State.RUNNING})
"""States of a run that waits or works."""
_TAIL_BYTES = 4 << 20
_REMEMBERED = 1 << 17
"""Runs of which a process remembers whether they are completed."""


@dataclass(frozen=True)
class RunStatus:
    """Where one run stands, by the ledger and by the scheduler. Times are ISO 8601 in UTC."""

    run_id: str
    name: str
    stage: str
    state: State
    reason: str | None
    job_id: str | None
    scheduler_id: str | None
    scheduler_state: str | None
    """The scheduler's word, now or (of an ended job) when it was last asked; UNKNOWN where it
    tells nothing of an open job."""
    scheduler_reason: str | None
    cluster: str
    partition: str | None
    node: str | None
    starts_at: str | None
    """When a waiting job is expected to begin, where the scheduler reckoned."""
    elapsed_s: int | None
    time_limit_s: int | None
    epoch: int | None
    """Epochs trained so far."""
    epochs: int | None
    """The most there will be."""
    restarts: int | None


@dataclass(frozen=True)
class StatusReport:
    """Runs of schedulers and runs at work in a shell here, newest first."""

    items: tuple[RunStatus, ...]
    truncated: bool
    scheduler: str
    """`answered`, `not asked`, or what is missing and why."""
    adopted: tuple[str, ...]
    """Jobs that an interrupted submission had left behind, and that the scheduler has."""
    seconds: float

    @property
    def over(self) -> bool:
        """Whether none of the runs waits or works."""
        return not any(item.state in LIVE for item in self.items)


@dataclass(frozen=True)
class LogView:
    """A piece of what a job printed."""

    run_id: str
    state: State
    path: str
    text: str
    end: int
    """Where the piece ends, in bytes: the next one begins there."""
    note: str | None
    """Why there is nothing yet."""

    @property
    def ended(self) -> bool:
        """Whether nothing will come after it."""
        return self.state not in LIVE


def status(
    ws: Workspace,
    *,
    run: str | None = None,
    all: bool = False,
    limit: int = 50,
    client: Slurm | None = None,
) -> StatusReport:
    """Where runs stand: those that wait or work, and the scheduler's that ended within a day.

    Args:
        ws: the workspace.
        run: only this one, whatever its state.
        all: every run that ever was given to a scheduler.
        limit: at most so many.
        client: the scheduler; default: this machine's.

    Raises:
        RunError: the run that was named does not exist.
    """
    began = time.monotonic()
    # What doesn't exist is told before anybody is asked.
    named = given_run(ws, run) if run else None
    learnt = reconcile(ws, client or Slurm())
    jobs = {job.job_id: job for job in learnt.jobs}
    items = []
    more = False
    worked_on = {task.run_id for job in learnt.jobs for task in job.tasks}
    folders = run_folders(ws.runs) if all else _not_over(ws, worked_on)
    for folder, record in readable([named] if named else folders):
        if not (named or record.job in jobs or _is_shown(record, all=all)):
            continue
        if len(items) == limit:
            more = True
            break
        job = jobs.get(record.job or "") or _job(ws, record)
        items.append(_row(folder, record, job, learnt.polled))
    seconds = round(time.monotonic() - began, 3)
    heard = _heard(learnt.polled, asked=bool(learnt.jobs))
    return StatusReport(tuple(items), more, heard, learnt.adopted, seconds)


def logs(ws: Workspace, run: str, *, lines: int = 200, offset: int | None = None) -> LogView:
    """What a run's job printed: the last lines, or what came after an offset.

    Raises:
        RunError: there is no such run, or it was not given to a scheduler.
    """
    folder = given_run(ws, run)
    record = folder.current()
    job = job_of(ws, record)
    path = JobFolder(ws.jobs / job.job_id).log(job, job.task_of(record.run_id))
    text, end = _piece(path, lines, offset)
    note = None if path.is_file() else _why_nothing(record)
    return LogView(record.run_id, record.state, ws.show(path), text, end, note)


def given_run(ws: Workspace, reference: str) -> RunFolder:
    """The run that is named; `latest` is the newest that was given to a scheduler.

    Raises:
        RunError: there is none.
    """
    if reference != LATEST:
        return run_named(ws, reference)
    for folder, record in readable(run_folders(ws.runs)):
        if record.job:
            return folder
    raise RunError("no run was given to a scheduler yet", hint="`kdgat submit --help` tells how")


def job_of(ws: Workspace, record: RunRecord) -> Job:
    """The job that works on a run, or did last.

    Raises:
        RunError: it was not given to a scheduler, or the job's record is broken.
    """
    if record.job is None:
        where = f" (host {record.host}, process {record.pid})" if record.state in LIVE else ""
        raise RunError(
            f"run '{record.run_id}' was not given to a scheduler{where}",
            hint=f"`kdgat runs show {record.run_id}` tells what is known of it",
        )
    return JobFolder(ws.jobs / record.job).record()


def _is_shown(record: RunRecord, *, all: bool) -> bool:
    if record.state in LIVE:
        return True
    if record.job is None:
        return False
    return all or _is_late(record.ended_at)


def _is_late(ended_at: str | None) -> bool:
    return ended_at is not None and datetime.now(UTC) - moment(ended_at) < _LATELY


@dataclass(frozen=True)
class _Completed:
    """What of a completed run decides whether it is shown."""

    job: str | None
    ended_at: str | None


def _not_over(ws: Workspace, worked_on: Collection[str]) -> Iterator[RunFolder]:
    """The runs that may have to be shown: all but those completed that are known not to.

    A completed run never goes on, whereas every other end is an end until somebody resumes it.
    """
    for folder in run_folders(ws.runs):
        known = None if folder.path.name in worked_on else _completed(folder)
        if known is None or (known.job and _is_late(known.ended_at)):
            yield folder


def _completed(folder: RunFolder) -> _Completed | None:
    """What is known of a completed run; None for any other, and for what can't be read."""
    # Text, because making ten thousand paths takes longer than looking at them.
    path = str(folder.path)
    try:
        found = os.stat(f"{path}/run.json")  # noqa: PTH116
        return _read_completed(path, found.st_ino, found.st_mtime_ns, found.st_size)
    except (OSError, RunError):
        return None


@lru_cache(maxsize=_REMEMBERED)
def _read_completed(path: str, *_signs: int) -> _Completed | None:
    """The same from the file; a record is renamed into place, so a new one has other signs."""
    record = RunFolder(Path(path)).record()
    if record.state is not State.COMPLETED:
        return None
    return _Completed(record.job, record.ended_at)


def _row(folder: RunFolder, record: RunRecord, job: Job | None, polled: Polled) -> RunStatus:
    now, scheduler_id = _scheduled(record, job, polled)
    rows = folder.metrics()
    return RunStatus(
        run_id=record.run_id,
        name=record.name,
        stage=record.stage,
        state=record.state,
        reason=record.reason,
        job_id=job.job_id if job else None,
        scheduler_id=scheduler_id,
        scheduler_state=now.state if now else None,
        scheduler_reason=now.reason if now else None,
        cluster=job.cluster if job else LOCAL,
        partition=(now.partition if now else None) or (job.request.partition if job else None),
        node=(now.node if now else None) or record.host,
        starts_at=now.expected_at if now else None,
        elapsed_s=_elapsed_s(record, now),
        time_limit_s=(now.time_limit_s if now else None)
        or (job.request.time_limit_s if job else None),
        epoch=rows[-1].get("epoch", -1) + 1 if rows else None,
        epochs=_epochs(folder),
        restarts=now.restarts if now else None,
    )


def _scheduled(
    record: RunRecord, job: Job | None, polled: Polled
) -> tuple[TaskStatus | None, str | None]:
    """What the scheduler says of a run now, or said last, and its id there."""
    if job is None or job.cluster == LOCAL:
        return None, None
    number = job.task_of(record.run_id)
    now = polled.tasks.get((job.job_id, number))
    if now is None:
        kept = job.tasks[number]
        now = TaskStatus(
            state=kept.state or job.state.value.upper(),
            reason=kept.reason,
            node=kept.node,
            started_at=kept.started_at,
            ended_at=kept.ended_at,
        )
    return now, job.scheduler_task(number)


def _elapsed_s(record: RunRecord, now: TaskStatus | None) -> int | None:
    if now and now.elapsed_s is not None:
        return now.elapsed_s
    start = now.started_at if now else record.started_at
    end = now.ended_at if now else record.ended_at
    if start is None or (end is None and record.state is not State.RUNNING):
        return None
    return round(((moment(end) if end else datetime.now(UTC)) - moment(start)).total_seconds())


def _epochs(folder: RunFolder) -> int | None:
    try:
        training = folder.config().get("training")
    except RunError:
        return None
    most = training.get("max_epochs") if isinstance(training, dict) else None
    return most if isinstance(most, int) else None


def _heard(polled: Polled, *, asked: bool) -> str:
    if not asked:
        return "not asked: every job has ended"
    if polled.queue is not None:
        return f"no answer: {polled.queue}; what is shown may be out of date"
    if polled.accounts is not None:
        return f"squeue answered, sacct did not: {polled.accounts}"
    return "answered"


def _job(ws: Workspace, record: RunRecord) -> Job | None:
    """The job of a run; None where it has none, or its record is gone or broken."""
    if record.job is None:
        return None
    try:
        job = JobFolder(ws.jobs / record.job).record()
    except RunError:
        return None
    return job if any(task.run_id == record.run_id for task in job.tasks) else None


def _piece(path: Path, lines: int, offset: int | None) -> tuple[str, int]:
    """The text after an offset, or the last lines; and where it ends. A missing file is empty."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            # A log that became shorter was begun anew.
            start = max(0, size - _TAIL_BYTES) if offset is None else min(offset, size)
            file.seek(start)
            data = file.read(_TAIL_BYTES)
    except OSError:
        return "", 0
    if offset is None:
        return "".join(data.decode(errors="replace").splitlines(keepends=True)[-lines:]), size
    # A letter of several bytes may be half written: whole lines, or all there is.
    whole = data[: data.rfind(b"\n") + 1] or data
    return whole.decode(errors="replace"), start + len(whole)


def _why_nothing(record: RunRecord) -> str:
    if record.state in (State.PLANNED, State.SUBMITTED):
        return "its job has not begun; `kdgat status` tells what it waits for"
    why = f": {record.reason}" if record.reason else ""
    return f"its job printed nothing; the run is {record.state.value}{why}"
