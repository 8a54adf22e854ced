"""Operations on the ledger: the list with its filters, and one run whole."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kdgat.errors import KdgatError, RunError
from kdgat.ledger.files import write_text
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.journal import Journal
from kdgat.ledger.record import utc_now
from kdgat.ledger.states import State
from kdgat.ops.runs import (
    archive_runs,
    list_runs,
    remove_runs,
    repair_runs,
    show_run,
    unarchive_runs,
)
from kdgat.workspace import Workspace
from tests.unit.ledger.made import new_run

START = datetime(2026, 11, 21, 7, 44, 55, tzinfo=UTC)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path, home=tmp_path / ".kdgat")


def add(ws: Workspace, minute: int, **changes: Any) -> RunFolder:
    """A run that began so many minutes after START."""
    return new_run(ws.runs, minute, **changes)


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
    listed = list_runs(ws, **dict[str, Any](filters))
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
    archive_runs(ws, ["latest"])
    assert show_run(ws, "latest").record.run_id != newest.path.name


def test_a_run_that_does_not_exist_or_can_not_be_read_is_an_error(ws: Workspace) -> None:
    folder = add(ws, 0)
    with pytest.raises(RunError, match="no run 'nope'"):
        show_run(ws, "nope")
    (folder.path / "config.json").unlink()
    with pytest.raises(RunError, match=r"config\.json"):
        show_run(ws, folder.path.name)


def listed_ids(ws: Workspace, **options: Any) -> list[str]:
    return [record.run_id for record in list_runs(ws, **options).items]


def kinds(ws: Workspace) -> list[str]:
    return [event.kind for event in Journal(ws.journal).events()]


def refusal(ws: Workspace, *runs: str, force: bool = False) -> KdgatError:
    """Why these can't be removed; nothing is touched then, and a trial says the same."""
    before = sorted(ws.home.rglob("*"))
    with pytest.raises(KdgatError) as trial:
        remove_runs(ws, runs, force=force, dry_run=True)
    with pytest.raises(KdgatError) as caught:
        remove_runs(ws, runs, force=force)
    assert caught.value.problem == trial.value.problem
    assert sorted(ws.home.rglob("*")) == before
    return caught.value


def promote(ws: Workspace, run_id: str, alias: str = "champion", version: int = 1) -> None:
    model = "set_01-gat-large"
    register(ws, run_id, version)
    Journal(ws.journal).append(
        "alias_set", model=model, alias=alias, version=version, run_id=run_id, reason="better"
    )


def register(ws: Workspace, run_id: str, version: int = 1) -> None:
    details: dict[str, Any] = {"checkpoint_sha256": "c" * 64, "tags": {}, "version": version}
    Journal(ws.journal).append("registered", model="set_01-gat-large", run_id=run_id, **details)


def test_an_archived_run_is_hidden_until_asked_for_or_taken_back(ws: Workspace) -> None:
    old, new = add(ws, 0).path.name, add(ws, 1).path.name
    done = archive_runs(ws, [old])
    assert (done.archived, done.changed, done.unchanged) == (True, (old,), ())
    assert listed_ids(ws) == [new]
    assert (list_runs(ws).total, list_runs(ws).hidden) == (1, 1)
    everything = list_runs(ws, archived=True)
    assert [record.run_id for record in everything.items] == [new, old]
    assert (everything.archived, everything.hidden) == ((old,), 0)
    assert show_run(ws, old).archived
    assert unarchive_runs(ws, [old]).changed == (old,)
    assert listed_ids(ws) == [new, old]
    assert not show_run(ws, old).archived


def test_archiving_twice_is_one_event(ws: Workspace) -> None:
    run = add(ws, 0).path.name
    archive_runs(ws, [run, run])
    again = archive_runs(ws, [run])
    assert (again.changed, again.unchanged) == ((), (run,))
    assert kinds(ws) == ["archived"]
    unarchive_runs(ws, [run])
    assert unarchive_runs(ws, [run]).unchanged == (run,)
    assert kinds(ws) == ["archived", "unarchived"]


def test_of_several_runs_none_is_archived_when_one_does_not_exist(ws: Workspace) -> None:
    run = add(ws, 0).path.name
    with pytest.raises(RunError, match="no run 'nope'"):
        archive_runs(ws, [run, "nope"])
    assert kinds(ws) == []


def test_a_removed_run_is_gone_and_the_journal_says_so(ws: Workspace) -> None:
    gone, kept = add(ws, 0), add(ws, 1)
    removal = remove_runs(ws, [gone.path.name])
    (item,) = removal.items
    assert not removal.dry_run
    assert (item.run_id, item.name, item.stage) == (
        gone.path.name,
        "set_01-gat-large",
        "classifier",
    )
    assert item.size_bytes > 500
    assert list(gone.path.parent.iterdir()) == [kept.path]
    (event,) = Journal(ws.journal).events()
    folder = f"runs/set_01/large_classifier/{gone.path.name}"
    assert event.kind == "removed"
    assert event.details == {"run_id": gone.path.name, "name": "set_01-gat-large", "folder": folder}
    assert listed_ids(ws, archived=True) == [kept.path.name]


def test_a_trial_removes_nothing(ws: Workspace) -> None:
    run = add(ws, 0)
    trial = remove_runs(ws, [run.path.name], dry_run=True)
    assert trial.dry_run
    assert [item.run_id for item in trial.items] == [run.path.name]
    assert run.record().state is State.COMPLETED
    assert kinds(ws) == []


@pytest.mark.parametrize("force", [False, True])
def test_a_running_run_is_never_removed(ws: Workspace, force: bool) -> None:
    run = add(ws, 0, state=State.RUNNING, host=socket.gethostname(), pid=os.getpid())
    write_text(run.path / "heartbeat", utc_now())
    assert f"'{run.path.name}' is running" in refusal(ws, run.path.name, force=force).problem


def test_a_lost_run_can_be_removed(ws: Workspace) -> None:
    run = add(ws, 0, state=State.RUNNING, host="a-node-far-away", pid=1)
    remove_runs(ws, [run.path.name])
    assert listed_ids(ws) == []


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("alias", ["champion", "challenger"])
def test_a_champion_or_challenger_is_never_removed(ws: Workspace, alias: str, force: bool) -> None:
    run, other = add(ws, 0).path.name, add(ws, 1).path.name
    promote(ws, run, alias)
    error = refusal(ws, run, force=force)
    assert error.problem == f"run '{run}' is set_01-gat-large@{alias}"
    assert "promote another" in error.hint
    assert show_run(ws, run).aliases == (f"set_01-gat-large@{alias}",)
    promote(ws, other, alias, version=2)
    remove_runs(ws, [run], force=True)
    assert listed_ids(ws) == [other]


@pytest.mark.parametrize("role", ["teacher", "subject"])
def test_a_run_that_others_were_made_from_is_removed_by_force_or_with_them(
    ws: Workspace, role: str
) -> None:
    run = add(ws, 0).path.name
    users = [add(ws, minute, **{role: run}).path.name for minute in range(1, 6)]
    error = refusal(ws, run)
    what = {"teacher": "the teacher of", "subject": "judged by"}[role]
    named = ", ".join(reversed(users[2:]))
    assert error.problem == f"run '{run}' is {what} {named} and 2 more"
    assert "--force" in error.hint
    assert len(remove_runs(ws, [run, *users], dry_run=True).items) == 6
    remove_runs(ws, [run], force=True)
    assert sorted(listed_ids(ws)) == users
    remove_runs(ws, users)
    assert listed_ids(ws) == []


def test_a_teacher_is_told_its_students_and_not_what_judged_them(ws: Workspace) -> None:
    teacher = add(ws, 0).path.name
    student = add(ws, 1, size="small", teacher=teacher).path.name
    of_student = add(ws, 2, stage="evaluation", teacher=teacher, subject=student).path.name
    of_teacher = add(ws, 3, stage="evaluation", subject=teacher).path.name
    assert refusal(ws, teacher).problem == (
        f"run '{teacher}' is the teacher of {student}, and judged by {of_teacher}"
    )
    assert refusal(ws, student).problem == f"run '{student}' is judged by {of_student}"
    remove_runs(ws, [student, of_teacher], force=True)
    assert remove_runs(ws, [teacher]).items[0].run_id == teacher


def test_a_registered_run_is_removed_only_by_force(ws: Workspace) -> None:
    run = add(ws, 0).path.name
    register(ws, run, version=3)
    assert "registered as set_01-gat-large version 3" in refusal(ws, run).problem
    remove_runs(ws, [run], force=True)
    assert listed_ids(ws) == []


@pytest.mark.parametrize("state", [State.PLANNED, State.SUBMITTED])
def test_a_run_that_may_begin_at_any_time_is_removed_only_by_force(
    ws: Workspace, state: State
) -> None:
    run = add(ws, 0, state=state).path.name
    assert f"is {state.value} and may begin" in refusal(ws, run).problem
    remove_runs(ws, [run], force=True)
    assert listed_ids(ws) == []


def test_of_several_runs_none_is_removed_when_one_may_not_be(ws: Workspace) -> None:
    run, champion = add(ws, 0).path.name, add(ws, 1).path.name
    promote(ws, champion)
    assert "champion" in refusal(ws, run, champion).problem
    assert refusal(ws, run, "nope").problem == "no run 'nope'"


def test_a_removal_that_was_killed_is_finished_by_the_same_command(ws: Workspace) -> None:
    run = add(ws, 0)
    Journal(ws.journal).append("removed", run_id=run.path.name, name="n", folder="f")
    assert listed_ids(ws, archived=True) == []
    remove_runs(ws, [run.path.name])
    assert list(run.path.parent.iterdir()) == []
    assert kinds(ws) == ["removed"]


def test_a_repair_says_first_what_it_does_then(ws: Workspace) -> None:
    lost = add(ws, 0, state=State.RUNNING, host="a-node-far-away", pid=1)
    gone = add(ws, 1)
    Journal(ws.journal).append("removed", run_id=gone.path.name, name="n", folder="f")
    (ws.runs / "notes.txt").touch()
    trial = repair_runs(ws, dry_run=True)
    assert (trial.dry_run, gone.path.exists()) == (True, True)
    assert lost.record().state is State.RUNNING
    done = repair_runs(ws)
    assert done.items == trial.items
    assert [(each.path, each.action) for each in done.items] == [
        (".kdgat/runs/notes.txt", "left"),
        (ws.show(lost.path), "marked lost"),
        (ws.show(gone.path), "removed"),
    ]
    assert (lost.record().state, gone.path.exists()) == (State.LOST, False)
    again = repair_runs(ws).items
    assert again == repair_runs(ws).items == done.items[:1]


def test_every_kind_of_rubbish_is_named_and_breaks_no_list(ws: Workspace) -> None:
    good = add(ws, 0)
    bad = add(ws, 1)
    (bad.path / "run.json").write_bytes(b"\xff\x00")
    (ws.runs / "set_01" / "plots").mkdir()
    (ws.runs / "set_01" / "plots" / "curve.png").touch()
    (ws.runs / "set_01" / "large_classifier" / "empty").mkdir()
    (ws.runs / "set_02").symlink_to(ws.runs / "nowhere")
    listed = list_runs(ws)
    assert [record.run_id for record in listed.items] == [good.path.name]
    assert len(listed.broken) == 1
    assert {each.path.rpartition("/")[2] for each in repair_runs(ws).items} == {
        bad.path.name, "curve.png", "empty", "set_02",
    }  # fmt: skip
