"""Three tanks in a row, each with a level, a flow, a valve and a pump, and a sensor that lies.

Every second a controller opens a tank's valve when its level is low and starts its pump when it is
high. It believes what the sensors say, so a tampered sensor also moves actuators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

_TANKS = 3
_LOW, _HIGH = 400.0, 800.0
_OF_A_TANK = ("LIT", "FIT", "MV", "P", "PIT")
_SENSORS = (*(f"{kind}{tank}01" for tank in range(1, _TANKS + 1) for kind in _OF_A_TANK), "AIT201")
MAPPING = f"""\
citation = "made by kdgat"

[columns]
time = "Timestamp"
sensors = [{", ".join(f'"{name}"' for name in _SENSORS)}]
label = "Normal/Attack"

[time]
unit = "date"
format = "%d/%m/%Y %H:%M:%S"

[labels]
attack = ["Attack"]
benign = ["Normal"]

[encoding.codes]
MV101 = {{ closed = 0, open = 1 }}
MV201 = {{ closed = 0, open = 1 }}
MV301 = {{ closed = 0, open = 1 }}
"""
FILES: Mapping[str, str | None] = {
    "train_01_attack_free/normal-1.csv": None,
    "train_01_attack_free/normal-2.csv": None,
    "train_02_with_attacks/frozen-1.csv": "frozen",
    "train_02_with_attacks/offset-1.csv": "offset",
    "test_01_known_attack/frozen-2.csv": "frozen",
    "test_01_known_attack/offset-2.csv": "offset",
    "test_02_unknown_attack/noise-1.csv": "noise",
}
"""The files, each with its attack."""


@dataclass
class _Plant:
    """What is true of the tanks, and what the actuators do."""

    level: np.ndarray
    valve: np.ndarray = field(default_factory=lambda: np.zeros(_TANKS, dtype=bool))
    pump: np.ndarray = field(default_factory=lambda: np.zeros(_TANKS, dtype=bool))
    acid: float = 7.0

    def step(self, rng: np.random.Generator) -> np.ndarray:
        """One second: the flows into the tanks."""
        before = np.concatenate(([True], self.pump[:-1]))
        flow = np.where(self.valve & before, 2.4, 0.0) + rng.normal(0, 0.02, _TANKS)
        self.level += 2.5 * np.maximum(flow, 0) - np.where(self.pump, 3.2, 0.3)
        self.level = np.clip(self.level, 0, 1200)
        self.acid += 0.02 * (7.0 - self.acid) + rng.normal(0, 0.01)
        return flow

    def control(self, seen: np.ndarray) -> None:
        """What the controller does with the levels it is told."""
        self.valve = np.where(seen < _LOW, True, np.where(seen > _HIGH, False, self.valve))
        self.pump = np.where(seen > _HIGH, True, np.where(seen < _LOW, False, self.pump))


def capture(
    attack: str | None, length_s: float, spans: list[tuple[float, float]], seed: int,
    rng: np.random.Generator,
) -> tuple[str, int, int]:  # fmt: skip
    """One file: its text, its rows, its rows under attack.

    Args:
        attack: frozen, offset or noise, of the level of one tank; None for none.
        length_s: seconds, a row each.
        spans: first and last second of each burst of attack.
        seed: unused, as there is one plant; hosts of a network need it.
        rng: draws this file's course.
    """
    del seed
    plant = _Plant(level=rng.uniform(_LOW, _HIGH, size=_TANKS))
    target, start = int(rng.integers(_TANKS)), int(rng.integers(1_600_000_000, 1_700_000_000))
    rows, attacked, held = [], 0, 0.0
    for second in range(int(length_s)):
        flow = plant.step(rng)
        seen = plant.level + rng.normal(0, 0.6, _TANKS)
        bad = attack is not None and any(a <= second < b for a, b in spans)
        if bad:
            seen[target] = _tampered(attack or "", seen[target], held, rng)
        else:
            held = float(seen[target])
        plant.control(seen)
        attacked += bad
        rows.append(_row(start + second, plant, seen, flow, bad, rng))
    return f"Timestamp,{','.join(_SENSORS)},Normal/Attack\n" + "".join(rows), len(rows), attacked


def _tampered(attack: str, true: float, held: float, rng: np.random.Generator) -> float:
    """What a sensor under attack says."""
    if attack == "frozen":
        return held
    return true + 250.0 if attack == "offset" else true + rng.normal(0, 60.0)


def _row(
    time: int, plant: _Plant, seen: np.ndarray, flow: np.ndarray, bad: bool,
    rng: np.random.Generator,
) -> str:  # fmt: skip
    cells = []
    pressure = np.where(plant.pump, 3.5, 0.4) + rng.normal(0, 0.03, _TANKS)
    for tank in range(_TANKS):
        cells += [
            f"{seen[tank]:.2f}", f"{flow[tank]:.3f}", "open" if plant.valve[tank] else "closed",
            str(int(plant.pump[tank])), f"{pressure[tank]:.3f}",
        ]  # fmt: skip
    moment = np.datetime64(time, "s").item().strftime("%d/%m/%Y %H:%M:%S")
    label = "Attack" if bad else "Normal"
    return f"{moment},{','.join(cells)},{plant.acid + rng.normal(0, 0.01):.3f},{label}\n"
