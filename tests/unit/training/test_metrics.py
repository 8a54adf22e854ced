from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgat.training.metrics import WindowMetrics, window_metrics


def _metrics(
    score: list[float], attack: list[int], capture: list[int] | None = None
) -> WindowMetrics:
    """Windows of one second, one after the other in each capture."""
    start = np.arange(len(score), dtype=float)
    captures = np.array(capture or [0] * len(score), dtype=np.int32)
    return window_metrics(
        np.array(score), 0.5, np.array(attack, dtype=bool), captures, start, start + 1
    )


def test_figures_follow_a_case_counted_by_hand() -> None:
    figures = _metrics([0.9, 0.8, 0.2, 0.7, 0.1, 0.3], [1, 1, 1, 0, 0, 0])
    counts = (figures.true_positives, figures.false_negatives)
    assert counts == (2, 1)
    assert (figures.false_positives, figures.true_negatives) == (1, 2)
    assert figures.precision == pytest.approx(2 / 3)
    assert figures.recall == pytest.approx(2 / 3)
    assert figures.f1 == pytest.approx(2 / 3)
    assert figures.accuracy == pytest.approx(4 / 6)
    assert figures.specificity == pytest.approx(2 / 3)
    assert figures.mcc == pytest.approx(1 / 3)
    # Of nine pairs of an attack and a benign window, seven are ranked right.
    assert figures.auroc == pytest.approx(7 / 9)
    # One false alarm in three benign seconds.
    assert figures.false_alarms_per_hour == pytest.approx(1200)


def test_delay_counts_from_the_first_window_of_a_span_to_the_end_of_its_first_alarm() -> None:
    figures = _metrics([0.1, 0.1, 0.1, 0.9, 0.1, 0.9, 0.9], [0, 1, 1, 1, 0, 1, 1])
    assert (figures.attack_spans, figures.detected_spans) == (2, 2)
    assert figures.delay_windows == pytest.approx((2 + 0) / 2)
    assert figures.delay_s == pytest.approx((3 + 1) / 2)


def test_a_missed_span_counts_as_missed_and_not_into_the_delay() -> None:
    figures = _metrics([0.1, 0.9, 0.1, 0.1], [0, 1, 0, 1])
    assert (figures.attack_spans, figures.detected_spans) == (2, 1)
    assert figures.delay_windows == 0


def test_spans_do_not_join_over_two_captures() -> None:
    assert _metrics([0.9, 0.9], [1, 1], [0, 1]).attack_spans == 2
    assert _metrics([0.9, 0.9], [1, 1], [0, 0]).attack_spans == 1


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_alone_leaves_what_has_no_meaning_empty(label: int) -> None:
    figures = _metrics([0.9, 0.2], [label, label])
    assert figures.auroc is None
    assert figures.auprc is None
    assert figures.mcc is None
    assert (figures.f1 is None) == (label == 0)
    assert (figures.false_alarms_per_hour is None) == (label == 1)


def test_no_windows_give_no_figures_and_no_error() -> None:
    figures = _metrics([], [])
    assert figures.windows == 0
    assert figures.accuracy is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_counts_add_up_and_rates_are_rates(windows: list[tuple[float, bool]]) -> None:
    figures = _metrics([score for score, _ in windows], [int(attack) for _, attack in windows])
    counted = (
        figures.true_positives
        + figures.false_positives
        + figures.true_negatives
        + figures.false_negatives
    )
    assert counted == figures.windows == len(windows)
    for name in ("accuracy", "precision", "recall", "f1", "specificity", "auroc", "auprc"):
        value = getattr(figures, name)
        assert value is None or 0 <= value <= 1
    assert figures.detected_spans <= figures.attack_spans
