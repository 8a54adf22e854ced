"""Compaction: what is written, merged, deleted, and who may do it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.errors import StorageError
from kdgat.runs import compact as compact_module
from kdgat.runs import parts as parts_module
from kdgat.runs.compact import AUTOMATIC_ABOVE, compact
from kdgat.runs.history import open_history
from kdgat.runs.lease import Lease, hold_lease
from kdgat.runs.manifest import Manifest, Part, commit, newest_numbers, read_manifest
from kdgat.runs.revision import worth_merging
from kdgat.runs.snapshot import current_manifest
from kdgat.workspace import Workspace
from tests.unit.runs.folders import (
    age,
    history_rows,
    rewrite,
    run_id,
    true_rows,
    workspace,
    write_epochs,
    write_evaluation,
    write_run,
)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return workspace(tmp_path)


def test_a_second_compaction_has_nothing_to_do(ws: Workspace) -> None:
    for number in range(5):
        write_run(ws, number)
    assert compact(ws).outcome == "compacted"
    again = compact(ws)
    assert (again.outcome, again.runs, again.version) == ("nothing to do", 0, 1)


def test_a_dry_run_foretells_what_compaction_does_and_changes_nothing(ws: Workspace) -> None:
    folders = [write_run(ws, number) for number in range(5)]
    write_run(ws, 9, state="running", pid=os.getpid())
    compact(ws)
    write_run(ws, 10)
    folders[0].rename(ws.root / "elsewhere")
    told = compact(ws, dry_run=True)
    assert (told.outcome, told.runs, told.gone, told.fresh) == ("would compact", 1, 1, 1)
    assert newest_numbers(ws.history) == [1]
    done = compact(ws)
    assert (done.outcome, done.runs, done.gone, done.fresh) == ("compacted", 1, 1, 1)


@pytest.mark.parametrize("state", ["planned", "submitted", "running"])
def test_a_run_that_has_not_ended_is_left_out(ws: Workspace, state: str) -> None:
    write_run(ws, 1, state=state)
    assert compact(ws).outcome == "nothing to do"


@pytest.mark.parametrize("state", ["completed", "failed", "cancelled", "timeout", "preempted"])
def test_a_run_that_has_ended_is_taken_in(ws: Workspace, state: str) -> None:
    write_run(ws, 1, state=state)
    assert compact(ws).runs == 1
    assert history_rows(ws) == true_rows(ws)


def test_a_lost_run_is_taken_in_once_it_is_old(ws: Workspace) -> None:
    folder = write_run(ws, 1, state="running")
    assert compact(ws).outcome == "nothing to do"
    age(folder, parts_module.OLD_LOST_S + 60)
    assert compact(ws).runs == 1
    assert history_rows(ws) == true_rows(ws)


def test_a_run_written_in_this_tick_of_the_clock_is_left_out_until_the_next(ws: Workspace) -> None:
    folder = write_run(ws, 1)
    write_run(ws, 2)
    age(folder / "run.json", -60)
    done = compact(ws)
    assert (done.runs, done.fresh) == (1, 1)
    assert history_rows(ws) == true_rows(ws)
    times = (folder / "run.json").stat().st_mtime, folder.stat().st_mtime
    rewrite(folder, seed=4)
    os.utime(folder / "run.json", (times[0], times[0]))
    os.utime(folder, (times[1], times[1]))
    assert history_rows(ws) == true_rows(ws)
    age(folder / "run.json", 60)
    assert compact(ws).runs == 1
    assert history_rows(ws) == true_rows(ws)


def test_a_reader_compacts_when_many_runs_have_ended(ws: Workspace) -> None:
    for number in range(AUTOMATIC_ABOVE):
        write_run(ws, number)
    history_rows(ws)
    assert newest_numbers(ws.history) == []
    write_run(ws, AUTOMATIC_ABOVE)
    assert history_rows(ws) == true_rows(ws)
    assert newest_numbers(ws.history) == [1]


def test_a_reader_of_a_disk_that_can_not_be_written_says_so_and_answers(ws: Workspace) -> None:
    for number in range(AUTOMATIC_ABOVE + 1):
        write_run(ws, number)
    # A file where the folder should be refuses everybody, root too.
    ws.history.write_text("in the way")
    with open_history(ws) as history:
        table = history.query("select count(*) from runs")
    assert table.rows == ((AUTOMATIC_ABOVE + 1,),)
    assert "not compacted" in table.warnings[0]
    with pytest.raises(StorageError):
        compact(ws)


def test_many_runs_that_can_not_be_taken_in_are_not_tried_with_every_question(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(AUTOMATIC_ABOVE + 1):
        (write_run(ws, number) / "config.json").unlink()
    history_rows(ws)
    monkeypatch.delattr(compact_module, "take_lease")
    history_rows(ws)


def test_small_parts_are_merged_so_that_there_are_few(ws: Workspace) -> None:
    for number in range(40):
        write_run(ws, number)
        compact(ws)
    assert len(current_manifest(ws.history).parts) <= 6
    assert history_rows(ws) == true_rows(ws)


def test_runs_are_taken_in_in_batches(ws: Workspace) -> None:
    for number in range(25):
        write_run(ws, number)
    done = compact(ws, batch_runs=10)
    assert (done.runs, done.version) == (25, 4)
    assert done.parts == 1
    assert history_rows(ws) == true_rows(ws)


def test_rows_that_no_longer_count_are_dropped_when_parts_are_merged(ws: Workspace) -> None:
    folders = [write_run(ws, number) for number in range(9)]
    compact(ws)
    for folder in folders[:5]:
        rewrite(folder, seed=77)
    assert compact(ws).runs == 5
    manifest = current_manifest(ws.history)
    assert sum(part.runs for part in manifest.parts) == 9
    assert not any(part.dead for part in manifest.parts)
    assert history_rows(ws) == true_rows(ws)


def test_a_few_rows_that_no_longer_count_stay_hidden(ws: Workspace) -> None:
    folders = [write_run(ws, number) for number in range(9)]
    compact(ws)
    rewrite(folders[3], seed=77)
    compact(ws)
    assert [part.dead for part in current_manifest(ws.history).parts] == [(run_id(3),), ()]
    assert history_rows(ws) == true_rows(ws)


def test_files_of_older_versions_stay_for_a_while_and_then_go(ws: Workspace) -> None:
    for number in range(3):
        write_run(ws, number)
        compact(ws)
    kept = {path.name for path in (ws.history / "parts").iterdir()}
    assert len(newest_numbers(ws.history)) > 2
    for path in (*ws.history.rglob("*.parquet"), *ws.history.glob("manifest-*")):
        age(path, parts_module.GRACE_S + 60)
    (ws.history / ".partial-left").write_text("x")
    age(ws.history / ".partial-left", parts_module.GRACE_S + 60)
    compact(ws)
    (part,) = current_manifest(ws.history).parts
    left = {path.name for path in (ws.history / "parts").iterdir()}
    assert left == {name for name in kept if name.startswith(part.id)}
    assert len(newest_numbers(ws.history)) == 1
    assert not (ws.history / ".partial-left").exists()
    assert history_rows(ws) == true_rows(ws)


def test_a_reader_keeps_what_it_began_with_while_others_compact(ws: Workspace) -> None:
    for number in range(5):
        write_run(ws, number)
    compact(ws)
    with open_history(ws) as history:
        for number in range(5, 10):
            write_run(ws, number)
            compact(ws)
        assert history.query("select count(*) from runs").rows == ((5,),)
        assert history.query("select count(*) from epochs").rows == ((30,),)
    assert history_rows(ws) == true_rows(ws)


def test_one_compacts_at_a_time(ws: Workspace) -> None:
    write_run(ws, 1)
    with hold_lease(ws.history / "lease", "the history"):
        assert compact(ws).outcome == "busy"
    assert compact(ws).outcome == "compacted"
    assert compact(ws).outcome == "nothing to do"


def test_a_compaction_that_was_taken_over_stops(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(ws, 1)

    def taken_over(self: Lease) -> None:
        raise StorageError("the history was taken over", hint="nothing is lost")

    monkeypatch.setattr(Lease, "check", taken_over)
    with pytest.raises(StorageError, match="taken over"):
        compact(ws)
    monkeypatch.undo()
    assert compact(ws).outcome == "nothing to do"
    assert history_rows(ws) == true_rows(ws)


def test_of_two_that_commit_the_same_version_one_wins(tmp_path: Path) -> None:
    tmp_path.joinpath("parts").mkdir()
    assert commit(tmp_path, Manifest(1, (), {}))
    assert not commit(tmp_path, Manifest(1, (Part("late", 1),), {}))
    assert read_manifest(tmp_path, 1) == Manifest(1, (), {})


@given(sizes=st.lists(st.integers(1, 500), min_size=1, max_size=60))
@settings(max_examples=60)
def test_merging_keeps_parts_few_and_loses_none(sizes: list[int]) -> None:
    parts: tuple[Part, ...] = ()
    for number, size in enumerate(sizes):
        parts = (*parts, Part(str(number), size))
        old = worth_merging(parts)
        if old:
            merged = Part(f"m{number}", sum(part.runs for part in old))
            parts = (*(part for part in parts if part not in old), merged)
    assert sum(part.runs for part in parts) == sum(sizes)
    assert len(parts) <= 2 + sum(sizes).bit_length()


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["new", "fail", "resume", "finish", "gone", "judge", "compact", "look"]),
        st.integers(0, 7),
    ),
    max_size=25,
)


@given(actions=ACTIONS)
@settings(max_examples=25)
def test_whatever_happens_the_history_tells_what_the_folders_hold(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int]]
) -> None:
    ws = workspace(tmp_path_factory.mktemp("ws"))
    folders: dict[int, Path] = {}
    for number, (action, which) in enumerate(actions):
        chosen = folders.get(which)
        match action:
            case "new" | "fail" if chosen is None:
                state = "completed" if action == "new" else "failed"
                folders[which] = write_run(ws, which, state=state)
            case "judge":
                write_evaluation(ws, 100 + number, which)
            case "resume" if chosen:
                if json.loads((chosen / "run.json").read_text())["state"] == "failed":
                    rewrite(chosen, state="planned", attempts=2)
                    write_epochs(chosen, 3 + number % 5)
            case "finish" if chosen:
                if json.loads((chosen / "run.json").read_text())["state"] == "planned":
                    rewrite(chosen, state="completed", metrics={"x": float(number)})
            case "gone" if chosen:
                chosen.rename(ws.root / f"gone{number}")
                del folders[which]
            case "compact":
                compact(ws)
            case "look":
                assert history_rows(ws) == true_rows(ws)
            case _:
                continue
    assert history_rows(ws) == true_rows(ws)
    compact(ws)
    assert history_rows(ws) == true_rows(ws)
