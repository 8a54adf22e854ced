"""The settings above a Markdown text, each with the line it stands in, so that errors name it.

Read by hand from YAML's own tree and not by a schema library: that knows no lines, and takes ten
times as long to import as a hook may run.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kdgat.errors import ModeError

LARGEST_BYTES = 65_536
"""Size of a file that is read; a mode's text is a page, and its budget far below this."""
_BLOCK = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)
_EXAMPLE = "start it like 'modes/mlops.md': settings between two lines of ---, then the text"


@dataclass(frozen=True)
class Setting:
    """A value, and where it stands."""

    value: Any
    line: int
    item_lines: tuple[int, ...]
    """Of a list, the line of each item."""


@dataclass(frozen=True)
class Place:
    """A file as errors name it."""

    shown: str

    def fault(self, line: int, what: str, hint: str) -> ModeError:
        """What is wrong in a line of the file, counted from 1."""
        return ModeError(f"'{self.shown}:{line}': {what}", hint=hint)


def read(data: bytes, place: Place) -> tuple[dict[str, Setting], str, int]:
    """The settings of a file by name, the text below them, and the line that text begins in.

    Raises:
        ModeError: it is no text, or has no front matter, or that is no table of settings.
    """
    text = _decoded(data, place)
    match = _BLOCK.match(text)
    if match is None:
        what = (
            "the front matter has no end" if text.startswith("---") else "there is no front matter"
        )
        raise place.fault(1, what, _EXAMPLE)
    first = match[0].count("\n") + 1
    return dict(_settings(match[1], place)), text[match.end() :], first


def _decoded(data: bytes, place: Place) -> str:
    if len(data) > LARGEST_BYTES:
        what = f"the file is larger than {LARGEST_BYTES:,} bytes"
        raise place.fault(1, what, "shorten it: a mode is a page of text")
    try:
        text = data.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise place.fault(line, "this is no UTF-8 text", "save it as UTF-8") from error
    for number, line in enumerate(text.split("\n"), start=1):
        # A terminal would obey them, and nobody sees them in an editor.
        odd = next(
            (sign for sign in line if sign != "\t" and unicodedata.category(sign) == "Cc"), ""
        )
        if odd:
            raise place.fault(number, f"control character U+{ord(odd):04X}", "remove it")
    return text


def _settings(text: str, place: Place) -> Iterator[tuple[str, Setting]]:
    import yaml

    loader = yaml.SafeLoader(text)
    seen: set[str] = set()
    try:
        table = loader.get_single_node()
        if not isinstance(table, yaml.MappingNode):
            raise place.fault(2, "the front matter is no table of settings", _EXAMPLE)
        for key, node in table.value:
            line = _line(key)
            name = key.value if isinstance(key, yaml.ScalarNode) else "?"
            if name in seen:
                raise place.fault(line, f"'{name}' is set twice", "keep one of them")
            seen.add(name)
            items = node.value if isinstance(node, yaml.SequenceNode) else ()
            value = loader.construct_object(node, deep=True)
            yield name, Setting(value, line, tuple(map(_line, items)))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = str(getattr(error, "problem", None) or error).split("\n")[0]
        hint = "mend that line; a text with a colon in it wants quotes"
        raise place.fault(_line(mark), f"the front matter is no YAML ({why})", hint) from error
    except (ValueError, RecursionError) as error:
        # A date that no calendar has, or a nest of a thousand lists.
        what = "the front matter has a value that can't be read"
        raise place.fault(2, what, _EXAMPLE) from error
    finally:
        loader.dispose()


def _line(at: Any) -> int:
    """The line of a node or a mark in the file, whose first line is `---`."""
    mark = getattr(at, "start_mark", at)
    return 2 if mark is None else mark.line + 2
