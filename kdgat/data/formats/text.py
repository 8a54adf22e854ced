"""The text of a raw file: unpacked, checked to be text, and cut into lines.

Compression is told by the first bytes of the file, since captures get renamed more often than they
get repacked.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from kdgat.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_AGAIN = "fetch the file again, or leave it out of the raw folder"


class BadRows(Exception):
    """Rows that a reader can't take; it may have found others had these been left out.

    `lines` are all that it found to have one kind of fault, and `complaint` is about the first.
    """

    def __init__(self, lines: pl.Series | Sequence[int], complaint: str) -> None:
        super().__init__(complaint)
        self.lines = tuple(int(line) for line in lines)
        self.complaint = complaint

    def told(self, path: Path) -> DataError:
        """The mistake of whoever wants every row of the capture `path` to be good."""
        return DataError(
            f"'{path}', line {self.lines[0]}: {self.complaint}",
            hint="mend or delete that line, or check that the dataset's format is the file's",
        )


def read_text(path: Path) -> bytes:
    """The unpacked bytes of `path`: UTF-8 text with at least one line.

    Raises:
        DataError: not a file, not readable, a damaged gzip file, binary, not UTF-8, or empty.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error
    text = _unpack(path, raw)
    _check_text(path, text)
    if text.isspace() or not text:
        raise DataError(f"'{path}' is empty", hint=_AGAIN)
    return text


def unreadable(path: Path, error: OSError) -> DataError:
    """What to tell the user about a capture that the file system does not give."""
    match error:
        case FileNotFoundError():
            return DataError(f"there is no file '{path}'", hint="check the path")
        case IsADirectoryError():
            return DataError(f"'{path}' is a folder", hint="name one file of it")
        case _:
            reason = error.strerror or str(error)
            return DataError(f"can't read '{path}': {reason}", hint="check its permissions")


def cut_lines(text: bytes) -> pl.DataFrame:
    """The lines of `text` that are not blank: `line` (counted from 1) and `text` (stripped)."""
    lines = pl.read_csv(
        text,
        schema={"text": pl.String},
        has_header=False,
        # No text has this byte (see _check_text), so that a line is one field.
        separator="\x01",
        quote_char=None,
        row_index_name="line",
        row_index_offset=1,
    )
    lines = lines.with_columns(pl.col("text").str.strip_chars())
    return lines.filter(pl.col("text").str.len_bytes() > 0)


def match_lines(
    lines: pl.DataFrame, pattern: str, names: tuple[str, ...], layout: str
) -> pl.DataFrame:
    """`line` and the groups of `pattern`, called `names`, of the `lines` that `cut_lines` made.

    Raises:
        BadRows: lines that do not match; `layout` tells a person what was expected.
    """
    cut = lines["text"].str.extract_groups(pattern).struct.rename_fields(names).struct.unnest()
    wrong = cut[names[0]].is_null().arg_true()
    if not wrong.is_empty():
        text = lines["text"][int(wrong[0])]
        raise BadRows(lines["line"].gather(wrong), f"expected '{layout}', found '{text[:80]}'")
    return cut.insert_column(0, lines["line"])


def _unpack(path: Path, raw: bytes) -> bytes:
    if not raw.startswith(_GZIP_MAGIC):
        if path.suffix == ".gz" and raw:
            raise DataError(f"'{path}' is not a gzip file, though its name says so", hint=_AGAIN)
        return raw
    try:
        return gzip.decompress(raw)
    except EOFError as error:
        raise DataError(f"'{path}' is a gzip file cut short", hint=_AGAIN) from error
    except (OSError, zlib.error) as error:
        raise DataError(f"'{path}' is a damaged gzip file: {error}", hint=_AGAIN) from error


def _check_text(path: Path, text: bytes) -> None:
    for byte in (b"\x00", b"\x01"):
        if byte in text:
            raise DataError(
                f"'{path}' is a binary file: byte 0x{byte.hex()} at offset {text.index(byte)}",
                hint="a capture is plain text, or text packed with gzip",
            )
    if text.isascii():
        return
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"'{path}', line {line}: byte 0x{text[error.start]:02x} is not UTF-8 text", hint=_AGAIN
        ) from error
