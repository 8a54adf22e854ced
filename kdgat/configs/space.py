"""What a search may choose from: the values of the config fields that overrides leave open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Choices:
    """Values that are written out, each as the right side of an override."""

    values: tuple[str, ...]

    def __str__(self) -> str:
        return ", ".join(self.values)


@dataclass(frozen=True)
class Interval:
    """Every number from `low` to `high`, both included."""

    low: float
    high: float
    log: bool = False
    """Whether tenths, ones and tens are equally likely, and not equally wide ranges."""
    whole: bool = False
    """Whether only whole numbers."""

    def __str__(self) -> str:
        what = "whole numbers " * self.whole
        return f"{what}{self.low:g} to {self.high:g}{', logarithmic' * self.log}"


Space = Mapping[str, Choices | Interval]
"""The open fields by their dotted names."""
