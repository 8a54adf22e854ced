"""What is found among the runs that is no whole run, and what is done about it."""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdgat.ledger.files import read_lines, write_text
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.journal import Journal
from kdgat.ledger.record import utc_now
from kdgat.ledger.repair import LEFTOVER_AFTER_S, Fault, find_faults, mend
from kdgat.ledger.scan import run_folders
from kdgat.ledger.states import State
from tests.unit.ledger.made import new_run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def run(runs: Path) -> RunFolder:
    """A completed run, whole."""
    return add(runs)


def add(runs: Path, **changes: Any) -> RunFolder:
    folder = new_run(runs, **changes)
    folder.log_metrics(0, {"loss": 0.5})
    return folder


def age(path: Path) -> Path:
    """Make a file or folder as old as a leftover."""
    then = time.time() - LEFTOVER_AFTER_S - 60
    os.utime(path, (then, then))
    return path


def only(runs: Path, journal: Journal) -> Fault:
    (fault,) = find_faults(runs, journal)
    return fault


def left_as_it_is(runs: Path, journal: Journal) -> Fault:
    """The only fault, which mending leaves."""
    before = sorted((path, path.lstat().st_mtime_ns) for path in runs.rglob("*"))
    fault = only(runs, journal)
    assert mend(fault) == fault
    assert fault.action == "left"
    assert fault.next_step
    assert sorted((path, path.lstat().st_mtime_ns) for path in runs.rglob("*")) == before
    return fault


def test_nothing_is_wrong_with_no_runs_and_with_whole_ones(runs: Path, journal: Journal) -> None:
    assert find_faults(runs, journal) == []
    for state in State:
        add(runs, state=state, host=socket.gethostname(), pid=os.getpid())
    for folder in run_folders(runs):
        write_text(folder.path / "heartbeat", utc_now())
    assert find_faults(runs, journal) == []


@pytest.mark.parametrize("state", [State.PLANNED, State.RUNNING])
def test_a_run_whose_process_died_is_written_down_as_lost(
    runs: Path, journal: Journal, run: RunFolder, state: State
) -> None:
    run.update(state=state, host=socket.gethostname(), pid=2**22 + 1)
    fault = only(runs, journal)
    assert (fault.path, fault.action) == (run.path, "marked lost")
    assert run.record().state is state
    assert mend(fault) == fault
    assert run.record().state is State.LOST
    assert run.record().reason == fault.fault
    assert read_lines(run.path / "events.jsonl")[-1]["event"] == "lost"
    assert find_faults(runs, journal) == []


def spoil(name: str, content: str | None) -> Callable[[Path], None]:
    def do(path: Path) -> None:
        (path / name).unlink()
        if content is not None:
            (path / name).write_text(content)

    return do


@pytest.mark.parametrize("name", ["run.json", "config.json"])
@pytest.mark.parametrize("content", [None, "", "{", "[1]"])
def test_a_record_or_config_that_is_missing_or_corrupt_is_named_and_left(
    runs: Path, journal: Journal, run: RunFolder, name: str, content: str | None
) -> None:
    spoil(name, content)(run.path)
    fault = left_as_it_is(runs, journal)
    assert fault.path == run.path
    assert str(run.path / name) in fault.fault


def test_a_truncated_record_is_named_and_left(runs: Path, journal: Journal, run: RunFolder) -> None:
    path = run.path / "run.json"
    path.write_bytes(path.read_bytes()[:200])
    assert "run.json' can't be read" in left_as_it_is(runs, journal).fault


def test_a_torn_line_is_named_and_left(runs: Path, journal: Journal, run: RunFolder) -> None:
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 1, "lo')
    fault = left_as_it_is(runs, journal)
    assert fault.path == run.path / "metrics.jsonl"
    assert fault.fault == "1 of 2 lines are torn"


def test_a_line_that_a_running_job_is_writing_is_not_torn(
    runs: Path, journal: Journal, run: RunFolder
) -> None:
    with run.working({}), (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 1, "lo')
        file.flush()
        assert find_faults(runs, journal) == []


@pytest.mark.parametrize("where", [".", "set_01", "set_01/large_classifier"])
def test_a_file_where_only_folders_should_be_is_named_and_left(
    runs: Path, journal: Journal, run: RunFolder, where: str
) -> None:
    path = runs / where / "notes.txt"
    path.write_text("remember the milk")
    assert left_as_it_is(runs, journal).path == path
    assert run_folders(runs) == [run]


def test_a_foreign_folder_is_named_and_left(runs: Path, journal: Journal, run: RunFolder) -> None:
    path = run.path.with_name("my-plots")
    path.mkdir()
    (path / "curve.png").touch()
    fault = left_as_it_is(runs, journal)
    assert (fault.path, fault.fault) == (path, f"'{path / 'run.json'}' is missing")


def test_a_run_at_the_wrong_level_is_named_and_left(
    runs: Path, journal: Journal, run: RunFolder
) -> None:
    moved = run.path.rename(runs / "set_01" / run.path.name)
    fault = left_as_it_is(runs, journal)
    assert (fault.path, fault.fault[:16]) == (moved, "a run at level 2")


@pytest.mark.parametrize("kind", ["set_02/large_classifier", "set_01/small_classifier_kd"])
def test_a_run_in_the_place_of_another_kind_is_named_with_the_way_back(
    runs: Path, journal: Journal, run: RunFolder, kind: str
) -> None:
    (runs / kind).mkdir(parents=True, exist_ok=True)
    moved = run.path.rename(runs / kind / run.path.name)
    fault = left_as_it_is(runs, journal)
    assert (fault.path, fault.fault) == (moved, f"its record belongs in '{run.path}'")
    assert fault.next_step == f"mv {moved} {run.path}"


def test_a_run_that_is_there_twice_is_named_in_both_places(
    runs: Path, journal: Journal, run: RunFolder
) -> None:
    copy = run.path.with_name(f"{run.path.name}-copy")
    shutil.copytree(run.path, copy)
    faults = find_faults(runs, journal)
    assert {fault.path for fault in faults} == {run.path, copy}
    assert {fault.action for fault in faults} == {"left"}
    assert any(f"is here and in '{run.path}'" in fault.fault for fault in faults)


def test_leftovers_of_killed_writers_are_swept_once_they_are_old(
    runs: Path, journal: Journal, run: RunFolder
) -> None:
    run.checkpoints.mkdir()
    journal.folder.mkdir()
    leftovers = [
        run.checkpoints / ".partial-0123abcd-best.ckpt",
        run.path / ".partial-0123abcd-run.json",
        journal.folder / ".partial-0123abcd.json",
    ]
    for path in leftovers:
        path.write_text("half")
    half_made = run.path.with_name(".partial-0123abcd-20261121-074455-123f9a2")
    half_made.mkdir()
    (half_made / "config.json").write_text("{}")
    assert find_faults(runs, journal) == []
    for path in (*leftovers, half_made / "config.json", half_made):
        age(path)
    faults = find_faults(runs, journal)
    assert {fault.path for fault in faults} == {*leftovers, half_made}
    assert [mend(fault) for fault in faults] == faults
    assert {fault.action for fault in faults} == {"swept"}
    assert find_faults(runs, journal) == []
    assert run_folders(runs) == [run]


def test_what_a_killed_writer_put_aside_and_never_replaced_is_kept(
    runs: Path, journal: Journal, run: RunFolder
) -> None:
    run.artifacts.mkdir()
    old = age_folder(run.artifacts / ".partial-old-0123abcd-plots")
    assert left_as_it_is(runs, journal).next_step == f"mv {old} {run.artifacts / 'plots'}"
    (run.artifacts / "plots").mkdir()
    assert only(runs, journal).action == "swept"


def age_folder(path: Path) -> Path:
    path.mkdir()
    return age(path)


@pytest.mark.parametrize("renamed", [False, True])
def test_a_removal_that_was_killed_half_way_is_finished(
    runs: Path, journal: Journal, run: RunFolder, renamed: bool
) -> None:
    other = add(runs)
    journal.append("removed", run_id=run.path.name, name="n", folder="f")
    if renamed:
        aside = run.path.rename(run.path.with_name(f".removed-{run.path.name}"))
        (aside / "run.json").unlink()
    fault = only(runs, journal)
    assert (fault.action, mend(fault)) == ("removed", fault)
    assert sorted(other.path.parent.iterdir()) == [other.path]
    assert find_faults(runs, journal) == []


def test_what_only_looks_removed_is_named_and_left(
    runs: Path, journal: Journal, run: RunFolder
) -> None:
    aside = run.path.rename(run.path.with_name(f".removed-{run.path.name}"))
    assert left_as_it_is(runs, journal).path == aside


def test_a_torn_event_in_the_journal_is_named_and_left(
    runs: Path, journal: Journal, run: RunFolder
) -> None:
    journal.append("archived", run_id=run.path.name)
    (journal.folder / "20261121-101112-345ab12.json").write_text('{"id"')
    fault = left_as_it_is(runs, journal)
    assert "20261121-101112-345ab12.json' can't be read" in fault.fault


def test_a_file_in_place_of_all_runs_is_named(runs: Path, journal: Journal) -> None:
    runs.write_text("")
    fault = only(runs, journal)
    assert (fault.path, fault.action) == (runs, "left")


def test_a_link_is_taken_away_and_what_it_points_to_is_kept(
    runs: Path, journal: Journal, run: RunFolder, tmp_path: Path
) -> None:
    elsewhere = run.path.rename(tmp_path / run.path.name)
    run.path.symlink_to(elsewhere)
    journal.append("removed", run_id=run.path.name, name="n", folder="f")
    mend(only(runs, journal))
    assert list(run.path.parent.iterdir()) == []
    assert (elsewhere / "run.json").is_file()


def test_every_fault_is_found_beside_every_other(
    runs: Path, journal: Journal, run: RunFolder
) -> None:
    lost = add(runs, state=State.RUNNING, host="a-node-far-away", pid=1)
    torn = add(runs, dataset="set_02")
    spoil("config.json", "{")(torn.path)
    (torn.path / "events.jsonl").write_text("torn")
    (runs / "set_03").write_text("")
    journal.append("removed", run_id=run.path.name, name="n", folder="f")
    faults = find_faults(runs, journal)
    assert {(fault.path, fault.action) for fault in faults} == {
        (run.path, "removed"),
        (lost.path, "marked lost"),
        (torn.path, "left"),
        (torn.path / "events.jsonl", "left"),
        (runs / "set_03", "left"),
    }
    for fault in faults:
        mend(fault)
    assert {fault.action for fault in find_faults(runs, journal)} == {"left"}
