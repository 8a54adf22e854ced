"""`kdgat export`: an ONNX file with torch's scores, or none."""

# ruff: noqa: F811 (a fixture that is imported is named again as an argument)
from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.faces.conftest import Command, Tiny
from tests.faces.watched import Watched, watched, watched_once  # noqa: F401

if TYPE_CHECKING:
    from subprocess import CompletedProcess

    Exported = Callable[..., CompletedProcess[str]]

# As kdgat itself, with the largest difference that is allowed as its first argument.
ENTRY = (
    "import sys; from kdgat.stages import export; from kdgat.cli.main import main; "
    "export.TOLERANCE = float(sys.argv.pop(1)); main()"
)
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture
def exported(process: Exported) -> Exported:
    """`kdgat export` as a process of its own: shapes that are checked can't be traced."""

    def run(*arguments: object, tolerance: float = 1e-4) -> CompletedProcess[str]:
        return process("-W", "ignore", "-c", ENTRY, tolerance, "export", *arguments)

    return run


@pytest.mark.slow
def test_the_file_says_what_torch_says_and_all_that_its_user_must_know(
    watched: Watched, tmp_path: Path, exported: Exported
) -> None:
    from kdgat.data.batches import collate
    from kdgat.data.store import open_store
    from kdgat.models.onnx_form import INPUTS, inputs_of
    from kdgat.training.checkpoint import load_best
    from kdgat.training.scoring import score_parts

    path = tmp_path / "student.onnx"
    said = exported(watched.run, "--onnx", path, "--json")
    assert said.returncode == 0, said.stderr
    assert said.stderr == ""
    done = json.loads(said.stdout)
    assert done["path"] == str(path)
    assert done["bytes"] == path.stat().st_size
    assert done["max_difference"] <= 1e-4
    assert done["windows_checked"] > 0
    assert min(done["onnx_ms"], done["torch_ms"]) > 0
    model = onnx.load(path)
    onnx.checker.check_model(model)
    about = {each.key: each.value for each in model.metadata_props}
    assert about["kdgat.run_id"] == watched.run
    assert json.loads(about["kdgat.window_messages"]) == 100
    assert json.loads(about["kdgat.threshold"]) == done["threshold"] == 0.5
    features = json.loads(about["kdgat.node_features"])
    assert len(json.loads(about["kdgat.node_mean"])) == len(features)

    run = next(watched.root.glob(f".kdgat/runs/*/*/{watched.run}"))
    trained = load_best(run / "checkpoints" / "best.ckpt")
    folder = next(watched.root.glob(".kdgat/data/simulated/graphs/*/validation")).parent
    graphs = json.loads((run / "run.json").read_text())["graphs"]
    store = open_store(folder.with_name(graphs) / "validation", labels=False)
    assert trained.calibration is not None
    ours = trained.calibration.scores(score_parts(trained.model, trained.config.model, store, 64))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for count in (1, 2, 17):
        batch = collate(store, torch.arange(count))
        given = {n: v.numpy() for n, v in zip(INPUTS, inputs_of(batch), strict=True)}
        wanted = {each.name for each in session.get_inputs()}
        (score,) = session.run(["score"], {n: v for n, v in given.items() if n in wanted})
        assert np.abs(score - ours[:count]).max() < 1e-4


def test_a_missing_extra_is_one_sentence(
    watched: Watched,
    tmp_path: Path,
    kdgat: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    kdgat("export", watched.run).mistake("onnxscript", "uv sync --extra export")


@pytest.mark.slow
def test_a_file_with_other_scores_is_never_put_in_place(
    watched: Watched, tmp_path: Path, exported: Exported
) -> None:
    path = tmp_path / "student.onnx"
    path.write_bytes(b"earlier")
    said = exported(watched.run, path, tolerance=-1.0)
    assert said.returncode == 2
    assert "away from torch" in said.stderr
    assert path.read_bytes() == b"earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_a_run_that_does_not_exist_is_told(watched: Watched, kdgat: Command) -> None:
    kdgat("export", "nothing").mistake("nothing")


@pytest.mark.slow
def test_trees_are_refused(prepared: Tiny, kdgat: Command) -> None:
    trees = (
        "model=id_frequency", "data.prefix_s=1", "data.training_stride_messages=100",
        "resources.threads=1",
    )  # fmt: skip
    run = kdgat("train", *trees, "--json").json["run_id"]
    kdgat("export", run).mistake("id_frequency", "gat")
    assert not list(prepared.root.glob("*.onnx"))
