"""Plots of one run, as PNG files among its artifacts: how it was judged, how it was trained.

A picture is of one protocol: `zero_shot` and `adapted` share none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from sklearn.metrics import (
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from kdgat.ledger.files import read_lines
from kdgat.stages.loss_curves import draw_losses, losses_of
from kdgat.stages.plot_style import (
    ATTACK,
    BENIGN,
    FAINT,
    INK,
    LOG_FROM,
    mark,
    name_beside,
    picture,
    plain,
    series,
)

_BINS = 10
_MOST_SEPARATORS = 60
"""Captures beyond which lines between them would hide the scores."""


@dataclass(frozen=True)
class ScenarioPlot:
    """Judged windows of one test scenario under one protocol, in their captures' order."""

    scenario: str
    protocol: str
    score: np.ndarray
    threshold: float | np.ndarray
    """An alarm is a score of at least this; one for all windows or each window's own."""
    attack: np.ndarray
    capture: np.ndarray
    start_s: np.ndarray
    """Each window's first message, on its capture's own clock."""

    @cached_property
    def alarm(self) -> np.ndarray:
        """What was decided."""
        return self.score >= self.threshold

    @property
    def both(self) -> bool:
        """Whether there are attack and benign windows."""
        return 0 < int(self.attack.sum()) < len(self.attack)

    @property
    def words(self) -> str:
        """The scenario, as a person reads it."""
        return self.scenario.replace("_", " ").replace("test ", "test_", 1)


def plot_evaluation(
    folder: Path, rows: Sequence[ScenarioPlot], *, subject: str = ""
) -> tuple[Path, ...]:
    """Draw what was judged: one file a protocol and kind of plot, one a scenario for its scores.

    Args:
        folder: where to; made if it is not there.
        rows: scenarios in their order; one without windows is left out.
        subject: whose scores they are, for the titles: model, dataset, provenance.

    Raises:
        StorageError: the file system refused.
    """
    written: list[Path] = []
    rows = [row for row in rows if len(row.score)]
    for protocol in dict.fromkeys(row.protocol for row in rows):
        group = [row for row in rows if row.protocol == protocol]
        ranked = [row for row in group if row.both]
        if ranked:
            written.append(_roc(folder / f"roc_{protocol}.png", ranked, subject))
            written.append(_pr(folder / f"precision_recall_{protocol}.png", ranked, subject))
            written.append(_calibration(folder / f"calibration_{protocol}.png", ranked, subject))
        written.append(_confusion(folder / f"confusion_{protocol}.png", group, subject))
        for row in group:
            path = folder / f"scores_{row.scenario}_{protocol}.png"
            written.append(_over_time(path, row, subject))
    return tuple(written)


def plot_training(folder: Path, metrics: Path, *, subject: str = "") -> Path | None:
    """Draw a training's losses over its epochs; None where none was logged.

    Args:
        folder: where to; made if it is not there.
        metrics: the run's `metrics.jsonl`.
        subject: whose training it is.

    Raises:
        StorageError: the file system refused.
    """
    # Of an epoch that was trained twice the later line counts.
    lines = {line["epoch"]: line for line in read_lines(metrics) if "epoch" in line}
    curves = losses_of([lines[epoch] for epoch in sorted(lines)])
    if not curves:
        return None
    path = folder / "training.png"
    title = f"Training losses{_of(subject)}: {len(lines)} epoch{'s' * (len(lines) != 1)}"
    with picture(path, 7.5, 4.2, title) as figure:
        draw_losses(figure.subplots(), curves)
    return path


def _roc(path: Path, rows: Sequence[ScenarioPlot], subject: str) -> Path:
    """The false-positive rate is logarithmic: what an alarm system may do lies far left."""
    fewest = max(1, min(int((~row.attack).sum()) for row in rows))
    left = min(0.5 / max(int((~row.attack).sum()) for row in rows), 0.5 / fewest)
    with picture(path, 8.6, 4.8, _title("ROC", rows, subject)) as figure:
        axes = figure.subplots()
        chance = np.geomspace(left, 1, 200)
        axes.plot(chance, chance, color=FAINT, linewidth=1, linestyle=(0, (1, 2)))
        axes.annotate("chance", (0.42, 0.42), color=FAINT, fontsize=8.5, ha="right", va="bottom")
        for number, row in enumerate(rows):
            false, true, _ = roc_curve(row.attack, row.score)
            axes.plot(
                np.maximum(false, left), true, drawstyle="steps-post", **_one_over_other(number)
            )
            alarms, truth = row.alarm, row.attack
            point = (max(alarms[~truth].mean(), left), alarms[truth].mean())
            _operating_point(axes, number, point)
        axes.set_xscale("log")
        axes.set_xlim(left, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("false-positive rate (log scale; the left edge is none)")
        axes.set_ylabel("true-positive rate")
        names = [f"{row.words}\nAUROC {roc_auc_score(row.attack, row.score):.4f}" for row in rows]
        name_beside(axes, names, range(len(rows)))
    return path


def _pr(path: Path, rows: Sequence[ScenarioPlot], subject: str) -> Path:
    with picture(path, 8.6, 4.8, _title("Precision and recall", rows, subject)) as figure:
        axes = figure.subplots()
        for number, row in enumerate(rows):
            precision, recall, _ = precision_recall_curve(row.attack, row.score)
            axes.plot(recall, precision, drawstyle="steps-post", **_one_over_other(number))
            hits = int((row.alarm & row.attack).sum())
            if row.alarm.any():
                _operating_point(axes, number, (hits / row.attack.sum(), hits / row.alarm.sum()))
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("recall (share of attack windows with an alarm)")
        axes.set_ylabel("precision (share of alarms on attack windows)")
        names = [
            f"{row.words}\nAUPRC {average_precision_score(row.attack, row.score):.4f}, "
            f"{row.attack.mean():.1%} attacks"
            for row in rows
        ]
        name_beside(axes, names, range(len(rows)))
    return path


def _one_over_other(number: int) -> dict[str, Any]:
    """A series' look, later ones thinner: near-perfect curves lie upon each other."""
    return {**series(number), "linewidth": max(1.3, 3.7 - 0.8 * number)}


def _operating_point(axes: Axes, number: int, point: tuple[float, float]) -> None:
    """Where the threshold is, in the series' marker with a dark edge."""
    look: dict[str, Any] = {"markersize": 8, "markeredgecolor": INK, "clip_on": False, "zorder": 5}
    axes.plot(*point, mark(number), color=series(number)["color"], **look)


def _calibration(path: Path, rows: Sequence[ScenarioPlot], subject: str) -> Path:
    """Share of attacks among windows scored alike, and how many windows those are."""
    title = _title("Calibration", rows, subject)
    with picture(path, 8.6, 5.6, title) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (1, 2)))
        edges = np.linspace(0, 1, _BINS + 1)
        wide = 0.7 / _BINS / len(rows)
        for number, row in enumerate(rows):
            odds = _odds(row)
            place = np.clip(np.digitize(odds, edges) - 1, 0, _BINS - 1)
            windows = np.bincount(place, minlength=_BINS)
            attacks = np.bincount(place, weights=row.attack, minlength=_BINS)
            there = np.flatnonzero(windows)
            share, low, high = _wilson(attacks[there], windows[there])
            middle = edges[there] + (0.15 + 0.7 * (number + 0.5) / len(rows)) / _BINS
            look = series(number)
            upper.errorbar(
                middle, share, (share - low, high - share), fmt=mark(number), color=look["color"],
                markersize=5, elinewidth=1.2, capsize=2,
            )  # fmt: skip
            upper.plot(middle, share, color=look["color"], linewidth=0.8, alpha=0.6)
            lower.bar(middle, windows[there], wide, color=look["color"])
        for axes in (upper, lower):
            axes.axvline(0.5, color=INK, linewidth=1, linestyle="--")
        upper.set_ylim(-0.02, 1.02)
        upper.set_ylabel("share of attack windows\n(95 % intervals)")
        upper.yaxis.set_major_formatter(PercentFormatter(1.0))
        lower.set_yscale("log")
        lower.set_ylim(bottom=0.7)
        lower.set_ylabel("windows\n(log scale)")
        lower.set_xlim(0, 1)
        lower.set_xticks(edges)
        lower.set_xlabel("score as odds, in ten bins (dashed: the threshold)")
        name_beside(upper, [row.words for row in rows], range(len(rows)))
    return path


def _odds(row: ScenarioPlot) -> np.ndarray:
    """Scores from 0 to 1 with the threshold at .5: r / (1 + r), r = score / threshold.

    Probabilities with a threshold of .5 stay what they are.
    """
    threshold = np.asarray(row.threshold, dtype=float)
    if row.score.min() >= 0 and row.score.max() <= 1 and (threshold == 0.5).all():
        return row.score
    ratio = np.maximum(row.score, 0) / np.maximum(threshold, np.finfo(float).tiny)
    return 1 - 1 / (1 + np.minimum(ratio, 1e12))


def _wilson(
    part: np.ndarray, whole: np.ndarray, z: float = 1.96
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A share and its 95 % interval (Wilson 1927)."""
    share = part / whole
    middle = (share + z**2 / (2 * whole)) / (1 + z**2 / whole)
    half = z * np.sqrt(share * (1 - share) / whole + (z / (2 * whole)) ** 2) / (1 + z**2 / whole)
    return share, np.minimum(middle - half, share), np.maximum(middle + half, share)


def _confusion(path: Path, rows: Sequence[ScenarioPlot], subject: str) -> Path:
    columns = min(4, len(rows))
    lines = -(-len(rows) // columns)
    wide = max(2.7 * columns + 0.4, 6.0)
    with picture(path, wide, 2.7 * lines + 0.7, _title("Confusion", rows, subject)) as figure:
        panels = figure.subplots(lines, columns, squeeze=False)
        for number, axes in enumerate(panels.flat):
            if number < len(rows):
                _matrix(axes, rows[number], first=number % columns == 0)
            else:
                axes.set_axis_off()
    return path


def _matrix(axes: Axes, row: ScenarioPlot, *, first: bool) -> None:
    """Counts, and in each line of truth the shares, which also are its colours."""
    truths, decisions = (row.attack, ~row.attack), (row.alarm, ~row.alarm)
    counts = np.array([[int((truth & made).sum()) for made in decisions] for truth in truths])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.2, aspect="auto")
    for (line, column), count in np.ndenumerate(counts):
        text = f"{count:,}\n{_percent(shares[line, column])}" if counts[line].any() else "none"
        dark = shares[line, column] > 0.6
        axes.text(
            column, line, text, ha="center", va="center", color="white" if dark else INK,
            fontweight="bold" if line != column and count else "normal",
        )  # fmt: skip
    axes.set_xticks((0, 1), ("alarm", "no alarm"))
    axes.set_yticks((0, 1), ("attack", "benign") if first else ("", ""), rotation=90, va="center")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    code, _, rest = row.words.partition(" ")
    axes.set_title(plain(f"{code}\n{rest}" if rest else code), fontsize=9)


def _percent(share: float) -> str:
    """Two digits after the point where one would tell 100 % of what is not all."""
    close = 0.999 < share < 1 or 0 < share < 0.001
    return f"{100 * share:.{2 if close else 1}f} %"


def _over_time(path: Path, row: ScenarioPlot, subject: str) -> Path:
    """Every window's score, captures laid end to end, mistakes in larger marks on top."""
    time_s, seams = _laid_end_to_end(row)
    with picture(path, 12.5, 4.2, _title("Scores over time", [row], subject)) as figure:
        axes = figure.subplots()
        _shade(axes, row, time_s)
        looks = (
            ("benign, no alarm", ~row.attack & ~row.alarm, BENIGN, ".", 3.0),
            ("attack, alarm", row.attack & row.alarm, ATTACK, ".", 3.0),
            ("missed attack", row.attack & ~row.alarm, ATTACK, "v", 6.0),
            ("false alarm", ~row.attack & row.alarm, BENIGN, "^", 6.0),
        )
        for label, chosen, colour, marker, size in looks:
            edge = INK if size > 3 else colour
            axes.plot(
                time_s[chosen], row.score[chosen], marker, color=colour, markersize=size,
                markeredgecolor=edge, markeredgewidth=0.6, label=f"{label} ({chosen.sum():,})",
            )  # fmt: skip
        threshold = np.broadcast_to(np.asarray(row.threshold, dtype=float), row.score.shape)
        axes.plot(time_s, threshold, color=INK, linewidth=1.2, linestyle="--", label="threshold")
        if len(seams) <= _MOST_SEPARATORS:
            for seam in seams:
                axes.axvline(seam, color=FAINT, linewidth=0.8)
        _scale(axes, row)
        axes.set_xlim(time_s[0], time_s[-1] + 1e-9)
        captures = len(seams) + 1
        end = f"; {captures} captures end to end, lines between them" if captures > 1 else ""
        axes.set_xlabel(f"time (s{end})")
        axes.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), fontsize=9, borderaxespad=0.0)
    return path


def _laid_end_to_end(row: ScenarioPlot) -> tuple[np.ndarray, list[float]]:
    """Seconds since the first capture's begin without the time between captures, and the seams."""
    new = np.concatenate(([True], row.capture[1:] != row.capture[:-1]))
    firsts = np.flatnonzero(new)
    time_s, offset, seams = np.empty(len(row.score)), 0.0, []
    for first, end in zip(firsts, [*firsts[1:], len(row.score)], strict=True):
        part = row.start_s[first:end] - row.start_s[first]
        if first:
            seams.append(offset)
        time_s[first:end] = part + offset
        step = float(np.median(np.diff(part))) if len(part) > 1 else 1.0
        offset += float(part.max()) + max(step, 1e-6)
    return time_s, seams


def _shade(axes: Axes, row: ScenarioPlot, time_s: np.ndarray) -> None:
    """Spans of attack windows, each up to the next window's begin."""
    axes.fill_between(
        time_s, 0, 1, where=row.attack.tolist(), step="post", transform=axes.get_xaxis_transform(),
        color=ATTACK, alpha=0.2, linewidth=0, label="attack windows",
    )  # fmt: skip


def _scale(axes: Axes, row: ScenarioPlot) -> None:
    """Probabilities as they are; scores without an end on a scale that holds outliers."""
    low, high = float(row.score.min()), float(row.score.max())
    threshold = float(np.max(row.threshold))
    if low >= 0 and high <= 1:
        axes.set_ylim(-0.03, 1.03)
        axes.set_ylabel("score")
    elif high > LOG_FROM * max(abs(threshold), 1e-9):
        axes.set_yscale("symlog", linthresh=max(abs(threshold), 1e-9))
        axes.set_ylim(bottom=min(low, 0.0))
        axes.set_ylabel("score (log scale above the threshold)")
    else:
        axes.set_ylabel("score")


def _title(what: str, rows: Sequence[ScenarioPlot], subject: str) -> str:
    """What is shown, of whom, under which protocol, on which and how many windows."""
    windows = sum(len(row.score) for row in rows)
    attacks = sum(int(row.attack.sum()) for row in rows)
    place = rows[0].words if len(rows) == 1 else f"{len(rows)} scenarios"
    return (
        f"{what}{_of(subject)}\n{rows[0].protocol} protocol, test split, {place}: "
        f"{windows:,} windows, {attacks:,} with attacks"
    )


def _of(subject: str) -> str:
    return f" of {subject}" if subject else ""
