"""Blocks of whole lines to messages, for whoever can't stop at a bad line.

A reader refuses a capture for its first bad row. Here such rows are left out and counted, by the
very same readers: a reader names all rows with a fault of one kind, they are blanked, and it is
asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kdgat.data.formats import FORMATS
from kdgat.data.formats.can_train_and_test import is_header
from kdgat.data.formats.text import BadRows
from kdgat.data.messages import Capture
from kdgat.data.oddities import Oddity
from kdgat.data.reading import parser_of
from kdgat.errors import DataError

_BAD_BYTES = (b"\x00", b"\x01")
"""What is in no text; the readers rely on it."""
_HEADS = 5
_SHOWN = 80


@dataclass(frozen=True)
class Layout:
    """How to read the lines of one capture: its format, and a line that tells the layout in it."""

    format: str
    head: str


@dataclass
class Tally:
    """What came of a capture's lines so far."""

    messages: int = 0
    malformed: int = 0
    """Lines that no message was made of."""
    first_malformed: tuple[int, str] | None = None
    """The first of them: its number from 1, and its beginning."""
    odd: dict[str, Oddity] = field(default_factory=dict)
    """Messages that were taken although something about them is strange, by what it is."""
    passed: int = 0
    """Lines of earlier blocks, blank ones included."""
    last_s: float = -float("inf")
    """Time of the last message."""

    @property
    def fresh(self) -> bool:
        """Whether nothing but blank lines came yet."""
        return not (self.messages or self.malformed or self.passed)


def take_block(block: bytes, layout: Layout, name: str, tally: Tally) -> Capture | None:
    """The messages of some whole lines of the capture `name`; None where there is none.

    What can't be read is counted in `tally`, whatever it is.
    """
    lines = block.split(b"\n")
    if tally.fresh and is_header(_text(lines[0])):
        block = _blanked(lines, (1,))
    text, bad = _without_bad_bytes(block, lines)
    parse, capture = parser_of(layout.format), None
    while text.strip():
        try:
            capture = parse(Path(name), text, layout.head)
            break
        except BadRows as fault:
            rows = [row for row in fault.lines if row <= len(lines) and lines[row - 1].strip()]
            rows = rows or [n for n, line in enumerate(lines, 1) if line.strip()]
            bad += [(row, lines[row - 1]) for row in rows]
            text = _blanked(lines, rows)
    _count(tally, lines, bad, capture)
    tally.passed += block.count(b"\n")
    return capture


def find_layout(sample: Sequence[bytes], name: str, format: str | None = None) -> Layout:
    """The layout that most of a capture's first lines have.

    Args:
        sample: the first lines that are not blank.
        name: the capture, for what is said about it.
        format: the only one to consider, if its user named one.

    Raises:
        DataError: no such format, or most lines are not of it.
    """
    if format is not None:
        parser_of(format)
    best, most = None, 0
    block = b"\n".join(sample) + b"\n"
    heads = dict.fromkeys(_text(line) for line in sample[:: max(1, len(sample) // _HEADS)])
    for layout in (Layout(each, head) for each in FORMATS for head in heads):
        if format not in (None, layout.format):
            continue
        tally = Tally()
        take_block(block, layout, name, tally)
        if tally.messages > most:
            best, most = layout, tally.messages
        if most and not tally.malformed:
            break
    if best is not None and most * 2 >= len(sample):
        return best
    line = _shown(sample[0])
    if format is not None:
        raise DataError(
            f"'{name}' is not a log of the format {format}: its first line is '{line}'",
            hint="leave out --format to have it told by the content",
        )
    raise DataError(
        f"can't tell the format of '{name}': its first line is '{line}'",
        hint=f"kdgat reads {', '.join(FORMATS)}; --format names one",
    )


def _without_bad_bytes(text: bytes, lines: list[bytes]) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The text without the lines that are no text at all, and these."""
    if not any(byte in text for byte in _BAD_BYTES) and (text.isascii() or _is_utf8(text)):
        return text, []
    bad = [
        (number, line)
        for number, line in enumerate(lines, 1)
        if any(byte in line for byte in _BAD_BYTES) or not _is_utf8(line)
    ]
    return _blanked(lines, [number for number, _ in bad]), bad


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _blanked(lines: list[bytes], rows: Sequence[int]) -> bytes:
    """The lines joined, with some of them emptied, so that all keep their numbers."""
    for row in rows:
        lines[row - 1] = b""
    return b"\n".join(lines)


def _count(
    tally: Tally, lines: list[bytes], bad: list[tuple[int, bytes]], capture: Capture | None
) -> None:
    taken = 0 if capture is None else len(capture.messages)
    tally.messages += taken
    tally.malformed += len(bad)
    if taken < len(lines) - 1:
        # A reader passes over what a spreadsheet leaves of an empty row.
        tally.malformed += sum(1 for line in lines if line.strip()) - taken
    if bad and tally.first_malformed is None:
        row, line = min(bad)
        tally.first_malformed = (tally.passed + row, _shown(line))
    if capture is not None and taken:
        _count_odd(tally, capture)


def _count_odd(tally: Tally, capture: Capture) -> None:
    times = capture.messages["timestamp"]
    odd = list(capture.oddities)
    if times[0] < tally.last_s:
        odd.append(Oddity("backward time step", 1, 1, f"{times[0] - tally.last_s:.6f} s"))
    tally.last_s = float(times[-1])
    for new in odd:
        old = tally.odd.get(new.kind)
        first = None if new.first_line is None else tally.passed + new.first_line
        tally.odd[new.kind] = (
            Oddity(new.kind, new.count, first, new.example)
            if old is None
            else Oddity(new.kind, old.count + new.count, old.first_line, old.example)
        )


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip()


def _shown(line: bytes) -> str:
    """The beginning of a line as a person can read it."""
    return "".join(c if c.isprintable() else "\ufffd" for c in _text(line)[:_SHOWN])
