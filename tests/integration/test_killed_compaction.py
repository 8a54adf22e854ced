"""Real processes that compact, killed for good at random instants, and the history after that."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from kdgat.ledger.scan import run_folders
from kdgat.runs.compact import compact
from kdgat.runs.history import open_history
from kdgat.runs.manifest import part_path
from kdgat.runs.parts import GRACE_S
from kdgat.runs.snapshot import current_manifest, take_snapshot
from kdgat.runs.views import FROM_FOLDERS
from kdgat.workspace import Workspace
from tests.unit.runs.folders import (
    age,
    forget_history,
    history_rows,
    rewrite,
    true_rows,
    workspace,
    write_evaluation,
    write_run,
)

KILLS = 50
MOST_WRITES = 20
"""Runs written before each kill, or a fast disk has tens of thousands to be compared."""
WRITERS = 32
RUNS_EACH = 8
EPOCHS = 5
COMPACTING = """
import sys
from pathlib import Path
from kdgat.errors import StorageError
from kdgat.runs.compact import compact
from kdgat.workspace import Workspace
import pyarrow.parquet, duckdb
print("ready", flush=True)
root = Path(sys.argv[1])
while True:
    try:
        compact(Workspace(root, root / "home"), batch_runs=7)
    except StorageError as error:
        if "taken over" not in error.problem:
            raise
"""
WRITING = """
import sys
from pathlib import Path
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.record import RunRecord, new_run_id, utc_now
runs, name, count, epochs = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for number in range(count):
    record = RunRecord(
        run_id=new_run_id(), stage="classifier", stage_version=1, dataset="hcrl_sa",
        provenance="real", model="gat", size="large", digest=name, dataset_hash="d", seed=number,
        created_at=utc_now(),
    )
    folder = RunFolder.create(runs, record, {"writer": name, "number": number})
    with folder.working({}):
        for epoch in range(epochs):
            folder.log_metrics(epoch, {"loss": float(epoch)})
        folder.update(metrics={"figure": float(number)})
"""


def _whole(ws: Workspace) -> None:
    """Every version that can be read is whole, and no run is in two living parts."""
    manifest = current_manifest(ws.history)
    assert len(set(manifest.parts)) == len(manifest.parts)
    for part in manifest.parts:
        assert all(part_path(ws.history, part.id, view.name).is_file() for view in FROM_FOLDERS)


@pytest.mark.kill
def test_compaction_killed_at_random_instants_loses_nothing_and_repeats_nothing(
    tmp_path: Path,
) -> None:
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    print(f"seed {seed}")
    ws = workspace(tmp_path)
    numbers = iter(range(100_000))
    folders = [write_run(ws, next(numbers)) for _ in range(30)]
    for kill in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", COMPACTING, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            deadline = time.monotonic() + dice.expovariate(1 / 0.15)
            for _ in range(MOST_WRITES):
                if time.monotonic() > deadline:
                    break
                folders.append(write_run(ws, next(numbers)))
                if dice.random() < 0.2:
                    rewrite(dice.choice(folders), seed=next(numbers))
                if dice.random() < 0.1:
                    write_evaluation(ws, next(numbers), dice.randrange(30))
            time.sleep(max(0.0, deadline - time.monotonic()))
            process.send_signal(signal.SIGKILL)
        if dice.random() < 0.2:
            folders.pop(dice.randrange(len(folders))).rename(tmp_path / f"gone{kill}")
        _whole(ws)
        # A process that looked before sees a completed run rewritten only after FULL_CHECK_S.
        take_snapshot(ws, full=True)
        assert history_rows(ws) == true_rows(ws)
    done = compact(ws)
    assert done.outcome != "busy"
    assert compact(ws).outcome == "nothing to do"
    compacted = history_rows(ws)
    assert compacted == true_rows(ws)
    for path in (*ws.history.rglob("*.parquet"), *ws.history.rglob("*.partial*"),
                 *ws.history.glob("manifest-*")):  # fmt: skip
        age(path, GRACE_S + 60)
    compact(ws)
    needed = {part.id for part in current_manifest(ws.history).parts}
    left = {path.name.rsplit("-", 1)[0] for path in (ws.history / "parts").iterdir()}
    assert left == needed
    assert history_rows(ws) == compacted
    forget_history(ws)
    assert history_rows(ws) == compacted


@pytest.mark.kill
def test_two_that_compact_at_once_and_a_reader_lose_nothing(tmp_path: Path) -> None:
    ws = workspace(tmp_path)
    for number in range(40):
        write_run(ws, number)
    command = [sys.executable, "-c", COMPACTING, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for number in range(40, 120):
            write_run(ws, number)
            with open_history(ws) as history:
                told = history.query("select count(*), count(distinct run_id) from runs").rows
            assert told == ((number + 1, number + 1),)
            if number % 10 == 0:
                # As if its holder had died: the other may go on at once.
                for lease in (ws.history / "lease").glob("*.json"):
                    lease.unlink(missing_ok=True)
        assert [process.poll() for process in processes] == [None, None]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    compact(ws)
    assert history_rows(ws) == true_rows(ws)


def _start_writer(ws: Workspace, name: str, count: int, epochs: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITING, str(ws.runs), name, str(count), str(epochs)]
    return subprocess.Popen(command, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_history_is_asked_in_a_loop_while_32_processes_write_runs(tmp_path: Path) -> None:
    ws = workspace(tmp_path)
    writers = [_start_writer(ws, f"w{n}", RUNS_EACH, EPOCHS) for n in range(WRITERS)]
    asked, before = 0, 0
    while any(writer.poll() is None for writer in writers):
        with open_history(ws) as history:
            done, known = history.query(
                "select count(*) filter (where state = 'completed'), count(distinct run_id) "
                "from runs"
            ).rows[0]
            lost = history.query(
                "select run_id from runs where state = 'completed' and run_id not in "
                "(select run_id from epochs group by 1 having count(*) = ?)", [EPOCHS]
            ).rows  # fmt: skip
            assert lost == ()
            assert history.warnings == ()
        assert done >= before
        assert known <= WRITERS * RUNS_EACH
        asked, before = asked + 1, done
    errors = [writer.communicate()[1] for writer in writers]
    assert not any(errors), errors
    assert asked
    with open_history(ws) as history:
        told = history.query(
            "select count(*), count(distinct run_id) from runs where state = 'completed'"
        ).rows
        assert told == ((WRITERS * RUNS_EACH, WRITERS * RUNS_EACH),)
        losses = history.query(
            "select count(*), sum(value) from epochs where name = 'loss'"
        ).rows  # fmt: skip
        assert losses == ((WRITERS * RUNS_EACH * EPOCHS, WRITERS * RUNS_EACH * 10.0),)
        figures = history.query("select count(*), sum(value) from metrics").rows
        assert figures == ((WRITERS * RUNS_EACH, WRITERS * 28.0),)


@pytest.mark.kill
def test_of_writers_killed_one_after_another_each_run_is_whole_or_lost(tmp_path: Path) -> None:
    ws = workspace(tmp_path)
    dice = random.Random(7)
    stop = threading.Event()
    wrong: list[object] = []

    def ask() -> None:
        while not stop.is_set():
            try:
                with open_history(ws) as history:
                    history.query("select * from runs join epochs using (run_id)")
            except Exception as error:
                wrong.append(error)
                return

    reader = threading.Thread(target=ask)
    reader.start()
    writers = [_start_writer(ws, f"w{n}", 1000, EPOCHS) for n in range(8)]
    for _ in range(16):
        time.sleep(0.25)
        victim = dice.randrange(len(writers))
        writers[victim].kill()
        writers[victim].communicate()
        writers[victim] = _start_writer(ws, "again", 1000, EPOCHS)
    for writer in writers:
        writer.kill()
        writer.communicate()
    stop.set()
    reader.join()
    assert not wrong
    with open_history(ws) as history:
        states = dict(history.query("select run_id, state from runs").rows)
        lines = dict(history.query("select run_id, count(*) from epochs group by 1").rows)
    assert states == {f.path.name: f.current().state.value for f in run_folders(ws.runs)}
    assert {"completed"} <= set(states.values()) <= {"completed", "lost", "planned"}
    assert all(lines[run] == EPOCHS for run, state in states.items() if state == "completed")
