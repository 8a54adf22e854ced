"""Lines of TOML files that errors speak of, and passages that stand in two texts."""

from __future__ import annotations

from kdgat.ops.checkup.lines import line_at
from kdgat.ops.checkup.passages import passages


def test_lines_of_keys_in_tables_and_lists_of_tables_are_found() -> None:
    text = 'a = 1\n[b.c]\nd = 2\n[[e]]\nf = 3\n[[e]]\n"f" = 4\n'
    paths = [["a"], ["b", "c", "d"], ["b", "c", "gone"], ["e", 0, "f"], ["e", 1, "f"], ["z"]]
    assert [line_at(text, path) for path in paths] == [1, 3, 2, 5, 7, 1]


def test_a_passage_is_the_same_however_it_is_wrapped_or_marked() -> None:
    one = "- Use uv for all Python work, and never\n  conda or pip by hand.\n\nShort.\n"
    other = "## More\n\nUse uv for all Python work, and never conda or pip by hand.\n"
    assert list(passages(one)) == list(passages(other))
