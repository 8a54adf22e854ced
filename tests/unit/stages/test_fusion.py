from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdgat.configs.data import DataConfig
from kdgat.configs.dataset import DATASETS, SimulationConfig
from kdgat.configs.model import FusionConfig
from kdgat.configs.training import DistillationConfig, TrainingConfig
from kdgat.data.simulate import simulate
from kdgat.errors import CheckpointError, ConfigError
from kdgat.ledger.folder import RunFolder
from kdgat.stages.fusion import train_fusion
from kdgat.stages.ingest import ingest
from kdgat.stages.prepare import Prepared, prepare
from kdgat.stages.table import STAGES
from kdgat.stages.train import train
from kdgat.training.checkpoint import BEST, TrainedModel, load_best, save_best
from kdgat.training.scoring import score_parts
from tests.unit.stages.untrained import GAT, OTHER, VGAE, completed, planned

DATA = DataConfig(window_messages=50, stride_messages=50, training_stride_messages=50)
FUSION = FusionConfig(hidden=4, layers=1, actions=5, epochs=2)
TRAINING = TrainingConfig(min_steps_per_epoch=4)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Graphs of a small simulation."""
    folder = tmp_path_factory.mktemp("simulated")
    config = SimulationConfig(capture_s=5.0, attack_free_s=5.0, known_attacks=("dos",))
    simulate(config, folder / "raw")
    ingest(DATASETS["simulated"], folder / "raw", folder)
    return prepare(folder, DATA)


@pytest.fixture
def scorers(prepared: Prepared, tmp_path: Path) -> tuple[RunFolder, ...]:
    return tuple(
        completed(tmp_path / "runs", prepared, data=DATA, model=model) for model in (VGAE, GAT)
    )


def fuse(
    runs: Path,
    prepared: Prepared,
    scorers: tuple[RunFolder, ...],
    teacher: RunFolder | None = None,
    **parts: Any,
) -> tuple[RunFolder, dict[str, float | None]]:
    """A fusion trained in a folder of its own, and its figures."""
    parts = {"data": DATA, "model": FUSION, "training": TRAINING, **parts}
    run, config = planned(runs, prepared, **parts)
    return run, train_fusion(run, config, STAGES["fusion"], prepared, scorers, teacher)


def scores(trained: TrainedModel, prepared: Prepared) -> np.ndarray:
    return score_parts(trained.model, trained.config.model, prepared.validation(), 100)


def test_a_run_has_figures_a_checkpoint_and_a_row_an_epoch(
    prepared: Prepared, scorers: tuple[RunFolder, ...], tmp_path: Path
) -> None:
    run, figures = fuse(tmp_path / "runs", prepared, scorers)
    assert figures["epochs"] == 2
    assert figures["teacher_parameters"] is None
    alone = sum(
        sum(each.numel() for each in load_best(scorer.checkpoints / BEST).model.parameters())
        for scorer in scorers
    )
    policy = figures["policy_parameters"]
    assert policy is not None
    assert figures["parameters"] == alone + policy
    best = run.checkpoints / BEST
    assert figures["checkpoint_bytes"] == best.stat().st_size
    assert run.record().artifacts["checkpoints/best.ckpt"]
    rows = run.metrics()
    assert [row["epoch"] for row in rows] == [0, 1]
    assert min(row["val_task_loss"] for row in rows) == figures["best_val_task_loss"]


def test_a_checkpoint_scores_exactly_as_before_without_its_scorers_runs(
    prepared: Prepared, scorers: tuple[RunFolder, ...], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    run, _ = fuse(runs, prepared, scorers)
    first = load_best(run.checkpoints / BEST)
    before = scores(first, prepared)
    for scorer in scorers:
        shutil.rmtree(scorer.path)
    again = tmp_path / "again.ckpt"
    save_best(
        again, first.model, first.config, first.features, first.epoch, first.calibration,
        first.scorers,
    )  # fmt: skip
    loaded = load_best(again)
    assert np.array_equal(scores(loaded, prepared), before)
    assert loaded.calibration == first.calibration
    assert [each.config.model for each in loaded.scorers] == [VGAE, GAT]
    assert len(np.unique(before)) > 10
    assert ((before >= 0) & (before <= 1)).all()
    assert loaded.calibration is not None
    assert loaded.calibration.threshold() == 0.5


@pytest.mark.parametrize("method", ["dqn", "mlp", "bandit", "weighted_average"])
def test_a_run_that_was_stopped_begins_again_to_the_same_numbers(
    prepared: Prepared, scorers: tuple[RunFolder, ...], tmp_path: Path, method: str
) -> None:
    model = FUSION.model_copy(update={"method": method})
    run, figures = fuse(tmp_path / "runs", prepared, scorers, model=model)
    rows = [{**row, "time": None} for row in run.metrics()]
    state = load_best(run.checkpoints / BEST).model.state_dict()
    torch.manual_seed(99)
    run.log_metrics(7, {"train_loss": 1.0})
    config = load_best(run.checkpoints / BEST).config
    again = train(run, config, STAGES["fusion"], prepared, tmp_path, scorers=scorers)
    assert {**again, "checkpoint_bytes": 0} == {**figures, "checkpoint_bytes": 0}
    assert [{**row, "time": None} for row in run.metrics()] == rows
    for name, value in load_best(run.checkpoints / BEST).model.state_dict().items():
        assert torch.equal(value, state[name])


def test_three_models_are_weighed(
    prepared: Prepared, scorers: tuple[RunFolder, ...], tmp_path: Path
) -> None:
    third = completed(tmp_path / "runs", prepared, seed=1, data=DATA, model=OTHER)
    model = FUSION.model_copy(update={"scorers": ("a", "b", "c")})
    run, _ = fuse(tmp_path / "runs", prepared, (*scorers, third), model=model)
    trained = load_best(run.checkpoints / BEST)
    assert [each.config.model for each in trained.scorers] == [VGAE, GAT, OTHER]
    assert len(np.unique(scores(trained, prepared))) > 10


def test_a_student_learns_from_what_a_larger_fusion_says(
    prepared: Prepared, scorers: tuple[RunFolder, ...], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    model = FUSION.model_copy(update={"method": "mlp"})
    teacher, large = fuse(runs, prepared, scorers, model=model.model_copy(update={"hidden": 8}))
    alone, plain = fuse(runs, prepared, scorers, model=model)
    distillation = DistillationConfig(teacher=teacher.path.name, alpha=1.0)
    taught, figures = fuse(runs, prepared, scorers, teacher, model=model, distillation=distillation)
    assert figures["teacher_parameters"] == large["parameters"]
    assert plain["teacher_parameters"] is None
    assert taught.metrics()[0]["train_loss"] != alone.metrics()[0]["train_loss"]


def test_a_model_of_other_windows_is_refused(
    prepared: Prepared, scorers: tuple[RunFolder, ...], tmp_path: Path
) -> None:
    data = DATA.model_copy(update={"window_messages": 60})
    other = completed(tmp_path / "runs", prepared, data=data, model=GAT)
    with pytest.raises(CheckpointError, match="other windows or features") as error:
        fuse(tmp_path / "runs", prepared, (scorers[0], other))
    assert error.value.hint


def test_a_model_whose_training_never_ended_is_refused(
    prepared: Prepared, scorers: tuple[RunFolder, ...], tmp_path: Path
) -> None:
    path = scorers[1].checkpoints / BEST
    gat = load_best(path)
    save_best(path, gat.model, gat.config, gat.features, 0)
    with pytest.raises(CheckpointError, match="not trained to its end"):
        fuse(tmp_path / "runs", prepared, scorers)


def test_several_processes_are_refused(
    prepared: Prepared, scorers: tuple[RunFolder, ...], tmp_path: Path
) -> None:
    resources = {"devices": 2}
    run, config = planned(tmp_path / "runs", prepared, data=DATA, model=FUSION, resources=resources)
    with pytest.raises(ConfigError, match="by one process"):
        train(run, config, STAGES["fusion"], prepared, tmp_path, scorers=scorers)
