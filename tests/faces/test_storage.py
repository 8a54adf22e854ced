"""A disk that is full or read-only: said in two lines, nothing half-written, and work goes on."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

# The fixtures' own classes are in conftest.py, which pytest loads and nothing can import.
Command = Any
Tiny = Any
Disk = Callable[[str], Path]

_ROOMY = "size=64m"


def figures(metrics: dict[str, Any]) -> dict[str, Any]:
    """A run's figures, without its file's size: pickle notes a text twice or refers to it."""
    return {name: value for name, value in metrics.items() if name != "checkpoint_bytes"}


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def leave_free(disk: Path, kib: int) -> None:
    """Make the disk so small that no more than this is free."""
    remount(disk, f"size={shutil.disk_usage(disk).used // 1024 + kib}k")


@pytest.fixture
def disk_home(prepared: Tiny, small_disk: Disk, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The prepared workspace's home on a disk of its own."""
    disk = small_disk(_ROOMY)
    shutil.copytree(prepared.home, disk / "home")
    monkeypatch.setenv("KDGAT_HOME", str(disk / "home"))
    return disk


@contextmanager
def largest_file(kib: int) -> Iterator[None]:
    """No file may grow beyond this: as a quota does, and without mounting anything."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (kib * 1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_stops_an_ingest_which_later_goes_on(
    prepared: Tiny, small_disk: Disk, kdgat: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, raw = small_disk("size=256k"), prepared.data / "raw"
    monkeypatch.setenv("KDGAT_HOME", str(disk))
    words = ("data", "ingest", "mine", "--raw", raw)
    kdgat(*words).mistake("can't write", str(disk), "No space left on device", "free some space")
    assert not list(disk.rglob(".partial-*"))
    kdgat("data", "describe", "mine").mistake("'mine' is not ingested")
    remount(disk, _ROOMY)
    assert kdgat(*words, "--json").json["captures"] == 12


def test_a_full_disk_stops_the_preparing_which_later_goes_on(
    disk_home: Path, kdgat: Command
) -> None:
    leave_free(disk_home, 200)
    words = ("data", "prepare", "data.training_stride_messages=50", "--json")
    kdgat(*words).mistake("can't write", "graphs", "free some space")
    remount(disk_home, _ROOMY)
    assert kdgat(*words).json["made"] is True


def test_wherever_a_full_disk_stops_a_training_it_goes_on_to_the_same_figures(
    disk_home: Path, kdgat: Command, tiny_config: tuple[str, ...]
) -> None:
    expected = kdgat("train", *tiny_config, "--json").json["metrics"]
    shutil.rmtree(disk_home / "home" / "runs")
    stopped = set()
    for kib in (16, 24, 32, 48, 72, 96, 200):
        leave_free(disk_home, kib)
        said = kdgat("train", *tiny_config)
        if said.code == 0:
            break
        text = said.mistake("can't write", "No space left on device", "KDGAT_HOME")
        stopped.add(text.split("': ")[0].rpartition("/")[2])
        assert not list(disk_home.rglob(".partial-*"))
        remount(disk_home, _ROOMY)
        again = kdgat("train", *tiny_config, "--json").json
        assert figures(again["metrics"]) == figures(expected)
        shutil.rmtree(disk_home / "home" / "runs")
    else:
        pytest.fail("the disk never had room enough")
    assert "best.ckpt" in stopped
    assert any(name.startswith("epoch-") for name in stopped)


def test_wherever_a_full_disk_stops_an_evaluation_it_can_be_done_again(
    disk_home: Path, kdgat: Command, tiny_config: tuple[str, ...]
) -> None:
    run = kdgat("train", *tiny_config, "--json").json["run_id"]
    for kib in (4, 60, 300):
        leave_free(disk_home, kib)
        kdgat("evaluate", run).mistake("can't write", "KDGAT_HOME")
    remount(disk_home, _ROOMY)
    assert kdgat("evaluate", run, "--json").json["outcome"] == "evaluated"


def test_a_read_only_home_can_be_looked_at_and_not_worked_in(
    disk_home: Path, kdgat: Command, tiny_config: tuple[str, ...]
) -> None:
    run = kdgat("train", *tiny_config, "--json").json["run_id"]
    remount(disk_home, "ro")
    for command in (
        ("data", "simulate", "capture_s=5"), ("data", "ingest", "simulated", "--force"),
        ("data", "describe", "simulated"), ("data", "prepare", "--force"),
        ("train", *tiny_config, "--fresh"), ("evaluate", run), ("replay", run),
    ):  # fmt: skip
        words = ("can't write", str(disk_home), "Read-only file system", "KDGAT_HOME")
        kdgat(*command).mistake(*words)
    assert kdgat("runs", "list", "--json").json["total"] == 1
    assert kdgat("runs", "show", run, "--json").json["record"]["run_id"] == run
    assert kdgat("train", *tiny_config, "--json").json["outcome"] == "already done"


def test_a_quota_stops_an_ingest_which_later_goes_on(prepared: Tiny, kdgat: Command) -> None:
    words = ("data", "ingest", "mine", "--raw", prepared.data / "raw")
    with largest_file(8):
        said = kdgat(*words)
    said.mistake("can't write", "File too large", "free some space")
    assert prepared.leftovers() == []
    kdgat("data", "describe", "mine").mistake("'mine' is not ingested")
    assert kdgat(*words, "--json").json["captures"] == 12


def test_a_quota_stops_a_training_which_later_goes_on(
    prepared: Tiny, kdgat: Command, tiny_config: tuple[str, ...]
) -> None:
    with largest_file(8):
        said = kdgat("train", *tiny_config)
    said.mistake("can't write", "best.ckpt", "File too large")
    assert prepared.leftovers() == []
    assert kdgat("train", *tiny_config, "--json").json["outcome"] == "resumed"
