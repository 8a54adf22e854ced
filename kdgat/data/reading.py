"""Read one raw capture in a named format."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from kdgat.data.formats import FORMATS
from kdgat.data.messages import Capture
from kdgat.errors import DataError, did_you_mean


def read_capture(path: Path, format: str) -> Capture:
    """The messages of the raw file `path`, in the file's order, and what was odd about them.

    Raises:
        DataError: no such format, or the file or one of its rows can't be read.
    """
    if format not in FORMATS:
        raise DataError(
            f"no reader for the format '{format}'", hint=did_you_mean(format, list(FORMATS))
        )
    return import_module(FORMATS[format]).read(path)
