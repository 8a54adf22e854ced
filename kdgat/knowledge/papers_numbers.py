"""Numbers as a paper prints them: rounded from history, and read back from its text.

A printed number agrees with a value when rounding the value to the digits that are printed gives
it, so that `.91` and `0.9130` both agree with 0.91304, and `0.914` does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    ROUND_UP,
    Context,
    Decimal,
    localcontext,
)
from typing import Literal

Rounding = Literal["half_even", "half_up", "down", "up", "floor", "ceiling"]
Unit = Literal["one", "percent", "permille", "thousand", "million", "kib", "mib"]
Number = int | float | Decimal

_MODES: dict[str, str] = {
    "half_even": ROUND_HALF_EVEN,
    "half_up": ROUND_HALF_UP,
    "down": ROUND_DOWN,
    "up": ROUND_UP,
    "floor": ROUND_FLOOR,
    "ceiling": ROUND_CEILING,
}
UNITS: dict[str, Decimal] = {
    "one": Decimal(1),
    "percent": Decimal(100),
    "permille": Decimal(1000),
    "thousand": Decimal("0.001"),
    "million": Decimal("0.000001"),
    "kib": 1 / Decimal(1 << 10),
    "mib": 1 / Decimal(1 << 20),
}
"""What a value is multiplied by."""
_DECIMALS = 3
"""Digits after the point of a figure, where nothing is said."""
_PRECISION = 60


@dataclass(frozen=True)
class Style:
    """How a value is printed."""

    format: str | None
    decimals: int | None
    rounding: str
    scale: Decimal

    def show(self, value: Number | str) -> str:
        """The value as it is printed; text stays as it is.

        Raises:
            ValueError: the format does not fit the number.
        """
        if isinstance(value, str):
            return value
        number, spec = self.scaled(value), self.format
        if spec is None:
            whole = self.decimals is None and isinstance(value, int) and self.scale == 1
            spec = f".{0 if whole else _DECIMALS if self.decimals is None else self.decimals}f"
        if spec.endswith("d"):
            if number != number.to_integral_value():
                raise ValueError(f"format '{spec}' is of whole numbers, and it is {number:f}")
            spec = f"{spec[:-1]}.0f"
        with localcontext(Context(_PRECISION, _MODES[self.rounding])):
            try:
                text = format(number, spec)
            except ValueError as error:
                raise ValueError(f"format '{self.format}' can't be used: {error}") from error
        # A zero that was rounded from below has no sign worth printing.
        return text[1:] if text.startswith("-") and not re.search("[1-9]", text) else text

    def scaled(self, value: Number) -> Decimal:
        """The value in its unit, as exactly as it is known."""
        with localcontext(Context(_PRECISION)):
            return exact(value) * self.scale

    def at(self, printed: Printed, value: Number) -> Decimal:
        """The value in the unit of a printed number, rounded to the digits that are printed."""
        place = Decimal(1).scaleb(int(printed.number.as_tuple().exponent))
        with localcontext(Context(_PRECISION)):
            return self._as(printed, value).quantize(place, rounding=_MODES[self.rounding])

    def agrees(self, printed: Printed, value: Number) -> bool:
        """Whether a printed number is the value, rounded to the digits that are printed."""
        number = self._as(printed, value)
        place = int(printed.number.as_tuple().exponent)
        if number and place > number.adjusted() and self.show(value) != printed.text:
            # Of .913 the rounding 1 has no digit left, and agrees with far too much.
            return False
        return self.at(printed, value) == printed.number

    def base(self, printed: Printed) -> Decimal:
        """A printed number as the history counts it: 91.3 percent is .913."""
        return printed.number / (self.scale * self._hundred(printed))

    def _as(self, printed: Printed, value: Number) -> Decimal:
        return self.scaled(value) * self._hundred(printed)

    def _hundred(self, printed: Printed) -> int:
        in_percent = (self.format or "").endswith("%") or (printed.percent and self.scale == 1)
        return 100 if in_percent else 1


def exact(value: Number) -> Decimal:
    """A number as its shortest decimal, which is what a person sees: 2.675, not 2.67499999."""
    return value if isinstance(value, Decimal) else Decimal(repr(value))


@dataclass(frozen=True)
class Printed:
    """A number in a text."""

    text: str
    number: Decimal
    percent: bool
    """Whether a percent sign follows."""
    start: int


_NUMBER = re.compile(
    r"""
    (?<![\w.^\\])(?<!\^\{)
    (?:(?<![\w)\]}.\u2013-])[-+\u2212])?
    (?>
        (?: \d{1,3} (?: (?:,|\{,\}|\\,|\u202f|\u2009) \d{3} (?!\d) )+ | \d+ ) (?:\.\d+)? | \.\d+
    )
    (?> [eE][-+]?\d+ | \s*(?:\\times|\\cdot|\u00d7|\u22c5)\s*10\^(?:\{-?\d+\}|\d) )?
    (?= (?:ms|us|s|h|k|K|M|kB|KB|MB|GB|KiB|MiB|GiB|x|pp)? (?![A-Za-z0-9_]|\.\d) )
    """,
    re.VERBOSE,
)
_PERCENT = re.compile(r"[\s~$}]*(?:\\[,;!]\s*)?[$}]*\s*(?:\\?%|\{?\\percent|percent\b)")
_UNSEEN = re.compile(
    r"""
    \\(?:[a-zA-Z]*ref|[a-zA-Z]*cite[a-zA-Z]*|label|input|include|includegraphics|cmidrule|cline
        |vspace|hspace|begin|end|multirow|multicolumn|hypertarget|url|href)\*?
        (?:\([^)]*\))?(?:\[[^\]]*\])*\{[^{}]*\}(?:\{\*\})?
    | \\\\\[[^\]]*\]
    | \]\([^)\s]*\)
    """,
    re.VERBOSE,
)
"""References, sizes and links, whose numbers are no values."""


def numbers(text: str) -> Iterator[Printed]:
    """The numbers of a line, in order, without those of references and links."""
    seen = _UNSEEN.sub(lambda found: " " * len(found[0]), text)
    for found in _NUMBER.finditer(seen):
        percent = _PERCENT.match(seen, found.end()) is not None
        yield Printed(found[0], _read(found[0]), percent, found.start())


def _read(text: str) -> Decimal:
    plain = re.sub(r"\{,\}|\\,|[,\u202f\u2009]", "", text).replace("\u2212", "-")
    base, *power = re.split(r"\s*(?:\\times|\\cdot|\u00d7|\u22c5)\s*10\^", plain)
    return Decimal(f"{base}e{power[0].strip('{}')}" if power else base)
