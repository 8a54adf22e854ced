"""Syncs that are killed at any instant: the repeat completes, nothing is there twice or lost."""

from __future__ import annotations

import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kdgat.ledger.folder import RunFolder
from kdgat.ledger.journal import Journal
from kdgat.ledger.states import State
from kdgat.runs.store import database
from kdgat.workspace import Workspace
from tests.unit.runs.small_ledger import (
    contents,
    make_evaluation,
    make_run,
    run_id,
    workspace,
    write_epochs,
)

KILLS = 50
WITHOUT_STORE = 5
"""Kills of syncs that make the store first, which takes seconds."""
# Imports MLflow once, then syncs in a fork for each home that is named on its input.
SYNCER = """
import os, sys
from pathlib import Path
from kdgat.runs.store import _silent
from kdgat.runs.tracking import sync_runs
from kdgat.workspace import Workspace
with _silent():
    import mlflow.tracking, mlflow.store.tracking.sqlalchemy_store
    import mlflow.store.model_registry.sqlalchemy_store
print("ready", flush=True)
for line in sys.stdin:
    root = Path(line.strip())
    child = os.fork()
    if child == 0:
        code = 1
        try:
            report = sync_runs(Workspace(root, root / ".kdgat"))
            code = 2 if report.failed else 0
        finally:
            os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass
class Syncer:
    """Syncs a workspace in a process of its own, and kills it when told to."""

    process: subprocess.Popen[bytes]

    def __call__(self, ws: Workspace, kill_after_s: float | None = None) -> int:
        """The exit code; -9 where it was killed before it was done."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{ws.root}\n".encode())
        self.process.stdin.flush()
        child = int(self.line())
        if kill_after_s is not None and not self.answers_within(kill_after_s):
            os.kill(child, signal.SIGKILL)
        return int(self.line())

    def answers_within(self, seconds: float) -> bool:
        return bool(select.select([self.process.stdout], [], [], seconds)[0])

    def line(self) -> bytes:
        """The next line, unbuffered, so that `select` knows of every byte."""
        assert self.process.stdout is not None
        read = b""
        while not read.endswith(b"\n"):
            assert self.answers_within(120)
            byte = self.process.stdout.read(1)
            assert byte, "the syncer ended"
            read += byte
        return read


@pytest.fixture
def syncer() -> Iterator[Syncer]:
    command = [sys.executable, "-c", SYNCER]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        made = Syncer(process)
        assert made.line() == b"ready\n"
        yield made
        process.kill()


def fill(ws: Workspace) -> None:
    """New runs, one that went on, one whose past changed, one removed; the old ones are synced."""
    for number in (10, 11):
        make_run(ws, number, epochs=20)
    make_evaluation(ws, 12, make_run(ws, 13, dataset="set_01"), (5, 1, 1, 5))
    resumed, again = (next(ws.runs.glob(f"*/*/{run_id(number)}")) for number in (1, 2))
    write_epochs(RunFolder(resumed), range(3, 6))
    RunFolder(resumed).update(state=State.COMPLETED)
    RunFolder(again).forget_metrics_from(1)
    write_epochs(RunFolder(again), range(1, 5), shift_s=50)
    RunFolder(again).update(state=State.COMPLETED)
    Journal(ws.journal).append("removed", run_id=run_id(3), name="x", folder="y")
    Journal(ws.journal).append("archived", run_id=run_id(4))


def active_only(ws: Workspace) -> dict[str, list[tuple[object, ...]]]:
    """What is to be the same however often a sync was killed: runs put aside may be more."""
    found = contents(ws)
    found["runs"] = [row for row in found["runs"] if row[6] == "active"]
    return found


@pytest.mark.kill
@pytest.mark.slow
def test_a_sync_killed_at_any_instant_is_completed_by_the_next(
    tmp_path: Path, syncer: Syncer
) -> None:
    ws = workspace(tmp_path / "home")
    for number in range(1, 5):
        make_run(ws, number, state=State.FAILED, metrics={})
    assert syncer(ws) == 0
    fill(ws)
    copy_over(ws.root, kept := tmp_path / "kept")

    start = time.monotonic()
    assert syncer(ws) == 0
    takes_s = time.monotonic() - start
    expected = active_only(ws)
    assert len(expected["runs"]) == 7

    rng, killed = random.Random(4), 0
    for trial in range(4 * KILLS):
        if min(trial, killed) >= KILLS:
            break
        copy_over(kept, ws.root)
        lasts_s = takes_s
        if trial < WITHOUT_STORE:
            database(ws.mlflow).unlink()
            lasts_s += 2.0
        # Some are killed once more while they complete what the first left behind.
        for _ in range(1 + trial % 2):
            killed += syncer(ws, kill_after_s=rng.uniform(0, lasts_s)) == -signal.SIGKILL
        assert syncer(ws) == 0
        assert active_only(ws) == expected, trial
        assert not list(ws.mlflow.glob("**/.partial-*.db"))
    assert killed >= KILLS


def copy_over(source: Path, target: Path) -> None:
    """Make `target` the same as `source`, times of change included."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, copy_function=shutil.copy2)
