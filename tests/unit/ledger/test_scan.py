"""Finding runs, with broken ones among them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kdgat.errors import RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.journal import Journal
from kdgat.ledger.record import RunRecord
from kdgat.ledger.scan import broken, find_run, readable, run_folders
from kdgat.ledger.states import State
from tests.unit.ledger.made import new_run

START = datetime(2026, 11, 21, 7, 44, 55, tzinfo=UTC)


def add(runs: Path, minute: int, **changes: Any) -> str:
    """A run that began so many minutes after START; returns its id."""
    return new_run(runs, minute, **changes).path.name


def ids(folders: list[RunFolder]) -> list[str]:
    return [folder.path.name for folder in folders]


def find(runs: Path, reference: str, *accept: Callable[[RunRecord], bool]) -> RunFolder:
    return find_run(runs, reference, *accept, journal=Journal(runs / "journal"))


def refusal(runs: Path, reference: str) -> RunError:
    with pytest.raises(RunError) as caught:
        find(runs, reference)
    return caught.value


def test_runs_are_listed_newest_first_over_all_folders(tmp_path: Path) -> None:
    first = add(tmp_path, 0, dataset="set_02")
    third = add(tmp_path, 2, size="small", teacher=first)
    second = add(tmp_path, 1)
    assert ids(run_folders(tmp_path)) == [third, second, first]


def test_a_folder_that_is_being_made_or_removed_is_no_run(tmp_path: Path) -> None:
    run_id = add(tmp_path, 0)
    (path,) = tmp_path.glob(f"*/*/{run_id}")
    for name in (f".removed-{run_id}", f".partial-0123abcd-{run_id}"):
        path = path.rename(path.with_name(name))
        assert run_folders(tmp_path) == []


def test_a_ledger_that_does_not_exist_has_no_runs(tmp_path: Path) -> None:
    assert run_folders(tmp_path / "none") == []


def test_the_runs_of_one_dataset_are_two_levels_down(tmp_path: Path) -> None:
    add(tmp_path, 0, dataset="set_02")
    mine = add(tmp_path, 1)
    assert ids(run_folders(tmp_path / "set_01", depth=2)) == [mine]


def test_a_folder_without_a_record_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "set_01" / "large_classifier" / "20261121-074455-aaaaaa").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("mine")
    assert run_folders(tmp_path) == []


@pytest.mark.parametrize(
    "content", [b"", b'{"run_id": "2026', b"[]", b'{"name": "somebody else\'s"}', b"\xff\xfe"]
)
def test_a_broken_record_is_named_and_never_hides_the_others(
    tmp_path: Path, content: bytes
) -> None:
    good, bad, newest = (add(tmp_path, minute) for minute in range(3))
    path = tmp_path / "set_01" / "large_classifier" / bad / "run.json"
    path.write_bytes(content)
    folders = run_folders(tmp_path)
    assert [record.run_id for _, record in readable(folders)] == [newest, good]
    faults = broken(folders)
    assert len(faults) == 1
    assert str(path) in faults[0].problem
    assert find(tmp_path, good).path.name == good
    assert find(tmp_path, "latest").path.name == newest
    assert refusal(tmp_path, bad).problem == faults[0].problem


def test_a_broken_newest_run_is_not_the_latest(tmp_path: Path) -> None:
    good, bad = add(tmp_path, 0), add(tmp_path, 1)
    (tmp_path / "set_01" / "large_classifier" / bad / "run.json").write_text("{")
    assert find(tmp_path, "latest").path.name == good


def test_a_run_is_found_by_its_id_or_a_beginning_that_fits_one(tmp_path: Path) -> None:
    first, second = add(tmp_path, 0), add(tmp_path, 1)
    assert find(tmp_path, first).path.name == first
    assert find(tmp_path, second[:15]).path.name == second


def test_a_whole_id_wins_over_a_longer_one_that_begins_with_it(tmp_path: Path) -> None:
    add(tmp_path, 0, run_id="20261121-074455-3f9a2c-again")
    short = add(tmp_path, 0, run_id="20261121-074455-3f9a2c")
    assert find(tmp_path, short).path.name == short


def test_a_whole_id_is_found_wherever_it_lies_and_hidden_folders_are_not(tmp_path: Path) -> None:
    runs = [new_run(tmp_path, dataset=name) for name in ("set_01", "set_02")]
    for run in runs:
        assert find(tmp_path, run.path.name).path == run.path
    hidden = runs[0].path.rename(runs[0].path.with_name(f".removed-{runs[0].path.name}"))
    for reference in (runs[0].path.name, hidden.name, hidden.name[:5]):
        assert refusal(tmp_path, reference).problem == f"no run '{reference}'"


@pytest.mark.parametrize(
    "reference", ["*", "?" * 20, "[2]*", "../*", "..", ".", "set_01/", "x" * 999]
)
def test_a_pattern_or_a_path_is_no_beginning_of_an_id(tmp_path: Path, reference: str) -> None:
    add(tmp_path, 0)
    assert refusal(tmp_path, reference).problem == f"no run '{reference}'"


def test_an_ambiguous_beginning_names_three_of_those_it_fits(tmp_path: Path) -> None:
    four = sorted((add(tmp_path, minute) for minute in range(4)), reverse=True)
    error = refusal(tmp_path, "20261121")
    assert error.problem == f"'20261121' fits 4 runs ({', '.join(four[:3])}, ...)"
    assert error.hint == "give more of the run id"


def test_two_that_fit_are_both_named(tmp_path: Path) -> None:
    two = sorted((add(tmp_path, minute) for minute in range(2)), reverse=True)
    assert refusal(tmp_path, "2026").problem == f"'2026' fits 2 runs ({', '.join(two)})"


@pytest.mark.parametrize("reference", ["20271121", "", "xyz"])
def test_a_missing_run_is_named(tmp_path: Path, reference: str) -> None:
    add(tmp_path, 0)
    error = refusal(tmp_path, reference)
    assert error.problem == f"no run '{reference}'"
    assert error.hint == "`kdgat runs list` shows every run id"


def test_the_latest_is_the_newest_completed_one_that_is_accepted(tmp_path: Path) -> None:
    old = add(tmp_path, 0, model="vgae", stage="autoencoder")
    newer = add(tmp_path, 1)
    for minute, state in enumerate(set(State) - {State.COMPLETED}, start=2):
        add(tmp_path, minute, state=state)
    assert find(tmp_path, "latest").path.name == newer
    accepted = find(tmp_path, "latest", lambda record: record.model == "vgae")
    assert accepted.path.name == old


def test_the_latest_is_no_run_that_was_archived_or_removed(tmp_path: Path) -> None:
    old, archived, removed = (add(tmp_path, minute) for minute in range(3))
    journal = Journal(tmp_path / "journal")
    journal.append("archived", run_id=archived)
    journal.append("removed", run_id=removed, name="n", folder="f")
    assert find(tmp_path, "latest").path.name == old
    assert find(tmp_path, archived).path.name == archived
    journal.append("unarchived", run_id=archived)
    assert find(tmp_path, "latest").path.name == archived
    for run in (old, archived):
        journal.append("archived", run_id=run)
    assert "archived" in refusal(tmp_path, "latest").hint


def test_no_latest_is_told(tmp_path: Path) -> None:
    add(tmp_path, 0, state=State.FAILED)
    assert refusal(tmp_path, "latest").problem == "no completed run fits 'latest' here"


def test_a_filter_is_for_the_latest_alone(tmp_path: Path) -> None:
    mine = add(tmp_path, 0)
    assert find(tmp_path, mine, lambda _: False).path.name == mine


def test_a_lost_run_is_told_among_the_readable(tmp_path: Path) -> None:
    lost = add(tmp_path, 0, state=State.RUNNING, host="a-node-far-away", pid=1)
    (folder, record), *rest = readable(run_folders(tmp_path))
    assert (folder.path.name, record.state, rest) == (lost, State.LOST, [])
    assert json.loads((folder.path / "run.json").read_bytes())["state"] == "running"
