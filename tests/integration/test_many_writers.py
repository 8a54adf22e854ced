"""Many real processes write runs at once, some are killed, and somebody reads all the while."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kdgat.ledger.folder import RunFolder
from kdgat.ledger.scan import run_folders
from kdgat.ledger.states import State
from kdgat.ops.runs import list_runs, repair_runs
from kdgat.workspace import Workspace

WRITERS, RUNS_EACH, EPOCHS = 32, 5, 30
KILLS, BETWEEN_KILLS_S = 30, 0.3

WRITES = """
import sys
from pathlib import Path
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.record import RunRecord, new_run_id, utc_now

runs, seed, count, epochs = Path(sys.argv[1]), *map(int, sys.argv[2:])
print("ready", flush=True)
sys.stdin.readline()
for number in range(count):
    record = RunRecord(
        run_id=new_run_id(), stage="classifier", stage_version=1, dataset=f"set_{seed % 3}",
        provenance="simulated", model="gat", size="large", digest="0" * 16,
        dataset_hash="d" * 64, seed=seed, created_at=utc_now(),
    )
    run = RunFolder.create(runs, record, {"seed": seed, "number": number})
    with run.working({"host": "here"}):
        for epoch in range(epochs):
            run.log_metrics(epoch, {"loss": seed + epoch / epochs})
        (run.path / "model.bin").write_bytes(bytes(1000))
        run.keep_artifact(run.path / "model.bin")
        run.update(metrics={"epochs": float(epochs)})
    print(record.run_id, flush=True)
"""


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path, home=tmp_path / ".kdgat")


def start(ws: Workspace, seed: int, count: int) -> subprocess.Popen[str]:
    """A writer that waits for a word."""
    words = [str(ws.runs), str(seed), str(count), str(EPOCHS)]
    return subprocess.Popen(
        [sys.executable, "-c", WRITES, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def let_go(*writers: subprocess.Popen[str]) -> None:
    """Let writers begin, all at once."""
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()


def check_whole(folder: RunFolder) -> None:
    """Every figure, event and file of a completed run is there, once."""
    record = folder.record()
    rows = folder.metrics()
    assert [row["epoch"] for row in rows] == list(range(EPOCHS))
    assert [row["loss"] for row in rows] == [record.seed + e / EPOCHS for e in range(EPOCHS)]
    assert record.metrics == {"epochs": float(EPOCHS)}
    assert list(record.artifacts) == ["model.bin"]
    assert folder.config()["seed"] == record.seed


def look(ws: Workspace, seen: set[str]) -> None:
    """List the runs: none is broken, none that was there is gone, none alive is lost."""
    listed = list_runs(ws, limit=10_000)
    ids = {record.run_id for record in listed.items}
    assert listed.broken == ()
    assert seen <= ids
    seen |= ids


@pytest.mark.slow
def test_32_processes_write_runs_at_once_while_they_are_listed_and_nothing_is_lost(
    ws: Workspace,
) -> None:
    writers = [start(ws, seed, RUNS_EACH) for seed in range(WRITERS)]
    let_go(*writers)
    seen: set[str] = set()
    looks = 0
    while any(writer.poll() is None for writer in writers):
        look(ws, seen)
        assert not list_runs(ws, state="lost").items
        looks += 1
    said = [writer.communicate(timeout=60) for writer in writers]
    assert [err for _, err in said if err] == []
    assert looks > 3
    folders = run_folders(ws.runs)
    assert {folder.path.name for folder in folders} == {
        run_id for out, _ in said for run_id in out.split()
    }
    assert len(folders) == WRITERS * RUNS_EACH
    for folder in folders:
        assert folder.current().state is State.COMPLETED
        check_whole(folder)
    assert repair_runs(ws).items == ()


@pytest.mark.kill
def test_of_writers_killed_at_any_instant_each_run_is_whole_or_found_lost(ws: Workspace) -> None:
    chance = random.Random(11)
    writers = [start(ws, seed, 10_000) for seed in range(4)]
    let_go(*writers)
    ended: list[str] = []
    seen: set[str] = set()
    for kill in range(KILLS):
        until = time.monotonic() + chance.uniform(0, 2 * BETWEEN_KILLS_S)
        while time.monotonic() < until:
            look(ws, seen)
        victim = writers.pop(chance.randrange(len(writers)))
        ended += end(victim)
        writers.append(start(ws, 100 + kill, 10_000))
        let_go(writers[-1])
    for writer in writers:
        ended += end(writer)
    folders = run_folders(ws.runs)
    completed = [folder for folder in folders if folder.record().state is State.COMPLETED]
    assert set(ended) <= {folder.path.name for folder in completed}
    for folder in completed:
        check_whole(folder)
    lost = {folder.path for folder in folders} - {folder.path for folder in completed}
    assert {folder.path for folder in folders if folder.current().state is State.LOST} == lost
    assert lost
    check_repair(ws, lost)


def end(writer: subprocess.Popen[str]) -> list[str]:
    """Kill a writer for good; the ids of the runs that it had ended."""
    writer.kill()
    out, err = writer.communicate(timeout=60)
    assert err == ""
    return [line for line in out.split("\n")[:-1] if line]


def check_repair(ws: Workspace, lost: set[Path]) -> None:
    """The killed runs, and they alone, are written down as lost; a repeat finds nothing."""
    report = repair_runs(ws)
    marked = {item.path for item in report.items if item.action == "marked lost"}
    assert marked == {ws.show(path) for path in lost}
    assert {item.action for item in report.items} <= {"marked lost", "left"}
    torn = [item for item in report.items if item.action == "left"]
    assert all("torn" in item.fault for item in torn)
    assert list(repair_runs(ws).items) == torn
    assert {RunFolder(path).record().state for path in lost} == {State.LOST}
