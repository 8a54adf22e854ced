"""The baseline makes what kdgat makes, so that their times can be compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kdgat.configs.data import DataConfig
from kdgat.configs.dataset import SimulationConfig
from kdgat.data.graphs import build_graphs
from kdgat.data.reading import read_capture
from kdgat.data.simulate import simulate
from kdgat.data.windows import Messages, window_starts
from tests.benchmarks import loop

ROWS = 5_000


@pytest.fixture(scope="module")
def captures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A plain CSV of each kind of capture that a small simulation makes."""
    folder = tmp_path_factory.mktemp("captures")
    attacks = ("dos", "fuzzing")
    simulate(SimulationConfig(capture_s=5, attack_free_s=5, known_attacks=attacks), folder)
    found = folder.glob("train_*/*.csv.gz")
    return {path.name.split("-")[0].lower(): path for path in sorted(found)}


@pytest.mark.parametrize("kind", ["attack", "dos", "fuzzing"])
@pytest.mark.parametrize("stride", [100, 40])
def test_the_loop_makes_the_arrays_that_kdgat_makes(
    captures: dict[str, Path], kind: str, stride: int
) -> None:
    usual = loop.read_csv(captures[kind], ROWS)
    expected = loop.build_graphs(usual, window=100, stride=stride)

    frame = read_capture(captures[kind], "can_train_and_test").messages.head(ROWS)
    assert frame["attack"].to_list() == usual.attack.tolist()
    config = DataConfig(window_messages=100, stride_messages=stride, features=loop.FEATURES)
    messages = Messages.from_frame(frame)
    graphs = build_graphs(messages, window_starts(len(messages), 100, stride), config)
    for name, values in vars(graphs).items():
        other = getattr(expected, name)
        assert (values.dtype, values.shape) == (other.dtype, other.shape), name
        np.testing.assert_allclose(values, other, rtol=0, atol=1e-4, err_msg=name)


def test_the_loop_makes_them_of_a_real_capture_too(real_data: Path) -> None:
    path = real_data / "hcrl_sa/test_02_unknown_vehicle_known_attack/fuzzing-Spark.csv.gz"
    expected = loop.build_graphs(loop.read_csv(path, ROWS), window=100, stride=100)
    frame = read_capture(path, "can_train_and_test").messages.head(ROWS)
    starts = window_starts(ROWS, 100, 100)
    config = DataConfig(features=loop.FEATURES)
    graphs = build_graphs(Messages.from_frame(frame), starts, config)
    for name, values in vars(graphs).items():
        np.testing.assert_allclose(values, getattr(expected, name), rtol=0, atol=1e-4, err_msg=name)
