"""Training as a whole: the numbers repeat, and an interruption changes none of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from kdgat.configs.model import GatConfig, ModelConfig, VgaeConfig
from kdgat.configs.run import RunConfig
from kdgat.configs.training import DistillationConfig, ResourcesConfig, TrainingConfig
from kdgat.data.store import GraphStore
from kdgat.errors import ConfigError, RunError
from kdgat.ledger.folder import Paused
from kdgat.models.table import build_model, parameter_count
from kdgat.training.checkpoint import load_best, newest_valid
from kdgat.training.fit import MONITOR, Asked, FitResult, fit, nobody_asked
from kdgat.training.tasks import Objective, task_of

GAT = GatConfig(hidden=4, heads=2, layers=2, readout=8, dropout=0.2)
VGAE = VgaeConfig(hidden=4, heads=2, latent=4, decoder=8)
TEACHERS: dict[str, ModelConfig] = {
    "gat": GatConfig(hidden=6, heads=2, layers=3, readout=8),
    "vgae": VgaeConfig(hidden=6, heads=2, latent=7, decoder=8),
}
ALONE = DistillationConfig()
ALL_TERMS = DistillationConfig(teacher="t", feature_weight=0.5, attention_weight=2.0)
Stores = tuple[GraphStore, GraphStore]


class _Stopped(Exception):
    """Stands for whatever ends a process in the middle."""


def _train(
    folder: Path,
    stores: Stores,
    model_config: ModelConfig = GAT,
    stop_after: int | None = None,
    asked: Asked = nobody_asked,
    distillation: DistillationConfig = ALONE,
    **training: Any,
) -> tuple[FitResult, dict[int, dict[str, float | None]]]:
    """Train for some epochs, from the folder's checkpoint if it has one."""
    settings = {
        "max_epochs": 6,
        "patience_epochs": 6,
        "max_graphs": 16,
        "min_steps_per_epoch": 0,
        "learning_rate": 0.01,
    }
    config = RunConfig(
        model=model_config,
        training=TrainingConfig(**{**settings, **training}),
        distillation=distillation,
    )
    teacher = None
    if distillation.teacher is not None:
        torch.manual_seed(99)
        teacher = build_model(TEACHERS[config.model.kind], 27, 3).requires_grad_(False)
    torch.manual_seed(config.seed)
    model = build_model(config.model, 27, 3)
    epochs: dict[int, dict[str, float | None]] = {}

    def listen(epoch: int, metrics: dict[str, float | None]) -> None:
        if epoch == stop_after:
            raise _Stopped
        epochs[epoch] = metrics

    objective = Objective(task_of(config.model), config.distillation, teacher)
    resume, _ = newest_valid(folder)
    return fit(model, objective, stores, config, folder, resume, listen, asked=asked), epochs


@pytest.mark.parametrize("config", [GAT, VGAE], ids=["gat", "vgae"])
def test_the_same_seed_gives_the_same_loss_to_the_last_bit(
    config: ModelConfig, stores: Stores, tmp_path: Path
) -> None:
    first = _train(tmp_path / "a", stores, config)
    second = _train(tmp_path / "b", stores, config)
    assert first == second
    assert all(
        torch.equal(one, two)
        for one, two in zip(
            load_best(tmp_path / "a" / "best.ckpt").model.state_dict().values(),
            load_best(tmp_path / "b" / "best.ckpt").model.state_dict().values(),
            strict=True,
        )
    )


@pytest.mark.parametrize("config", [GAT, VGAE], ids=["gat", "vgae"])
@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_training_stopped_in_any_epoch_goes_on_to_the_same_numbers(
    config: ModelConfig, stop_after: int, stores: Stores, tmp_path: Path
) -> None:
    whole, epochs = _train(tmp_path / "whole", stores, config)
    with pytest.raises(_Stopped):
        _train(tmp_path / "broken", stores, config, stop_after=stop_after)
    resumed, later = _train(tmp_path / "broken", stores, config)
    assert resumed == whole
    assert later == {epoch: epochs[epoch] for epoch in range(stop_after, 6)}


class _After:
    """Asks to stop when it was looked at so many times."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


@pytest.mark.parametrize("config", [GAT, VGAE], ids=["gat", "vgae"])
@pytest.mark.parametrize("looks", [1, 4, 9])
def test_a_training_asked_to_stop_between_two_steps_goes_on_to_the_same_numbers(
    config: ModelConfig, looks: int, stores: Stores, tmp_path: Path
) -> None:
    whole, epochs = _train(tmp_path / "whole", stores, config, max_epochs=3)
    pauses = []
    # It is asked again and again: every attempt makes a few steps and saves.
    while len(pauses) < 60:
        try:
            asked = _After(looks)
            ended, later = _train(tmp_path / "paused", stores, config, asked=asked, max_epochs=3)
            break
        except Paused as pause:
            pauses.append(str(pause))
    assert ended == whole
    assert later == {epoch: epochs[epoch] for epoch in later}
    assert any("after step" in where for where in pauses)
    weights = (
        load_best(tmp_path / name / "best.ckpt").model.state_dict() for name in ("whole", "paused")
    )
    assert all(torch.equal(*each) for each in zip(*(w.values() for w in weights), strict=True))


@pytest.mark.parametrize("config", [GAT, VGAE], ids=["gat", "vgae"])
@pytest.mark.parametrize("looks", [3, 7])
def test_a_distilled_training_goes_on_with_its_projections_to_the_same_bits(
    config: ModelConfig, looks: int, stores: Stores, tmp_path: Path
) -> None:
    given = {"distillation": ALL_TERMS, "max_epochs": 3}
    whole, epochs = _train(tmp_path / "whole", stores, config, **given)
    pauses = 0
    while pauses < 60:
        try:
            asked = _After(looks)
            ended, later = _train(tmp_path / "paused", stores, config, asked=asked, **given)
            break
        except Paused:
            pauses += 1
    assert pauses > 1
    assert ended == whole
    assert later == {epoch: epochs[epoch] for epoch in later}
    states = []
    for name in ("whole", "paused"):
        newest, _ = newest_valid(tmp_path / name)
        assert newest is not None
        states.append(torch.load(newest, weights_only=True)["state_dict"])
    projections = [name for name in states[0] if name.startswith("projections.")]
    assert len(projections) == {"gat": 2, "vgae": 4}[config.kind]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_projections_are_trained_and_are_none_of_the_kept_model(
    stores: Stores, tmp_path: Path
) -> None:
    _train(tmp_path, stores, VGAE, distillation=ALL_TERMS, max_epochs=2)
    best = load_best(tmp_path / "best.ckpt").model
    assert not any("projection" in name for name in best.state_dict())
    assert parameter_count(best) == parameter_count(build_model(VGAE, 27, 3))
    states = [
        torch.load(tmp_path / f"epoch-000{epoch}.ckpt", weights_only=True)["state_dict"]
        for epoch in (0, 1)
    ]
    for name in ("latent", "feature"):
        before, after = (state[f"projections.{name}.weight"] for state in states)
        assert not torch.equal(before, after)


def test_a_training_asked_to_stop_saves_between_two_steps_and_says_where(
    stores: Stores, tmp_path: Path
) -> None:
    with pytest.raises(Paused, match=r"^in epoch 0, after step 2$"):
        _train(tmp_path, stores, asked=_After(2))
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0000-step-000002.ckpt"]
    # The last step of an epoch is not the place: validation and the epoch's own checkpoint follow.
    with pytest.raises(Paused, match=r"^after epoch 0$"):
        _train(tmp_path, stores, asked=_After(4))
    assert newest_valid(tmp_path)[0] == tmp_path / "epoch-0000.ckpt"


@pytest.mark.parametrize("seed", [20261121, 2**32 - 1])
def test_any_seed_a_config_allows_trains(seed: int, stores: Stores, tmp_path: Path) -> None:
    config = RunConfig(model=GAT, training=TrainingConfig(max_epochs=1), seed=seed)
    objective = Objective(task_of(GAT), config.distillation)
    model = build_model(GAT, 27, 3)
    assert fit(model, objective, stores, config, tmp_path, None, lambda *_: None).epochs == 1


def test_a_seed_of_its_own_gives_other_numbers(stores: Stores, tmp_path: Path) -> None:
    first, _ = _train(tmp_path / "a", stores)
    second, _ = _train(tmp_path / "b", stores, learning_rate=0.011)
    assert first.best_loss != second.best_loss


def test_the_kept_weights_are_the_best_epochs_and_not_the_last(
    stores: Stores, tmp_path: Path
) -> None:
    # A step this large makes later epochs worse than an earlier one.
    result, epochs = _train(tmp_path, stores, learning_rate=0.3, max_epochs=8, patience_epochs=8)
    losses = {epoch: metrics[MONITOR] for epoch, metrics in epochs.items()}
    assert result.best_epoch == min(losses, key=lambda epoch: losses[epoch])
    assert result.best_epoch < 7
    assert load_best(tmp_path / "best.ckpt").epoch == result.best_epoch


def test_training_stops_when_nothing_improved_for_long_enough(
    stores: Stores, tmp_path: Path
) -> None:
    result, epochs = _train(tmp_path, stores, learning_rate=0.5, max_epochs=40, patience_epochs=2)
    assert result.epochs == len(epochs) == result.best_epoch + 3 < 40


def test_a_training_that_had_stopped_early_does_not_go_on_when_resumed(
    stores: Stores, tmp_path: Path
) -> None:
    first, _ = _train(tmp_path, stores, learning_rate=0.5, max_epochs=40, patience_epochs=2)
    again, epochs = _train(tmp_path, stores, learning_rate=0.5, max_epochs=40, patience_epochs=2)
    assert again == first
    assert epochs == {}


def test_a_loss_that_is_no_number_ends_the_run_with_a_sentence(
    stores: Stores, tmp_path: Path
) -> None:
    broken = GraphStore(**{**vars(stores[0]), "x": torch.full_like(stores[0].x, torch.nan)})
    with pytest.raises(RunError, match=r"^training diverged in epoch 0: train_loss is nan$"):
        _train(tmp_path, (broken, stores[1]))


def test_half_precision_without_a_gpu_is_refused_and_not_replaced(
    stores: Stores, tmp_path: Path
) -> None:
    config = RunConfig(
        model=GAT,
        training=TrainingConfig(precision="fp16"),
        resources=ResourcesConfig(accelerator="cpu"),
    )
    objective = Objective(task_of(GAT), config.distillation)
    with pytest.raises(ConfigError, match=r"^training\.precision = 'fp16', which needs a GPU"):
        fit(build_model(GAT, 27, 3), objective, stores, config, tmp_path, None, lambda *_: None)


def test_only_the_newest_checkpoints_stay(stores: Stores, tmp_path: Path) -> None:
    _train(tmp_path, stores)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["best.ckpt", "epoch-0004.ckpt", "epoch-0005.ckpt"]


def test_a_tiny_run_has_the_loss_it_always_had(stores: Stores, tmp_path: Path) -> None:
    result, _ = _train(tmp_path, stores)
    # Changes only when the model, the loss, the features or the order of batches does.
    assert result.best_loss == pytest.approx(0.0043412, rel=0.02)
