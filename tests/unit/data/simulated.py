"""What tests of simulated captures read them with, and what they agree on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl

from kdgat.configs.dataset import SimulationConfig
from kdgat.data.simulate import SimulationSummary
from kdgat.data.simulation.drive import draw_drive
from kdgat.data.simulation.fields import Counter, Moment

CLEAN_S, BURST_S = 10.0, 2.0

TEST_01 = "test_01_known_vehicle_known_attack"

TEST_02 = "test_02_unknown_vehicle_known_attack"

TEST_03 = "test_03_known_vehicle_unknown_attack"

TEST_04 = "test_04_unknown_vehicle_unknown_attack"

SMALL = SimulationConfig(
    capture_s=5.0, attack_free_s=5.0, known_attacks=("dos",), unknown_attacks=("suppress",)
)


@dataclass(frozen=True)
class Rows:
    time_s: np.ndarray
    id: np.ndarray
    payload: np.ndarray
    attack: np.ndarray

    def of(self, arbitration_id: int) -> Rows:
        return self.where(self.id == arbitration_id)

    def where(self, rows: np.ndarray) -> Rows:
        return Rows(self.time_s[rows], self.id[rows], self.payload[rows], self.attack[rows])

    def bytes(self, column: int) -> np.ndarray:
        return np.array([int(text[2 * column : 2 * column + 2], 16) for text in self.payload])

    def bursts(self) -> list[tuple[float, float]]:
        """Begin and end of every run of attack rows without a pause of 0.1 s."""
        times = self.time_s[self.attack]
        ends = np.flatnonzero(np.diff(times) > 0.1)
        begins = np.append(0, ends + 1)
        return [
            (float(times[a]), float(times[b])) for a, b in zip(begins, [*ends, -1], strict=True)
        ]


@cache
def load(path: Path) -> Rows:
    table = pl.read_csv(
        path, schema_overrides={"arbitration_id": pl.String, "data_field": pl.String}
    )
    times = table["timestamp"].to_numpy()
    return Rows(
        time_s=times - times[0],
        id=np.array([int(text, 16) for text in table["arbitration_id"]]),
        payload=table["data_field"].to_numpy(),
        attack=table["attack"].to_numpy() == 1,
    )


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


Made = tuple[Path, SimulationSummary]

Load = Callable[[str], Rows]


def assert_counters_count(rows: Rows, fields: tuple[object, ...]) -> int:
    counters = [field for field in fields if isinstance(field, Counter)]
    for counter in counters:
        steps = np.diff(rows.bytes(counter.offset)) % counter.modulus
        assert set(steps) == {1}
    return len(counters)


def some_moment(count: int) -> Moment:
    rng = np.random.default_rng(0)
    return Moment(np.zeros(count), np.arange(count), draw_drive(1, rng), rng)
