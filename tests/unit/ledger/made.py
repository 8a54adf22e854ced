"""Records and run folders for tests: a plain one, and what a test wants to be different."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kdgat.ledger.folder import RunFolder
from kdgat.ledger.record import RunRecord, new_run_id, utc_now
from kdgat.ledger.states import State

START = datetime(2026, 11, 21, 7, 44, 55, tzinfo=UTC)


def new_record(minute: int | None = None, **changes: Any) -> RunRecord:
    """A planned run of now, or of so many minutes after START."""
    record = RunRecord(
        run_id=new_run_id(None if minute is None else START + timedelta(minutes=minute)),
        stage="classifier",
        stage_version=1,
        dataset="set_01",
        provenance="real",
        model="gat",
        size="large",
        digest="0123456789abcdef",
        dataset_hash="d" * 64,
        seed=42,
        created_at=utc_now(),
    )
    return record.with_changes(**changes)


def new_run(runs: Path, minute: int | None = None, **changes: Any) -> RunFolder:
    """The folder of a completed run, with a config and nothing else."""
    record = new_record(minute, **{"state": State.COMPLETED, **changes})
    return RunFolder.create(runs, record, {"seed": 42})
