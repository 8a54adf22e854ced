"""Plots as SVG for one HTML page: bars of scenarios and learning curves; values in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from kdgat.runs.drawing import (
    HATCHES,
    INK,
    LABEL_PT,
    PAGE,
    STYLE,
    interval,
    legend,
    plain,
    svg,
)
from kdgat.runs.figures import Metric
from kdgat.runs.statistics import Estimate
from kdgat.stages.plot_style import COLOURS, LOG_FROM, MARKERS

_WIDEST = 0.3
"""Largest part of a scenario's width that one bar takes."""
_AXIS_PT, _FIGURE_PT = 640.0, 25.0
"""Width of all bars, and of one figure in print."""


@dataclass(frozen=True)
class Curve:
    """One run's loss over its epochs."""

    label: str
    style: int
    """Place in the colours, markers and hatches: one model looks alike in every plot."""
    epochs: tuple[int, ...]
    validation: tuple[float | None, ...]
    training: tuple[float | None, ...]
    best_epoch: int | None


@dataclass(frozen=True)
class Bars:
    """One model's figure in each scenario, in the order of the scenarios."""

    label: str
    values: tuple[Estimate | None, ...]


def scenario_bars(
    key: str, figure: Metric, scenarios: Sequence[str], models: Sequence[Bars]
) -> Markup:
    """Grouped bars, from zero, with 95 % intervals where there are several seeds.

    Args:
        key: part of the ids in the picture, unique on the page.
        figure: what the bars show.
        scenarios: a label each; a newline breaks it.
        models: the bars of each model, at most `MOST_SERIES`.
    """
    with mpl.rc_context(STYLE):
        picture = Figure(figsize=(10, 4.1), layout="constrained")
        axes = picture.subplots()
        width = min(0.8 / len(models), _WIDEST)
        told = width * _AXIS_PT / len(scenarios) >= _FIGURE_PT
        for number, model in enumerate(models):
            _bars(axes, number, model, width, width * (number + 0.5 - len(models) / 2), told)
        axes.set_xticks(range(len(scenarios)), [plain(name) for name in scenarios])
        axes.tick_params(axis="x", length=0, pad=18 if told else 4)
        axes.set_xlim(-0.5, len(scenarios) - 0.5)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel(plain(figure.label))
        axes.set_ylim(min(0.0, figure.low or 0.0) if _negative(models) else 0.0, figure.high)
        legend(picture, *axes.get_legend_handles_labels(), columns=min(5, len(models)))
        return svg(picture, key, f"Bar chart: {figure.label} of each model in each scenario")


def _bars(axes: Axes, number: int, model: Bars, width: float, offset: float, told: bool) -> None:
    """One model's bars with their intervals, and where there is room for them, their figures."""
    places = [place + offset for place, value in enumerate(model.values) if value is not None]
    known = [value for value in model.values if value is not None]
    axes.bar(
        places,
        [value.mean for value in known],
        width * 0.92,
        label=plain(model.label),
        color=COLOURS[number],
        edgecolor=PAGE,
        hatch=HATCHES[number],
        linewidth=0.5,
    )
    for place, value in zip(places, known, strict=True):
        interval(axes, place, value, linewidth=1.2, color=INK)
        if told:
            # A row below the axis: over the bar it would stand at the interval's end and seem to
            # tell that.
            text = f"{value.mean:.3f}" if abs(value.mean) < 10 else f"{value.mean:,.0f}"
            note: dict[str, Any] = {"textcoords": "offset points", "xytext": (0, -4)}
            axes.annotate(
                text, (place, 0), xycoords=axes.get_xaxis_transform(), ha="center", va="top",
                fontsize=LABEL_PT, annotation_clip=False, **note,
            )  # fmt: skip


def _negative(models: Sequence[Bars]) -> bool:
    return any(value is not None and value.mean < 0 for model in models for value in model.values)


def learning_curves(key: str, title: str, curves: Sequence[Curve]) -> Markup:
    """Task loss over epochs: validation solid, training dashed, the best epoch ringed.

    Args:
        key: part of the ids in the picture, unique on the page.
        title: what the runs have in common.
        curves: the runs, at most `MOST_SERIES`; their losses must be of one kind.
    """
    with mpl.rc_context(STYLE):
        picture = Figure(figsize=(5.4, 4.0), layout="constrained")
        axes = picture.subplots()
        for curve in curves:
            _curve(axes, curve)
        seen = [v for each in curves for v in (*each.validation, *each.training) if v is not None]
        logarithmic = bool(seen) and min(seen) > 0 and max(seen) > LOG_FROM * min(seen)
        axes.set_yscale("log" if logarithmic else "linear")
        axes.set_ylabel("task loss (log scale)" if logarithmic else "task loss")
        axes.set_xlabel("epoch")
        epochs = [epoch for each in curves for epoch in each.epochs]
        if epochs and min(epochs) == max(epochs):
            axes.set_xlim(epochs[0] - 0.5, epochs[0] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_title(plain(title), loc="left", fontsize=10)
        handles = [_handle(curve.style) for curve in curves]
        legend(picture, handles, [plain(curve.label) for curve in curves], columns=2)
        return svg(picture, key, f"Line chart: loss over epochs, {title}")


def _curve(axes: Axes, curve: Curve) -> None:
    number = curve.style
    look: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number], "markersize": 4}
    held = list(zip(curve.epochs, curve.validation, strict=True))
    solid = [(epoch, value) for epoch, value in held if value is not None]
    dashed = [(e, v) for e, v in zip(curve.epochs, curve.training, strict=True) if v is not None]
    if dashed:
        # One epoch makes no line: a hollow marker stands for it.
        faint: dict[str, Any] = {"color": COLOURS[number], "linestyle": "--", "linewidth": 1}
        if len(dashed) == 1:
            faint |= {"marker": MARKERS[number], "markersize": 6, "markerfacecolor": "none"}
        axes.plot(*zip(*dashed, strict=True), **faint)
    if solid:
        axes.plot(*zip(*solid, strict=True), linewidth=1.8, **look)
    best = [(epoch, value) for epoch, value in solid if epoch == curve.best_epoch]
    if best:
        ring = {"markersize": 11, "markerfacecolor": "none", "markeredgecolor": INK}
        axes.plot(*zip(*best, strict=True), "o", linestyle="none", **ring)


def _handle(number: int) -> Line2D:
    return Line2D([], [], color=COLOURS[number], marker=MARKERS[number], markersize=5)
