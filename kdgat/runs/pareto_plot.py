"""The Pareto front as SVG for one HTML page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from kdgat.runs.drawing import (
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
from kdgat.runs.labels import Box, place_labels
from kdgat.runs.pareto import Point
from kdgat.stages.plot_style import COLOURS, MARKERS

_MOST_LABELS = 12
_LEADER: Any = {"arrowstyle": "-", "color": INK, "alpha": 0.45, "linewidth": 0.7}
_FAR_PT = 2 * LABEL_PT
"""Height above or below its point from which a name is tied to it by a line."""
_LEAST_SHARE = 0.1
"""Part of a bounded figure's range, or of an unbounded one's largest value, that an axis shows at
least: what is a hundredth apart must not look worlds apart."""
_LEAST_COST = 0.5
"""The same for a cost, of the largest."""


def pareto_plot(
    key: str, figure: Metric, cost: Metric, front: Sequence[Point], dominated: Sequence[Point]
) -> Markup:
    """The front as a staircase of filled points, what it dominates as hollow ones.

    Args:
        key: part of the ids in the picture, unique on the page.
        figure: on the vertical axis, which shows `figure_range`.
        cost: on the horizontal axis, logarithmic where costs are far apart.
        front: the points of the front, cheapest first.
        dominated: the others.
    """
    with mpl.rc_context(STYLE):
        picture = Figure(figsize=(5.4, 4.0), layout="constrained")
        axes = picture.subplots()
        points = [*front, *dominated]
        logarithmic = _cost_range(axes, [point.cost for point in points])
        low, high = figure_range(figure, points)
        axes.set_ylim(low, high)
        # Lines of intervals lie below the front and are quieter, so that they hide nothing of it.
        quiet: dict[str, Any] = {"color": INK, "alpha": 0.45, "linewidth": 1}
        for point in points[:_MOST_LABELS]:
            interval(axes, point.cost, point.score, zorder=1.5, **quiet)
        look: dict[str, Any] = {"color": COLOURS[0], "marker": MARKERS[0], "markersize": 7}
        x, y = [point.cost for point in front], [point.score.mean for point in front]
        axes.step(x, y, where="post", linewidth=2.2, zorder=2.5, **look)
        hollow: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": COLOURS[1]}
        hollow |= {"marker": MARKERS[1], "linestyle": "none", "markersize": 6}
        x, y = [point.cost for point in dominated], [point.score.mean for point in dominated]
        axes.plot(x, y, zorder=3, markeredgewidth=1.6, **hollow)
        _cost_axis(axes, cost, logarithmic)
        axes.set_ylabel(plain(f"{figure.label}, mean{_from(low) if figure.low == 0.0 else ''}"))
        handles = [("on the front", Line2D([], [], linewidth=2.2, **look))]
        handles += [("dominated", Line2D([], [], **hollow))] * bool(dominated)
        if any(point.score.low is not None for point in points[:_MOST_LABELS]):
            handles.append(("95 % interval", Line2D([], [], **quiet)))
        names, lines = zip(*handles, strict=True)
        legend(picture, lines, names, columns=3)
        _label_points(picture, axes, front, points[:_MOST_LABELS])
        what = f"Scatter plot: {figure.label} against {cost.label}, {len(front)} on the front"
        return svg(picture, key, what)


def figure_range(figure: Metric, points: Sequence[Point]) -> tuple[float, float]:
    """Least and largest value that a Pareto plot's vertical axis shows.

    That is where the points and their intervals are, with a margin, and never less than
    `_LEAST_SHARE` of what the figure can be.
    """
    shown = [
        value
        for point in points
        for value in (point.score.mean, point.score.low, point.score.high)
        if value is not None
    ]
    low, high = min(shown), max(shown)
    whole = max(abs(low), abs(high)) or 1.0
    if figure.low is not None and figure.high is not None:
        whole = figure.high - figure.low
    half = max((high - low) * 0.58, whole * _LEAST_SHARE / 2)
    middle = (low + high) / 2
    low, high = middle - half, middle + half
    # A little beyond the range, so that a point at its end is whole.
    slack = (high - low) * 0.04
    if figure.high is not None and high > figure.high + slack:
        low, high = low - (high - figure.high - slack), figure.high + slack
    if figure.low is not None and low < figure.low - slack:
        low, high = figure.low - slack, max(high, figure.low - slack + 2 * half)
    return low, high


def _from(low: float) -> str:
    """That an axis does not begin at zero."""
    return " (axis not from 0)" if low > 0.0 else ""


def _cost_range(axes: Axes, costs: Sequence[float]) -> bool:
    """Logarithmic where costs are far apart, else never less than `_LEAST_COST` of the largest."""
    least, most = min(costs), max(costs)
    if least > 0 and most > 3 * least:
        axes.set_xscale("log")
        margin = (most / least) ** 0.2
        axes.set_xlim(least / margin, most * margin)
        return True
    half = max(0.65 * (most - least), most * _LEAST_COST / 2) or 0.5
    axes.set_xlim(max(0.0, (least + most) / 2 - half), (least + most) / 2 + half)
    return False


def _label_points(
    picture: Figure, axes: Axes, front: Sequence[Point], points: Sequence[Point]
) -> None:
    """Names of a few points; of many, the table below has them."""
    FigureCanvasSVG(picture)
    picture.draw_without_rendering()
    points_in_inch = 72 / picture.dpi

    def at(x: float, y: float) -> tuple[float, float]:
        across, up = axes.transData.transform((x, y))
        return float(across) * points_in_inch, float(up) * points_in_inch

    left, bottom, right, top = (float(each) * points_in_inch for each in axes.bbox.extents)
    offsets = place_labels(
        [at(point.cost, point.score.mean) for point in points],
        names := [_label(point) for point in points],
        [_line(at, point) for point in points] + _staircase(at, front),
        Box(left, bottom, right, top),
        LABEL_PT,
    )
    for point, name, offset in zip(points, names, offsets, strict=True):
        axes.annotate(
            plain(name), (point.cost, point.score.mean), textcoords="offset points",
            xytext=offset, fontsize=LABEL_PT, va="bottom", annotation_clip=False, zorder=4,
            arrowprops=_LEADER if abs(offset[1]) > _FAR_PT else None,
            bbox={"facecolor": PAGE, "edgecolor": "none", "alpha": 0.8, "pad": 0.4},
        )  # fmt: skip


def _label(point: Point) -> str:
    """Its name without the dataset's, and what tells it from its namesakes."""
    name = point.name.partition("-")[2] or point.name
    return f"{name} ({point.differs})" if point.differs else name


def _line(at: Callable[[float, float], tuple[float, float]], point: Point) -> Box:
    """Where a point's interval is drawn."""
    score = point.score
    left, bottom = at(point.cost, score.mean if score.low is None else score.low)
    right, top = at(point.cost, score.mean if score.high is None else score.high)
    return Box(left - 2, bottom, right + 2, top)


def _staircase(
    at: Callable[[float, float], tuple[float, float]], front: Sequence[Point]
) -> list[Box]:
    """Where the front's steps are drawn."""
    boxes = []
    for one, two in pairwise(front):
        left, low = at(one.cost, one.score.mean)
        right, high = at(two.cost, two.score.mean)
        boxes += [
            Box(left, low - 2, right, low + 2),
            Box(right - 2, min(low, high), right + 2, max(low, high)),
        ]
    return boxes


def _cost_axis(axes: Axes, cost: Metric, logarithmic: bool) -> None:
    if logarithmic:
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(_short_number))
    note = ", log scale)" if logarithmic else f"){_from(axes.get_xlim()[0])}"
    axes.set_xlabel(plain(f"{cost.title} ({cost.unit}{note}"))


def _short_number(value: float, _place: int | None = None) -> str:
    """`50 k`, `2 M`, `0.7`."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
