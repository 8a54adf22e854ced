"""How plots look, and the way to a picture's file: whole or absent, and equal bytes each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from kdgat.ledger.files import atomic_path

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A8A8A")
"""Okabe and Ito's, which most colour-blind people tell apart, without the yellow."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", "--", ":")
"""Of the first seven series, of the next seven, of all others."""
BENIGN, ATTACK = "#0072B2", "#D55E00"
INK, FAINT, GRID = "#222222", "#767676", "#DDDDDD"
LOG_FROM = 30.0
"""Ratio of largest to smallest value from which an axis is logarithmic."""
SHAPE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
}
"""What plots of runs and of reports have in common."""
_STYLE: Any = SHAPE | {
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.facecolor": "white",
    "figure.titlesize": 11,
    "grid.color": GRID,
    "xtick.color": INK,
    "ytick.color": INK,
}
_DPI = 120


@contextmanager
def picture(path: Path, width_in: float, height_in: float, title: str) -> Iterator[Figure]:
    """A figure to draw on, written as PNG when the block ends well.

    Raises:
        StorageError: the file system refused.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width_in, height_in), dpi=_DPI, layout="constrained")
        figure.suptitle(plain(title), x=0.01, ha="left")
        yield figure
        with atomic_path(path) as aside:
            # Without the version of matplotlib, which would be the only thing to differ.
            FigureCanvasAgg(figure).print_png(str(aside), metadata={"Software": None})


def series(number: int) -> dict[str, Any]:
    """Colour and line of a series; several stay apart without colour too."""
    style = LINES[min(number // len(COLOURS), len(LINES) - 1)]
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": style, "linewidth": 1.8}


def mark(number: int) -> str:
    """The marker of a series."""
    return MARKERS[number % len(MARKERS)]


def name_beside(axes: Axes, names: Sequence[str], numbers: Sequence[int]) -> None:
    """Name the series right of the axes, in their own look, in the order given."""
    handles = [
        Line2D([], [], marker=mark(number), markersize=5, **series(number)) for number in numbers
    ]
    axes.legend(
        handles, [plain(name) for name in names], loc="upper left", bbox_to_anchor=(1.01, 1.0),
        fontsize=9, borderaxespad=0.0, labelcolor="linecolor", labelspacing=0.9,
    )  # fmt: skip


def plain(text: str) -> str:
    """Text of a name: a dollar begins no formula."""
    return text.replace("$", r"\$")
