"""The captures that the default simulation writes, made once."""

from __future__ import annotations

import pytest

from kdgat.configs.dataset import SimulationConfig
from kdgat.data.simulate import simulate
from tests.unit.data.simulated import (
    Load,
    Made,
    load,
)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("simulated")
    return root, simulate(SimulationConfig(), root)


@pytest.fixture
def capture(made: Made) -> Load:
    return lambda path: load(made[0] / path)
