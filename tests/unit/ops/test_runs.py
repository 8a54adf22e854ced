"""Operations on the ledger: the list with its filters, and one run whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kdgat.errors import RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.record import RunRecord, new_run_id, utc_now
from kdgat.ledger.states import State
from kdgat.ops.runs import list_runs, show_run
from kdgat.workspace import Workspace

START = datetime(2026, 11, 21, 7, 44, 55, tzinfo=UTC)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path, home=tmp_path / ".kdgat")


def add(ws: Workspace, minute: int, **changes: Any) -> RunFolder:
    """A run that began so many minutes after START."""
    record = RunRecord(
        run_id=new_run_id(START + timedelta(minutes=minute)),
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
        state=State.COMPLETED,
    )
    return RunFolder.create(ws.runs, record.with_changes(**changes), {"seed": 42})


def test_a_workspace_without_runs_has_an_empty_list(ws: Workspace) -> None:
    listed = list_runs(ws)
    assert (listed.items, listed.total, listed.truncated, listed.broken) == ((), 0, False, ())


def test_runs_are_listed_newest_first(ws: Workspace) -> None:
    folders = [add(ws, minute, seed=minute) for minute in range(3)]
    listed = list_runs(ws)
    assert listed.items == tuple(folder.record() for folder in reversed(folders))
    assert (listed.total, listed.truncated) == (3, False)


def test_a_limit_keeps_the_newest_and_says_how_many_there_are(ws: Workspace) -> None:
    folders = [add(ws, minute) for minute in range(3)]
    listed = list_runs(ws, limit=2)
    assert [record.run_id for record in listed.items] == [
        folder.path.name for folder in (folders[2], folders[1])
    ]
    assert (listed.total, listed.truncated) == (3, True)
    assert not list_runs(ws, limit=3).truncated


@pytest.mark.parametrize(
    ("filters", "seeds"),
    [
        ({"dataset": "set_02"}, [1]),
        ({"stage": "classifier"}, [3, 2, 1]),
        ({"stage": "classifier", "dataset": "set_01"}, [3, 2]),
        ({"state": "failed"}, [2]),
        ({"dataset": "set_02", "state": "failed"}, []),
    ],
)
def test_a_run_is_listed_when_every_filter_fits(
    ws: Workspace, filters: dict[str, str], seeds: list[int]
) -> None:
    add(ws, 0, seed=0, stage="autoencoder")
    add(ws, 1, seed=1, dataset="set_02")
    add(ws, 2, seed=2, state=State.FAILED)
    add(ws, 3, seed=3)
    listed = list_runs(ws, **filters)
    assert [record.seed for record in listed.items] == seeds
    assert listed.total == len(seeds)


def test_a_lost_run_is_listed_as_lost_and_not_as_running(ws: Workspace) -> None:
    add(ws, 0, state=State.RUNNING, host="a-node-far-away", pid=1)
    assert [record.state for record in list_runs(ws, state="lost").items] == [State.LOST]
    assert list_runs(ws, state="running").items == ()


def test_a_broken_run_is_told_and_the_others_are_listed(ws: Workspace) -> None:
    good, bad = add(ws, 0), add(ws, 1)
    (bad.path / "run.json").write_text("{")
    listed = list_runs(ws)
    assert [record.run_id for record in listed.items] == [good.path.name]
    assert len(listed.broken) == 1
    assert listed.broken[0].startswith(f"'{bad.path}/run.json' can't be read: ")


def test_a_run_is_shown_with_config_epochs_and_events(ws: Workspace) -> None:
    folder = add(ws, 0)
    folder.log_metrics(0, {"loss": 0.5})
    view = show_run(ws, folder.path.name[:15])
    assert view.record == folder.record()
    assert view.folder == f".kdgat/runs/set_01/large_classifier/{folder.path.name}"
    assert view.config == {"seed": 42}
    assert [(row["epoch"], row["loss"]) for row in view.epochs] == [(0, 0.5)]
    assert [row["event"] for row in view.events] == ["planned"]


def test_the_latest_run_shown_is_the_newest_completed_one(ws: Workspace) -> None:
    newest = [add(ws, 0), add(ws, 1), add(ws, 2, state=State.FAILED)][1]
    assert show_run(ws, "latest").record.run_id == newest.path.name


def test_a_run_that_does_not_exist_or_can_not_be_read_is_an_error(ws: Workspace) -> None:
    folder = add(ws, 0)
    with pytest.raises(RunError, match="no run 'nope'"):
        show_run(ws, "nope")
    (folder.path / "config.json").unlink()
    with pytest.raises(RunError, match=r"config\.json"):
        show_run(ws, folder.path.name)
