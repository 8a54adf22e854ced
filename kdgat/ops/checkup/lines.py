"""The line of a TOML file that an error speaks of."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from itertools import takewhile

_TABLE = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*([A-Za-z0-9_."'-]+)\s*=""")
_AT = re.compile(r"\(at line (\d+),")


def line_of(text: str, error: BaseException) -> int:
    """Line of the fault, from what the error was raised from; 1 where that tells nothing.

    Args:
        text: the file.
        error: raised from a TOMLDecodeError or from pydantic's ValidationError.
    """
    cause = error.__cause__
    if isinstance(cause, tomllib.TOMLDecodeError):
        match = _AT.search(str(cause))
        return int(match[1]) if match else max(1, len(text.splitlines()))
    faults = getattr(cause, "errors", None)
    if faults is None:
        return 1
    return line_at(text, [part for part in faults()[0]["loc"] if part != "[key]"])


def line_at(text: str, path: Sequence[str | int]) -> int:
    """Line of the key with this path, or of the innermost table on it that the file has."""
    best, depth = 1, 0
    table: tuple[str | int, ...] = ()
    seen: dict[str, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if match := _TABLE.match(line):
            table = _parts(match[2])
            if match[1] == "[[":
                seen[match[2]] = seen.get(match[2], -1) + 1
                table = (*table, seen[match[2]])
            here = table
        elif match := _KEY.match(line):
            here = (*table, *_parts(match[1]))
        else:
            continue
        same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(here, path, strict=False))))
        if same == min(len(here), len(path)) and same > depth:
            best, depth = number, same
    return best


def _parts(text: str) -> tuple[str | int, ...]:
    return tuple(part.strip().strip("\"'") for part in text.split("."))
