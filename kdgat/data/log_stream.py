"""A log as a stream of messages, from a file or a pipe, in bounded memory.

Only as many bytes are waited for as a caller needs lines, so that what comes from a live bus is
passed on as it comes.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import polars as pl

from kdgat.data.formats.blocks import Layout, Tally, find_layout, take_block
from kdgat.data.formats.text import unreadable
from kdgat.data.messages import MESSAGE_SCHEMA
from kdgat.data.windows import Messages
from kdgat.errors import DataError

_CHUNK_BYTES = 1 << 19
"""Taken at once, so that a message of a file waits little for those after it."""
_PACKED_BYTES = 1 << 16
"""The same of what is packed, which is several times as long when unpacked."""
_LONGEST_LINE_BYTES = 1 << 16
_SAMPLE_LINES = 20
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WBITS = 31


class Source(Protocol):
    """What bytes come from: a file or a pipe, in binary."""

    def read1(self, size: int = -1, /) -> bytes: ...


class LogStream:
    """The messages of one log, in the file's order.

    Its `tally` says what came of the lines so far, `arrived_s` when the last bytes came, by
    `time.perf_counter`, and `waited_s` how long they were waited for in all.

    Raises:
        DataError: there is no line in it, or its format can't be told.
    """

    def __init__(self, source: Source, name: str, format: str | None = None) -> None:
        self.name = name
        self.tally = Tally()
        self.arrived_s = 0.0
        self.waited_s = 0.0
        self.cut_short: str | None = None
        """Why the log ended before its end, where it is packed and damaged."""
        self._bytes = _unpacked(self._read(source))
        self._held = b""
        self._lines = 0
        self._ended = False
        self._within_long_line = False
        self.layout = self._find_layout(format)

    def next_messages(self, lines: int) -> Messages | None:
        """The messages of the next `lines` lines, and of those that came with them.

        Returns:
            None at the end of the log; no message where no line could be read.
        """
        while self._lines < max(1, lines) and not self._ended:
            self._more()
        if not self._held:
            return None
        end = len(self._held) if self._ended else self._held.rfind(b"\n") + 1
        block, self._held, self._lines = self._held[:end], self._held[end:], 0
        capture = take_block(block, self.layout, self.name, self.tally)
        return _NOTHING if capture is None else Messages.from_frame(capture.messages)

    def _find_layout(self, format: str | None) -> Layout:
        while not self._ended and len(self._sample()) < _SAMPLE_LINES:
            self._more()
        sample = self._sample()
        if not sample:
            why = f" ({self.cut_short})" if self.cut_short else ""
            raise DataError(f"'{self.name}' is empty{why}", hint="record some traffic first")
        return find_layout(sample, self.name, format)

    def _sample(self) -> list[bytes]:
        whole = self._held if self._ended else self._held[: self._held.rfind(b"\n") + 1]
        lines = whole.split(b"\n", 4 * _SAMPLE_LINES)[: 4 * _SAMPLE_LINES]
        return [line for line in lines if line.strip()][:_SAMPLE_LINES]

    def _read(self, source: Source) -> Iterator[bytes]:
        size = 0
        while True:
            begin_s = time.perf_counter()
            chunk = source.read1(size or _PACKED_BYTES)
            self.arrived_s = time.perf_counter()
            self.waited_s += self.arrived_s - begin_s
            if not chunk:
                return
            size = size or (_PACKED_BYTES if chunk.startswith(_GZIP_MAGIC) else _CHUNK_BYTES)
            yield chunk

    def _more(self) -> None:
        """Wait for some more bytes."""
        try:
            chunk = next(self._bytes, None)
        except (EOFError, zlib.error) as error:
            self.cut_short, chunk = f"its gzip data is damaged: {error}", None
        except OSError as error:
            raise unreadable(Path(self.name), error) from error
        if chunk is None:
            self._ended = True
            return
        if self._within_long_line:
            _, newline, chunk = chunk.partition(b"\n")
            self._within_long_line = not newline
            chunk = newline + chunk
        self._held += chunk
        self._lines += chunk.count(b"\n")
        tail = len(self._held) - self._held.rfind(b"\n") - 1
        if tail > _LONGEST_LINE_BYTES:
            # No message is that long. The mark makes a malformed line of what is kept of it.
            self._held = self._held[: len(self._held) - tail + 80] + b"\x00"
            self._within_long_line = True


_NOTHING = Messages.from_frame(pl.DataFrame(schema=MESSAGE_SCHEMA))


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The bytes themselves, or what they hold where they are packed with gzip.

    Raises:
        EOFError: the packed bytes end too early.
        zlib.error: they are damaged.
    """
    first = b""
    while len(first) < len(_GZIP_MAGIC) and (chunk := next(chunks, None)) is not None:
        first += chunk
    if not first.startswith(_GZIP_MAGIC):
        if first:
            yield first
        yield from chunks
        return
    unpack, packed = zlib.decompressobj(_GZIP_WBITS), first
    while True:
        while packed:
            yield unpack.decompress(packed, _CHUNK_BYTES)
            packed = unpack.unconsumed_tail
            if unpack.eof:
                # Another member may follow, or zeros that fill a tape's block.
                packed = unpack.unused_data.lstrip(b"\x00")
                unpack = zlib.decompressobj(_GZIP_WBITS) if packed else unpack
        following = next(chunks, None)
        if following is None:
            break
        if unpack.eof:
            following = following.lstrip(b"\x00")
            unpack = zlib.decompressobj(_GZIP_WBITS) if following else unpack
        packed = following
    yield unpack.flush()
    if not unpack.eof:
        raise EOFError("it is cut short")
