from __future__ import annotations

from itertools import pairwise
from typing import cast

import pytest
import torch
from torch import nn

from kdgat.configs.model import SIZES, FusionConfig, Size, model_preset
from kdgat.data.measured import BORROWED, OWN, UNPROFILED
from kdgat.errors import ConfigError
from kdgat.models.fusion import AveragePolicy, LatticePolicy, Scorer, ScoreScale, fused, lattice
from kdgat.models.table import build_model, parameter_count
from kdgat.training.calibration import Calibration
from kdgat.training.scorers import fuse, score_scale
from tests.unit.models.said import CLASSIFIER, ONE_CLASS, fusion, windows

FEATURES = (48, 12)
"""About what a store of every group of features has."""
SMALL = FusionConfig(hidden=8, layers=1, actions=5)
AVERAGE = FusionConfig(method="weighted_average")
METHODS = ("dqn", "mlp", "bandit", "weighted_average")
LARGEST_POLICY: dict[Size, int] = {"large": 689_493, "medium": 689_493, "small": 32_341}
LARGEST: dict[Size, int] = {"large": 1_186_481, "medium": 1_186_481, "small": 90_729}
"""The predecessor's own counts, of the policy and of it with both models (design brief)."""


class TestOdds:
    def test_half_is_a_one_class_models_own_threshold_for_the_windows_reference(self) -> None:
        model = fusion(AVERAGE, [2.0, 4.0, 8.0, 8.0], [0.0, 0.0, 0.0, 0.0])
        batch = windows(4, [UNPROFILED, BORROWED, OWN, UNPROFILED])
        odds, _ = model.read(batch)
        # 8 over its threshold of 2 is 4, so 4 / (1 + 4).
        assert odds[:, 0].tolist() == pytest.approx([0.5, 0.5, 0.5, 0.8])

    def test_windows_of_unknown_reference_count_as_measured_against_their_own_capture(self) -> None:
        odds, _ = fusion(AVERAGE, [8.0], [0.0]).read(windows(1))
        assert odds[0, 0] == pytest.approx(0.5)

    def test_a_classifiers_probability_is_taken_as_it_is(self) -> None:
        odds, _ = fusion(AVERAGE, [0.0, 0.0], [0.25, 1.0]).read(windows(2))
        assert odds[:, 1].tolist() == [0.25, 1.0]

    def test_scores_below_the_benign_mean_and_without_bound_stay_within_the_odds(self) -> None:
        model = fusion(SMALL, [-3.0, 1e30, float("inf")], [0.0, 0.5, 1.0])
        odds, signals = model.read(windows(3))
        assert odds[:, 0].tolist() == [0.0, 1.0, 1.0]
        assert torch.isfinite(model.states(odds, signals)).all()
        assert torch.isfinite(model(windows(3))).all()

    def test_they_are_those_of_the_models_calibration(self) -> None:
        benign = {"own": {"car": [0.5, 1.5, 2.5]}, "borrowed": {"car": [9.0]}}
        calibration = Calibration((1.0, 2.0), (0.5, 3.0), None, benign)
        generator = torch.Generator().manual_seed(1)
        parts = 9 * torch.rand(6, 2, dtype=torch.float64, generator=generator)
        scorer = Scorer(nn.Identity(), lambda *_: parts, score_scale(calibration))
        for number, name in ((BORROWED, "borrowed"), (OWN, "own")):
            odds, _ = scorer(windows(6, [number] * 6))
            wanted = calibration.odds(calibration.scores(parts.numpy()), (name,))
            assert odds.tolist() == pytest.approx(wanted.tolist(), rel=1e-6)


class TestWeights:
    def test_the_prediction_changes_when_the_weight_changes(self) -> None:
        model = fusion(AVERAGE, [72.0], [0.2])
        assert isinstance(model.policy, AveragePolicy)
        scores = []
        for weight in (0.0, 0.25, 1.0):
            with torch.no_grad():
                model.policy.weights.copy_(torch.tensor([weight, 1 - weight]))
            scores.append(model(windows(1)).item())
        # 72 is nine times the threshold: odds of .9.
        assert scores == pytest.approx([0.2, 0.375, 0.9])

    def test_the_weight_is_the_action_that_the_network_thinks_best(self) -> None:
        model = fusion(SMALL, [72.0], [0.2])
        assert isinstance(model.policy, LatticePolicy)
        for action, weight in enumerate((0.0, 0.25, 0.5, 0.75, 1.0)):
            last = cast(nn.Linear, model.policy.values[-1])
            with torch.no_grad():
                last.weight.zero_()
                last.bias.copy_(torch.eye(5)[action])
            odds, weights = model.explain(windows(1))
            assert weights.tolist() == [[weight, 1 - weight]]
            assert model(windows(1)).item() == pytest.approx(float(fused(odds, weights)))

    @pytest.mark.parametrize("method", METHODS)
    def test_any_policy_weighs_three_models_by_weights_that_sum_to_one(self, method: str) -> None:
        config = SMALL.model_copy(update={"method": method})
        model = fusion(config, [1.0, 9.0], [0.1, 0.6], [0.3, 0.9])
        odds, weights = model.explain(windows(2))
        assert odds.shape == weights.shape == (2, 3)
        assert weights.sum(dim=1).tolist() == pytest.approx([1.0, 1.0])
        score = model(windows(2))
        assert ((score >= 0) & (score <= 1)).all()

    def test_a_lattice_of_two_models_has_a_weight_for_every_action(self) -> None:
        first = lattice(2, 21)[:, 0].tolist()
        assert len(first) == 21
        assert [after - before for before, after in pairwise(first)] == pytest.approx([0.05] * 20)

    def test_a_lattice_of_three_has_every_vector_once(self) -> None:
        grid = lattice(3, 5)
        assert len({tuple(row) for row in grid.tolist()}) == len(grid) == 15
        assert grid.sum(dim=1).tolist() == pytest.approx([1.0] * 15)

    def test_a_lattice_that_no_one_can_learn_is_refused_with_its_size(self) -> None:
        with pytest.raises(ConfigError, match="20,301 weights") as error:
            fusion(FusionConfig(actions=201), [1.0], [0.1], [0.2])
        assert "model.actions" in str(error.value.hint)


class TestState:
    def test_every_model_has_its_part_of_it(self) -> None:
        scales = (ONE_CLASS, CLASSIFIER, ScoreScale((0.0,), (1.0,), (1.0, 1.0, 1.0)))
        model = fusion(SMALL, [8.0], [0.25], [3.0], scales=scales)
        odds, signals = model.read(windows(1))
        state = model.states(odds, signals)[0]
        assert state[:3].tolist() == pytest.approx([0.5, 0.25, 0.75])
        assert state[3:6].tolist() == pytest.approx([0.0, 0.25, 0.25])
        # Each from the mean of the two others.
        assert state[6:9].tolist() == pytest.approx([0.0, 0.375, 0.375])
        # A logarithm of score over threshold and of each part; of a probability its log odds.
        assert [part.stop - part.start for part in model.columns] == [2, 1, 2]
        assert len(state) == 9 + 5

    def test_its_models_are_never_trained(self) -> None:
        model = fusion(FusionConfig(method="mlp", hidden=4), [1.0], [0.1]).train()
        assert not any(each.training for each in model.scorers)
        model(windows(1)).sum().backward()
        trained = [name for name, each in model.named_parameters() if each.grad is not None]
        assert trained
        assert all(name.startswith("policy.") for name in trained)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", SIZES)
def test_every_preset_keeps_to_its_parameter_budget(size: Size, method: str) -> None:
    config = model_preset("fusion", size)
    assert isinstance(config, FusionConfig)
    parts = []
    for kind in ("vgae", "gat"):
        one_class = kind == "vgae"
        width = 3 if one_class else 1
        calibration = Calibration(
            (0.0,) * width, (1.0,) * width, None if one_class else 0.5, {"own": {"car": [1.0]}}
        )
        preset = model_preset(kind, size)
        parts.append((build_model(preset, *FEATURES), preset, calibration))
    model = fuse(config.model_copy(update={"method": method}), parts)
    assert 0 < parameter_count(model.policy) <= LARGEST_POLICY[size]
    alone = sum(parameter_count(each) for each, _, _ in parts)
    assert parameter_count(model) == alone + parameter_count(model.policy) <= LARGEST[size]
