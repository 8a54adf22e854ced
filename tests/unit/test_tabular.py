"""Results that are tables: what they show, that names stay text, and what a frame of them has."""

from __future__ import annotations

from dataclasses import dataclass, is_dataclass
from enum import StrEnum
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import polars as pl
import pytest

import kdgat.ops
from kdgat.tabular import Grid, Listing, Tabular, flat, grid_of

EVIL = "<script>alert(1)</script>"


class Kind(StrEnum):
    GOOD = "good"


@dataclass(frozen=True)
class Score:
    mean: float
    low: float | None


@dataclass(frozen=True)
class Item:
    name: str
    kind: Kind
    score: Score | None
    tags: tuple[str, ...]
    extra: dict[str, int]


@dataclass(frozen=True)
class Found(Tabular):
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    truncated: bool = False


@dataclass(frozen=True)
class Two(Tabular):
    def grids(self) -> tuple[Grid, ...]:
        return (
            Grid(("x",), ((1,),), "first", {"protocol": "zero_shot"}),
            Grid(("x", "y"), ((2, "b"),), "second", {"protocol": "adapted"}),
        )


def item(name: str, score: Score | None = None, **extra: int) -> Item:
    return Item(name, Kind.GOOD, score, ("a", "b"), extra)


class Cells(HTMLParser):
    """The tags and cells of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_text_is_a_table_with_its_notes_below() -> None:
    found = Found((item("one", Score(0.5, None)), item("two")), ("look",), truncated=True)
    head, rule, first, second, *rest = repr(found).split("\n")
    assert head.split() == ["name", "kind", "score.mean", "score.low", "tags"]
    assert set(rule) == {"─", " "}
    assert first.split() == ["one", "good", "0.5000", "-", "a,", "b"]
    assert second.split() == ["two", "good", "-", "-", "a,", "b"]
    assert rest == ["look", "there are more"]


def test_a_long_table_is_cut_and_says_by_how_much() -> None:
    wide = Listing({f"c{n}": n for n in range(14)} for _ in range(23))
    lines = repr(wide).split("\n")
    assert len(lines) == 2 + 20 + 1
    assert lines[0].split() == [f"c{n}" for n in range(10)]
    assert lines[-1] == "(3 more rows and 4 more columns: to_polars())"
    assert wide.to_polars().shape == (23, 14)


def test_a_long_text_is_shown_short_and_kept_whole_in_a_frame() -> None:
    told = Listing([{"text": "word " * 50}])
    assert len(repr(told).split("\n")[2]) == 48
    assert told.to_polars()["text"][0] == "word " * 50


def test_html_shows_every_name_as_text() -> None:
    html = Found((item(EVIL),), (EVIL,))._repr_html_()
    page = Cells(html)
    assert "script" not in page.tags
    assert page.words.count(EVIL) == 2
    titled = Listing.grids(Listing([{EVIL: 1}]))[0]
    assert EVIL in titled.columns
    assert "<script" not in Listing([{EVIL: 1}])._repr_html_()


def test_of_several_tables_each_is_shown_and_the_frame_tells_them_apart() -> None:
    text = repr(Two())
    assert text.index("first") < text.index("second")
    assert Cells(Two()._repr_html_()).tags.count("table") == 2
    frame = Two().to_polars()
    assert frame.to_dicts() == [
        {"protocol": "zero_shot", "x": 1, "y": None},
        {"protocol": "adapted", "x": 2, "y": "b"},
    ]


def test_a_frame_has_dotted_columns_and_real_types() -> None:
    frame = Found((item("one", Score(0.5, 0.25), n=3), item("two", n=4))).to_polars()
    assert frame["score.mean"].to_list() == [0.5, None]
    assert frame["extra.n"].to_list() == [3, 4]
    assert frame["kind"].to_list() == ["good", "good"]
    assert frame["tags"].dtype == pl.List(pl.String)


def test_what_is_nested_in_sequences_is_still_a_frame() -> None:
    frame = Listing([{"parts": (Score(1.0, None), Score(2.0, 1.0))}, {"parts": ()}]).to_polars()
    assert frame["parts"][0].to_list()[1] == {"mean": 2.0, "low": 1.0}


def test_an_empty_table_has_its_columns_in_a_frame_and_says_that_it_is_empty() -> None:
    assert repr(Listing([])) == "no rows"
    grid = Grid(("a", "b"), ())

    class Empty(Tabular):
        def grids(self) -> tuple[Grid, ...]:
            return (grid,)

    assert Empty().to_polars().columns == ["a", "b"]
    assert "no rows" in Empty()._repr_html_()


def test_a_listing_is_a_tuple() -> None:
    listing = Listing([1, 2])
    assert listing == (1, 2)
    assert listing[0] == 1


def test_columns_to_show_are_chosen_by_name_and_by_part() -> None:
    grid = grid_of([item("one", Score(0.5, 0.1))], shown=("name", "score"))

    class Chosen(Tabular):
        def grids(self) -> tuple[Grid, ...]:
            return (grid,)

    assert repr(Chosen()).split("\n")[0].split() == ["name", "score.mean", "score.low"]
    assert "kind" in Chosen().to_polars().columns


def test_leaves_of_a_leaf_are_itself() -> None:
    assert flat({"a": {"b": Path("x")}}) == {"a.b": "x"}


def _results() -> list[type]:
    """The dataclasses of the operations that have items."""
    folder = Path(kdgat.ops.__path__[0])
    modules = [import_module(f"kdgat.ops.{path.stem}") for path in sorted(folder.glob("[!_]*.py"))]
    return sorted(
        {
            each
            for module in modules
            for each in vars(module).values()
            if isinstance(each, type)
            and each.__module__ == module.__name__
            and is_dataclass(each)
            and "items" in each.__dataclass_fields__
        },
        key=lambda each: each.__name__,
    )


@pytest.mark.parametrize("result", _results(), ids=lambda each: each.__name__)
def test_every_result_with_items_is_a_table(result: type) -> None:
    assert issubclass(result, Tabular)
    assert result.__repr__ is Tabular.__repr__
