"""Backups: whole and consistent while jobs write, and brought back over nothing that is newer."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from kdgat.backups.manifest import backups_in, load_backup
from kdgat.backups.reading import PARTS
from kdgat.backups.restoring import check_whole, plan_restore, restore
from kdgat.backups.taking import take_backup
from kdgat.errors import BackupError, StorageError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.journal import Journal
from kdgat.ledger.record import RunRecord, new_run_id, utc_now
from kdgat.ledger.states import State
from kdgat.runs.lease import hold_lease

TAKING = """
import sys
from pathlib import Path
from kdgat.backups.taking import take_backup
print("ready", flush=True)
while True:
    take_backup(Path(sys.argv[1]), Path(sys.argv[2]), keep=3)
    print("done", flush=True)
"""


def run(home: Path, weights: bytes = b"weights", state: State = State.COMPLETED) -> RunFolder:
    record = RunRecord(
        run_id=new_run_id(), stage="classifier", stage_version=1, dataset="hcrl_sa",
        provenance="real", model="gat", size="large", digest="d", dataset_hash="d", seed=0,
        created_at=utc_now(), state=state,
    )  # fmt: skip
    folder = RunFolder.create(home / "runs", record, {"model": "gat"})
    folder.checkpoints.mkdir()
    (folder.checkpoints / "best.ckpt").write_bytes(weights)
    folder.log_metrics(0, {"loss": 1.0})
    return folder


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    first = run(home)
    run(home, b"other weights")
    Journal(home / "journal").append("archived", run_id=first.path.name)
    (home / "mlflow" / "artifacts").mkdir(parents=True)
    (home / "mlflow" / "artifacts" / "plot.svg").write_text("<svg/>")
    with closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as store, store:
        store.execute("PRAGMA journal_mode = WAL")
        store.execute("CREATE TABLE pairs (one INTEGER, two INTEGER)")
        store.executemany("INSERT INTO pairs VALUES (?, ?)", [(n, n) for n in range(500)])
    (home / "data").mkdir()
    (home / "data" / "captures.parquet").write_text("large")
    return home


def tree(home: Path) -> dict[str, bytes]:
    """What a backup must bring back, by path."""
    paths = (path for part in PARTS for path in (home / part).rglob("*") if path.is_file())
    return {path.relative_to(home).as_posix(): path.read_bytes() for path in paths}


def rows(home: Path) -> list[tuple[int, int]]:
    with closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as store:
        return store.execute("SELECT one, two FROM pairs ORDER BY one").fetchall()


def bring_back(place: Path, home: Path) -> dict[str, int]:
    backup = load_backup(backups_in(place)[-1])
    check_whole(backup)
    plan = plan_restore(backup, home)
    restore(backup, home, plan)
    actions = [each.action for each in plan.runs]
    return {action: actions.count(action) for action in actions}


def test_a_lost_home_comes_back_as_it_was(home: Path, tmp_path: Path) -> None:
    before, times = tree(home), {p: p.stat().st_mtime_ns for p in home.rglob("run.json")}
    done = take_backup(home, tmp_path / "place", keep=3)
    assert done.backup.warnings == ()
    assert not any(path.startswith("data/") for path in done.backup.files)
    shutil.rmtree(home)
    assert bring_back(tmp_path / "place", home) == {"whole": 2}
    after = tree(home)
    databases = {"mlflow/mlflow.db", "mlflow/mlflow.db-wal", "mlflow/mlflow.db-shm"}
    assert {p: t for p, t in after.items() if p not in databases} == {
        path: text for path, text in before.items() if path not in databases
    }
    assert len(rows(home)) == 500
    assert {p: p.stat().st_mtime_ns for p in home.rglob("run.json")} == times
    assert bring_back(tmp_path / "place", home) == {"unchanged": 2}


def test_what_did_not_change_is_a_hard_link_and_only_the_newest_are_kept(
    home: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    first = take_backup(home, place, keep=2)
    assert first.copied == len({file.sha256 for file in first.backup.files.values()})
    second = take_backup(home, place, keep=2)
    assert second.copied == 0
    for path in second.backup.files:
        assert second.backup.place(path).samefile(first.backup.place(path))
    added = run(home, b"third weights")
    third = take_backup(home, place, keep=2)
    new = {path for path in third.backup.files if added.path.name in path}
    # Its config and figures' layout are those of the others; time and weights are its own.
    assert 0 < third.copied <= len(new)
    assert third.removed == (first.backup.id,)
    assert [path.name for path in backups_in(place)] == [second.backup.id, third.backup.id]
    check_whole(second.backup)
    check_whole(third.backup)


def test_a_content_that_rotted_in_the_backup_before_is_copied_anew(
    home: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    first = take_backup(home, place, keep=3).backup
    path = next(path for path in first.files if path.endswith("best.ckpt"))
    first.place(path).chmod(0o644)
    first.place(path).write_bytes(b"rotten!")
    with pytest.raises(BackupError, match=r"is damaged: .*best\.ckpt \(changed\)"):
        check_whole(first)
    second = take_backup(home, place, keep=3)
    assert second.copied == 1
    check_whole(second.backup)


def test_a_purged_file_comes_back_and_a_newer_run_stays(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    purged, again = (RunFolder(path.parent) for path in sorted(home.rglob("run.json")))
    take_backup(home, place, keep=3)
    (purged.checkpoints / "best.ckpt").unlink()
    again.update(seed=1)
    (again.checkpoints / "best.ckpt").write_bytes(b"newer")
    late = run(home, b"late")
    assert bring_back(place, home) == {"filled": 1, "kept": 1}
    assert (purged.checkpoints / "best.ckpt").read_bytes() in (b"weights", b"other weights")
    assert (again.checkpoints / "best.ckpt").read_bytes() == b"newer"
    assert late.record().seed == 0


def test_an_older_run_gives_way_and_a_removed_one_stays_away(home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    older, gone = (RunFolder(path.parent) for path in sorted(home.rglob("run.json")))
    backup = take_backup(home, place, keep=3).backup
    older.update(seed=1)
    for path in older.path.rglob("*"):
        os.utime(path, (1, 1))
    Journal(home / "journal").append("removed", run_id=gone.path.name, name="x", folder="x")
    shutil.rmtree(gone.path)
    plan = plan_restore(backup, home)
    assert {each.action for each in plan.runs} == {"replaced", "removed since"}
    restore(backup, home, plan)
    assert older.record().seed == 0
    assert not gone.path.exists()


def test_nothing_is_written_from_a_damaged_backup_or_over_a_journal(
    home: Path, tmp_path: Path
) -> None:
    backup = take_backup(home, tmp_path / "place", keep=3).backup
    manifest = backup.path / "backup.json"
    values = json.loads(manifest.read_text())
    for path in ("../escaped", "/etc/escaped"):
        manifest.chmod(0o644)
        manifest.write_text(json.dumps({**values, "files": {path: ["a" * 64, 1, 1, False]}}))
        with pytest.raises(BackupError, match="is damaged"):
            load_backup(backup.path)
    manifest.write_text("{half")
    with pytest.raises(BackupError, match="is damaged"):
        load_backup(backup.path)


def test_a_database_and_runs_are_whole_while_others_write(home: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def pairs() -> None:
        with closing(sqlite3.connect(home / "mlflow" / "mlflow.db", timeout=60)) as store:
            number = 1000
            while not stop.is_set():
                with store:
                    store.execute("INSERT INTO pairs VALUES (?, ?)", (number, 0))
                    store.execute("UPDATE pairs SET two = one WHERE one = ?", (number,))
                number += 1

    def runs() -> None:
        while not stop.is_set():
            folder = run(home, os.urandom(64), State.PLANNED)
            with folder.working({}):
                folder.keep_artifact(folder.checkpoints / "best.ckpt")

    writers = [threading.Thread(target=each) for each in (pairs, runs)]
    for each in writers:
        each.start()
    try:
        for number in range(3):
            backup = take_backup(home, tmp_path / "place", keep=5).backup
            check_whole(backup)
            into = tmp_path / f"into{number}"
            restore(backup, into, plan_restore(backup, into))
            assert all(one == two for one, two in rows(into))
            for path in into.rglob("run.json"):
                folder = RunFolder(path.parent)
                for name in folder.record().artifacts:
                    assert (folder.path / name).is_file()
            events = Journal(into / "journal").events()
            assert len(events) == 1
    finally:
        stop.set()
        for each in writers:
            each.join()


def test_a_place_that_is_none_is_refused(home: Path, tmp_path: Path) -> None:
    for place in (home / "backups", home, tmp_path):
        with pytest.raises(BackupError, match="lie in each other"):
            take_backup(home, place, keep=3)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(BackupError, match="no folder"):
        take_backup(home, file, keep=3)
    other = tmp_path / "other"
    run(other)
    take_backup(other, tmp_path / "place", keep=3)
    with pytest.raises(BackupError, match="has backups of"):
        take_backup(home, tmp_path / "place", keep=3)
    with (
        hold_lease(tmp_path / "busy" / ".lease", "it"),
        pytest.raises(StorageError, match="is held by process"),
    ):
        take_backup(home, tmp_path / "busy", keep=3)


def test_a_damaged_database_is_left_out_and_named(home: Path, tmp_path: Path) -> None:
    path = home / "mlflow" / "mlflow.db"
    for side in ("-wal", "-shm"):
        path.with_name(path.name + side).unlink(missing_ok=True)
    path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096)
    done = take_backup(home, tmp_path / "place", keep=3)
    assert len(done.backup.warnings) == 1
    assert "mlflow.db' is left out: SQLite says" in done.backup.warnings[0]
    assert "mlflow/mlflow.db" not in done.backup.files
    assert len([path for path in done.backup.files if path.endswith("run.json")]) == 2


@pytest.mark.kill
def test_a_backup_killed_at_any_instant_leaves_the_earlier_ones_whole(
    home: Path, tmp_path: Path
) -> None:
    import random

    dice = random.Random(4)
    place = tmp_path / "place"
    for number in range(25):
        run(home, bytes([number]) * 200_000)
        with subprocess.Popen(
            [sys.executable, "-c", TAKING, str(home), str(place)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            threading.Event().wait(dice.uniform(0, 0.4))
            process.send_signal(signal.SIGKILL)
        for path in backups_in(place):
            check_whole(load_backup(path))
    done = take_backup(home, place, keep=3)
    assert len(done.backup.files) > 100
    assert [p.name for p in place.iterdir() if p.name.startswith((".partial-", ".removed-"))] == []
