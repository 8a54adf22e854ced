"""What the car does during a capture: the smooth signals that its sensors measure.

Every signal is a share of its sensor's range (0 to 1), so that a message needs no physical unit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_GRID_S = 0.01
# Top speed of each gear and idle speed, as shares of the speedometer and of the rev counter.
_GEAR_TOPS = np.array([0.08, 0.16, 0.27, 0.40, 0.55, 1.0])
_IDLE = 0.1

_WANDERS_S = {
    "throttle": 6.0,
    "brake": 9.0,
    "steering": 8.0,
    "yaw": 4.0,
    "acceleration": 2.0,
    "torque": 3.0,
    "vibration": 0.4,
    "oil_pressure": 20.0,
    "coolant": 240.0,
    "battery": 60.0,
    "fuel": 900.0,
    "cabin": 400.0,
}
"""Signals that wander freely, and the seconds of a typical swing."""

SIGNALS = (
    "speed", "rpm", "gear", "wheel_1", "wheel_2", "wheel_3", "wheel_4", *_WANDERS_S
)  # fmt: skip
"""Every signal that a message can carry."""


@dataclass(frozen=True)
class Drive:
    """The signals of one capture, sampled on a common grid."""

    grid_s: Float[np.ndarray, " instants"]
    signals: dict[str, Float[np.ndarray, " instants"]]

    def at(
        self, signal: str, times_s: Float[np.ndarray, " messages"]
    ) -> Float[np.ndarray, " messages"]:
        """The signal's value at each of the times."""
        return np.interp(times_s, self.grid_s, self.signals[signal])

    def forged(self, rng: np.random.Generator) -> Drive:
        """A drive that never was: every signal is stuck at a value far from the true ones."""
        stuck = {
            name: np.full(2, (np.median(values) + rng.uniform(0.3, 0.7)) % 1.0)
            for name, values in self.signals.items()
        }
        return Drive(grid_s=self.grid_s[[0, -1]], signals=stuck)


def draw_drive(length_s: float, rng: np.random.Generator) -> Drive:
    """A random drive of `length_s` seconds and a little more."""
    grid_s = np.arange(0.0, length_s + 1.0, _GRID_S)
    speed = np.clip(0.35 + 0.35 * _wander(grid_s, 25.0, rng), 0.0, 1.0)
    gear = np.searchsorted(_GEAR_TOPS, speed)
    revs = 0.45 * speed / _GEAR_TOPS[gear] + 0.01 * _wander(grid_s, 1.5, rng)
    signals = {"speed": speed, "rpm": np.clip(_IDLE + revs, 0.0, 1.0), "gear": (gear + 1) / 8}
    for wheel in range(1, 5):
        slip = 1.0 + 0.02 * _wander(grid_s, 5.0, rng)
        signals[f"wheel_{wheel}"] = np.clip(speed * slip, 0.0, 1.0)
    for name, swing_s in _WANDERS_S.items():
        signals[name] = 0.5 + 0.5 * _wander(grid_s, swing_s, rng)
    return Drive(grid_s=grid_s, signals=signals)


def _wander(
    grid_s: Float[np.ndarray, " instants"], swing_s: float, rng: np.random.Generator
) -> Float[np.ndarray, " instants"]:
    """A smooth random curve within -1 and 1: five sines of periods about `swing_s` seconds."""
    cycles_per_s = rng.uniform(0.3, 2.0, size=(5, 1)) / swing_s
    sines = np.sin(2 * np.pi * (cycles_per_s * grid_s + rng.random((5, 1))))
    weights = rng.uniform(0.2, 1.0, size=5)
    return weights @ sines / weights.sum()
