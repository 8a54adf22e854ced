"""Numbers as papers print them: rounded, and read back."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgat.knowledge.papers_numbers import UNITS, Style, numbers


def style(**changes: object) -> Style:
    given = {"format": None, "decimals": None, "rounding": "half_even", "scale": Decimal(1)}
    return Style(**{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "changes", "text"),
    [
        (0.91304, {}, "0.913"),
        (49202, {}, "49202"),
        (2.675, {"decimals": 2, "rounding": "half_up"}, "2.68"),
        (2.665, {"decimals": 2}, "2.66"),
        (0.9999, {"decimals": 3, "rounding": "down"}, "0.999"),
        (0.9991, {"decimals": 3, "rounding": "up"}, "1.000"),
        (-0.0004, {"decimals": 3}, "0.000"),
        (-0.0004, {"decimals": 3, "rounding": "floor"}, "-0.001"),
        (0.91304, {"scale": UNITS["percent"], "decimals": 1}, "91.3"),
        (49202.0, {"format": ",d"}, "49,202"),
        (1186481, {"scale": UNITS["million"], "decimals": 2}, "1.19"),
        (1048576, {"scale": UNITS["mib"], "decimals": 1}, "1.0"),
        (0.000913, {"format": ".2e"}, "9.13e-4"),
        (0.913, {"format": ".0%"}, "91%"),
        ("set_01", {"decimals": 2}, "set_01"),
    ],
)
def test_a_value_is_printed_as_asked(value: float, changes: dict[str, object], text: str) -> None:
    assert style(**changes).show(value) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("an F1 of 0.913, and .95.", ["0.913", "0.95"]),
        ("GATv2 with F1 in 2026", ["2026"]),
        (r"$0.913 \pm 0.02$ (\cite{kipf2016}, Table~\ref{tab:2})", ["0.913", "0.02"]),
        (r"49{,}202 or 49,202 or 49\,202", ["49202"] * 3),
        ("0.91--0.93, 0.5-0.6", ["0.91", "0.93", "0.5", "0.6"]),
        ("-0.7 or \u22120.8", ["-0.7", "-0.8"]),
        (r"$9.13 \times 10^{-4}$ or 9.13e-4", ["0.000913", "0.000913"]),
        ("version 1.2.3 and R^2 and x_1", []),
        ("1.5ms, 12 GB, 3D", ["1.5", "12"]),
        (r"0.9 \\[2pt] \cmidrule(lr){2-3} \multirow{2}{*}{x}", ["0.9"]),
        ("[the 3rd](page-7.md#s-2) of 1,2345", ["1", "2345"]),
        ("0.5,0.6", ["0.5", "0.6"]),
    ],
)  # fmt: skip
def test_numbers_are_read_as_people_read_them(text: str, found: list[str]) -> None:
    assert [each.number for each in numbers(text)] == [Decimal(each) for each in found]


@pytest.mark.parametrize(
    ("text", "value", "agrees"),
    [
        ("0.913", 0.91304, True),
        (".91", 0.91304, True),
        ("0.91304", 0.91304, True),
        ("0.9", 0.91304, True),
        ("1", 0.91304, False),
        ("0.914", 0.91304, False),
        ("0.912", 0.91251, False),
        ("1.00", 0.9996, True),
        ("91.3%", 0.91304, True),
        (r"91.3\,\%", 0.91304, True),
        ("91.3", 0.91304, False),
        ("0.913 %", 0.91304, False),
        ("49,202", 49202, True),
        ("49,000", 49202, False),
        ("-0.913", 0.91304, False),
        ("0.0", 0, True),
        ("1e-3", 0.00104, True),
    ],
)
def test_agreement_is_rounding_to_the_digits_that_are_printed(
    text: str, value: float, agrees: bool
) -> None:
    (printed,) = numbers(text)
    assert style().agrees(printed, value) is agrees


@given(
    st.floats(-1e6, 1e6, allow_nan=False),
    st.integers(0, 9),
    st.sampled_from(["half_even", "half_up", "down", "up", "floor", "ceiling"]),
    st.sampled_from(list(UNITS.values())),
)
def test_what_is_filled_in_always_agrees(
    value: float, decimals: int, rounding: str, scale: Decimal
) -> None:
    asked = style(decimals=decimals, rounding=rounding, scale=scale)
    (printed,) = numbers(f"it is {asked.show(value)} here")
    assert asked.agrees(printed, value)
