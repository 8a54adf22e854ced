"""A job's folder: what was given to a scheduler, for which runs, and what became of it.

    <home>/jobs/<job_id>/job.json    the record
                         job.sh      the script, exactly as it was given
                         *.out       what the job printed, one file a task

The record is written before the scheduler is asked, and the queue knows the job by a name that
holds its id: so whoever finds a job that was intended and has no scheduler's id can ask the queue
for the name, and nothing is given twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from kdgat.errors import RunError
from kdgat.ledger.files import atomic_path, write_json, write_text

NAME_PREFIX = "kdgat-"


class JobState(StrEnum):
    """Where a job is in its life, as far as kdgat took part in it."""

    INTENDED = "intended"
    """Written down; whether the scheduler has it is not known yet."""
    SUBMITTED = "submitted"
    """The scheduler has it, or had it."""
    REFUSED = "refused"
    """The scheduler did not take it."""
    ENDED = "ended"
    """Every task came to its end."""


@dataclass(frozen=True)
class JobTask:
    """One run of a job; the task's number is its place in the array."""

    run_id: str
    work: str = "train"
    """`train` or `evaluate`."""
    needs: str | None = None
    """The run that must complete before: its teacher or its subject, where that is not done."""
    state: str | None = None
    """The scheduler's word of it when it was last asked: PENDING, RUNNING, COMPLETED, ..."""
    reason: str | None = None
    node: str | None = None
    started_at: str | None = None
    ended_at: str | None = None
    exit_code: str | None = None
    """As sacct prints it: exit status and signal, `0:9`."""


@dataclass(frozen=True)
class JobRequest:
    """What a job asks of the cluster; one task where there is no array."""

    partition: str | None
    account: str | None
    time_limit_s: int
    nodes: int = 1
    tasks_per_node: int = 1
    cores_per_task: int = 1
    memory_mb: int | None = None
    """Memory a node, in MiB; None leaves it to the cluster."""
    gpu: str | None = None
    """The catalogue's name of the GPU, such as v100-16gb; None for none."""
    gres: str | None = None
    """The cluster's name of the GPU's type, such as v100."""
    gpus_per_node: int = 0
    throttle: int | None = None
    """Most tasks of an array that run at once."""
    max_restarts: int = 0
    signal_lead_s: int = 0
    """Seconds before the time limit at which the job is told to save and stop."""


@dataclass(frozen=True)
class Job:
    """One job: a single run, or an array of them. Times are ISO 8601 in UTC."""

    job_id: str
    cluster: str
    created_at: str
    tasks: tuple[JobTask, ...]
    request: JobRequest
    needs: tuple[str, ...] = ()
    """Jobs (by kdgat's ids) that must complete before this one may begin."""
    state: JobState = JobState.INTENDED
    scheduler_id: str | None = None
    """The scheduler's id; of an array, the whole array's."""
    submitted_at: str | None = None
    reason: str | None = None
    snapshot: str | None = None
    """Names the frozen code under `<home>/snapshots`."""
    array: bool = False
    details: dict[str, Any] = field(default_factory=dict)
    """What a reader may want to know besides, such as the planned memory."""

    @property
    def name(self) -> str:
        """The name in the queue."""
        return f"{NAME_PREFIX}{self.job_id}"

    def task_of(self, run_id: str) -> int:
        """The number of a run's task.

        Raises:
            RunError: the job has no such run.
        """
        for number, task in enumerate(self.tasks):
            if task.run_id == run_id:
                return number
        raise RunError(
            f"job '{self.job_id}' has no run '{run_id}'", hint="`kdgat status` lists jobs and runs"
        )

    def scheduler_task(self, number: int) -> str | None:
        """The scheduler's id of one task: `123`, or `123_4` in an array."""
        if self.scheduler_id is None:
            return None
        return f"{self.scheduler_id}_{number}" if self.array else self.scheduler_id

    def with_changes(self, **changes: Any) -> Job:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def with_task(self, number: int, **changes: Any) -> Job:
        """A copy with some fields of one task changed."""
        tasks = list(self.tasks)
        tasks[number] = replace(tasks[number], **changes)
        return replace(self, tasks=tuple(tasks))


@dataclass(frozen=True)
class JobFolder:
    """The files of one job."""

    path: Path

    @classmethod
    def create(cls, jobs: Path, job: Job, script: str) -> JobFolder:
        """A new folder under `jobs`, there as a whole or not at all.

        Raises:
            RunError: there is a job of this id already.
            StorageError: the file system refused.
        """
        folder = cls(jobs / job.job_id)
        if folder.path.exists():
            raise RunError(
                f"there is a job '{job.job_id}' already", hint="a new job needs an id of its own"
            )
        with atomic_path(folder.path) as aside:
            write_json(aside / "job.json", asdict(job))
            write_text(aside / "job.sh", script)
        return folder

    @property
    def script(self) -> Path:
        """The job's script."""
        return self.path / "job.sh"

    def log(self, job: Job, number: int = 0) -> Path:
        """Where a task's output goes."""
        return self.path / (f"task-{number}.out" if job.array else "job.out")

    def record(self) -> Job:
        """The record as it is on disk.

        Raises:
            RunError: it is missing, or no whole record.
        """
        return _job_from(self.path / "job.json")

    def update(self, **changes: Any) -> Job:
        """Change some fields of the record, atomically."""
        return self.write(self.record().with_changes(**changes))

    def write(self, job: Job) -> Job:
        """Replace the record, atomically."""
        write_json(self.path / "job.json", asdict(job))
        return job


def job_folders(jobs: Path) -> list[JobFolder]:
    """Every job's folder, newest first (ids sort by time)."""
    found = [path.parent for path in jobs.glob("*/job.json") if path.parent.name[0] != "."]
    return [JobFolder(path) for path in sorted(found, key=lambda path: path.name, reverse=True)]


def readable_jobs(jobs: Path) -> Iterator[tuple[JobFolder, Job]]:
    """The folders whose record can be read; a broken one never hides the others."""
    for folder in job_folders(jobs):
        try:
            yield folder, folder.record()
        except RunError:
            continue


def _job_from(path: Path) -> Job:
    hint = f"move the folder '{path.parent}' away, or restore the file; other jobs are not affected"
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise RunError(f"'{path}' can't be read: {error}", hint=hint) from error
    try:
        return Job(
            **{
                **values,
                "tasks": tuple(JobTask(**task) for task in values["tasks"]),
                "request": JobRequest(**values["request"]),
                "needs": tuple(values["needs"]),
                "state": JobState(values["state"]),
            }
        )
    except (TypeError, KeyError, ValueError) as error:
        raise RunError(f"'{path}' is no whole job record: {error}", hint=hint) from error
