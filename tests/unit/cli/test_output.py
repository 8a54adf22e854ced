"""Tables for a person."""

from __future__ import annotations

import pytest

from kdgat.cli.output import counted, print_table


def test_a_title_wider_than_its_table_stays_on_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table("22 rows of a narrow table", ("n",), [(1,)])
    assert capsys.readouterr().out.splitlines()[0] == "22 rows of a narrow table"


def test_a_title_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("of [red]", ("n",), [(1,)])
    assert capsys.readouterr().out.startswith("of [red]\n")


@pytest.mark.parametrize(("number", "text"), [(0, "0 rows"), (1, "1 row"), (2000, "2,000 rows")])
def test_one_is_no_plural(number: int, text: str) -> None:
    assert counted(number, "row") == text
