"""Read one raw capture in a named format."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from kdgat.data.formats import FORMATS
from kdgat.data.messages import Capture
from kdgat.errors import DataError, did_you_mean

Parser = Callable[[Path, bytes, str], Capture]


def read_capture(path: Path, format: str) -> Capture:
    """The messages of the raw file `path`, in the file's order, and what was odd about them.

    Raises:
        DataError: no such format, or the file or one of its rows can't be read.
    """
    from kdgat.data.formats.text import BadRows, read_text

    parse = parser_of(format)
    text = read_text(path)
    head = text.lstrip().partition(b"\n")[0].decode().strip()
    try:
        return parse(path, text, head)
    except BadRows as bad:
        raise bad.told(path) from bad


def parser_of(format: str) -> Parser:
    """The function that takes a capture's path, text and first line, and gives its messages.

    Raises:
        DataError: no such format.
    """
    if format not in FORMATS:
        raise DataError(
            f"no reader for the format '{format}'", hint=did_you_mean(format, list(FORMATS))
        )
    return import_module(FORMATS[format]).parse
