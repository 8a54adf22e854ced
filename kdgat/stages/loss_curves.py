"""Losses of one training over its epochs, drawn on axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from kdgat.stages.plot_style import INK, LOG_FROM, mark, series


def losses_of(lines: Sequence[dict[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Each loss by its name; one that another one equals throughout is left out."""
    curves: dict[str, list[tuple[int, float]]] = {}
    names = dict.fromkeys(name for line in lines for name in line if name.endswith("loss"))
    for name in sorted(names, key=_by_kind):
        held = [(line["epoch"], line.get(name)) for line in lines]
        known = [(e, float(v)) for e, v in held if v is not None and np.isfinite(v)]
        if known and known not in curves.values():
            curves[name] = known
    return curves


def _by_kind(name: str) -> tuple[bool, str, bool]:
    """The task's loss first, of each kind validation before training."""
    side, _, kind = name.partition("_")
    return kind != "task_loss", kind, side != "val"


def draw_losses(axes: Axes, curves: dict[str, list[tuple[int, float]]]) -> None:
    """A kind of loss in one colour: validation solid, training dashed; the best epoch ringed."""
    kinds = list(dict.fromkeys(name.partition("_")[2] for name in curves))
    for name, points in curves.items():
        side, _, kind = name.partition("_")
        number = kinds.index(kind)
        look = {"color": series(number)["color"], "linestyle": "-" if side == "val" else "--"}
        marker = mark(number) if len(points) < 40 else ""
        label = f"{'validation' if side == 'val' else 'training'}, {kind.replace('_', ' ')}"
        axes.plot(*zip(*points, strict=True), marker=marker, markersize=4, label=label, **look)
    best = curves.get("val_task_loss")
    if best:
        point = min(best, key=lambda each: each[1])
        ring = {"markersize": 11, "markerfacecolor": "none", "markeredgecolor": INK}
        axes.plot(*point, "o", linestyle="none", label=f"best epoch, {point[0]}", **ring)
    values = [value for points in curves.values() for _, value in points]
    logarithmic = min(values) > 0 and max(values) > LOG_FROM * min(values)
    axes.set_yscale("log" if logarithmic else "linear")
    axes.set_ylabel("loss (log scale)" if logarithmic else "loss")
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=9, borderaxespad=0.0)
