"""The history's views tell what the folders hold, row by row, compacted or not."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from kdgat.errors import HistoryError
from kdgat.ledger.files import write_json
from kdgat.ledger.journal import Journal
from kdgat.runs.compact import compact
from kdgat.runs.history import open_history
from kdgat.runs.views import VIEWS
from kdgat.workspace import Workspace
from tests.unit.runs.folders import (
    history_rows,
    rewrite,
    run_id,
    true_rows,
    workspace,
    write_epochs,
    write_evaluation,
    write_record,
    write_run,
)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return workspace(tmp_path)


def ids(ws: Workspace) -> list[str]:
    with open_history(ws) as history:
        return [row[0] for row in history.query("select run_id from runs order by 1").rows]


def faults(ws: Workspace) -> tuple[str, ...]:
    with open_history(ws) as history:
        for view in VIEWS:
            history.query(f"select * from {view}")
        return history.faults


def test_every_view_is_there_and_typed_before_there_is_any_run(ws: Workspace) -> None:
    with open_history(ws) as history:
        for view in VIEWS.values():
            told = history.query(f"describe {view.name}").rows
            assert [(row[0], row[1]) for row in told] == [(c.name, c.kind) for c in view.columns]
            assert history.query(f"select * from {view.name}").rows == ()


def test_fresh_folders_are_told_row_by_row(ws: Workspace) -> None:
    for number in range(12):
        write_run(ws, number)
    write_evaluation(ws, 20, 3)
    assert history_rows(ws) == true_rows(ws)


def test_compacted_folders_are_told_row_by_row_and_beside_fresh_ones(ws: Workspace) -> None:
    for number in range(12):
        write_run(ws, number)
    write_evaluation(ws, 20, 3)
    assert compact(ws).runs == 13
    assert history_rows(ws) == true_rows(ws)
    write_run(ws, 30)
    write_evaluation(ws, 31, 4)
    assert history_rows(ws) == true_rows(ws)


@pytest.mark.parametrize("compacted", [False, True])
def test_a_resumed_run_is_read_afresh(ws: Workspace, compacted: bool) -> None:
    folder = write_run(ws, 1, state="failed", reason="disk full")
    write_run(ws, 2)
    if compacted:
        compact(ws)
    assert history_rows(ws) == true_rows(ws)
    write_epochs(folder, 6)
    rewrite(folder, state="planned", reason=None, attempts=2)
    assert history_rows(ws) == true_rows(ws)
    rewrite(folder, state="completed", metrics={"best_val_loss": 0.01})
    assert history_rows(ws) == true_rows(ws)
    compact(ws)
    assert history_rows(ws) == true_rows(ws)


def test_a_changed_completed_run_is_read_afresh_by_the_next_compaction(ws: Workspace) -> None:
    folder = write_run(ws, 1)
    compact(ws)
    rewrite(folder, metrics={"best_val_loss": 0.25})
    assert compact(ws).runs == 1
    assert history_rows(ws) == true_rows(ws)


@pytest.mark.parametrize("compacted", [False, True])
def test_a_run_whose_folder_is_gone_is_gone(ws: Workspace, compacted: bool) -> None:
    folders = [write_run(ws, number) for number in range(4)]
    if compacted:
        compact(ws)
    assert len(ids(ws)) == 4
    folders[2].rename(ws.root / "elsewhere")
    assert run_id(2) not in ids(ws)
    assert history_rows(ws) == true_rows(ws)
    (ws.root / "elsewhere").rename(folders[2])
    assert history_rows(ws) == true_rows(ws)


def test_a_copied_run_is_told_once(ws: Workspace) -> None:
    folder = write_run(ws, 1)
    for copy in (ws.runs / "a_copy" / "kind", ws.runs / "z_copy" / "kind"):
        (copy / folder.name).mkdir(parents=True)
        for name in ("run.json", "config.json", "metrics.jsonl"):
            (copy / folder.name / name).write_bytes((folder / name).read_bytes())
    assert ids(ws) == [run_id(1)]
    compact(ws)
    assert ids(ws) == [run_id(1)]
    compact(ws)
    with open_history(ws) as history:
        assert history.query("select count(*) from epochs").rows == ((6,),)


@pytest.mark.parametrize("compacted", [False, True])
def test_the_journal_says_what_is_archived_and_removed(ws: Workspace, compacted: bool) -> None:
    for number in range(4):
        write_run(ws, number)
    if compacted:
        compact(ws)
    journal = Journal(ws.journal)
    journal.append("archived", run_id=run_id(0))
    journal.append("archived", run_id=run_id(1))
    journal.append("unarchived", run_id=run_id(1))
    journal.append("removed", run_id=run_id(3), name="x", folder="y")
    with open_history(ws) as history:
        archived = history.query("select run_id from runs where archived").rows
        assert archived == ((run_id(0),),)
        for view in ("runs", "params", "metrics", "epochs"):
            told = history.query(f"select distinct run_id from {view} order by 1").rows
            assert told == ((run_id(0),), (run_id(1),), (run_id(2),))


def test_models_are_told_from_the_journal_with_their_aliases(ws: Workspace) -> None:
    journal = Journal(ws.journal)
    for version in (1, 2, 3):
        journal.append(
            "registered", model="m", version=version, run_id=run_id(version),
            checkpoint_sha256="a" * 64, tags={"teacher": None, "n": version},
        )  # fmt: skip
    for alias, version in (("champion", 1), ("challenger", 2), ("champion", 2), ("old", 1)):
        journal.append(
            "alias_set", model="m", alias=alias, version=version, run_id=run_id(version), reason=""
        )
    journal.append("alias_removed", model="m", alias="old")
    journal.append("version_removed", model="m", version=3)
    with open_history(ws) as history:
        told = history.query("select version, run_id, aliases, tags from models order by 1").rows
    assert told == (
        (1, run_id(1), "", '{"teacher": null, "n": 1}'),
        (2, run_id(2), "challenger,champion", '{"teacher": null, "n": 2}'),
    )


def test_a_running_run_without_a_sign_of_life_is_lost(ws: Workspace) -> None:
    write_run(ws, 1, state="running", pid=None, ended_at=None)
    with open_history(ws) as history:
        assert history.query("select state from runs").rows == (("lost",),)


class TestWhatIsBroken:
    def test_never_hides_the_others_and_is_named(self, ws: Workspace) -> None:
        for number in range(3):
            write_run(ws, number)
        kind = ws.runs / "hcrl_sa" / "large_classifier"
        for name, text in {
            "truncated": '{"run_id": "trunc',
            "empty": "",
            "a_list": "[1, 2]",
            "foreign": '{"hello": "world"}',
            "binary": "\x00\xff\x00",
            "typed": json.dumps({**_values("typed"), "seed": "x"}),
            "huge": json.dumps({**_values("huge"), "seed": 2**70}),
            "surrogate": json.dumps({**_values("surrogate"), "model": "\ud800"}),
            "other_name": json.dumps(_values("another")),
            "no_state": json.dumps({**_values("no_state"), "state": "dreaming"}),
            "deep": "[" * 100_000,
        }.items():
            (kind / name).mkdir(parents=True)
            (kind / name / "run.json").write_text(text, encoding="latin-1")
        (kind / "a_file").write_text("x")
        (ws.runs / "stray").write_text("x")
        (kind / "folder_in_place_of_a_file" / "run.json").mkdir(parents=True)
        assert ids(ws) == [run_id(0), run_id(1), run_id(2)]
        assert len(faults(ws)) == 12
        assert compact(ws).runs == 3
        assert ids(ws) == [run_id(0), run_id(1), run_id(2)]
        assert len(faults(ws)) == 12

    def test_parts_of_a_run_leave_its_other_parts(self, ws: Workspace) -> None:
        folders = [write_run(ws, number) for number in range(4)]
        (folders[0] / "config.json").write_text("{")
        (folders[1] / "metrics.jsonl").write_text('{"epoch": 0, "loss": 1}\n{"epoch": 1, "lo')
        (folders[2] / "metrics.jsonl").unlink()
        report = write_evaluation(ws, 9, 3) / "artifacts" / "evaluation.json"
        report.write_text(report.read_text()[:100])
        assert len(ids(ws)) == 5
        with open_history(ws) as history:
            told = history.query("select run_id, epoch, value from epochs where epoch < 1").rows
        assert (run_id(1), 0, 1.0) in told
        assert sorted("config.json" in fault for fault in faults(ws)) == [False, True]

    def test_a_broken_run_is_compacted_once_it_is_mended(self, ws: Workspace) -> None:
        folder = write_run(ws, 1)
        whole = (folder / "config.json").read_text()
        (folder / "config.json").write_text("{")
        assert compact(ws).outcome == "nothing to do"
        (folder / "config.json").write_text(whole)
        assert compact(ws).runs == 1
        assert history_rows(ws) == true_rows(ws)

    def test_figures_that_are_none_are_left_out(self, ws: Workspace) -> None:
        folder = write_run(ws, 1, metrics={"a": "text", "b": [1], "c": 10**400, "d": True})
        (folder / "metrics.jsonl").write_text(
            '{"epoch": "x", "a": 1}\n{"epoch": -1, "a": 1}\n7\n{"a": 1}\n{"epoch": 0, "a": 2}\n'
        )
        with open_history(ws) as history:
            figures = history.query("select name, value from metrics order by 1").rows
            assert figures == (("c", None), ("d", 1.0))
            assert history.query("select epoch, time, value from epochs").rows == ((0, None, 2.0),)

    def test_a_dataset_or_an_event_that_can_not_be_read_hides_nothing(self, ws: Workspace) -> None:
        write_run(ws, 1)
        write_json(ws.data / "odd" / "captures.json", {"version": 99})
        ws.journal.mkdir(parents=True)
        (ws.journal / "20261101-000000-0000000.json").write_text("{")
        with open_history(ws) as history:
            assert history.query("select * from datasets").rows == ()
        assert ids(ws) == [run_id(1)]

    def test_a_missing_part_of_the_compacted_history_is_read_from_the_folders(
        self, ws: Workspace
    ) -> None:
        for number in range(4):
            write_run(ws, number)
        compact(ws)
        next(ws.history.glob("parts/*-epochs.parquet")).unlink()
        assert history_rows(ws) == true_rows(ws)
        assert compact(ws).runs == 4
        assert history_rows(ws) == true_rows(ws)

    def test_a_damaged_manifest_is_made_again(self, ws: Workspace) -> None:
        write_run(ws, 1)
        compact(ws)
        next(ws.history.glob("manifest-*.json")).write_text('{"version": 1, "num')
        assert history_rows(ws) == true_rows(ws)
        assert compact(ws).outcome == "compacted"
        assert history_rows(ws) == true_rows(ws)

    def test_a_damaged_part_is_told_with_what_to_do(self, ws: Workspace) -> None:
        write_run(ws, 1)
        compact(ws)
        part = next(ws.history.glob("parts/*-runs.parquet"))
        part.write_bytes(part.read_bytes()[:-20] + b"x" * 20)
        with open_history(ws) as history, pytest.raises(HistoryError) as caught:
            history.query("select * from runs")
        assert "history" in caught.value.hint


def _values(name: str) -> dict[str, object]:
    return {
        "run_id": name, "stage": "classifier", "stage_version": 1, "dataset": "hcrl_sa",
        "provenance": "real", "model": "gat", "size": "large", "digest": "x", "dataset_hash": "y",
        "seed": 1, "created_at": "2026-11-01T00:00:00+00:00", "state": "completed",
    }  # fmt: skip


def test_our_own_questions_take_values_and_can_be_cut(ws: Workspace) -> None:
    for number in range(5):
        write_run(ws, number)
    with open_history(ws) as history:
        table = history.query("select run_id from runs where seed > ? order by 1", [1], max_rows=2)
        assert table.rows == ((run_id(2),), (run_id(3),))
        assert table.truncated
        assert not history.query("select 1", max_rows=1).truncated
        with pytest.raises(HistoryError, match="nope"):
            history.query("select nope from runs")


def test_threads_ask_at_once(ws: Workspace) -> None:
    for number in range(30):
        write_run(ws, number)
    compact(ws)
    wrong: list[object] = []

    def ask() -> None:
        for _ in range(10):
            found = ids(ws)
            if len(found) != 30:
                wrong.append(found)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("change", ["fresh", "resumed", "gone", "removed", "archived", "compacted"])
def test_rows_held_from_earlier_questions_are_told_as_they_are_now(
    ws: Workspace, change: str
) -> None:
    folders = [write_run(ws, number, state="failed") for number in range(6)]
    write_evaluation(ws, 20, 3)
    compact(ws)
    for _ in range(4):
        assert history_rows(ws) == true_rows(ws)
    match change:
        case "fresh":
            write_run(ws, 7)
        case "resumed":
            rewrite(folders[1], state="completed", attempts=2, metrics={"best_val_loss": 0.5})
        case "gone":
            folders[1].rename(ws.root / "elsewhere")
        case "compacted":
            write_run(ws, 8)
            compact(ws)
        case _:
            Journal(ws.journal).append(change, run_id=run_id(1), name="x", folder="y")
    for _ in range(4):
        if change in ("removed", "archived"):
            with open_history(ws) as history:
                told = history.query("select archived from runs where run_id = ?", [run_id(1)])
                figures = history.query(
                    "select count(*) from metrics where run_id = ?", [run_id(1)]
                )
            assert told.rows == (() if change == "removed" else ((True,),))
            assert (figures.rows[0][0] == 0) == (change == "removed")
        else:
            assert history_rows(ws) == true_rows(ws)


def test_what_is_held_can_not_be_changed_by_a_statement(ws: Workspace) -> None:
    write_run(ws, 1)
    compact(ws)
    for _ in range(4):
        assert ids(ws) == [run_id(1)]
    for sql in (
        'delete from held.main."_runs"',
        'drop table held.main."_runs"',
        'update held.main."_runs" set state = 1',
        "create table held.main.mine as select 1",
        "create table mine as select 1",
    ):
        with open_history(ws) as history, pytest.raises(HistoryError, match="read-only"):
            history.query(sql)
    with open_history(ws) as history:
        history.query("select * from runs")
        history.query("create temporary table mine as select 1")
    with open_history(ws) as history, pytest.raises(HistoryError, match="mine"):
        history.query("select * from mine")
    assert ids(ws) == [run_id(1)]


def test_hostile_text_of_a_fresh_folder_is_text(ws: Workspace) -> None:
    texts = ["'); drop view runs; --", "\x00", '"', "\u202e", "x" * 100_000, "{rows}", "$1", "?"]
    for number, text in enumerate(texts):
        write_run(ws, number, host=text)
    with open_history(ws) as history:
        told = history.query("select host from runs order by run_id").rows
    assert [row[0] for row in told] == texts


def test_a_new_run_is_seen_at_once_by_a_process_that_looked_before(ws: Workspace) -> None:
    for number in range(20):
        write_run(ws, number, state="planned")
        assert len(ids(ws)) == number + 1


def test_a_folder_that_becomes_a_run_later_is_seen_then(ws: Workspace) -> None:
    folder = write_run(ws, 1)
    text = json.loads((folder / "run.json").read_text())
    (folder / "run.json").unlink()
    assert ids(ws) == []
    write_record(folder, text)
    assert ids(ws) == [run_id(1)]
