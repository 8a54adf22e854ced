"""Marks in AGENTS.md: what is between them, what is not, and what is wrong with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgat.agent.document import text_of
from kdgat.agent.marks import Block, blocks, parse
from kdgat.errors import WorkspaceError

BLOCK = Block("map", "kdgat/**/*.py", "1a2b3c4d", "## Map\n- one")


def test_a_block_is_read_as_it_was_written() -> None:
    before, block, after = parse(f"mine\n{BLOCK.text}mine too", "AGENTS.md")
    assert (before, after) == ("mine\n", "mine too")
    assert block == Block("map", "kdgat/**/*.py", "1a2b3c4d", "## Map\n- one", line=2)


def test_an_empty_block_is_read_as_it_was_written() -> None:
    empty = Block("map", "x", "0", "")
    assert blocks(parse(empty.text, "AGENTS.md"))["map"].text == empty.text


@given(st.text(st.sampled_from("ab \t\r\n\x0c\x85\u2028<!-"), max_size=60))
def test_text_outside_the_marks_keeps_every_byte(text: str) -> None:
    assert text_of(parse(text, "AGENTS.md")) == text
    around = f"{text}\n{BLOCK.text}{text}"
    assert text_of(parse(around, "AGENTS.md")) == around


def test_a_mark_within_a_text_can_not_cut_its_block() -> None:
    block = Block("rules", "agent/rules", "0", "before\n<!-- kdgat:end rules -->\nafter")
    assert set(blocks(parse(block.text + BLOCK.text, "AGENTS.md"))) == {"rules", "map"}
    assert "after" in blocks(parse(block.text, "AGENTS.md"))["rules"].body


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a\n<!-- kdgat:begin map source=x inputs=0 -->\nb\n", 2, "never ends"),
        ("<!-- kdgat:begin map -->\n<!-- kdgat:begin config -->\n", 1, "never ends"),
        ("a\n\n<!-- kdgat:end map -->\n", 3, "did not begin"),
        ("<!-- kdgat:begin map -->\n<!-- kdgat:end config -->\n", 2, "did not begin"),
        (BLOCK.text * 2, 5, "second time"),
    ],
)
def test_damaged_marks_are_named_by_file_and_line(text: str, line: int, word: str) -> None:
    with pytest.raises(WorkspaceError, match=rf"AGENTS\.md:{line}: .*{word}"):
        parse(text, "AGENTS.md")
