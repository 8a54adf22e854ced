"""Jobs as rows of the history."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from kdgat.ledger.job_rows import job_rows
from kdgat.ledger.jobs import JobFolder, JobState, JobTask
from kdgat.runs.tables import check_fit
from tests.unit.slurm.given import job


def test_there_is_a_row_for_every_run_of_every_job(tmp_path: Path) -> None:
    began, over = "2026-11-21T14:50:36+00:00", "2026-11-21T15:00:00+00:00"
    ran = JobTask("r1", state="COMPLETED", started_at=began, ended_at=over)
    array = job("a", "r0", "r1", submitted_at="2026-11-21T15:50:30.123+01:00")
    JobFolder.create(tmp_path, array.with_changes(tasks=(array.tasks[0], ran)), "")
    intended = job("b", "r2", state=JobState.INTENDED, scheduler_id=None)
    JobFolder.create(tmp_path, intended, "")
    given = datetime(2026, 11, 21, 14, 50, 30, 123_000)
    assert job_rows(tmp_path) == [
        (None, "r2", "intended", "gpu", None, None, None),
        ("7_0", "r0", "submitted", "gpu", given, None, None),
        ("7_1", "r1", "COMPLETED", "gpu", given, datetime(2026, 11, 21, 14, 50, 36),
         datetime(2026, 11, 21, 15, 0)),
    ]  # fmt: skip


def test_the_rows_fit_the_view(tmp_path: Path) -> None:
    JobFolder.create(tmp_path, job("a", "r0"), "")
    check_fit("jobs", job_rows(tmp_path))


def test_a_broken_job_hides_no_other_and_no_jobs_are_no_rows(tmp_path: Path) -> None:
    assert job_rows(tmp_path / "none") == []
    JobFolder.create(tmp_path, job("a", "r0"), "")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "job.json").write_text("{")
    assert [row[1] for row in job_rows(tmp_path)] == ["r0"]
