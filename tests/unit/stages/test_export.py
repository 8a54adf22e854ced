"""Every kind of model that has an ONNX form: its scores are torch's, for any number of windows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kdgat.configs.data import DataConfig
from kdgat.configs.dataset import DATASETS, SimulationConfig
from kdgat.data.simulate import simulate
from kdgat.stages.ingest import ingest
from tests.unit.stages.export_kinds import KINDS, METHODS

CHECKOUT = Path(__file__).parents[3]
DATA = DataConfig(prefix_s=1.0, training_stride_messages=200)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("simulated")
    config = SimulationConfig(
        capture_s=5.0, attack_free_s=5.0, known_attacks=("dos",), unknown_attacks=("replay",)
    )
    simulate(config, folder / "raw")
    ingest(DATASETS["simulated"], folder / "raw", folder)
    command = [sys.executable, "-W", "ignore", "-m", "tests.unit.stages.export_kinds"]
    done = subprocess.run(
        [*command, str(folder), DATA.model_dump_json(), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=CHECKOUT,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_each_kind_gives_torchs_scores_for_one_window_and_for_many(
    reports: dict[str, dict[str, float]],
) -> None:
    assert set(reports) == {*KINDS, *(f"fusion {method}" for method in METHODS)}
    for kind, report in reports.items():
        assert report["max_difference"] < 1e-4, kind
        assert report["windows_checked"] > 10, kind


@pytest.mark.slow
def test_the_file_is_little_more_than_the_weights(reports: dict[str, dict[str, float]]) -> None:
    for kind, report in reports.items():
        # The graph's own operators take tens of kilobytes, however small the model is.
        assert report["bytes"] < 4 * report["parameters"] + 100_000, kind
