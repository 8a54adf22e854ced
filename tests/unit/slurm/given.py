"""Runs and the jobs that were made of them, as `kdgat submit` leaves them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kdgat.ledger.folder import RunFolder
from kdgat.ledger.jobs import Job, JobFolder, JobRequest, JobState, JobTask
from kdgat.ledger.record import RunRecord
from kdgat.ledger.states import State
from kdgat.workspace import Workspace

CREATED = "2026-11-21T14:50:30.000+00:00"


def record(run_id: str, **changes: Any) -> RunRecord:
    """A classifier's run, given to a scheduler."""
    usual = RunRecord(
        run_id=run_id, stage="classifier", stage_version=1, dataset="hcrl_sa", provenance="real",
        model="gat", size="large", digest="d", dataset_hash="h", seed=1, created_at=CREATED,
        state=State.SUBMITTED,
    )  # fmt: skip
    return replace(usual, **changes)


def job(job_id: str, *run_ids: str, **changes: Any) -> Job:
    """A job of these runs: an array where there are several; its name is `kdgat-<job_id>`."""
    request = JobRequest(
        partition="gpu", account="PAS3209", time_limit_s=14_400, memory_mb=4096, cores_per_task=4
    )
    usual = Job(
        job_id=job_id, cluster="pitzer", created_at=CREATED, request=request,
        tasks=tuple(JobTask(run_id) for run_id in run_ids), array=len(run_ids) > 1,
        state=JobState.SUBMITTED, scheduler_id="7",
    )  # fmt: skip
    return replace(usual, **changes)


def give(ws: Workspace, given: Job, **changes: Any) -> JobFolder:
    """The job's folder, and a run folder for each of its tasks."""
    config = {"training": {"max_epochs": 12}}
    for task in given.tasks:
        RunFolder.create(ws.runs, record(task.run_id, **{"job": given.job_id, **changes}), config)
    return JobFolder.create(ws.jobs, given, "#!/bin/bash\n")


def run_of(ws: Workspace, run_id: str) -> RunFolder:
    """One run's folder."""
    return RunFolder(next(ws.runs.glob(f"*/*/{run_id}")))


def beat(ws: Workspace, run_id: str, at: str) -> None:
    """A sign of life."""
    (run_of(ws, run_id).path / "heartbeat").write_text(at + "\n")
