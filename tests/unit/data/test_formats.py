"""Readers: what was written comes back, what is odd is counted, what can't be read is named."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdgat.data.formats import FORMATS
from kdgat.data.messages import MESSAGE_SCHEMA, Capture
from kdgat.data.oddities import Oddity
from kdgat.data.reading import read_capture
from kdgat.errors import DataError

HEADER = "timestamp,arbitration_id,data_field,attack\n"


@dataclass(frozen=True)
class Message:
    time_us: int
    arbitration_id: int
    data: bytes
    attack: bool

    @property
    def time(self) -> str:
        return f"{self.time_us // 1_000_000}.{self.time_us % 1_000_000:06d}"

    @property
    def hex_id(self) -> str:
        return f"{self.arbitration_id:03X}" if self.arbitration_id < 0x800 else self.long_id

    @property
    def long_id(self) -> str:
        return f"{self.arbitration_id:08X}"

    def row(self) -> tuple[float, int, int, int, bool, bool]:
        payload = int.from_bytes(self.data.ljust(8, b"\0"), "big")
        size = len(self.data)
        return float(self.time), self.arbitration_id, size, payload, self.attack, False


MESSAGES = st.lists(
    st.builds(
        Message,
        time_us=st.integers(0, 2_000_000_000_000_000),
        arbitration_id=st.integers(0, 0x7FF) | st.integers(0, 0x1FFF_FFFF),
        data=st.binary(max_size=8),
        attack=st.booleans(),
    ),
    min_size=1,
    max_size=30,
)


def ctat_line(m: Message) -> str:
    return f"{m.time},{m.hex_id},{m.data.hex().upper()},{int(m.attack)}"


def car_hacking_line(m: Message) -> str:
    label = "T" if m.attack else "R"
    parts = [m.time, f"{m.arbitration_id:04x}", str(len(m.data)), *(f"{b:02x}" for b in m.data)]
    return ",".join([*parts, label])


def normal_run_line(m: Message) -> str:
    head = f"Timestamp: {m.time}        ID: {m.arbitration_id:04x}    000    DLC: {len(m.data)}"
    return f"{head}    {m.data.hex(' ')}"


def candump_log_line(m: Message) -> str:
    return f"({m.time}) vcan0 {m.hex_id}#{m.data.hex().upper()}"


def candump_console_line(m: Message) -> str:
    return f" ({m.time})  vcan0  {m.hex_id}   [{len(m.data)}]  {m.data.hex(' ').upper()}"


def crysys_line(m: Message) -> str:
    return f"{m.time}        {m.arbitration_id:04x}    000    {len(m.data)}    {m.data.hex(' ')}"


WRITERS: dict[str, tuple[str, str, Callable[[Message], str], bool]] = {
    # format, header, line, whether it has labels
    "can_train_and_test": ("can_train_and_test", HEADER, ctat_line, True),
    "car_hacking": ("car_hacking", "", car_hacking_line, True),
    "normal_run": ("car_hacking", "", normal_run_line, False),
    "candump_log": ("candump", "", candump_log_line, False),
    "candump_console": ("candump", "", candump_console_line, False),
    "crysys": ("crysys", "", crysys_line, False),
}


def read_text(folder: Path, format: str, text: str, name: str = "capture.csv") -> Capture:
    path = folder / name
    path.write_bytes(text.encode())
    return read_capture(path, format)


def ctat(folder: Path, *rows: str, name: str = "capture.csv") -> Capture:
    return read_text(folder, "can_train_and_test", HEADER + "\n".join(rows) + "\n", name)


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(messages=MESSAGES, packed=st.booleans(), closed=st.booleans())
def test_messages_written_in_a_format_are_read_back_the_same(
    tmp_path: Path, kind: str, end: str, messages: list[Message], packed: bool, closed: bool
) -> None:
    format, header, line, labelled = WRITERS[kind]
    text = header.replace("\n", end) + end.join(map(line, messages)) + (end if closed else "")
    path = tmp_path / ("made.csv.gz" if packed else "made.csv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())

    capture = read_capture(path, format)

    rows = [m.row() if labelled else (*m.row()[:4], False, False) for m in messages]
    assert capture.messages.rows() == rows
    assert dict(capture.messages.schema) == MESSAGE_SCHEMA
    kinds = {oddity.kind for oddity in capture.oddities}
    assert kinds <= {"backward time step", "extended id"}


def test_the_label_of_car_hacking_is_the_last_field_wherever_the_dlc_puts_it(
    tmp_path: Path,
) -> None:
    text = (
        "1478198376.389427,0316,8,05,21,68,09,21,21,00,6f,R\n"
        "1478198376.389636,018f,2,fe,5b,T\n"
        "1478198376.389864,0260,0,T\n"
        "1478198376.390000,0260,1,0a,R,,,,,,,\n"
    )
    messages = read_text(tmp_path, "car_hacking", text).messages
    assert messages["attack"].to_list() == [False, True, True, False]
    assert messages["dlc"].to_list() == [8, 2, 0, 1]
    assert messages["payload"][1] == 0xFE5B << 48


def test_candump_keeps_remote_extended_fd_and_error_frames_and_counts_them(tmp_path: Path) -> None:
    text = (
        "(1436509052.249713) vcan0 044#2A366C2BBA\n"
        "(1436509052.250000) vcan0 123#R8\n"
        "(1436509052.260000) vcan0 00000044#11 R\n"
        "(1436509052.270000) vcan0 321##1AABB\n"
        "(1436509052.280000) vcan0 321##1" + "AB" * 12 + "\n"
        "(1436509052.290000) vcan0 20000004#0000000000000000\n"
    )
    capture = read_text(tmp_path, "candump", text, "a.log")
    rows = capture.messages.select("arbitration_id", "dlc", "malformed").rows()
    assert rows == [
        (0x44, 5, False),
        (0x123, 0, False),
        (0x44, 1, False),
        (0x321, 2, False),
        (0x321, 8, True),
        (4, 8, True),
    ]
    assert {o.kind: (o.count, o.first_line) for o in capture.oddities} == {
        "odd payload": (1, 5),
        "extended id": (2, 3),
        "remote frame": (1, 2),
        "CAN FD frame": (2, 4),
        "error frame": (1, 6),
    }


def test_candump_of_a_terminal_is_read_with_its_directions_and_remote_requests(
    tmp_path: Path,
) -> None:
    text = (
        " (1436509052.249713)  vcan0  RX - -  044   [3]  2A 36 6C   '*6l'\n"
        " (1436509052.250000)  vcan0  123   [4]  remote request\n"
    )
    capture = read_text(tmp_path, "candump", text, "a.log")
    assert capture.messages.select("arbitration_id", "dlc").rows() == [(0x44, 3), (0x123, 0)]
    assert capture.oddities == (Oddity("remote frame", 1, 2, "123"),)


@pytest.mark.parametrize(
    ("payload", "dlc", "value"),
    [
        ("0123456789ABCDEF0", 8, 0x0123456789ABCDEF),
        ("0123456789ABCDEF01", 8, 0x0123456789ABCDEF),
        ("ABC", 1, 0xAB << 56),
        ("A", 0, 0),
        ("11ZZ22", 1, 0x11 << 56),
        ("nan", 0, 0),
    ],
)
def test_an_odd_payload_keeps_its_row_and_its_whole_bytes(
    tmp_path: Path, payload: str, dlc: int, value: int
) -> None:
    capture = ctat(tmp_path, "1.0,0A1,00FF,0", f"2.0,0A1,{payload},1", "3.0,0A1,,1")
    assert capture.messages.rows()[1] == (2.0, 0xA1, dlc, value, True, True)
    assert capture.messages["malformed"].to_list() == [False, True, False]
    assert capture.oddities == (Oddity("odd payload", 1, 3, payload),)


def test_bytes_that_are_not_two_digits_are_odd_even_if_their_digits_are_even(
    tmp_path: Path,
) -> None:
    capture = read_text(tmp_path, "car_hacking", "1.0,0316,3,aa,5,6,R\n")
    assert capture.messages.rows()[0][2:] == (1, 0xAA << 56, False, True)
    assert {o.kind for o in capture.oddities} == {"odd payload", "DLC disagrees"}


def test_a_dlc_that_disagrees_with_the_bytes_is_counted_and_the_bytes_are_kept(
    tmp_path: Path,
) -> None:
    text = "1.0 0380 000 2 30 bb\n2.0 0380 000 8 30 bb\n3.0 0380 000 x 30\n"
    capture = read_text(tmp_path, "crysys", text, "a.txt")
    assert capture.messages["dlc"].to_list() == [2, 2, 1]
    assert capture.oddities == (Oddity("DLC disagrees", 2, 2, "8"),)


def test_backward_steps_and_extended_ids_are_counted_with_their_first_line(tmp_path: Path) -> None:
    capture = ctat(tmp_path, "5.0,001,,0", "4.5,001,,0", "6.0,800,,0", "5.9,001,,0")
    assert capture.messages["timestamp"].to_list() == [5.0, 4.5, 6.0, 5.9]
    assert capture.oddities == (
        Oddity("backward time step", 2, 3, "-0.5 s"),
        Oddity("extended id", 1, 4, "800"),
    )


@pytest.mark.parametrize("name", ["attack-free-kia.csv", "attack_free.csv", "normal_run_data.csv"])
def test_attack_rows_in_a_file_named_attack_free_are_counted(tmp_path: Path, name: str) -> None:
    capture = ctat(tmp_path, "1.0,001,,0", "2.0,002,,1", name=name)
    kind = "attack row in an attack-free file"
    assert capture.oddities == (Oddity(kind, 1, 3, "002"),)


def test_blank_lines_are_no_messages_but_count_as_lines(tmp_path: Path) -> None:
    capture = ctat(tmp_path, "", "1.0,001,00,0", "", "  ", "2.0,001,0,0", "")
    assert capture.messages["timestamp"].to_list() == [1.0, 2.0]
    assert capture.oddities == (Oddity("odd payload", 1, 6, "0"),)


@pytest.mark.parametrize(
    ("format", "row", "complaint"),
    [
        ("can_train_and_test", "abc,001,00,0", "timestamp 'abc' is not a number of seconds"),
        ("can_train_and_test", "nan,001,00,0", "timestamp 'nan' is not"),
        ("can_train_and_test", ",001,00,0", "timestamp '' is not"),
        ("can_train_and_test", "1.0,0G1,00,0", "arbitration_id '0G1' is not a hexadecimal id"),
        ("can_train_and_test", "1.0,+A1,00,0", "arbitration_id '+A1' is not"),
        ("can_train_and_test", "1.0,,00,0", "arbitration_id '' is not"),
        ("can_train_and_test", "1.0,20000000,00,0", "arbitration_id '20000000' is not"),
        ("can_train_and_test", "1.0,000000001,00,0", "arbitration_id '000000001' is not"),
        ("can_train_and_test", "1.0,001,00,2", "attack '2' is not 0 or 1"),
        ("can_train_and_test", "1.0,001,00,", "attack '' is not 0 or 1"),
        ("can_train_and_test", "1.0,001,0", "expected 4 fields, found 3: '1.0,001,0'"),
        ("can_train_and_test", "1.0,001,00,0,7", "expected 4 fields, found 5"),
        ("car_hacking", "1.0,0316,1,aa,X", "the label 'X' is not R or T"),
        ("car_hacking", "1.0,0316,1,aa", "the label 'aa' is not R or T"),
        ("car_hacking", "1.0,0316,R", "expected 'time,id,dlc,bytes,label', found '1.0,0316,R'"),
        ("car_hacking", "x,0316,1,aa,R", "timestamp 'x' is not"),
        ("candump", "(x) vcan0 044#11", "timestamp 'x' is not"),
        ("candump", "(1.0) vcan0 04G#11", "arbitration_id '04G' is not"),
        ("candump", "(1.0) vcan0 044", "expected '(time) interface id#data'"),
        ("crysys", "1.0 0380 000", "expected 'time id flags dlc bytes', found '1.0 0380 000'"),
        ("crysys", "1.0 03x0 000 1 aa", "arbitration_id '03x0' is not"),
    ],
)
def test_a_row_that_cant_be_parsed_is_named_with_its_line_and_value(
    tmp_path: Path, format: str, row: str, complaint: str
) -> None:
    _, header, line, _ = next(writer for writer in WRITERS.values() if writer[0] == format)
    good = line(Message(1_000_000, 0x1E5, b"\x01", False))
    with pytest.raises(DataError) as caught:
        read_text(tmp_path, format, header + f"{good}\n{row}\n{good}\n")
    number = 2 + header.count("\n")
    assert f"capture.csv', line {number}: {complaint}" in caught.value.problem
    assert caught.value.hint


@pytest.mark.parametrize("cut", [0, 1, 4, 9])
def test_a_gzip_file_cut_anywhere_is_named_as_cut_or_damaged(tmp_path: Path, cut: int) -> None:
    whole = gzip.compress((HEADER + "1.0,001,00,0\n" * 100).encode())
    path = tmp_path / "a.csv.gz"
    path.write_bytes(whole[: len(whole) * (cut + 1) // 11])
    with pytest.raises(DataError, match=r"a.csv.gz' is a (gzip file cut short|damaged gzip file)"):
        read_capture(path, "can_train_and_test")


def test_a_gzip_file_with_a_flipped_bit_is_named_as_damaged(tmp_path: Path) -> None:
    whole = bytearray(gzip.compress((HEADER + "1.0,001,00,0\n").encode()))
    whole[-6] ^= 1
    (tmp_path / "a.csv.gz").write_bytes(whole)
    with pytest.raises(DataError, match="is a damaged gzip file"):
        read_capture(tmp_path / "a.csv.gz", "can_train_and_test")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "is a binary file: byte 0x01 at offset 5|byte 0x00"),
        (b"1.0,caf\xe9,00,0\n", "line 1: byte 0xe9 is not UTF-8 text"),
    ],
)
def test_a_file_that_is_no_text_is_refused_in_every_format(
    tmp_path: Path, format: str, content: bytes, complaint: str
) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=complaint):
        read_capture(tmp_path / "a.txt", format)


def test_plain_text_named_gz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_text(HEADER)
    with pytest.raises(DataError, match="is not a gzip file, though its name says so"):
        read_capture(tmp_path / "a.csv.gz", "can_train_and_test")


def test_gzip_is_known_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(gzip.compress((HEADER + "1.0,001,00,0\n").encode()))
    assert len(read_capture(tmp_path / "a.csv", "can_train_and_test").messages) == 1


def test_a_wrong_header_says_what_was_expected_and_found(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_text(tmp_path, "can_train_and_test", "time,id,data,label\n1.0,001,00,0\n")
    expected = "line 1: expected the header 'timestamp,arbitration_id,data_field,attack', found "
    assert expected + "'time,id,data,label'" in caught.value.problem


def test_a_header_without_rows_is_no_capture(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no message in the file"):
        read_text(tmp_path, "can_train_and_test", HEADER)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        read_capture(tmp_path / "absent.csv", "can_train_and_test")
    with pytest.raises(DataError, match="is a folder"):
        read_capture(tmp_path, "can_train_and_test")


def test_an_unknown_format_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_capture(tmp_path / "a.log", "candumb")
    assert caught.value.hint == "did you mean 'candump'?"


def test_reading_keeps_the_order_and_the_types_of_the_message_table(tmp_path: Path) -> None:
    messages = ctat(tmp_path, "2.0,7FF,FF,1", "1.0,000,,0").messages
    assert isinstance(messages, pl.DataFrame)
    assert messages.rows() == [
        (2.0, 0x7FF, 1, 0xFF << 56, True, False),
        (1.0, 0, 0, 0, False, False),
    ]
