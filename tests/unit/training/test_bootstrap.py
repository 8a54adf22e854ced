from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from kdgat.configs.evaluation import EvaluationConfig
from kdgat.training.bootstrap import (
    block_starts,
    drawn,
    figure,
    outcome_counts,
    ranking,
    unseen_errors,
)
from kdgat.training.metrics import window_intervals, window_metrics

_BLOCK = 20
_CONFIG = EvaluationConfig(resamples=400, block_windows=_BLOCK)


def _traffic(
    seed: int, windows: int = 3000, captures: int = 3
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, attacks and captures; neighbours are alike, as scores of traffic are."""
    rng = np.random.default_rng(seed)
    blocks = windows // _BLOCK
    attack = np.repeat(rng.random(blocks) < 0.3, _BLOCK)
    drift = np.repeat(rng.normal(scale=0.8, size=blocks), _BLOCK)
    score = 1.5 * attack + drift + rng.normal(scale=0.6, size=windows)
    capture = np.repeat(np.arange(captures), windows // captures).astype(np.int32)
    return score, attack, capture


def _intervals(
    score: np.ndarray, attack: np.ndarray, capture: np.ndarray, seed: int = 0
) -> dict[str, tuple[float, float]]:
    return window_intervals(score, 0.8, attack, capture, _CONFIG, seed)


def _points(score: np.ndarray, attack: np.ndarray, capture: np.ndarray) -> dict[str, float | None]:
    start = np.arange(len(score), dtype=float)
    return window_metrics(score, 0.8, attack, capture, start, start + 1).to_json()


def test_blocks_hold_consecutive_windows_of_one_capture() -> None:
    capture = np.array([0] * 5 + [1] * 2 + [0] * 3, dtype=np.int32)
    assert block_starts(capture, 3).tolist() == [0, 3, 5, 7]


def test_the_counts_of_blocks_are_those_of_their_windows() -> None:
    alarm = np.array([1, 1, 0, 0, 1], dtype=bool)
    attack = np.array([1, 0, 1, 0, 0], dtype=bool)
    counts = outcome_counts(alarm, attack, np.array([0, 4]))
    assert counts.tolist() == [[1, 1, 1, 1], [0, 1, 0, 0]]


def test_a_sample_has_as_many_blocks_as_there_are() -> None:
    weights = np.concatenate(list(drawn(np.random.default_rng(0), 30, 50)))
    assert weights.shape == (50, 30)
    assert (weights.sum(axis=1) == 30).all()
    assert weights.mean() == pytest.approx(1)


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_auroc_of_a_sample_is_that_of_its_windows(digits: int) -> None:
    """Rounded scores tie, within a class and across both."""
    score, attack, capture = _traffic(3, 600)
    score = score.round(digits)
    starts = block_starts(capture, _BLOCK)
    [weights] = drawn(np.random.default_rng(1), len(starts), 5)
    found = ranking(score, attack, starts)(weights)
    for times, auroc in zip(weights, found, strict=True):
        windows = np.repeat(times, _BLOCK)
        assert auroc == pytest.approx(roc_auc_score(attack, score, sample_weight=windows))


def test_so_many_levels_that_some_are_joined_still_give_the_auroc() -> None:
    rng = np.random.default_rng(0)
    attack = rng.random(20_000) < 0.4
    score = rng.normal(size=20_000) + attack
    starts = block_starts(np.zeros(20_000, np.int32), _BLOCK)
    [found] = ranking(score, attack, starts)(np.ones((1, len(starts)), np.float32))
    assert found == pytest.approx(roc_auc_score(attack, score), abs=1e-5)


def test_the_intervals_hold_the_true_figures_as_often_as_they_say() -> None:
    """Truth is the figure of very many windows of the same source; the intervals aim at 95 %."""
    truth = _points(*_traffic(99, 600_000))
    held = dict.fromkeys(("f1", "recall", "specificity", "auroc"), 0)
    tries = 80
    for seed in range(tries):
        intervals = _intervals(*_traffic(seed), seed=seed)
        for name in held:
            low, high = intervals[name]
            expected = truth[name]
            assert expected is not None
            held[name] += low <= expected <= high
    # Three standard errors of a share of 80 tries are 7 %, and percentiles are a little short.
    for name, times in held.items():
        assert 0.86 <= times / tries <= 1.0, name


def test_single_windows_instead_of_blocks_give_too_short_intervals() -> None:
    score, attack, capture = _traffic(5)
    single = EvaluationConfig(resamples=400, block_windows=1)
    low, high = window_intervals(score, 0.8, attack, capture, single, 0)["f1"]
    wide_low, wide_high = _intervals(score, attack, capture)["f1"]
    assert wide_high - wide_low > 1.5 * (high - low)


def test_every_interval_holds_its_figure() -> None:
    score, attack, capture = _traffic(1)
    points = _points(score, attack, capture)
    intervals = _intervals(score, attack, capture)
    assert set(intervals) == {
        "f1", "precision", "recall", "specificity", "accuracy", "mcc", "auroc",
    }  # fmt: skip
    for name, (low, high) in intervals.items():
        point = points[name]
        assert point is not None
        assert low <= point <= high
        assert low < high


def test_the_same_seed_gives_the_same_intervals_and_another_one_others() -> None:
    traffic = _traffic(2)
    assert _intervals(*traffic, seed=7) == _intervals(*traffic, seed=7)
    assert _intervals(*traffic, seed=7) != _intervals(*traffic, seed=8)


def test_benign_windows_alone_give_no_interval_of_what_is_said_of_attacks() -> None:
    score, attack, capture = _traffic(4)
    intervals = _intervals(score, np.zeros_like(attack), capture)
    assert set(intervals) == {"specificity", "accuracy"}


def test_attack_windows_alone_give_no_interval_of_what_is_said_of_benign_ones() -> None:
    score, attack, capture = _traffic(4)
    intervals = _intervals(score, np.ones_like(attack), capture)
    assert not {"specificity", "auroc", "mcc"} & set(intervals)


@pytest.mark.parametrize("windows", [0, _BLOCK * 7])
def test_too_few_blocks_give_no_interval(windows: int) -> None:
    score, attack, capture = _traffic(4)
    assert _intervals(score[:windows], attack[:windows], capture[:windows]) == {}


def test_no_samples_are_no_intervals() -> None:
    off = EvaluationConfig(resamples=0)
    score, attack, capture = _traffic(4)
    assert window_intervals(score, 0.8, attack, capture, off, 0) == {}


def test_a_detector_without_an_error_is_still_not_certain() -> None:
    """Of 300 attacks none was missed, so up to 1.2 % could be: 1 - .025 ** (1 / 300)."""
    attack = np.repeat(np.arange(150) % 10 == 0, _BLOCK)
    score, capture = attack.astype(float), np.zeros(len(attack), np.int32)
    intervals = _intervals(score, attack, capture)
    assert intervals["recall"] == (pytest.approx(0.025 ** (1 / attack.sum())), 1.0)
    assert intervals["specificity"] == (pytest.approx(0.025 ** (1 / (~attack).sum())), 1.0)
    assert intervals["f1"][0] < intervals["recall"][0]
    # Every pair is ranked right, in every sample too.
    assert "auroc" not in intervals


def test_errors_that_were_seen_are_counted_as_they_are() -> None:
    assert unseen_errors(np.array([10, 1, 2, 20]), 0.95).tolist() == [10, 1, 2, 20]
    hits, false, missed, quiet = unseen_errors(np.array([10, 1, 0, 20]), 0.95)
    assert (false, quiet) == (1, 20)
    assert hits + missed == pytest.approx(10)
    assert missed == pytest.approx(10 * (1 - 0.025**0.1))


def test_a_threshold_of_each_window_decides_on_that_window() -> None:
    score, attack, capture = _traffic(6)
    each = np.full(len(score), 0.8)
    assert window_intervals(score, each, attack, capture, _CONFIG, 0) == _intervals(
        score, attack, capture
    )
    each[~attack] = np.inf
    found = window_intervals(score, each, attack, capture, _CONFIG, 0)
    assert found["specificity"][1] == 1.0


def test_a_figure_of_counts_has_no_value_without_what_it_divides_by() -> None:
    counts = np.array([[2, 1, 1, 6], [0, 0, 0, 5]])
    assert figure("f1", counts)[0] == pytest.approx(2 / 3)
    assert np.isnan(figure("f1", counts)[1])
    assert np.isnan(figure("mcc", counts)[1])


def test_a_thousand_samples_of_four_thousand_windows_take_little_time() -> None:
    """About 0.06 s; the bound leaves room for machines that do other things."""
    score, attack, capture = _traffic(8, 4020)
    started = time.perf_counter()
    window_intervals(score, 0.8, attack, capture, EvaluationConfig(), 0)
    assert time.perf_counter() - started < 2
