"""Replaying run folders into a real MLflow store: everything once, and whatever happens."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from kdgat.errors import RunError, StorageError
from kdgat.ledger.journal import Journal
from kdgat.ledger.states import State
from kdgat.ops.models import promote as promote_model
from kdgat.ops.models import register as register_model
from kdgat.runs.lease import hold_lease
from kdgat.runs.store import database, mirrored, mirrored_by_search, open_store
from kdgat.runs.tracking import pending, sync_after, sync_runs
from kdgat.workspace import Workspace
from tests.unit.runs.small_ledger import (
    contents,
    make_evaluation,
    make_run,
    rows,
    run_id,
    workspace,
    write_epochs,
)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return workspace(tmp_path)


def statuses(ws: Workspace) -> dict[str, tuple[str, str]]:
    return {row[1]: (row[3], row[6]) for row in contents(ws)["runs"]}


def test_a_run_is_whole_in_mlflow(ws: Workspace) -> None:
    folder = make_run(
        ws, 1, epochs=2, teacher="t1", config={"a": {"b": [1, 2]}, "text": "x" * 9000}
    )
    (folder.artifacts / "plots").mkdir(parents=True)
    (folder.artifacts / "plots" / "curve.svg").write_text("<svg/>")
    report = sync_runs(ws)
    assert (report.created, report.failed, report.notes) == ((run_id(1),), (), ())
    found = contents(ws)
    assert found["runs"] == [
        ("simulated", run_id(1), "simulated-gat-large-kd classifier", "FINISHED",
         1795255201123, 1795255259123, "active"),
    ]  # fmt: skip
    assert {(row[1], row[2], row[3], row[4]) for row in found["metrics"]} == {
        ("loss", 1.0, 1795255202123, 0),
        ("loss", 0.5, 1795255203123, 1),
        ("f1", 0.0, 1795255202123, 0),
        ("f1", 0.1, 1795255203123, 1),
        ("best_val_f1", 0.501, 1795255259123, 0),
        ("epochs", 2.0, 1795255259123, 0),
    }
    params = {row[1]: row[2] for row in found["params"]}
    assert params["a.b"] == "[1, 2]"
    assert len(params["text"]) == 5000
    tags = {row[1]: row[2] for row in found["tags"]}
    assert tags["kdgat.teacher"] == "t1"
    assert tags["kdgat.dataset_hash"] == "a" * 64
    assert tags["kdgat.provenance"] == "simulated"
    assert tags["mlflow.source.git.commit"] == "c0ffee"
    assert tags["kdgat.folder"] == f"runs/simulated/large_classifier_kd/{run_id(1)}"
    ((_, name, digest, profile),) = found["inputs"]
    assert (name, digest) == ("simulated", "a" * 36)
    assert json.loads(profile) == {"content_hash": "a" * 64, "provenance": "simulated"}
    names = [row[1] for row in found["artifacts"]]
    assert names == ["artifacts/config.json", "artifacts/plots/curve.svg"]


def test_a_run_larger_than_mlflow_s_batches_is_whole(ws: Workspace) -> None:
    config = {"field": {f"f{number}": number for number in range(250)}}
    make_run(ws, 1, epochs=700, config=config)
    assert sync_runs(ws).failed == ()
    found = contents(ws)
    assert len(found["params"]) == 250
    assert len(found["metrics"]) == 2 * 700 + 2
    assert len(found["latest_metrics"]) == 4
    assert {row[4] for row in found["latest_metrics"]} == {699, 0}


def test_an_evaluation_has_the_figures_of_its_scenarios(ws: Workspace) -> None:
    make_evaluation(ws, 2, make_run(ws, 1), (8, 1, 2, 9))
    assert sync_runs(ws).failed == ()
    metrics = {row[1]: row[2] for row in contents(ws)["metrics"] if row[0] == run_id(2)}
    assert metrics["zero_shot/test_01_known_vehicle_known_attack/false_positives"] == 1
    assert metrics["latency_ms"] == 1.5
    assert (run_id(2), "kdgat.subject", run_id(1)) in contents(ws)["tags"]


def test_syncing_twice_changes_no_row(ws: Workspace) -> None:
    for number, state in enumerate(State):
        make_run(ws, number, state=state)
    assert len(sync_runs(ws).created) == len(State)
    before = contents(ws, raw=True)
    again = sync_runs(ws)
    assert again.unchanged == len(State)
    assert (again.created, again.updated) == ((), ())
    assert contents(ws, raw=True) == before
    assert pending(ws) == ()


def test_what_was_touched_is_gone_through_again_and_stays_the_same(ws: Workspace) -> None:
    folder = make_run(ws, 1)
    sync_runs(ws)
    before = contents(ws)
    os.utime(folder.path / "run.json", ns=(1, 1))
    assert pending(ws) == (run_id(1),)
    assert sync_runs(ws).updated == (run_id(1),)
    after = contents(ws)
    for each in (before, after):
        each["tags"] = [row for row in each["tags"] if row[1] != "kdgat.synced"]
    assert after == before


def test_states_become_statuses(ws: Workspace) -> None:
    for number, state in enumerate(State):
        make_run(ws, number, state=state)
    sync_runs(ws)
    found = {state: statuses(ws)[run_id(number)][0] for number, state in enumerate(State)}
    # A run that is said to run on another host and gave no sign of life is lost.
    assert found[State.RUNNING] == found[State.LOST] == "FAILED"
    assert found[State.COMPLETED] == "FINISHED"
    assert found[State.CANCELLED] == found[State.PREEMPTED] == "KILLED"
    assert found[State.PLANNED] == found[State.SUBMITTED] == "SCHEDULED"


def test_a_resumed_run_adds_only_its_new_epochs(ws: Workspace) -> None:
    folder = make_run(ws, 1, epochs=2, state=State.FAILED, metrics={})
    sync_runs(ws)
    first = rows(ws, "SELECT rowid, * FROM metrics")
    write_epochs(folder, range(2, 5))
    folder.update(state=State.COMPLETED, ended_at="2026-11-21T10:01:00.000+00:00")
    assert sync_runs(ws).updated == (run_id(1),)
    after = rows(ws, "SELECT rowid, * FROM metrics")
    assert set(first) < set(after)
    assert len(after) == len(first) + 3 * 2
    assert statuses(ws) == {run_id(1): ("FINISHED", "active")}


def test_epochs_that_were_trained_again_take_the_place_of_the_old_ones(ws: Workspace) -> None:
    folder = make_run(ws, 1, epochs=3, state=State.FAILED, metrics={})
    sync_runs(ws)
    folder.forget_metrics_from(1)
    write_epochs(folder, range(1, 4), shift_s=100)
    folder.update(state=State.COMPLETED)
    sync_runs(ws)
    found = contents(ws)
    assert len([row for row in found["metrics"] if row[1] == "loss"]) == 4
    # The other is there as deleted, as MLflow deletes.
    assert sorted(row[6] for row in found["runs"]) == ["active", "deleted"]
    assert pending(ws) == ()
    assert sync_runs(ws).unchanged == 1


def test_folders_that_were_never_synced_are_filled_in(ws: Workspace) -> None:
    make_run(ws, 5)
    sync_runs(ws)
    make_run(ws, 3)
    make_run(ws, 9, dataset="hcrl_sa", provenance="real")
    assert set(pending(ws)) == {run_id(3), run_id(9)}
    assert sync_runs(ws).created == (run_id(3), run_id(9))
    assert {row[0] for row in contents(ws)["runs"]} == {"simulated", "hcrl_sa"}


def test_one_run_can_be_synced_alone(ws: Workspace) -> None:
    make_run(ws, 1)
    make_run(ws, 2)
    assert sync_runs(ws, runs=[run_id(2)]).created == (run_id(2),)
    assert pending(ws) == (run_id(1),)
    with pytest.raises(RunError, match="no run"):
        sync_runs(ws, runs=["20200101"])


def test_removed_and_archived_runs_follow(ws: Workspace) -> None:
    for number in (1, 2, 3):
        make_run(ws, number)
    sync_runs(ws)
    journal = Journal(ws.journal)
    journal.append("removed", run_id=run_id(1), name="x", folder="y")
    journal.append("archived", run_id=run_id(2))
    assert set(pending(ws)) == {run_id(1), run_id(2)}
    report = sync_runs(ws)
    assert (report.deleted, report.updated) == ((run_id(1),), (run_id(2),))
    assert statuses(ws)[run_id(1)][1] == "deleted"
    assert (run_id(2), "kdgat.archived", "true") in contents(ws)["tags"]
    journal.append("unarchived", run_id=run_id(2))
    sync_runs(ws)
    assert (run_id(2), "kdgat.archived", "false") in contents(ws)["tags"]
    assert sync_runs(ws).unchanged == 2


def test_a_deleted_experiment_of_the_same_name_is_restored(ws: Workspace) -> None:
    make_run(ws, 1)
    make_run(ws, 2)
    sync_runs(ws)
    Journal(ws.journal).append("removed", run_id=run_id(2), name="x", folder="y")
    sync_runs(ws)
    with open_store(ws.mlflow) as client:
        found = client.get_experiment_by_name("simulated")
        assert found is not None
        client.delete_experiment(found.experiment_id)
    make_run(ws, 3)
    report = sync_runs(ws)
    assert any("'simulated' had been deleted" in note for note in report.notes)
    # MLflow restores all runs of an experiment; the removed one is deleted again.
    stages = {name: stage for name, (_, stage) in statuses(ws).items()}
    assert stages == {run_id(1): "active", run_id(2): "deleted", run_id(3): "active"}


def test_a_run_that_was_deleted_in_mlflow_comes_back(ws: Workspace) -> None:
    make_run(ws, 1)
    sync_runs(ws)
    before = contents(ws)
    with open_store(ws.mlflow) as client:
        client.delete_run(mirrored(ws.mlflow)[run_id(1)][0].mlflow_id)
    assert pending(ws) == (run_id(1),)
    sync_runs(ws)
    assert contents(ws) == before


def test_of_two_copies_one_stays(ws: Workspace) -> None:
    make_run(ws, 1)
    sync_runs(ws)
    before = contents(ws)
    with open_store(ws.mlflow) as client:
        found = client.get_experiment_by_name("simulated")
        assert found is not None
        client.create_run(found.experiment_id, 1795255209999, {"kdgat.run_id": run_id(1)})
    sync_runs(ws)
    after = contents(ws)
    assert [row for row in after.pop("runs") if row[6] == "active"] == before.pop("runs")
    assert after == before


@pytest.mark.parametrize("page_size", [1, 2, 100])
def test_a_search_goes_on_until_the_last_page(ws: Workspace, page_size: int) -> None:
    for number in range(5):
        make_run(ws, number, dataset=f"set_0{number % 2}")
    sync_runs(ws)
    with open_store(ws.mlflow) as client:
        client.delete_run(mirrored(ws.mlflow)[run_id(1)][0].mlflow_id)
        found = mirrored_by_search(client, page_size)
    assert found == mirrored(ws.mlflow)
    assert len(found) == 5


def test_a_locked_store_is_told_in_one_sentence(ws: Workspace) -> None:
    make_run(ws, 1)
    with closing(sqlite3.connect(database(ws.mlflow), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="keeps it locked") as caught:
            sync_runs(ws, lock_wait_s=0.1)
    assert "kdgat runs sync" in caught.value.hint
    assert sync_runs(ws).created == (run_id(1),)


def test_a_second_sync_says_who_holds_the_store(ws: Workspace) -> None:
    make_run(ws, 1)
    with (
        hold_lease(ws.mlflow / "lease", "the MLflow store"),
        pytest.raises(StorageError, match=rf"held by process {os.getpid()} on host"),
    ):
        sync_runs(ws)
    assert sync_runs(ws).created == (run_id(1),)


def test_a_broken_folder_is_named_and_stops_no_other(ws: Workspace) -> None:
    make_run(ws, 1)
    (make_run(ws, 2).path / "run.json").write_text("{")
    (make_run(ws, 3).path / "config.json").unlink()
    report = sync_runs(ws)
    assert report.created == (run_id(1),)
    assert len(report.failed) == 2
    assert "config.json" in "".join(report.failed)


def test_after_a_run_a_failure_is_an_event_and_a_sentence(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KDGAT_NO_SYNC", raising=False)
    folder = make_run(ws, 1)
    with hold_lease(ws.mlflow / "lease", "the MLflow store"):
        told = sync_after(ws, run_id(1))
    assert told is not None
    assert "is held by process" in told
    last = (folder.path / "events.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["event"] == "sync_failed"
    assert sync_after(ws, run_id(1)) is None
    assert pending(ws) == ()


def test_what_is_new_of_a_run_is_told_by_its_name(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KDGAT_NO_SYNC", raising=False)
    make_run(ws, 1)
    with hold_lease(ws.mlflow / "lease", "the MLflow store"):
        registered = register_model(ws, run_id(1), challenger=False)
        promoted = promote_model(ws, registered.version.reference, alias="challenger")
    reference = registered.version.reference
    assert (registered.not_in_mlflow or "").startswith(f"'{reference}' is not in MLflow yet: ")
    assert (promoted.not_in_mlflow or "").startswith(
        f"'{reference}' as challenger is not in MLflow yet: "
    )


def test_after_a_run_nothing_is_done_where_it_is_not_wanted(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDGAT_NO_SYNC", "1")
    make_run(ws, 1)
    assert sync_after(ws, run_id(1)) is None
    assert pending(ws) == (run_id(1),)


def test_the_store_can_be_made_again(ws: Workspace) -> None:
    for number in (1, 2):
        make_run(ws, number)
    Journal(ws.journal).append("archived", run_id=run_id(2))
    sync_runs(ws)
    before = contents(ws)
    assert len(sync_runs(ws, rebuild=True).created) == 2
    assert contents(ws) == before


def test_a_store_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    ws = workspace(tmp_path, with_store=False)
    leftover = ws.mlflow / ".partial-12345678-mlflow.db"
    leftover.write_bytes(b"half a store")
    make_run(ws, 1)
    assert sync_runs(ws).created == (run_id(1),)
    assert not leftover.exists()


def test_an_artifact_that_a_killed_sync_left_half_copied_is_swept(ws: Workspace) -> None:
    make_run(ws, 1)
    sync_runs(ws)
    before = contents(ws)
    (place,) = ws.mlflow.glob("artifacts/**/config.json")
    (place.parent / ".artifact.uploading.q4cqvpd4").write_bytes(b"half")
    assert contents(ws) != before
    make_run(ws, 2)
    sync_runs(ws)
    assert not list(ws.mlflow.glob("artifacts/**/.artifact.uploading.*"))


def test_a_foreign_database_is_told_in_one_sentence(ws: Workspace) -> None:
    make_run(ws, 1)
    database(ws.mlflow).write_bytes(b"this is no database" * 100)
    with pytest.raises(StorageError) as caught:
        sync_runs(ws)
    assert "--rebuild" in caught.value.hint
    assert sync_runs(ws, rebuild=True).created == (run_id(1),)


def test_nothing_to_do_does_not_need_mlflow(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    make_run(ws, 1)
    sync_runs(ws)

    def refuse(*_: object) -> Callable[[], None]:
        raise AssertionError("MLflow was opened")

    monkeypatch.setattr("kdgat.runs.tracking.open_store", refuse)
    assert sync_runs(ws).unchanged == 1


def test_a_store_that_was_moved_is_not_written_to(ws: Workspace, tmp_path: Path) -> None:
    make_run(ws, 1)
    sync_runs(ws)
    ws.home.rename(tmp_path / "scratch")
    moved = Workspace(tmp_path, tmp_path / "scratch")
    assert sync_runs(moved).unchanged == 1
    make_run(moved, 2)
    with pytest.raises(StorageError, match="made elsewhere") as caught:
        sync_runs(moved)
    assert "--rebuild" in caught.value.hint
    assert len(sync_runs(moved, rebuild=True).created) == 2
    assert not ws.home.exists()
