"""Scores to decisions: thresholds worked out by hand, and what a prefix may move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import get_args

import numpy as np
import pytest
import torch

from kdgat.configs.evaluation import Threshold
from kdgat.configs.model import GatConfig, ModelConfig, VgaeConfig
from kdgat.data.measured import BORROWED, OWN, UNPROFILED
from kdgat.data.store import CaptureLabel, GraphStore
from kdgat.training.calibration import Calibration, calibrate

HUNDRED = [float(i) for i in range(1, 101)]
ONE_CLASS = Calibration(
    center=(0.0,),
    spread=(1.0,),
    even=None,
    benign={
        "own": {"kia": HUNDRED, "spark": [score / 2 for score in HUNDRED]},
        "borrowed": {"kia": [10.0, 20.0]},
    },
)
CLASSIFIER = replace(ONE_CLASS, even=0.5, benign={"own": {"kia": [i / 1000 for i in range(101)]}})


def windows(
    attack: Sequence[int], capture: Sequence[int], reference: Sequence[int], vehicles: Sequence[str]
) -> GraphStore:
    """A validation store of which nothing matters but this."""
    none = torch.zeros(0, 1)
    return GraphStore(
        x=none,
        edge_index=torch.zeros(2, 0, dtype=torch.int32),
        edge_attr=none,
        node_ptr=torch.zeros(len(attack) + 1, dtype=torch.int64),
        edge_ptr=torch.zeros(len(attack) + 1, dtype=torch.int64),
        start_s=torch.zeros(len(attack), dtype=torch.float64),
        end_s=torch.zeros(len(attack), dtype=torch.float64),
        capture=torch.tensor(capture, dtype=torch.int32),
        reference=torch.tensor(reference, dtype=torch.int8),
        captures=tuple(CaptureLabel(f"train/{name}", "", name) for name in vehicles),
        window_messages=100,
        attack_messages=torch.tensor(attack),
    )


def calibrated(parts: np.ndarray, model: ModelConfig | None = None) -> Calibration:
    """From benign windows of one vehicle, measured against their own captures."""
    count = len(parts)
    store = windows([0] * count, [0] * count, [OWN] * count, ["kia"])
    return calibrate(model or VgaeConfig(), parts, store)


def test_a_classifiers_probability_is_taken_as_it_is() -> None:
    calibration = calibrated(np.linspace(0, 0.2, 50)[:, None], GatConfig())
    assert calibration.threshold() == calibration.threshold("fixed") == 0.5
    assert calibration.scores(np.array([[0.3], [0.7]])).tolist() == [0.3, 0.7]
    assert calibration.odds(np.array([0.3, 0.7])).tolist() == [0.3, 0.7]


def test_an_autoencoders_threshold_is_a_quantile_of_benign_scores() -> None:
    rng = np.random.default_rng(0)
    benign = rng.normal([1.0, 5.0, 0.1], [0.1, 2.0, 0.01], size=(2000, 3))
    calibration = calibrated(benign)
    alarms = calibration.scores(benign) > calibration.threshold("vehicle", 0.01)
    assert alarms.mean() == pytest.approx(0.01, abs=2e-3)


@pytest.mark.parametrize("part", [0, 1, 2])
def test_any_part_far_out_of_the_benign_range_raises_the_score(part: int) -> None:
    rng = np.random.default_rng(0)
    benign = rng.normal([1.0, 5.0, 0.1], [0.1, 2.0, 0.01], size=(500, 3))
    calibration = calibrated(benign)
    odd = benign.mean(axis=0, keepdims=True)
    assert calibration.scores(odd)[0] < calibration.threshold()
    odd[0, part] += 20 * benign[:, part].std()
    assert calibration.scores(odd)[0] > calibration.threshold()


def test_a_part_that_never_varies_does_not_divide_by_zero() -> None:
    calibration = calibrated(np.ones((50, 3)))
    assert np.isfinite(calibration.scores(np.ones((5, 3)))).all()
    assert np.isfinite(calibration.adapted(np.ones((50, 3))).scores(np.ones((5, 3)))).all()


def test_a_score_is_the_largest_of_the_parts_in_benign_standard_deviations() -> None:
    calibration = replace(ONE_CLASS, center=(1.0, 10.0), spread=(2.0, 5.0))
    assert calibration.scores(np.array([[3.0, 10.0], [1.0, 25.0]])).tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    ("method", "alpha", "expected"),
    [
        ("fixed", 0.1, 0.5),
        # 200 scores in all, half of them to 50: the 0.9 quantile lies between 80 and 81.
        ("benign_quantile", 0.1, 80.1),
        # Of the vehicles' own quantiles, 90.1 and 45.05, the larger.
        ("vehicle", 0.1, 90.1),
        # The smallest score above ceil(201 * 0.9) = 181 of them; ties are broken upwards.
        ("conformal", 0.1, math.nextafter(81.0, math.inf)),
    ],
)
def test_a_threshold_worked_out_by_hand(method: Threshold, alpha: float, expected: float) -> None:
    assert ONE_CLASS.threshold(method, alpha) == pytest.approx(expected, abs=1e-9)


def test_a_conformal_threshold_lets_through_at_most_the_share_it_promises() -> None:
    rng = np.random.default_rng(0)
    for count in (20, 99, 100, 1000):
        benign = rng.random(count).tolist()
        calibration = replace(ONE_CLASS, benign={"own": {"kia": benign}})
        line = calibration.threshold("conformal", 0.1)
        assert sum(score >= line for score in benign) <= 0.1 * (count + 1)
        assert calibration.threshold("conformal", 0.2) <= line


def test_too_few_scores_for_a_conformal_threshold_put_it_above_all_of_them() -> None:
    few = replace(ONE_CLASS, benign={"own": {"kia": [1.0, 3.0, 2.0]}})
    line = few.threshold("conformal", 0.005)
    assert line > 3.0
    assert line == pytest.approx(3.0)


def test_the_usual_threshold_of_a_one_class_model_is_the_vehicles_times_a_margin() -> None:
    assert ONE_CLASS.threshold("auto", 0.1, margin=1.0) == pytest.approx(90.1)
    assert ONE_CLASS.threshold("auto", 0.1, margin=3.0) == pytest.approx(3 * 90.1)


def test_the_usual_threshold_of_a_classifier_is_at_even_odds_whatever_its_benign_scores() -> None:
    assert CLASSIFIER.threshold("auto") == 0.5
    assert CLASSIFIER.threshold("vehicle", 0.1) == pytest.approx(0.09)


def test_windows_are_judged_by_benign_ones_measured_as_they_are() -> None:
    assert ONE_CLASS.threshold("vehicle", 0.1, ("borrowed",)) == pytest.approx(19.0)
    both = ONE_CLASS.threshold("benign_quantile", 0.1, ("own", "borrowed"))
    scores = [*HUNDRED, *(score / 2 for score in HUNDRED), 10.0, 20.0]
    assert both == pytest.approx(np.quantile(scores, 0.9))


def test_where_no_benign_window_was_measured_so_all_of_them_count() -> None:
    everything = ONE_CLASS.threshold("benign_quantile", 0.1, ("own", "borrowed"))
    assert ONE_CLASS.threshold("benign_quantile", 0.1, ("unprofiled",)) == everything


def test_a_prefix_is_one_vehicle_more_or_the_only_one() -> None:
    loud, still = np.full(50, 400.0), np.full(50, 1.0)
    assert ONE_CLASS.threshold("vehicle", 0.1, prefix=loud) == 400.0
    assert ONE_CLASS.threshold("vehicle", 0.1, prefix=still) == pytest.approx(90.1)
    for method in ("benign_quantile", "conformal"):
        assert ONE_CLASS.threshold(method, 0.1, prefix=still) == pytest.approx(1.0)
        assert ONE_CLASS.threshold(method, 0.1, prefix=loud) == pytest.approx(400.0)
    for method in ("fixed", "auto"):
        without = ONE_CLASS.threshold(method, 0.1)
        assert ONE_CLASS.threshold(method, 0.1, prefix=loud) == without


@pytest.mark.parametrize("method", get_args(Threshold))
def test_a_prefix_without_a_window_changes_nothing(method: Threshold) -> None:
    assert ONE_CLASS.threshold(method, prefix=np.zeros(0)) == ONE_CLASS.threshold(method)


def test_odds_are_half_at_the_models_own_threshold() -> None:
    line = ONE_CLASS.threshold()
    odds = ONE_CLASS.odds(np.array([-5.0, 0.0, line, 3 * line]))
    assert odds.tolist() == pytest.approx([0, 0, 0.5, 0.75])
    own, borrowed = (ONE_CLASS.odds(np.array([60.0]), (name,))[0] for name in ("own", "borrowed"))
    assert own < 0.5 < borrowed, "each against the benign windows that are measured so"


def test_benign_scores_alone_are_kept_by_reference_and_vehicle() -> None:
    parts = np.arange(8, dtype=float)[:, None]
    store = windows(
        attack=[0, 0, 0, 3, 0, 0, 1, 0],
        capture=[0, 0, 1, 1, 2, 2, 2, 0],
        reference=[OWN, BORROWED, OWN, OWN, UNPROFILED, OWN, UNPROFILED, OWN],
        vehicles=["kia", "spark", "kia"],
    )
    calibration = calibrate(GatConfig(), parts, store)
    assert calibration.benign == {
        "unprofiled": {"kia": [4.0]},
        "borrowed": {"kia": [1.0]},
        "own": {"kia": [0.0, 5.0, 7.0], "spark": [2.0]},
    }
    assert calibration.even == 0.5


def test_no_attack_window_moves_the_scale_of_a_one_class_score() -> None:
    rng = np.random.default_rng(0)
    benign = rng.normal(5, 2, (200, 2))
    store = windows([0] * 200 + [1] * 50, [0] * 250, [OWN] * 250, ["kia"])
    found = calibrate(VgaeConfig(), np.concatenate((benign, np.full((50, 2), 1e6))), store)
    alone = calibrated(benign)
    assert (found.center, found.spread, found.usual) == (alone.center, alone.spread, alone.usual)
    assert found.benign == alone.benign


def drawn(seed: int, middle: float, above: float, count: int = 400) -> np.ndarray:
    """Two parts of benign windows with about this median, and 84 % quantile beyond it."""
    return np.random.default_rng(seed).normal(middle, above, (count, 2))


def test_a_prefix_brings_a_cars_scores_to_where_training_traffic_has_them() -> None:
    calibration = calibrated(drawn(0, 5.0, 1.0))
    other = drawn(1, 7.0, 2.0)
    adapted = calibration.adapted(other)
    here = adapted.scores(other)
    usual = calibration.scores(drawn(0, 5.0, 1.0))
    for share in (0.5, 0.84):
        assert np.quantile(here, share) == pytest.approx(np.quantile(usual, share), abs=0.15)
    assert np.median(calibration.scores(other)) > np.median(usual) + 1.5, "as it was before"
    assert adapted.threshold() == calibration.threshold()


def test_shift_and_stretch_are_those_of_the_prefixs_quantiles() -> None:
    calibration = replace(ONE_CLASS, center=(2.0,), spread=(4.0,), usual=((3.0, 1.0),))
    # Median 4 and 84 % quantile 6: twice as wide, and what was at 3 is now at 4.
    prefix = np.repeat([3.0, 4.0, 6.0], [40, 41, 40])[:, None]
    assert np.quantile(prefix, (0.5, 0.84)).tolist() == [4.0, 6.0]
    adapted = calibration.adapted(prefix)
    assert adapted.spread == [8.0]
    before = calibration.scores(np.array([[3.0], [4.0]]))
    np.testing.assert_allclose(adapted.scores(np.array([[4.0], [6.0]])), before)


def test_a_few_attack_windows_in_a_prefix_move_little() -> None:
    calibration = calibrated(drawn(0, 5.0, 1.0))
    clean = drawn(1, 5.5, 1.2)
    spoilt = clean.copy()
    spoilt[:20] = 1e6
    attack = np.full((1, 2), 20.0)
    one, other = (calibration.adapted(each).scores(attack)[0] for each in (clean, spoilt))
    assert other == pytest.approx(one, rel=0.15)


def test_no_prefix_however_poisoned_moves_the_scores_without_bound() -> None:
    calibration = calibrated(drawn(0, 5.0, 1.0))
    attack = np.full((1, 2), 40.0)
    for poison in (drawn(1, 1e6, 1.0), drawn(1, 5.0, 1e6), np.full((400, 2), 40.0)):
        assert calibration.adapted(poison).scores(attack)[0] > calibration.threshold()


def test_a_prefix_of_a_few_windows_says_nothing() -> None:
    calibration = calibrated(drawn(0, 5.0, 1.0))
    for count in (0, 1, 19):
        assert calibration.adapted(drawn(1, 9.0, 3.0, count)) is calibration
    assert calibration.adapted(drawn(1, 9.0, 3.0, 20)) is not calibration


def test_a_classifier_and_a_model_without_own_windows_are_taken_as_they_are() -> None:
    prefix = drawn(1, 9.0, 3.0)
    labelled = calibrated(drawn(0, 0.1, 0.01), GatConfig())
    assert labelled.adapted(prefix) is labelled
    borrowed = windows([0] * 400, [0] * 400, [BORROWED] * 400, ["kia"])
    unsure = calibrate(VgaeConfig(), drawn(0, 5.0, 1.0), borrowed)
    assert unsure.adapted(prefix) is unsure


def test_a_calibration_comes_back_from_its_plain_form() -> None:
    calibration = calibrated(drawn(0, 5.0, 1.0))
    again = Calibration(**asdict(calibration))
    assert again.threshold() == calibration.threshold()
    prefix = drawn(1, 6.0, 1.0)
    assert again.adapted(prefix) == calibration.adapted(prefix)
