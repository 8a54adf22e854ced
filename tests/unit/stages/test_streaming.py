"""Preparing one capture at a time: the bytes of doing it in memory, without the memory."""

from __future__ import annotations

import signal
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from kdgat.configs.data import DataConfig
from kdgat.data import measured, moments, store_writer
from kdgat.stages.ingest import ingest
from kdgat.stages.prepare import prepare
from tests.unit.data.tiny import DATASET, traffic, write
from tests.unit.stages.in_memory import arrays_of, listed, prepared_in_memory
from tests.unit.stages.small import CONFIG

CONFIGS = {
    "default": CONFIG,
    "all features, known ids": CONFIG.model_copy(
        update={
            "features": ("bytes", "entropy", "rate", "timing", "shape", "profile"),
            "id_encoding": "lookup_unk",
        }
    ),
    "no profile, hashed ids": CONFIG.model_copy(
        update={"features": ("timing",), "id_encoding": "hash"}
    ),
    "nothing measured": CONFIG.model_copy(
        update={"unprofiled_share": 1.0, "borrowed_share": 0.0, "training_stride_messages": 150}
    ),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_small_blocks_give_the_bytes_of_everything_in_memory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: DataConfig
) -> None:
    monkeypatch.setattr(measured, "_BLOCK_MESSAGES", 3_700)
    monkeypatch.setattr(store_writer, "_BLOCK_GRAPHS", 23)
    monkeypatch.setattr(moments, "_LEAF", 1_000)
    prepared = prepare(folder, config)
    scaler = prepared_in_memory(folder, config, tmp_path / "expected")
    assert listed(prepared.scaler) == listed(scaler)
    expected = arrays_of(tmp_path / "expected")
    assert len(expected) == 20
    found = arrays_of(prepared.folder)
    assert {name for name in expected if found[name] != expected[name]} == set()
    assert set(found) == set(expected)


def test_a_capture_without_a_window_leaves_the_values_as_they_are(tmp_path: Path) -> None:
    for name, count in (("a", 3_000), ("b", 60), ("c", 130)):
        write(tmp_path / f"raw/train_01_attack_free/{name}.csv", traffic(count))
    ingest(DATASET, tmp_path / "raw", tmp_path / "tiny")
    prepared = prepare(tmp_path / "tiny", CONFIG)
    prepared_in_memory(tmp_path / "tiny", CONFIG, tmp_path / "expected")
    for path in (tmp_path / "expected").rglob("*.npy"):
        found = np.load(prepared.folder / path.parent.name / path.name)
        np.testing.assert_array_equal(found, np.load(path))


def peak_bytes(folder: Path, captures: int) -> int:
    """The most that numpy and Python had allocated while a dataset was prepared."""
    for number in range(captures):
        rows = traffic(15_000, lambda i, n=number: i % (1_000 + n) == 0, "FFFF")
        write(folder / f"raw/train_02_with_attacks/a{number:02}.csv", rows)
    ingest(DATASET, folder / "raw", folder / "data")
    tracemalloc.start()
    try:
        assert prepare(folder / "data", CONFIG).made
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_captures(tmp_path: Path) -> None:
    peak_bytes(tmp_path / "warm", 1)
    few, many = (peak_bytes(tmp_path / str(captures), captures) for captures in (2, 10))
    assert many < 1.25 * few


KILLED = """
import os, signal, sys
from pathlib import Path
from kdgat.stages.prepare import prepare
from tests.unit.stages.small import CONFIG

def told(what, done, total):
    if what.startswith("graphs of") and done > total // 2:
        os.kill(os.getpid(), signal.SIGKILL)

prepare(Path(sys.argv[1]), CONFIG, told)
"""


def test_killed_between_two_captures_the_next_call_makes_all_of_it(
    folder: Path, shared: tuple[Path, object]
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(folder.rglob("*.rows")), "it was killed before it wrote anything"
    assert not list(folder.rglob("prepare.json"))
    prepared = prepare(folder, CONFIG)
    assert prepared.made
    assert arrays_of(prepared.folder) == arrays_of(prepare(shared[0], CONFIG).folder)


def test_an_error_on_the_way_leaves_nothing_behind(folder: Path) -> None:
    def told(what: str, done: int, total: int) -> None:
        if what.startswith("graphs of") and done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(folder, CONFIG, told)
    assert not list(folder.rglob("graphs/*/*"))
