"""A log as a stream: what the readers read, in pieces, with bad lines counted and left out."""

from __future__ import annotations

import gzip
import io
import os
import random
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdgat.data import log_stream
from kdgat.data.formats.blocks import Layout, Tally, take_block
from kdgat.data.log_stream import LogStream
from kdgat.data.reading import read_capture
from kdgat.data.windows import Messages
from kdgat.errors import DataError
from tests.unit.data.test_formats import WRITERS, Message

KINDS = list(WRITERS)
GARBAGE = (
    b"", b"   ", b"garbage", b"(x) vcan0 1#00", b"1.0,zz,00,0",
    b"\xff\xfe", b"1.0\x00", b"nan,001,00,0", b"(1.0) can0 FFFFFFFF1#00", b",,,", b"{\"a\": 1}",
    b"1.0,7FF,00,2", b"1.0 FFFFFFFF 000 8 00",
)  # fmt: skip
BLANK = (b"", b"   ")


def messages_of(count: int) -> list[Message]:
    rng = np.random.default_rng(7)
    return [
        Message(i * 1_000, int(rng.integers(1, 0x7FF)), rng.bytes(8), bool(i % 3 == 0))
        for i in range(count)
    ]


def text_of(kind: str, messages: list[Message]) -> bytes:
    _, header, line, _ = WRITERS[kind]
    return (header + "".join(f"{line(each)}\n" for each in messages)).encode()


def drained(stream: LogStream, lines: int = 100) -> Messages:
    parts = []
    while (part := stream.next_messages(lines)) is not None:
        parts.append(part)
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Messages(*(np.concatenate(column) for column in columns))


def stream_of(content: bytes, format: str | None = None) -> LogStream:
    return LogStream(io.BytesIO(content), "a log", format)


def same(one: Messages, other: Messages) -> bool:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return all(np.array_equal(*pair) for pair in pairs)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_of_any_format_gives_what_its_reader_gives(
    tmp_path: Path, kind: str, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_stream, "_CHUNK_BYTES", 700)
    monkeypatch.setattr(log_stream, "_PACKED_BYTES", 300)
    text = text_of(kind, messages_of(400))
    path = tmp_path / "a.log"
    path.write_bytes(gzip.compress(text) if packed else text)
    whole = Messages.from_frame(read_capture(path, WRITERS[kind][0]).messages)
    stream = stream_of(path.read_bytes())
    assert same(drained(stream, 10), whole)
    assert stream.layout.format == WRITERS[kind][0]
    assert (stream.tally.messages, stream.tally.malformed) == (400, 0)
    assert stream.cut_short is None


@pytest.mark.parametrize("kind", KINDS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10)
@given(
    where=st.lists(st.tuples(st.integers(0, 39), st.sampled_from(GARBAGE)), max_size=15),
    size=st.integers(1, 20),
)
def test_bad_lines_are_counted_and_the_good_ones_are_all_there(
    kind: str, where: list[tuple[int, bytes]], size: int
) -> None:
    format, header, line, _ = WRITERS[kind]
    good = [line(each).encode() for each in messages_of(40)]
    lines = [header.strip().encode()] * bool(header)
    bad = []
    for number, each in enumerate(good):
        for garbage in (text for place, text in where if place == number):
            lines.append(garbage)
            if garbage not in BLANK:
                bad.append(len(lines))
        lines.append(each)
    tally, taken = Tally(), 0
    layout = Layout(format, header.strip() or good[0].decode())
    for first in range(0, len(lines), size):
        block = b"".join(text + b"\n" for text in lines[first : first + size])
        capture = take_block(block, layout, "a log", tally)
        taken += 0 if capture is None else len(capture.messages)
    assert taken == tally.messages == 40
    assert tally.malformed == len(bad)
    # A row that a spreadsheet left empty is no message either, but no reader complains of it.
    told = [n for n in bad if kind != "can_train_and_test" or lines[n - 1] != b",,,"]
    if told:
        assert tally.first_malformed is not None
        assert tally.first_malformed[0] == told[0]


def test_the_first_malformed_line_is_shown_as_a_person_can_read_it() -> None:
    text = text_of("candump_log", messages_of(30))
    stream = stream_of(text + b"\x1b[31m\x00 tail\n" + text)
    drained(stream)
    assert stream.tally.first_malformed == (31, "\ufffd[31m\ufffd tail")
    assert stream.tally.malformed == 1


@pytest.mark.parametrize("kind", ["can_train_and_test", "car_hacking"])
def test_labels_make_no_difference(kind: str) -> None:
    clean = messages_of(50)
    other = [Message(m.time_us, m.arbitration_id, m.data, not m.attack) for m in clean]
    assert same(*(drained(stream_of(text_of(kind, each))) for each in (clean, other)))


def test_a_header_alone_is_no_malformed_line() -> None:
    stream = stream_of(b"\n" * 3 + text_of("can_train_and_test", messages_of(3)))
    drained(stream)
    assert stream.tally.malformed == 1, "it is not the first line, so it is no header"
    stream = stream_of(text_of("can_train_and_test", messages_of(3)))
    drained(stream)
    assert stream.tally.malformed == 0


def test_a_line_without_end_is_one_malformed_line_in_little_memory() -> None:
    text = text_of("candump_log", messages_of(30))
    stream = stream_of(text + b"x" * 3_000_000 + b"\n" + text)
    assert len(drained(stream)) == 60
    assert stream.tally.malformed == 1


def test_oddities_are_counted_over_all_blocks() -> None:
    first, second = messages_of(30), messages_of(30)
    stream = LogStream(io.BytesIO(text_of("crysys", first + second)), "a log")
    while stream.next_messages(1) is not None:
        pass
    text = text_of("crysys", first)
    tally, layout = Tally(), stream.layout
    take_block(text, layout, "a log", tally)
    take_block(text, layout, "a log", tally)
    assert tally.odd["backward time step"].count == stream.tally.odd["backward time step"].count


@pytest.mark.parametrize("members", [1, 3])
def test_packed_members_follow_each_other(members: int) -> None:
    text = text_of("candump_log", messages_of(60))
    size = len(text) // members + 1
    packed = b"".join(gzip.compress(text[i : i + size]) for i in range(0, len(text), size))
    stream = stream_of(packed + b"\x00" * 512)
    assert len(drained(stream)) == 60
    assert stream.cut_short is None


@pytest.mark.parametrize(("spoil", "words"), [
    (lambda packed: packed[:-20], "cut short"),
    (lambda packed: packed[: len(packed) // 2] + b"\xff" * 40, "damaged"),
])  # fmt: skip
def test_a_damaged_packing_ends_the_log_and_says_so(spoil, words: str) -> None:
    text = text_of("candump_log", messages_of(3000))
    stream = stream_of(spoil(gzip.compress(text)))
    assert 0 < len(drained(stream)) <= 3000
    assert stream.cut_short is not None
    assert words in stream.cut_short


@pytest.mark.parametrize(("content", "format", "words"), [
    (b"", None, "empty"),
    (b"\n\n  \n", None, "empty"),
    (gzip.compress(b"", mtime=0), None, "empty"),
    (b"hello\nworld\n", None, "hello"),
    (random.Random(0).randbytes(4000) + b"\n" + b"\x00" * 100, None, "format"),
    (b"(1.0) can0 123#00\n" * 9, "crysys", "crysys"),
    (b"time,id\n1,2\n", "can_train_and_test", "can_train_and_test"),
])  # fmt: skip
def test_what_is_no_log_is_refused(content: bytes, format: str | None, words: str) -> None:
    with pytest.raises(DataError, match=words) as caught:
        stream_of(content, format)
    assert caught.value.hint


def test_a_log_that_begins_in_the_middle_of_a_line_is_still_told() -> None:
    text = text_of("candump_console", messages_of(60))
    stream = stream_of(text[9:])
    assert stream.layout.format == "candump"
    assert len(drained(stream)) == 59
    assert stream.tally.malformed == 1


def test_lines_of_a_pipe_are_given_as_soon_as_there_are_enough() -> None:
    text = text_of("candump_log", messages_of(90)).splitlines(keepends=True)
    read, write = os.pipe()
    given = threading.Event()

    def send() -> None:
        with os.fdopen(write, "wb", buffering=0) as sink:
            sink.write(b"".join(text[:70]))
            given.wait(60)
            sink.write(b"".join(text[70:]))

    sender = threading.Thread(target=send)
    sender.start()
    with os.fdopen(read, "rb") as source:
        stream = LogStream(source, "a pipe")
        first = stream.next_messages(50)
        assert first is not None
        assert len(first) == 70
        given.set()
        rest = stream.next_messages(500)
        assert rest is not None
        assert len(rest) == 20
        assert stream.next_messages(1) is None
    sender.join()
    assert stream.waited_s > 0
