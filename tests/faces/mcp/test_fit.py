"""Any answer, however long, goes out short enough, and says what it leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import given
from hypothesis import strategies as some

from kdgat.mcp.fit import MAX_CHARACTERS, Entries, compact, fitted, plain

texts = some.text(max_size=4_000)
scalars = some.none() | some.booleans() | some.integers() | texts
values = some.recursive(
    scalars,
    lambda inner: (
        some.lists(inner, max_size=80)
        | some.dictionaries(some.sampled_from(["a", "b.c", "quoted", "0"]), inner)
        | some.dictionaries(texts, inner, max_size=60).map(Entries)
    ),
    max_leaves=60,
)


ANSWERS = some.fixed_dictionaries({
    "items": some.lists(values, max_size=90), "text": texts, "hint": texts,
    "total": some.integers(0, 10_000), "next_cursor": some.none() | some.just("90"),
    "truncated": some.booleans(),
})  # fmt: skip


@given(ANSWERS)
def test_any_answer_fits(value: dict[str, Any]) -> None:
    before, fields = compact(value), set(value)
    short = fitted(value)
    assert len(compact(short.value)) <= MAX_CHARACTERS
    assert bool(short.cut) == (len(before) > MAX_CHARACTERS)
    assert set(short.value) == fields
    if short.cut:
        assert short.value["truncated"] is True
        assert short.value["hint"].startswith("cut to fit: ")


def test_what_fits_is_left_as_it_is() -> None:
    value = {"items": list(range(1_500)), "hint": "go on"}
    assert fitted(dict(value)).value == value


def test_a_long_text_is_cut_before_items_are_dropped() -> None:
    items = [{"id": number, "quoted": "x" * 3_000} for number in range(4)]
    short = fitted({"items": items, "total": 4, "next_cursor": None, "truncated": False})
    assert [each["id"] for each in short.value["items"]] == [0, 1, 2, 3]
    assert "more characters]" in short.value["items"][0]["quoted"]
    assert "items.0.quoted: " in short.cut
    assert short.value["next_cursor"] is None


def test_the_cursor_moves_back_to_the_first_item_that_was_dropped() -> None:
    items = ["x" * 100 for _ in range(100)]
    answer = {"items": items, "total": 1_000, "next_cursor": "300", "truncated": True, "hint": ""}
    short = fitted(answer)
    kept = len(short.value["items"])
    assert 60 < kept < 80
    assert short.value["next_cursor"] == str(200 + kept)
    assert f"{100 - kept} of 100 items left out" in short.cut


def test_the_last_page_gets_a_cursor_when_items_of_it_are_dropped() -> None:
    items = ["x" * 1_000 for _ in range(20)]
    answer = {"items": items, "total": 20, "next_cursor": None, "truncated": False, "hint": "then"}
    short = fitted(answer)
    assert short.value["next_cursor"] == str(len(short.value["items"]))
    assert short.value["truncated"] is True
    assert short.value["hint"].endswith("then")


def test_no_cursor_is_offered_by_a_tool_that_takes_none() -> None:
    items = ["x" * 1_000 for _ in range(20)]
    short = fitted({"items": items, "total": 20, "next_cursor": None, "hint": ""}, pages=False)
    assert short.value["next_cursor"] is None
    assert "Ask for one thing" in short.value["hint"]


def test_a_mapping_loses_entries_and_a_dataclass_never_a_field() -> None:
    @dataclass(frozen=True)
    class Counted:
        counts: dict[str, int]
        rows: tuple[tuple[int, ...], ...]
        name: str

    value = plain(Counted({f"{n:0500d}": n for n in range(50)}, ((1, 2), (3,)), "n"))
    short = fitted(value)
    assert set(short.value) == {"counts", "rows", "name"}
    assert 5 < len(short.value["counts"]) < 20
    assert "counts: the last" in short.cut


def test_what_json_has_not_is_told_otherwise() -> None:
    told = plain([float("nan"), float("inf"), "\ud800", ("a",), {1: 2.5}])
    assert told == [None, None, "?", ["a"], {"1": 2.5}]
