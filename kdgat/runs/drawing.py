"""What all plots of the report share: their style, and the way to an element of a page.

Ink and grid are drawn in two stand-in colours that become the page's own, so that one picture fits
its light and its dark style. Series differ in marker, line and hatch as well as in colour.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from kdgat.runs.statistics import Estimate
from kdgat.stages.plot_style import COLOURS, SHAPE

HATCHES = ("", "///", "...", "\\\\\\", "xxx", "---", "++")
MOST_SERIES = len(COLOURS)
"""Series that one plot can hold and keep apart."""
INK, GRID, PAGE = "#010203", "#040506", "#070809"
STYLE: Any = SHAPE | {
    "svg.fonttype": "none",
    "svg.hashsalt": "kdgat",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "grid.color": GRID,
    "hatch.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
}
LABEL_PT = 8.5
"""Size of figures and names within a plot."""


def interval(axes: Axes, place: float, value: Estimate, **look: Any) -> None:
    """A line with caps over the 95 % interval, where there is one."""
    if value.low is not None and value.high is not None:
        sides = [[max(value.mean - value.low, 0.0)], [max(value.high - value.mean, 0.0)]]
        look = {"capsize": 3.5, "capthick": 1.2, **look}
        axes.errorbar([place], [value.mean], yerr=sides, fmt="none", **look)


def legend(picture: Figure, handles: Sequence[Any], labels: Sequence[str], columns: int) -> None:
    """What the series are, below the plot."""
    picture.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=9)


def plain(text: str) -> str:
    """Text of a name: a dollar begins no formula, an underscore hides nothing from the legend."""
    text = text.replace("$", r"\$")
    return f"\N{ZERO WIDTH SPACE}{text}" if text.startswith("_") else text


def svg(picture: Figure, key: str, label: str) -> Markup:
    """The picture as an element of a page, in the page's colours, its ids unique."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    FigureCanvasSVG(picture).print_svg(file, metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{key}-', text)
    text = re.sub(r"url\(#", f"url(#{key}-", text)
    text = re.sub(r'href="#', f'href="#{key}-', text)
    for stand_in, own in ((INK, "currentColor"), (GRID, "var(--grid)"), (PAGE, "var(--page)")):
        text = text.replace(stand_in, own)
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", text, count=1)
    return Markup(text.replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1))
