from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest
import torch
from torch import Tensor

from kdgat.configs.model import FusionConfig
from kdgat.configs.run import RunConfig
from kdgat.configs.training import DistillationConfig, TrainingConfig
from kdgat.models.fusion import AveragePolicy, FusionModel, LatticePolicy, fused
from kdgat.training.fusion_table import FusionTable, blinded
from kdgat.training.policies import judged, reward, softened, train_policy
from tests.unit.models.said import fusion

METHODS = ("dqn", "mlp", "bandit", "weighted_average")


def untrained(config: FusionConfig, models: int = 2, seed: int = 0) -> FusionModel:
    """A one-class model and classifiers, whose words come from a table."""
    torch.manual_seed(seed)
    return fusion(config, *([0.5] for _ in range(models)))


def table(model: FusionModel, odds: Sequence[Sequence[float]], y: Sequence[int]) -> FusionTable:
    """Windows of one capture, of which the models say these odds."""
    said = torch.tensor(odds)
    widths = [part.stop - part.start for part in model.columns]
    logs = said.clamp(1e-3, 1 - 1e-3).logit() / 4
    signals = torch.cat([logs[:, [k]].expand(-1, width) for k, width in enumerate(widths)], dim=1)
    following = torch.arange(1, len(y) + 1)
    following[-1] = -1
    return FusionTable(said, signals.clone(), torch.tensor(y), following)


def traffic(model: FusionModel, windows: int, seed: int) -> FusionTable:
    """A classifier sure of every window, and a one-class model that is mostly right."""
    generator = torch.Generator().manual_seed(seed)
    y = (torch.rand(windows, generator=generator) < 0.4).long()
    noise = torch.rand(windows, len(model.labelled), generator=generator)
    sure = torch.where(y == 1, 0.97, 0.02) + 0.02 * noise.T
    odds = sure.T.clone()
    # Of attacks it sees most, and of benign windows it is never far over its threshold.
    odds[:, 0] = torch.where(y == 1, 0.45 + 0.5 * noise[:, 0], 0.1 + 0.35 * noise[:, 0])
    return table(model, odds.tolist(), y.tolist())


def run_config(fusion: FusionConfig, **parts: object) -> RunConfig:
    """A run of this fusion, with few steps an epoch."""
    parts = {"training": TrainingConfig(min_steps_per_epoch=8), **parts}
    return RunConfig.model_validate({"model": fusion, **parts})


def trained(
    config: FusionConfig,
    *,
    models: int = 2,
    seed: int = 3,
    teacher: Tensor | None = None,
    distillation: DistillationConfig | None = None,
) -> tuple[FusionModel, list[dict[str, float | None]]]:
    """A fusion trained on such traffic, and its figures."""
    model = untrained(config, models, seed)
    tables = (traffic(model, 400, 1), traffic(model, 200, 2))
    run = run_config(config, seed=seed, distillation=distillation or DistillationConfig())
    rows: list[dict[str, float | None]] = []
    train_policy(model, tables, run, lambda _, row: rows.append(row), teacher=teacher)
    return model, rows


def alarms(model: FusionModel, odds: Sequence[Sequence[float]]) -> list[bool]:
    """Whether the fused score of windows is an alarm."""
    shown = table(model, odds, [0] * len(odds))
    weights = model.policy(model.states(shown.odds, shown.signals))
    return (fused(shown.odds, weights) >= 0.5).tolist()


class TestBlinding:
    def test_a_share_of_the_attacks_looks_benign_to_the_classifier_alone(self) -> None:
        model = untrained(FusionConfig(hidden=4))
        plain = traffic(model, 1000, 1)
        shown = blinded(plain, model, 0.3, torch.Generator().manual_seed(0))
        changed = (shown.odds != plain.odds).any(dim=1)
        attacks = plain.y == 1
        assert not changed[~attacks].any()
        assert 0.22 < changed[attacks].float().mean() < 0.38
        assert torch.equal(shown.odds[:, 0], plain.odds[:, 0])
        assert torch.equal(shown.signals[:, model.columns[0]], plain.signals[:, model.columns[0]])
        # What it says there, it said of some benign window: odds and signals of the same one.
        words = torch.cat((plain.odds, plain.signals), 1)[~attacks][:, [1, 4]]
        said = {tuple(row) for row in words.tolist()}
        new = torch.cat((shown.odds, shown.signals), 1)[changed][:, [1, 4]]
        assert {tuple(row) for row in new.tolist()} <= said
        assert torch.equal(shown.y, plain.y)

    def test_every_epoch_blinds_other_windows(self) -> None:
        model = untrained(FusionConfig(hidden=4))
        plain = traffic(model, 300, 1)
        generator = torch.Generator().manual_seed(0)
        first, second = (blinded(plain, model, 0.3, generator) for _ in range(2))
        assert not torch.equal(first.odds, second.odds)

    def test_of_several_classifiers_one_at_a_time_is_blind(self) -> None:
        model = untrained(FusionConfig(hidden=4, actions=5), 3)
        plain = traffic(model, 500, 1)
        shown = blinded(plain, model, 1.0, torch.Generator().manual_seed(0))
        changed = (shown.odds != plain.odds)[plain.y == 1]
        assert changed[:, 1:].sum(dim=1).unique().tolist() == [1]
        assert changed[:, 1].any()
        assert changed[:, 2].any()

    @pytest.mark.parametrize("method", ["dqn", "mlp", "bandit"])
    def test_it_teaches_to_trust_the_one_class_model_where_that_one_is_sure(
        self, method: str
    ) -> None:
        config = FusionConfig.model_validate({"method": method, "hidden": 16, "epochs": 40})
        new_attack, benign, known = [0.93, 0.03], [0.2, 0.03], [0.6, 0.98]
        seeing, _ = trained(config.model_copy(update={"blind_share": 0.3}))
        assert alarms(seeing, [new_attack, benign, known]) == [True, False, True]
        trusting, _ = trained(config.model_copy(update={"blind_share": 0.0}))
        assert not alarms(trusting, [new_attack])[0]


class TestRewards:
    def test_a_right_decision_with_a_margin_is_worth_most(self) -> None:
        scores = torch.tensor([1.0, 0.5, 0.25, 0.0])
        assert reward(scores, torch.ones(4)).tolist() == [1.0, 0.5, -0.75, -1.0]
        assert reward(scores, torch.zeros(4)).tolist() == [-1.0, -0.5, 0.75, 1.0]

    def test_a_soft_label_earns_what_its_sides_earn_in_the_mean(self) -> None:
        soft = reward(torch.tensor([1.0]), torch.tensor([0.75]))
        assert soft.tolist() == [0.75 * 1.0 + 0.25 * -1.0]

    def test_a_temperature_draws_a_score_towards_even(self) -> None:
        # Odds of 16 to 1 are 2 to 1 at temperature 4.
        assert softened(torch.tensor([16 / 17]), 4.0).item() == pytest.approx(2 / 3)

    def test_without_a_future_the_network_finds_the_best_action_of_each_window(self) -> None:
        config = FusionConfig(
            hidden=16,
            layers=1,
            actions=5,
            discount=0.0,
            epochs=60,
            blind_share=0,
            learning_rate=0.01,
        )
        model = untrained(config)
        # Each model is right of half of the windows, and there the other one is wrong.
        odds = [[0.9, 0.2], [0.2, 0.9], [0.1, 0.8], [0.8, 0.1]]
        shown = table(model, odds * 10, [1, 1, 0, 0] * 10)
        # What to weigh can be seen, as it can from real scores.
        shown.signals[:, 0] = torch.tensor([1.0, -1.0, 1.0, -1.0] * 10)
        train_policy(model, (shown, shown), run_config(config), lambda *_: None)
        _, weights = _explained(model, shown)
        assert weights[:4, 0].tolist() == [1.0, 0.0, 1.0, 0.0]
        values = cast(LatticePolicy, model.policy).values(model.states(shown.odds, shown.signals))
        # The reward of the first window's best: decided rightly, with a score of .9.
        assert values[0].max().item() == pytest.approx(0.9, abs=0.1)

    def test_the_future_is_the_next_window_of_the_capture(self) -> None:
        # All actions earn the same here, so that no epoch is better than the first.
        config = FusionConfig(
            hidden=16, layers=1, actions=3, discount=0.5, epochs=1, blind_share=0,
            target_steps=5, learning_rate=0.01, batch_windows=10,
        )  # fmt: skip
        model = untrained(config)
        # Both models say the same: a reward of 1, then of .6 at the capture's end.
        shown = table(model, [[1.0, 1.0], [0.6, 0.6]] * 1500, [1, 1] * 1500)
        shown.following[1::2] = -1
        run = run_config(config, training=TrainingConfig(min_steps_per_epoch=1))
        train_policy(model, (shown, shown), run, lambda *_: None)
        values = cast(LatticePolicy, model.policy).values(model.states(shown.odds, shown.signals))
        assert values[1].tolist() == pytest.approx([0.6] * 3, abs=0.1)
        assert values[0].tolist() == pytest.approx([1.0 + 0.5 * 0.6] * 3, abs=0.1)


class TestTraining:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("models", [2, 3])
    def test_the_same_seed_makes_the_same_policy(self, method: str, models: int) -> None:
        config = FusionConfig.model_validate(
            {"method": method, "hidden": 8, "epochs": 2, "actions": 5}
        )
        (first, rows), (second, again) = (trained(config, models=models) for _ in range(2))
        assert rows == again
        for name, value in first.policy.state_dict().items():
            assert torch.equal(second.policy.state_dict()[name], value)

    @pytest.mark.parametrize("method", ["dqn", "mlp", "bandit"])
    def test_it_decides_better_than_the_models_alone_where_an_attack_is_new(
        self, method: str
    ) -> None:
        config = FusionConfig.model_validate(
            {"method": method, "hidden": 16, "epochs": 30, "learning_rate": 0.01}
        )
        model, rows = trained(config)
        generator = torch.Generator().manual_seed(9)
        test = blinded(traffic(model, 500, 7), model, 0.5, generator)
        error = judged(model, test)["val_balanced_error"]
        wrong = (test.odds >= 0.5) != (test.y == 1)[:, None]
        sides = torch.stack([wrong[test.y == side].double().mean(dim=0) for side in (0, 1)])
        assert error <= float(sides.mean(dim=0).min())
        figures = {"train_loss", "val_task_loss", "val_balanced_error"}
        assert all(set(row) == figures for row in rows)

    def test_the_best_epoch_is_kept_not_the_last(self) -> None:
        config = FusionConfig(method="mlp", hidden=8, epochs=12, learning_rate=0.5)
        model = untrained(config)
        tables = (traffic(model, 200, 1), traffic(model, 100, 2))
        rows: list[dict[str, float | None]] = []
        run = run_config(config)
        fit = train_policy(model, tables, run, lambda _, row: rows.append(row))
        losses = [cast(float, row["val_task_loss"]) for row in rows]
        assert fit.best_loss == min(losses)
        assert fit.best_epoch == losses.index(min(losses))
        generator = torch.Generator().manual_seed(run.seed)
        validation = blinded(tables[1], model, config.blind_share, generator)
        assert judged(model, validation)["val_task_loss"] == fit.best_loss

    def test_one_weight_for_all_is_the_best_of_the_lattice(self) -> None:
        config = FusionConfig(method="weighted_average", actions=11, blind_share=0)
        model = untrained(config)
        # The one-class model is right, the classifier always says the opposite.
        shown = table(model, [[0.9, 0.1], [0.1, 0.9]] * 5, [1, 0] * 5)
        fit = train_policy(model, (shown, shown), run_config(config), lambda *_: None)
        assert cast(AveragePolicy, model.policy).weights.tolist() == [1.0, 0.0]
        assert fit.epochs == 1

    @pytest.mark.parametrize("method", METHODS)
    def test_a_teacher_of_all_the_loss_is_followed_against_the_labels(self, method: str) -> None:
        # One epoch of many steps: which epoch is best the labels alone decide.
        config = FusionConfig.model_validate(
            {"method": method, "hidden": 16, "epochs": 1, "blind_share": 0.0, "actions": 5}
            | {"batch_windows": 10, "learning_rate": 0.01}
        )
        training = TrainingConfig(min_steps_per_epoch=1)
        # The classifier is right; the teacher says what the one-class model says.
        shown = table(untrained(config), [[0.95, 0.05], [0.05, 0.95]] * 600, [0, 1] * 600)
        teacher = torch.tensor([0.95, 0.05] * 600)
        for alpha, followed in ((1.0, 0), (0.0, 1)):
            model = untrained(config)
            distillation = DistillationConfig(teacher="any", alpha=alpha, temperature=2.0)
            run = run_config(config, distillation=distillation, training=training)
            train_policy(model, (shown, shown), run, lambda *_: None, teacher=teacher)
            _, weights = _explained(model, shown)
            assert (weights[:, followed] > 0.5).all()

    def test_tables_without_attacks_or_without_classifiers_stay_as_they_are(self) -> None:
        model = untrained(FusionConfig(hidden=4))
        benign = table(model, [[0.1, 0.1]] * 3, [0, 0, 0])
        assert blinded(benign, model, 1.0, torch.Generator()) is benign


def _explained(model: FusionModel, shown: FusionTable) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return shown.odds, model.policy(model.states(shown.odds, shown.signals))
