"""How fast a raw capture becomes graphs, as a ratio to the usual loop (`loop.py`).

Run by hand, on a machine with nothing else to do:

    uv run pytest tests/benchmarks -m benchmarks -s -o addopts= --benchmark-json speed.json

Without `-o addopts=` the shapes of every call are checked, and that is timed too.

Both sides read plain CSV from the page cache and make the same arrays. They take turns in one run,
so that a slow minute hits both, and medians are compared. The loop gets a twentieth of the rows, a
thousand in a row from everywhere in the capture, and is stated per row like everything else.
"""

from __future__ import annotations

import gzip
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
import pandas as pd
import polars as pl
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from kdgat.configs.data import DataConfig
from kdgat.configs.dataset import DatasetConfig, SimulationConfig
from kdgat.data.graphs import Graphs, build_graphs
from kdgat.data.reading import read_capture
from kdgat.data.simulate import simulate
from kdgat.data.windows import Messages, window_starts
from kdgat.stages.ingest import ingest
from tests.benchmarks import loop

pytestmark = pytest.mark.benchmarks

ROWS = 1_000_000
SLICE_ROWS = 1_000
SLICE_EVERY = 20_000
ROUNDS = 7
GOAL = 45
Result = TypeVar("Result")
CONFIG = DataConfig(window_messages=100, stride_messages=100, features=loop.FEATURES)
HEADER = "timestamp,arbitration_id,data_field,attack\n"


@dataclass(frozen=True)
class Rows:
    """The CSV that everything is timed on, and the part of it that the loop takes."""

    source: str
    raw: Path
    whole: Path
    part: Path


@dataclass
class Clock:
    """Seconds of every turn, by what was done."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def time(self, what: str, do: Callable[[], Result]) -> Result:
        start = time.perf_counter()
        result = do()
        self.seconds.setdefault(what, []).append(time.perf_counter() - start)
        return result

    def us_per_row(self, what: str, rows: int) -> float:
        return median(self.seconds[what]) / rows * 1e6


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Rows:
    """A million rows of real captures, or of simulated ones where there are none."""
    out = tmp_path_factory.mktemp("speed")
    beside = Path(__file__).parents[3] / "shared" / "data"
    real = Path(os.environ.get("KDGAT_REAL_DATA") or beside) / "hcrl_sa"
    source, folder = "hcrl_sa", real
    if not real.is_dir():
        source, folder = "simulated", out / "simulated"
        simulate(SimulationConfig(capture_s=60.0, attack_free_s=60.0), folder)
    taken = Rows(source, out / "raw", out / "raw/train_02_with_attacks/all.csv", out / "part.csv")
    taken.whole.parent.mkdir(parents=True)
    with taken.whole.open("w") as whole, taken.part.open("w") as part:
        whole.write(HEADER)
        part.write(HEADER)
        for number, line in enumerate(lines(folder)):
            whole.write(line)
            if number % SLICE_EVERY < SLICE_ROWS:
                part.write(line)
    return taken


def lines(folder: Path) -> Iterator[str]:
    """ROWS lines of the captures, of each a whole number of windows."""
    left = ROWS
    for path in sorted(folder.rglob("*.csv.gz")):
        with gzip.open(path, "rt") as file:
            found = file.readlines()[1:]
        count = min(left, len(found) // CONFIG.window_messages * CONFIG.window_messages)
        yield from found[:count]
        left -= count
    assert left == 0, f"'{folder}' has fewer than {ROWS} rows"


def test_csv_to_graphs_against_the_loop(
    benchmark: BenchmarkFixture, rows: Rows, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = Clock()
    dataset = DatasetConfig(name="speed")

    def others() -> None:
        clock.time("loop", lambda: with_the_loop(rows.part))
        clock.time("ingest", lambda: ingest(dataset, rows.raw, tmp_path, force=True))

    def kdgat() -> Graphs:
        return clock.time("kdgat", lambda: with_kdgat(rows.whole, clock))

    others()
    kdgat()
    clock.seconds.clear()
    graphs = benchmark.pedantic(kdgat, setup=others, rounds=ROUNDS)

    assert len(graphs) == ROWS // CONFIG.window_messages
    loop_us = clock.us_per_row("loop", ROWS // SLICE_EVERY * SLICE_ROWS)
    kdgat_us = clock.us_per_row("kdgat", ROWS)
    figures = {
        "source": rows.source,
        "rows": ROWS,
        "loop_us_per_row": round(loop_us, 2),
        "kdgat_us_per_row": round(kdgat_us, 3),
        "ratio": round(loop_us / kdgat_us, 1),
        "goal": GOAL,
        **{
            f"{what}_rows_per_s": round(1e6 / clock.us_per_row(what, ROWS))
            for what in ("parse", "graphs", "ingest")
        },
        "seconds": clock.seconds,
        "versions": versions(),
    }
    benchmark.extra_info.update(figures)
    with capsys.disabled():
        print(table(figures))
    assert loop_us / kdgat_us >= GOAL


def with_the_loop(path: Path) -> Graphs:
    return loop.build_graphs(
        loop.read_csv(path), CONFIG.window_messages, stride=CONFIG.stride_messages
    )


def with_kdgat(path: Path, clock: Clock) -> Graphs:
    capture = clock.time("parse", lambda: read_capture(path, "can_train_and_test"))
    return clock.time("graphs", lambda: to_graphs(capture.messages))


def to_graphs(frame: pl.DataFrame) -> Graphs:
    messages = Messages.from_frame(frame)
    starts = window_starts(len(messages), CONFIG.window_messages, CONFIG.stride_messages)
    return build_graphs(messages, starts, CONFIG)


def versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "polars": pl.__version__,
        "pandas": pd.__version__,
    }


def table(figures: dict[str, object]) -> str:
    """The figures as a person reads them."""
    named = ", ".join(f"{name} {version}" for name, version in versions().items())
    return "\n".join(
        (
            f"\n\n{figures['rows']:,} rows of {figures['source']}, medians of {ROUNDS} ({named})",
            f"  CSV to graphs, loop     {figures['loop_us_per_row']:>10} us a row",
            f"  CSV to graphs, kdgat    {figures['kdgat_us_per_row']:>10} us a row",
            f"  ratio                   {figures['ratio']:>10} times (goal {GOAL})",
            f"  parsing                 {figures['parse_rows_per_s']:>10,} rows a second",
            f"  building graphs         {figures['graphs_rows_per_s']:>10,} rows a second",
            f"  ingest                  {figures['ingest_rows_per_s']:>10,} rows a second",
        )
    )
