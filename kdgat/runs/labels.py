"""Where the names of points in a plot go, so that they hide neither points nor each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_LETTER = 0.58
"""Mean width of a letter, of the size of its font; a little more than DejaVu Sans has."""
_GAP_PT = 7.0
"""Between a point's middle and its name."""
_MARKER_PT = 4.5
"""Half of a marker."""


@dataclass(frozen=True)
class Box:
    """A rectangle in points."""

    left: float
    bottom: float
    right: float
    top: float

    def shared(self, other: Box) -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    @property
    def area(self) -> float:
        """How large it is."""
        return (self.right - self.left) * (self.top - self.bottom)


def place_labels(
    points: Sequence[tuple[float, float]],
    texts: Sequence[str],
    lines: Sequence[Box],
    within: Box,
    size_pt: float,
) -> list[tuple[float, float]]:
    """The left lower corner of each text, relative to its point; the first ones choose first.

    Args:
        points: places in points.
        texts: the name of each.
        lines: what else should not be covered, if that is possible.
        within: what no text may leave.
        size_pt: height of the font.
    """
    markers = [Box(x - _MARKER_PT, y - _MARKER_PT, x + _MARKER_PT, y + _MARKER_PT)
               for x, y in points]  # fmt: skip
    taken: list[Box] = []
    offsets = []
    for (x, y), text in zip(points, texts, strict=True):
        width = _LETTER * size_pt * len(text)
        choices = _choices(width, size_pt)
        boxes = [Box(x + dx, y + dy, x + dx + width, y + dy + size_pt) for dx, dy in choices]
        costs = [_cost(box, taken, markers, lines, within) for box in boxes]
        best = costs.index(min(costs))
        taken.append(boxes[best])
        offsets.append(choices[best])
    return offsets


def _choices(width: float, height: float) -> list[tuple[float, float]]:
    """Corners of the text, best first: beside the point, then over and under it, then farther."""
    near, middle = _GAP_PT, -height / 2
    return [
        (near, middle), (near, near / 2), (near, -near / 2 - height),
        (-near - width, middle), (-near - width, near / 2), (-near - width, -near / 2 - height),
        (-width / 2, near), (-width / 2, -near - height),
        (near, 2.5 * near), (near, -2.5 * near - height),
        (-near - width, 2.5 * near), (-near - width, -2.5 * near - height),
    ]  # fmt: skip


def _cost(
    box: Box, taken: Sequence[Box], markers: Sequence[Box], lines: Sequence[Box], within: Box
) -> float:
    """How much is covered: another text or a marker weighs most, a line least."""
    outside = box.area - box.shared(within)
    texts = sum(box.shared(each) for each in taken)
    points = sum(box.shared(each) for each in markers)
    return 10 * outside + 6 * texts + 6 * points + sum(box.shared(each) for each in lines)
