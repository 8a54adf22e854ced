"""Plots as SVG for one HTML page: values in, text out.

Ink and grid are drawn in two stand-in colours that become the page's own, so that one picture fits
its light and its dark style. Series differ in marker, line and hatch as well as in colour.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from kdgat.runs.figures import Metric
from kdgat.runs.pareto import Point
from kdgat.runs.statistics import Estimate

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A8A8A")
"""Okabe and Ito's, which most colour-blind people tell apart, without the yellow."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "++")
MOST_SERIES = len(COLOURS)
"""Series that one plot can hold and keep apart."""
_INK, _GRID, _PAGE = "#010203", "#040506", "#070809"
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kdgat",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": _GRID,
    "grid.linewidth": 0.8,
    "hatch.linewidth": 0.7,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
}
_LOG_FROM = 30.0
"""Ratio of largest to smallest value from which an axis is logarithmic."""
_MOST_LABELS = 12


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
    with mpl.rc_context(_STYLE):
        picture = Figure(figsize=(10, 4.1), layout="constrained")
        axes = picture.subplots()
        width = 0.8 / len(models)
        for number, model in enumerate(models):
            _bars(axes, number, model, width, -0.4 + width * (number + 0.5))
        axes.set_xticks(range(len(scenarios)), [_plain(name) for name in scenarios])
        axes.tick_params(axis="x", length=0)
        axes.grid(visible=False, axis="x")
        axes.set_ylabel(_plain(figure.label))
        axes.set_ylim(min(0.0, figure.low or 0.0) if _negative(models) else 0.0, figure.high)
        _legend(picture, *axes.get_legend_handles_labels(), columns=min(5, len(models)))
        return _svg(picture, key, f"Bar chart: {figure.label} of each model in each scenario")


def _bars(axes: Axes, number: int, model: Bars, width: float, offset: float) -> None:
    places = [place + offset for place, value in enumerate(model.values) if value is not None]
    known = [value for value in model.values if value is not None]
    axes.bar(
        places,
        [value.mean for value in known],
        width * 0.92,
        label=_plain(model.label),
        color=COLOURS[number],
        edgecolor=_PAGE,
        hatch=_HATCHES[number],
        linewidth=0.5,
    )
    for place, value in zip(places, known, strict=True):
        top = value.mean
        if value.low is not None and value.high is not None:
            axes.plot([place, place], [value.low, value.high], color=_INK, linewidth=1.2)
            top = value.high
        if width >= 0.16:
            text = f"{value.mean:.3f}" if abs(value.mean) < 10 else f"{value.mean:,.0f}"
            note = {"textcoords": "offset points", "xytext": (0, 2), "fontsize": 8}
            axes.annotate(
                text, (place, top), ha="center", va="bottom", annotation_clip=False, **note
            )


def _negative(models: Sequence[Bars]) -> bool:
    return any(value is not None and value.mean < 0 for model in models for value in model.values)


def learning_curves(key: str, title: str, curves: Sequence[Curve]) -> Markup:
    """Task loss over epochs: validation solid, training dashed, the best epoch ringed.

    Args:
        key: part of the ids in the picture, unique on the page.
        title: what the runs have in common.
        curves: the runs, at most `MOST_SERIES`; their losses must be of one kind.
    """
    with mpl.rc_context(_STYLE):
        picture = Figure(figsize=(5.4, 4.0), layout="constrained")
        axes = picture.subplots()
        for curve in curves:
            _curve(axes, curve)
        seen = [v for each in curves for v in (*each.validation, *each.training) if v is not None]
        logarithmic = bool(seen) and min(seen) > 0 and max(seen) > _LOG_FROM * min(seen)
        axes.set_yscale("log" if logarithmic else "linear")
        axes.set_ylabel("task loss (log scale)" if logarithmic else "task loss")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(_plain(title), loc="left", fontsize=10)
        handles = [_handle(curve.style) for curve in curves]
        _legend(picture, handles, [_plain(curve.label) for curve in curves], columns=2)
        return _svg(picture, key, f"Line chart: loss over epochs, {title}")


def _curve(axes: Axes, curve: Curve) -> None:
    number = curve.style
    look: dict[str, Any] = {"color": COLOURS[number], "marker": MARKERS[number], "markersize": 4}
    held = list(zip(curve.epochs, curve.validation, strict=True))
    solid = [(epoch, value) for epoch, value in held if value is not None]
    dashed = [(e, v) for e, v in zip(curve.epochs, curve.training, strict=True) if v is not None]
    if dashed:
        axes.plot(*zip(*dashed, strict=True), color=COLOURS[number], linestyle="--", linewidth=1)
    if solid:
        axes.plot(*zip(*solid, strict=True), linewidth=1.8, **look)
    best = [(epoch, value) for epoch, value in solid if epoch == curve.best_epoch]
    if best:
        ring = {"markersize": 11, "markerfacecolor": "none", "markeredgecolor": _INK}
        axes.plot(*zip(*best, strict=True), "o", linestyle="none", **ring)


def _handle(number: int) -> Line2D:
    return Line2D([], [], color=COLOURS[number], marker=MARKERS[number], markersize=5)


def pareto_plot(
    key: str, figure: Metric, cost: Metric, front: Sequence[Point], dominated: Sequence[Point]
) -> Markup:
    """The front as a staircase of filled points, what it dominates as hollow ones.

    Args:
        key: part of the ids in the picture, unique on the page.
        figure: on the vertical axis, which need not begin at zero.
        cost: on the horizontal axis.
        front: the points of the front, cheapest first.
        dominated: the others.
    """
    with mpl.rc_context(_STYLE):
        picture = Figure(figsize=(5.4, 4.0), layout="constrained")
        axes = picture.subplots()
        costs = [point.cost for point in (*front, *dominated)]
        logarithmic = min(costs) > 0 and max(costs) > 3 * min(costs)
        axes.set_xscale("log" if logarithmic else "linear")
        x, y = [point.cost for point in front], [point.score.mean for point in front]
        look: dict[str, Any] = {"color": COLOURS[0], "marker": MARKERS[0], "markersize": 7}
        axes.step(x, y, where="post", linewidth=1.6, **look)
        hollow: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": COLOURS[1]}
        x, y = [point.cost for point in dominated], [point.score.mean for point in dominated]
        axes.plot(x, y, linestyle="none", marker=MARKERS[1], markersize=6, **hollow)
        _label_points(axes, [*front, *dominated])
        _cost_axis(axes, cost, logarithmic)
        axes.set_ylabel(_plain(figure.label) + ", mean")
        axes.margins(x=0.16, y=0.16)
        handles = [
            Line2D([], [], linewidth=1.6, **look),
            Line2D([], [], linestyle="none", marker=MARKERS[1], **hollow),
        ]
        names = ["on the front", "dominated"][: 1 + bool(dominated)]
        _legend(picture, handles[: len(names)], names, columns=2)
        what = f"Scatter plot: {figure.label} against {cost.label}, {len(front)} on the front"
        return _svg(picture, key, what)


def _label_points(axes: Axes, points: Sequence[Point]) -> None:
    """Names and intervals of a few points; of many, the table below has them."""
    for point in points[:_MOST_LABELS]:
        low, high = point.score.low, point.score.high
        if low is not None and high is not None:
            axes.plot([point.cost, point.cost], [low, high], color=_INK, linewidth=1)
        name = _plain(point.name.partition("-")[2] or point.name)
        below = point.dominated_by is None
        place: dict[str, Any] = {"textcoords": "offset points", "xytext": (7, -12 if below else 5)}
        axes.annotate(name, (point.cost, point.score.mean), fontsize=8, **place)


def _cost_axis(axes: Axes, cost: Metric, logarithmic: bool) -> None:
    if logarithmic:
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(_short_number))
    unit = f"{cost.unit}, log scale" if logarithmic else cost.unit
    axes.set_xlabel(_plain(f"{cost.title} ({unit})"))


def _short_number(value: float, _place: int | None = None) -> str:
    """`50 k`, `2 M`, `0.7`."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def _legend(picture: Figure, handles: Sequence[Any], labels: Sequence[str], columns: int) -> None:
    picture.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9)


def _plain(text: str) -> str:
    """Text of a name: a dollar begins no formula, an underscore hides nothing from the legend."""
    text = text.replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{text}" if text.startswith("_") else text


def _svg(picture: Figure, key: str, label: str) -> Markup:
    """The picture as an element of a page, in the page's colours, its ids unique."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    FigureCanvasSVG(picture).print_svg(file, metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{key}-', text)
    text = re.sub(r"url\(#", f"url(#{key}-", text)
    text = re.sub(r'href="#', f'href="#{key}-', text)
    for stand_in, own in ((_INK, "currentColor"), (_GRID, "var(--grid)"), (_PAGE, "var(--page)")):
        text = text.replace(stand_in, own)
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", text, count=1)
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1))
