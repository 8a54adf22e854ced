"""Means and intervals: against scipy, and what they say of few values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from kdgat.runs.statistics import estimate, from_moments, of_groups, t_quantile


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 9, 10, 99, 300, 301, 5000])
def test_the_quantile_of_student_is_scipys(freedom: int) -> None:
    assert t_quantile(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-7)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_the_quantile_follows_the_level(level: float) -> None:
    assert t_quantile(7, level) == pytest.approx(stats.t.ppf((1 + level) / 2, 7), rel=1e-9)


def test_an_interval_of_several_values_is_scipys() -> None:
    values = [0.91, 0.94, 0.9, 0.97]
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    found = estimate(values)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert (found.mean, found.n, found.method) == (pytest.approx(0.93), 4, "t")


def test_one_value_has_no_interval_and_says_so() -> None:
    found = estimate([0.9])
    assert (found.mean, found.low, found.high, found.n, found.method) == (
        0.9,
        None,
        None,
        1,
        "none",
    )


def test_no_value_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no value"):
        estimate([])


def test_equal_values_have_an_interval_without_width() -> None:
    found = estimate([0.5, 0.5, 0.5])
    assert found.low == found.high == 0.5


def test_an_interval_stays_within_what_the_figure_can_be() -> None:
    found = from_moments(2, 0.98, 0.02).within(0.0, 1.0)
    assert found.high == 1.0
    assert found.low is not None
    assert found.low < 0.98
    assert estimate([0.9]).within(0, 1).low is None


def test_one_group_is_judged_by_its_own_values() -> None:
    assert of_groups([[0.1, 0.2, 0.3]]) == estimate([0.1, 0.2, 0.3])


def test_a_few_groups_count_once_each_however_many_values_they_have() -> None:
    found = of_groups([[0.1] * 100, [0.3]])
    assert (found.mean, found.n, found.method) == (pytest.approx(0.2), 2, "t")


def test_many_groups_are_resampled_and_always_give_the_same_interval() -> None:
    values = np.random.default_rng(3).normal(0.5, 0.1, 40)
    found = of_groups([[float(value)] for value in values])
    assert (found.method, found.n) == ("bootstrap", 40)
    assert found == of_groups([[float(value)] for value in values])
    student = estimate(list(values))
    assert student.low is not None
    assert found.low == pytest.approx(student.low, abs=0.01)
