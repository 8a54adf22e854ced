"""How many times real time `kdgat detect` is, with one thread, on a bus of 2,500 messages a second.

Run by hand, on a machine with nothing else to do:

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 taskset -c 0 \
        uv run pytest tests/benchmarks/test_detect_speed.py -m benchmarks -s -o addopts=

The model is a student-sized fusion of a VGAE and a GAT with random weights, on which its time does
not depend. Timed is the whole way from bytes to verdicts, without loading the model. The suspects
of an alarm, which a random model hardly raises, take about a tenth of a window's time more.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import cast

import numpy as np
import polars as pl
import pytest
import torch

from kdgat.configs.data import DataConfig
from kdgat.configs.dataset import DATASETS, SimulationConfig
from kdgat.configs.evaluation import EvaluationConfig
from kdgat.configs.model import FusionConfig, ModelConfig, model_preset
from kdgat.configs.run import RunConfig
from kdgat.data.log_stream import LogStream
from kdgat.data.simulate import simulate
from kdgat.models.table import build_model
from kdgat.stages.detect import Detector
from kdgat.stages.ingest import ingest
from kdgat.stages.prepare import Prepared, prepare
from kdgat.training.calibration import calibrate
from kdgat.training.checkpoint import TrainedModel, fused_model
from kdgat.training.scoring import score_parts

pytestmark = pytest.mark.benchmarks

GOAL = 20
BUS_MESSAGES_PER_S = 2_500
ROUNDS = 5
DATA = DataConfig(prefix_s=2.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    simulate(SimulationConfig(capture_s=40.0, attack_free_s=10.0), folder / "raw")
    ingest(DATASETS["simulated"], folder / "raw", folder)
    return folder


@pytest.fixture(scope="module")
def prepared(dataset: Path) -> Prepared:
    return prepare(dataset, DATA)


@pytest.fixture(scope="module")
def student(prepared: Prepared) -> TrainedModel:
    torch.manual_seed(0)
    store = prepared.validation()
    features = (store.x.shape[1], store.edge_attr.shape[1])

    def trained(model: ModelConfig, scorers: tuple[TrainedModel, ...] = ()) -> TrainedModel:
        made = (
            fused_model(cast(FusionConfig, model), scorers)
            if scorers
            else build_model(model, *features)
        )
        calibration = calibrate(model, score_parts(made, model, store, 512), store)
        return TrainedModel(
            made.eval(), RunConfig(model=model, data=DATA), features, 0, calibration, scorers
        )

    vgae, gat = (trained(model_preset(kind, "small")) for kind in ("vgae", "gat"))
    return trained(model_preset("fusion", "small"), (vgae, gat))


def logs(dataset: Path, folder: Path) -> dict[str, Path]:
    """The same capture as CSV, packed CSV and candump's log."""
    packed = max((dataset / "raw").glob("test_01*/*.csv.gz"), key=lambda path: path.stat().st_size)
    text = gzip.decompress(packed.read_bytes())
    plain, candump = folder / "drive.csv", folder / "drive.log"
    plain.write_bytes(text)
    rows = (line.split(",") for line in text.decode().splitlines()[1:])
    candump.write_text("".join(f"({t}) can0 {i}#{d}\n" for t, i, d, _ in rows))
    return {"CSV": plain, "packed CSV": packed, "candump": candump}


def watch(path: Path, student: TrainedModel, prepared: Prepared) -> tuple[int, float, float]:
    """Messages, seconds, and the mean seconds of computing behind a verdict."""
    detector = Detector(student, prepared, "adapted", EvaluationConfig())
    computed = []
    begin = time.perf_counter()
    with path.open("rb") as source:
        stream = LogStream(source, path.name)
        while (messages := stream.next_messages(detector.missing)) is not None:
            computed += [each.computed_s for each in detector.take(messages, stream.arrived_s)]
    return stream.tally.messages, time.perf_counter() - begin, float(np.mean(computed))


def test_it_keeps_up_with_twenty_busy_buses_on_one_core(
    dataset: Path, prepared: Prepared, student: TrainedModel, tmp_path: Path
) -> None:
    assert torch.get_num_threads() == 1, "set OMP_NUM_THREADS=1"
    assert pl.thread_pool_size() == 1, "set POLARS_MAX_THREADS=1"
    ratios = {}
    for name, path in logs(dataset, tmp_path).items():
        rates = []
        for _ in range(ROUNDS):
            messages, seconds, computed_s = watch(path, student, prepared)
            rates.append(messages / seconds)
        ratios[name] = median(rates) / BUS_MESSAGES_PER_S
        print(
            f"\n{name}: {median(rates):,.0f} messages/s, {ratios[name]:.1f} times a bus of "
            f"{BUS_MESSAGES_PER_S:,}/s; computing {computed_s * 1000:.0f} ms in the mean"
        )
    assert min(ratios.values()) >= GOAL, ratios


def test_a_window_of_a_live_bus_is_judged_before_the_next_is_full(
    dataset: Path, prepared: Prepared, student: TrainedModel, tmp_path: Path
) -> None:
    path = logs(dataset, tmp_path)["candump"]
    lines = path.read_bytes().splitlines(keepends=True)[:40_000]
    detector = Detector(student, prepared, "adapted", EvaluationConfig())
    bus = _Bus(b"".join(lines[i : i + 10]) for i in range(0, len(lines), 10))
    stream, computed = LogStream(bus, "a bus"), []
    while (messages := stream.next_messages(detector.missing)) is not None:
        computed += [each.computed_s for each in detector.take(messages, stream.arrived_s)]
    window_s = DATA.window_messages / BUS_MESSAGES_PER_S
    print(
        f"\na window alone: median {median(computed) * 1000:.1f} ms, worst "
        f"{max(computed) * 1000:.1f} ms; it takes {window_s * 1000:.0f} ms to fill"
    )
    assert median(computed) < window_s


class _Bus:
    """Gives ten messages at a time."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read1(self, size: int = -1, /) -> bytes:  # noqa: ARG002
        return next(self._chunks, b"")
