"""Runs of models that a library fits: from prepared graphs to a checkpoint that judges windows."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from kdgat.configs.data import DataConfig
from kdgat.configs.dataset import DATASETS, SimulationConfig
from kdgat.configs.model import (
    GradientBoostingConfig,
    IdFrequencyConfig,
    ModelConfig,
    ProfileConfig,
)
from kdgat.configs.run import RunConfig
from kdgat.configs.training import ResourcesConfig
from kdgat.data.batches import subset
from kdgat.data.simulate import simulate
from kdgat.data.store import GraphStore
from kdgat.errors import ConfigError, DataError
from kdgat.ledger.folder import RunFolder
from kdgat.models.table import parameter_count
from kdgat.stages.fitted import train_fitted
from kdgat.stages.ingest import ingest
from kdgat.stages.inputs import need_attacks
from kdgat.stages.prepare import Prepared, prepare
from kdgat.stages.table import stage_of
from kdgat.training.checkpoint import BEST, load_best
from kdgat.training.scoring import score_parts
from tests.unit.ledger.made import new_record

DATA = DataConfig(training_stride_messages=50, prefix_s=2.0)
SIMULATION = SimulationConfig(
    capture_s=6,
    attack_free_s=6,
    known_vehicles=1,
    known_attacks=("dos", "fuzzing"),
    unknown_attacks=("malfunction",),
)
FITTED: tuple[ModelConfig, ...] = (
    GradientBoostingConfig(iterations=8, max_leaf_nodes=8),
    ProfileConfig(iterations=8, max_leaf_nodes=8),
    IdFrequencyConfig(),
)
NAMES = [model.kind for model in FITTED]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Graphs of a small simulation with two attacks."""
    folder = tmp_path_factory.mktemp("simulated")
    simulate(SIMULATION, folder / "raw")
    ingest(DATASETS["simulated"], folder / "raw", folder)
    return prepare(folder, DATA)


def _config(model: ModelConfig, **changes: object) -> RunConfig:
    values = {"model": model, "data": DATA, "size": "small", **changes}
    return RunConfig.model_validate(values)


def _train(
    runs: Path, prepared: Prepared, config: RunConfig
) -> tuple[RunFolder, dict[str, float | None]]:
    stage = stage_of(config.model)
    run = RunFolder.create(runs, new_record(stage=stage.name, dataset="simulated"), {})
    return run, train_fitted(run, config, stage, prepared)


def _scores(run: RunFolder, store: GraphStore) -> np.ndarray:
    trained = load_best(run.checkpoints / BEST)
    assert trained.calibration is not None
    parts = score_parts(trained.model, trained.config.model, store, 256)
    return trained.calibration.scores(parts)


@pytest.mark.parametrize("model", FITTED, ids=NAMES)
def test_the_checkpoint_ranks_attacks_above_benign_validation_windows(
    model: ModelConfig, prepared: Prepared, tmp_path: Path
) -> None:
    run, _ = _train(tmp_path, prepared, _config(model))
    store = prepared.validation()
    measured = subset(store, torch.nonzero(store.reference > 0).squeeze(1))
    assert roc_auc_score(measured.y.numpy(), _scores(run, measured)) > 0.97


@pytest.mark.parametrize("model", FITTED, ids=NAMES)
def test_the_summary_says_what_every_training_says(
    model: ModelConfig, prepared: Prepared, tmp_path: Path
) -> None:
    run, summary = _train(tmp_path, prepared, _config(model))
    best = run.checkpoints / BEST
    assert (summary["best_epoch"], summary["epochs"]) == (0, 1)
    assert summary["checkpoint_bytes"] == best.stat().st_size
    assert summary["parameters"] == parameter_count(load_best(best).model)
    (row,) = run.metrics()
    assert row["val_task_loss"] == summary["best_val_task_loss"]
    assert list(run.record().artifacts) == [f"checkpoints/{BEST}"]
    json.dumps(summary, allow_nan=False)


def test_models_with_labels_report_cross_entropy_and_accuracy(
    prepared: Prepared, tmp_path: Path
) -> None:
    run, _ = _train(tmp_path, prepared, _config(FITTED[0]))
    (row,) = run.metrics()
    store, trained = prepared.validation(), load_best(run.checkpoints / BEST)
    attack = score_parts(trained.model, trained.config.model, store, 256)[:, 0]
    y = store.y.numpy()
    right = np.where(y > 0, attack, 1 - attack)
    assert row["val_task_loss"] == pytest.approx(-np.log(np.maximum(right, 1e-7)).mean(), rel=1e-4)
    assert row["train_accuracy"] > 0.9
    assert row["val_accuracy"] == ((attack >= 0.5) == y).mean()


def test_a_model_that_knows_no_attack_has_no_cross_entropy(
    prepared: Prepared, tmp_path: Path
) -> None:
    run, summary = _train(tmp_path, prepared, _config(IdFrequencyConfig()))
    assert summary["best_val_task_loss"] is None
    assert "val_accuracy" not in run.metrics()[0]


@pytest.mark.parametrize("model", FITTED, ids=NAMES)
def test_the_same_seed_gives_the_same_scores_to_the_last_bit(
    model: ModelConfig, prepared: Prepared, tmp_path: Path
) -> None:
    one, other = (
        _train(tmp_path, prepared, _config(model, resources=ResourcesConfig(threads=threads)))[0]
        for threads in (1, 2)
    )
    store = prepared.validation()
    assert np.array_equal(_scores(one, store), _scores(other, store))


class _Changed(Prepared):
    """A prepared dataset whose labels a test chooses."""

    def train(self) -> GraphStore:
        return LABELLED[self.key](super().train())


LABELLED = {
    "none": lambda store: replace(store, attack_messages=torch.zeros_like(store.attack_messages)),
    "shuffled": lambda store: replace(
        store,
        attack_messages=store.attack_messages[
            torch.randperm(len(store), generator=torch.Generator().manual_seed(5))
        ],
    ),
}


def _labelled(prepared: Prepared, how: str) -> _Changed:
    return _Changed(**{**vars(prepared), "key": how})


def test_shuffled_training_labels_give_chance_level(prepared: Prepared, tmp_path: Path) -> None:
    run, _ = _train(tmp_path, _labelled(prepared, "shuffled"), _config(FITTED[0]))
    store = prepared.validation()
    assert abs(roc_auc_score(store.y.numpy(), _scores(run, store)) - 0.5) < 0.2


@pytest.mark.parametrize("model", FITTED[:2], ids=NAMES[:2])
def test_training_windows_without_an_attack_are_refused(
    model: ModelConfig, prepared: Prepared, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="holds an attack") as caught:
        _train(tmp_path, _labelled(prepared, "none"), _config(model))
    assert "model=vgae" in str(caught.value.hint)


def test_a_frequency_detector_needs_no_attack(prepared: Prepared, tmp_path: Path) -> None:
    run, _ = _train(tmp_path, _labelled(prepared, "none"), _config(IdFrequencyConfig()))
    assert (run.checkpoints / BEST).is_file()


def test_one_attack_window_is_enough_to_train_on(prepared: Prepared) -> None:
    store = prepared.train()
    attacks = torch.zeros_like(store.y)
    config = _config(FITTED[0])
    with pytest.raises(DataError):
        need_attacks(replace(store, attack_messages=attacks), config)
    attacks[3] = 1
    need_attacks(replace(store, attack_messages=attacks), config)


def test_a_profile_detector_needs_the_profile_features(prepared: Prepared, tmp_path: Path) -> None:
    data = DATA.model_copy(update={"features": ("bytes", "rate")})
    with pytest.raises(ConfigError, match="no 'profile'"):
        _train(tmp_path, prepared, _config(FITTED[1], data=data))
