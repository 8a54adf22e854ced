"""The small simulated dataset that several tests share, and how its graphs are made."""

from __future__ import annotations

from kdgat.configs.data import DataConfig
from kdgat.configs.dataset import SimulationConfig

CONFIG = DataConfig(training_stride_messages=50, prefix_s=1.0)
SIMULATION = SimulationConfig(
    capture_s=5,
    attack_free_s=5,
    known_vehicles=1,
    known_attacks=("dos", "fuzzing"),
    unknown_attacks=("malfunction",),
)
