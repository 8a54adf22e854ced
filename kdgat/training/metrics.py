"""How good scores are, once labels are known. Vectors in, figures out."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import get_args

import numpy as np
from jaxtyping import Bool, Float64, Int32
from sklearn.metrics import average_precision_score, matthews_corrcoef, roc_auc_score

from kdgat.configs.evaluation import EvaluationConfig
from kdgat.training.bootstrap import (
    FEWEST_BLOCKS,
    CountFigure,
    block_starts,
    drawn,
    figure,
    outcome_counts,
    percentiles,
    ranking,
    unseen_errors,
)

Threshold = float | Float64[np.ndarray, "windows"]
"""One for all windows, or each window's own."""
_WITH_ATTACKS = frozenset({"f1", "precision", "recall", "mcc"})
"""Figures without a meaning where no window is an attack."""


@dataclass(frozen=True)
class WindowMetrics:
    """Figures of one set of windows; None where a figure has no meaning (one class only)."""

    windows: int
    attack_windows: int
    true_positives: int
    false_positives: int
    false_negatives: int
    true_negatives: int
    accuracy: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    specificity: float | None
    mcc: float | None
    auroc: float | None
    auprc: float | None
    false_alarms_per_hour: float | None
    """False alarms in an hour of benign windows."""
    attack_spans: int
    """Runs of consecutive attack windows in one capture."""
    detected_spans: int
    delay_windows: float | None
    """Windows from a span's first to its first alarm, averaged over the detected ones."""
    delay_s: float | None
    """Seconds from a span's first message to the end of its first window with an alarm."""

    def to_json(self) -> dict[str, float | int | None]:
        """The figures by name."""
        return asdict(self)


def window_metrics(
    score: Float64[np.ndarray, "windows"],
    threshold: Threshold,
    attack: Bool[np.ndarray, "windows"],
    capture: Int32[np.ndarray, "windows"],
    start_s: Float64[np.ndarray, "windows"],
    end_s: Float64[np.ndarray, "windows"],
) -> WindowMetrics:
    """Figures of windows in their captures' order; an alarm is a score of at least `threshold`."""
    alarm = score >= threshold
    hits, misses = int((alarm & attack).sum()), int((~alarm & attack).sum())
    false, quiet = int((alarm & ~attack).sum()), int((~alarm & ~attack).sum())
    both = 0 < hits + misses < len(score)
    hours = float((end_s - start_s)[~attack].sum()) / 3600
    spans, found, delay_windows, delay_s = _delays(alarm, attack, capture, start_s, end_s)
    return WindowMetrics(
        windows=len(score),
        attack_windows=hits + misses,
        true_positives=hits,
        false_positives=false,
        false_negatives=misses,
        true_negatives=quiet,
        accuracy=_ratio(hits + quiet, len(score)),
        precision=_ratio(hits, hits + false),
        recall=_ratio(hits, hits + misses),
        f1=_ratio(2 * hits, 2 * hits + false + misses) if hits + misses else None,
        specificity=_ratio(quiet, quiet + false),
        mcc=float(matthews_corrcoef(attack, alarm)) if both else None,
        auroc=float(roc_auc_score(attack, score)) if both else None,
        auprc=float(average_precision_score(attack, score)) if both else None,
        false_alarms_per_hour=false / hours if hours > 0 else None,
        attack_spans=spans,
        detected_spans=found,
        delay_windows=delay_windows,
        delay_s=delay_s,
    )


def window_intervals(
    score: Float64[np.ndarray, "windows"],
    threshold: Threshold,
    attack: Bool[np.ndarray, "windows"],
    capture: Int32[np.ndarray, "windows"],
    config: EvaluationConfig,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Intervals of figures of `WindowMetrics`, by name, over blocks of consecutive windows.

    Percentiles of samples of blocks, drawn with replacement. Where no error of a kind was seen, no
    sample has one, so an interval reaches at least to the figure with as many as the exact binomial
    bound allows. Left out are figures without a meaning, all of them where there are too few
    blocks, and AUROC where every pair of windows is ranked right, of which samples tell nothing.

    Args:
        score: windows in their captures' order.
        threshold: an alarm is a score of at least this.
        attack: what the windows are.
        capture: which capture each is of.
        config: samples, windows in a block, confidence.
        seed: of the draws.
    """
    starts = block_starts(capture, config.block_windows) if len(score) else np.zeros(0, np.int64)
    if config.resamples == 0 or len(starts) < FEWEST_BLOCKS:
        return {}
    alarm = score >= threshold
    counts = outcome_counts(alarm, attack, starts)
    both = 0 < int(attack.sum()) < len(attack)
    auroc = ranking(score, attack, starts) if both else None
    sums, ranks = [], []
    for weights in drawn(np.random.default_rng(seed), len(starts), config.resamples):
        sums.append(weights @ counts)
        if auroc is not None:
            ranks.append(auroc(weights))
    whole, sampled = counts.sum(axis=0), np.concatenate(sums)
    ends = np.stack((whole, unseen_errors(whole, config.confidence)))
    found: dict[str, tuple[float, float]] = {}
    for name in get_args(CountFigure):
        interval = percentiles(figure(name, sampled), config.confidence)
        point, worst = figure(name, ends).tolist()
        meant = attack.any() or name not in _WITH_ATTACKS
        if interval is not None and meant and not np.isnan(point):
            found[name] = _around(interval, point, worst)
    if ranks and 0 < (point := float(roc_auc_score(attack, score))) < 1:
        interval = percentiles(np.concatenate(ranks), config.confidence)
        if interval is not None:
            found["auroc"] = _around(interval, point, point)
    return found


def _around(interval: tuple[float, float], point: float, worst: float) -> tuple[float, float]:
    """The interval, stretched to hold the figure itself and what unseen errors would make of it."""
    low, high = interval
    worst = point if np.isnan(worst) else worst
    return min(low, point, worst), max(high, point)


def _delays(
    alarm: Bool[np.ndarray, "windows"],
    attack: Bool[np.ndarray, "windows"],
    capture: Int32[np.ndarray, "windows"],
    start_s: Float64[np.ndarray, "windows"],
    end_s: Float64[np.ndarray, "windows"],
) -> tuple[int, int, float | None, float | None]:
    """Attack spans, how many had an alarm, and the mean wait for it in windows and seconds."""
    before = np.concatenate(([False], attack[:-1] & (capture[1:] == capture[:-1])))
    firsts = np.flatnonzero(attack & ~before)
    if len(firsts) == 0:
        return 0, 0, None, None
    span = np.cumsum(attack & ~before) - 1
    alarms = np.flatnonzero(alarm & attack)
    found, earliest = np.unique(span[alarms], return_index=True)
    if len(found) == 0:
        return len(firsts), 0, None, None
    hit, first = alarms[earliest], firsts[found]
    wait_s = end_s[hit] - start_s[first]
    return len(firsts), len(found), float((hit - first).mean()), float(wait_s.mean())


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None
