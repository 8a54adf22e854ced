"""Files: whole or absent, on a full disk and under a kill at every instant."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.errors import StorageError
from kdgat.ledger.files import (
    append_line,
    atomic_path,
    content_hash,
    read_lines,
    write_json,
    write_text,
)

ROWS = st.lists(
    st.dictionaries(
        st.text(max_size=4), st.none() | st.integers() | st.text(max_size=6), max_size=3
    ),
    max_size=4,
)

KILLED_AT_EVERY_LINE = """
import json, os, shutil, signal, sys
from pathlib import Path
from kdgat.ledger.files import atomic_path, write_text

# A killed process loses nothing that it wrote, synced or not; only a power cut does.
os.fsync = lambda handle: None
place, kind, first = Path(sys.argv[1]), sys.argv[2], sys.argv[3]

def write(final, text):
    if kind == "file":
        write_text(final, text * 5000)
        return
    with atomic_path(final) as aside:
        aside.mkdir()
        (aside / "one").write_text(text)
        (aside / "two").write_text(text)

def state(final):
    if not final.exists():
        return "absent"
    if kind == "file":
        text = final.read_text()
        return text[:1] if text == text[:1] * 5000 else "torn"
    parts = {path.name: path.read_text() for path in final.iterdir()}
    whole = parts.keys() == {"one", "two"} and len(set(parts.values())) == 1
    return parts["one"] if whole else "torn"

def killed_at(count):
    left = [count]
    def step(frame, event, argument):
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return step
    return step

seen, instant, killed = [], 0, True
while killed:
    # Every other line of Python for a file and every sixth for a folder, which takes far more;
    # either is finer than the lines between two calls of the system.
    instant += 2 if kind == "file" else 6
    folder = place / str(instant)
    folder.mkdir()
    if first == "old":
        write(folder / "final", "o")
    child = os.fork()
    if child == 0:
        sys.settrace(killed_at(instant))
        write(folder / "final", "n")
        os._exit(0)
    killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
    seen.append(state(folder / "final"))
    shutil.rmtree(folder)
print(json.dumps(seen))
"""

FULL_DISK = """
import resource, sys
from pathlib import Path
from kdgat.errors import StorageError
from kdgat.ledger.files import append_line, atomic_path, write_text

place = Path(sys.argv[1])
write_text(place / "kept.txt", "old")
append_line(place / "rows.jsonl", {"row": 1})

unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, unlimited[1]))
def folder_of_two():
    with atomic_path(place / "folder") as aside:
        aside.mkdir()
        (aside / "small").write_text("x")
        (aside / "big").write_bytes(b"x" * 5000)

for work in (
    lambda: write_text(place / "kept.txt", "n" * 5000),
    lambda: write_text(place / "fresh.txt", "n" * 5000),
    folder_of_two,
    lambda: append_line(place / "rows.jsonl", {"row": "2" * 5000}),
):
    try:
        work()
    except StorageError as error:
        print(error.problem)

resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
append_line(place / "rows.jsonl", {"row": 3})
"""


def run_python(code: str, *arguments: str | Path) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_the_block_ends_and_not_before(tmp_path: Path) -> None:
    final = tmp_path / "deep" / "er" / "a.txt"
    with atomic_path(final) as aside:
        aside.write_text("new")
        assert aside.parent == final.parent
        assert not final.exists()
    assert final.read_text() == "new"
    assert names(final.parent) == ["a.txt"]


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    final = tmp_path / "a.txt"
    write_text(final, "a long old text")
    with atomic_path(final) as aside:
        aside.write_text("new")
        assert final.read_text() == "a long old text"
    assert final.read_text() == "new"


def test_a_folder_is_replaced_whole_and_keeps_nothing_of_the_old_one(tmp_path: Path) -> None:
    final = tmp_path / "folder"
    for name in ("old", "new"):
        with atomic_path(final) as aside:
            (aside / "sub").mkdir(parents=True)
            (aside / "sub" / name).write_text(name)
    assert names(final / "sub") == ["new"]
    assert names(tmp_path) == ["folder"]


def test_an_empty_folder_is_a_folder(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "empty") as aside:
        aside.mkdir()
    assert names(tmp_path / "empty") == []


def break_off(final: Path, error: BaseException, *, folder: bool) -> None:
    with atomic_path(final) as aside:
        if folder:
            aside.mkdir()
        (aside / "part" if folder else aside).write_text("new")
        raise error


@pytest.mark.parametrize("error", [ValueError("bad row"), KeyboardInterrupt(), SystemExit(3)])
@pytest.mark.parametrize("folder", [False, True])
def test_an_error_in_the_block_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, error: BaseException, folder: bool
) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(type(error)) as caught:
        break_off(tmp_path / "a", error, folder=folder)
    assert caught.value is error
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_block_that_makes_nothing_is_told_and_leaves_the_old_one(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(StorageError), atomic_path(tmp_path / "a"):
        pass
    assert (tmp_path / "a").read_text() == "old"


def test_a_folder_never_replaces_a_file_in_silence(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")
    with pytest.raises(StorageError), atomic_path(tmp_path / "a") as aside:
        aside.mkdir()
    assert (tmp_path / "a").read_text() == "old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("tail", ["b", "b/c"])
def test_a_file_where_a_folder_is_needed_is_told_with_the_path(tmp_path: Path, tail: str) -> None:
    write_text(tmp_path / "a", "a file")
    with pytest.raises(StorageError) as caught:
        write_text(tmp_path / "a" / tail, "x")
    assert caught.value.problem.startswith(f"can't write '{tmp_path}/a/{tail}': ")
    assert "KDGAT_HOME" in caught.value.hint


def test_two_writers_of_one_file_leave_the_text_of_one_of_them(tmp_path: Path) -> None:
    final = tmp_path / "a"
    with atomic_path(final) as one, atomic_path(final) as two:
        one.write_text("one")
        two.write_text("two")
    assert final.read_text() == "one"
    assert names(tmp_path) == ["a"]


def test_json_is_written_readably_and_comes_back(tmp_path: Path) -> None:
    value = {"name": "Prüfung", "list": [1, None, 0.5]}
    write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert "Prüfung" in text
    assert text.endswith("}\n")


def test_what_is_no_json_number_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        append_line(tmp_path / "a.jsonl", {"loss": float("inf")})
    assert names(tmp_path) == []


def test_a_hash_is_of_the_content_alone(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert content_hash(tmp_path / "a") == content_hash(tmp_path / "b") == known


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_kill_at_any_instant_of_the_first_write_leaves_all_or_nothing(
    tmp_path: Path, kind: str
) -> None:
    seen = json.loads(run_python(KILLED_AT_EVERY_LINE, tmp_path, kind, "none"))
    assert len(seen) > 50
    assert set(seen) == {"absent", "n"}
    assert seen[-1] == "n"


def test_a_kill_at_any_instant_of_a_replacement_leaves_the_old_or_the_new_file(
    tmp_path: Path,
) -> None:
    seen = json.loads(run_python(KILLED_AT_EVERY_LINE, tmp_path, "file", "old"))
    assert len(seen) > 50
    assert set(seen) == {"o", "n"}
    assert seen.index("n") > 10


def test_a_kill_at_any_instant_of_a_replacement_leaves_no_half_of_a_folder(tmp_path: Path) -> None:
    seen = json.loads(run_python(KILLED_AT_EVERY_LINE, tmp_path, "folder", "old"))
    # A full folder can't be replaced in one step, so between two renames there is none.
    assert set(seen) <= {"o", "absent", "n"}
    assert {"o", "n"} <= set(seen)
    assert len(seen) > 50


def test_a_full_disk_is_told_with_the_path_and_leaves_the_old_file(tmp_path: Path) -> None:
    told = run_python(FULL_DISK, tmp_path).splitlines()
    assert told == [
        f"can't write '{tmp_path / name}': File too large"
        for name in ("kept.txt", "fresh.txt", "folder", "rows.jsonl")
    ]
    assert names(tmp_path) == ["kept.txt", "rows.jsonl"]
    assert (tmp_path / "kept.txt").read_text() == "old"


def test_rows_after_one_that_a_full_disk_cut_are_read(tmp_path: Path) -> None:
    run_python(FULL_DISK, tmp_path)
    assert read_lines(tmp_path / "rows.jsonl") == [{"row": 1}, {"row": 3}]
    assert b'{"row": "222' in (tmp_path / "rows.jsonl").read_bytes()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 64 KiB; needs the right to mount one."""
    if shutil.which("mount") is None or os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    place = Path(tempfile.mkdtemp(prefix="kdgat-small-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        place.rmdir()
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)
    place.rmdir()


def test_a_disk_without_space_keeps_what_it_has_and_goes_on_when_there_is_space(
    small_disk: Path,
) -> None:
    write_text(small_disk / "kept.txt", "old")
    append_line(small_disk / "rows.jsonl", {"row": 1})
    with pytest.raises(StorageError) as caught:
        write_text(small_disk / "kept.txt", "n" * 100_000)
    assert caught.value.problem == (f"can't write '{small_disk}/kept.txt': No space left on device")
    with pytest.raises(StorageError, match="No space left on device"):
        append_line(small_disk / "rows.jsonl", {"row": "2" * 100_000})
    assert names(small_disk) == ["kept.txt", "rows.jsonl"]
    assert (small_disk / "kept.txt").read_text() == "old"
    os.truncate(small_disk / "rows.jsonl", 20)
    append_line(small_disk / "rows.jsonl", {"row": 3})
    assert read_lines(small_disk / "rows.jsonl") == [{"row": 1}, {"row": 3}]


def test_an_absent_file_has_no_lines(tmp_path: Path) -> None:
    assert read_lines(tmp_path / "none.jsonl") == []


def test_lines_come_back_in_order(tmp_path: Path) -> None:
    rows = [{"row": number, "text": "ü\n\u2028"} for number in range(3)]
    for row in rows:
        append_line(tmp_path / "a.jsonl", row)
    assert read_lines(tmp_path / "a.jsonl") == rows
    assert (tmp_path / "a.jsonl").read_bytes().count(b"\n") == 3


@pytest.mark.parametrize("torn", [b'{"row": 2, "te', b"\xff\xfe", b"[1, 2]", b"7", b'"text"', b""])
def test_a_line_that_is_no_whole_row_is_passed_over(tmp_path: Path, torn: bytes) -> None:
    path = tmp_path / "a.jsonl"
    append_line(path, {"row": 1})
    with path.open("ab") as file:
        file.write(torn)
    append_line(path, {"row": 3})
    assert read_lines(path) == [{"row": 1}, {"row": 3}]


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, data=st.data())
def test_a_file_cut_at_any_byte_keeps_its_whole_rows_and_the_next(
    rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        ends = []
        for row in rows:
            append_line(path, row)
            ends.append(path.stat().st_size - 1)
        if rows:
            cut = data.draw(st.integers(0, ends[-1] + 1))
            os.truncate(path, cut)
            rows = [row for row, end in zip(rows, ends, strict=True) if end <= cut]
        append_line(path, {"next": True})
        assert read_lines(path) == [*rows, {"next": True}]


def test_appending_where_there_is_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        append_line(tmp_path / "none" / "a.jsonl", {"row": 1})
    assert str(tmp_path / "none" / "a.jsonl") in caught.value.problem
