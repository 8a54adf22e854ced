"""Jobs as rows of the history's view `jobs`: one a job and run, newest job first."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from kdgat.ledger.jobs import Job, JobTask, readable_jobs

JobRow = tuple[str | None, str, str, str | None, datetime | None, datetime | None, datetime | None]
"""The scheduler's id (`123`, or `123_4` in an array), run, the scheduler's state (or what kdgat
knows of the job, where the scheduler never told one), partition, and when it was given, began and
ended: in UTC, without a zone."""


def job_rows(jobs: Path) -> list[JobRow]:
    """The rows of every job that can be read."""
    return [
        _row(job, number, task)
        for _, job in readable_jobs(jobs)
        for number, task in enumerate(job.tasks)
    ]


def _row(job: Job, number: int, task: JobTask) -> JobRow:
    return (
        job.scheduler_task(number),
        task.run_id,
        task.state or job.state.value,
        job.request.partition,
        _time(job.submitted_at),
        _time(task.started_at),
        _time(task.ended_at),
    )


def _time(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
