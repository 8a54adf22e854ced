"""Real processes, killed for good in the middle of training, and the same command again."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kdgat.configs.dataset import DATASETS, SimulationConfig
from kdgat.data.simulate import simulate
from kdgat.ledger.scan import run_folders
from kdgat.ledger.states import State
from kdgat.stages.ingest import ingest

OVERRIDES = (
    "dataset=simulated", "model=gat", "size=small", "model.hidden=4", "model.heads=2",
    "training.max_epochs=8", "training.patience_epochs=8", "data.training_stride_messages=50",
    "training.min_steps_per_epoch=0", "resources.threads=1",
)  # fmt: skip
_DEADLINE_S = 240


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace's home with a small simulated dataset in it."""
    home = tmp_path_factory.mktemp("home")
    raw = home / "raw"
    simulate(SimulationConfig(capture_s=8.0, attack_free_s=8.0), raw)
    ingest(DATASETS["simulated"], raw, home / "data" / "simulated")
    return home


def _start(home: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "kdgat.cli.main", "train", *OVERRIDES, *arguments, "--json"]
    environment = {**os.environ, "KDGAT_HOME": str(home), "KDGAT_NO_SYNC": "1"}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=_DEADLINE_S)
    assert process.returncode == 0, err
    return json.loads(out)


def _epochs(home: Path) -> list[dict[str, Any]]:
    """The epochs' figures of the one run in this home, without the time of day."""
    (run,) = run_folders(home / "runs")
    return [{k: v for k, v in row.items() if k != "time"} for row in run.metrics()]


def _wait_for_epoch(home: Path, epoch: int, process: subprocess.Popen[str]) -> None:
    """Until the run has noted this epoch; its checkpoint may or may not be written by then."""
    deadline = time.monotonic() + _DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        runs = run_folders(home / "runs")
        if runs and len(runs[0].metrics()) > epoch:
            return
        time.sleep(0.005)
    raise AssertionError(f"epoch {epoch} never came: {process.communicate()}")


def _home_like(home: Path, folder: Path) -> Path:
    """A home of its own on the same data."""
    folder.mkdir()
    (folder / "data").symlink_to(home / "data")
    return folder


@pytest.mark.kill
def test_a_run_killed_in_any_epoch_ends_with_the_figures_of_one_that_was_not(
    home: Path, tmp_path: Path
) -> None:
    whole_home = _home_like(home, tmp_path / "whole")
    whole = _finish(_start(whole_home))
    wanted = _epochs(whole_home)
    assert len(wanted) == 8
    chance = random.Random(7)
    for epoch in (0, 3, 6):
        killed_home = _home_like(home, tmp_path / f"killed-{epoch}")
        process = _start(killed_home)
        _wait_for_epoch(killed_home, epoch, process)
        time.sleep(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        (run,) = run_folders(killed_home / "runs")
        assert run.current().state is State.LOST
        resumed = _finish(_start(killed_home))
        assert resumed["run_id"] == run.path.name
        assert resumed["outcome"] == "resumed"
        assert resumed["metrics"] == whole["metrics"]
        assert _epochs(killed_home) == wanted
        assert run.record().attempts == 2


@pytest.mark.kill
def test_a_run_interrupted_from_the_keyboard_is_cancelled_and_goes_on(
    home: Path, tmp_path: Path
) -> None:
    own_home = _home_like(home, tmp_path / "interrupted")
    process = _start(own_home)
    _wait_for_epoch(own_home, 1, process)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=_DEADLINE_S)
    assert process.returncode == 130
    assert (
        err.strip() == "interrupted; a training goes on from its last whole epoch (without --fresh)"
    )
    (run,) = run_folders(own_home / "runs")
    assert run.record().state is State.CANCELLED
    assert _finish(_start(own_home))["outcome"] == "resumed"
    assert len(_epochs(own_home)) == 8
