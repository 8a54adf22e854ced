"""A lease: one holds it, a dead one's is taken over, and who was taken over finds out."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from kdgat.errors import StorageError
from kdgat.ledger.files import write_json
from kdgat.runs import lease as lease_module
from kdgat.runs.lease import EXPIRES_S, Lease, hold_lease, take_lease

HERE = {"host": socket.gethostname(), "pid": os.getpid(), "since": "2026-11-21T07:44:55"}
ELSEWHERE = {**HERE, "host": "elsewhere", "pid": 1}
DEAD = 2**22 + 1
HOLDING = """
import sys
from pathlib import Path
from kdgat.runs.lease import hold_lease

with hold_lease(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store" / "lease"


def left(folder: Path, terms: dict[str, Any], *, age_s: float = 0.0) -> Path:
    """A lease that another process took, and renewed so long ago."""
    path = folder / "00000007.json"
    write_json(path, {"owner": "another", **terms})
    renewed = time.time() - age_s
    os.utime(path, (renewed, renewed))
    return path


def taken(folder: Path) -> Lease:
    lease = take_lease(folder, "it")
    assert lease is not None
    return lease


def test_one_holds_it_at_a_time(folder: Path) -> None:
    first = taken(folder)
    assert take_lease(folder, "it") is None
    first.check()
    first.release()
    second = taken(folder)
    second.check()
    second.release()


def test_who_comes_too_late_is_told_who_holds_it(folder: Path) -> None:
    with (
        hold_lease(folder, "the store"),
        pytest.raises(StorageError, match=rf"the store is held by process {os.getpid()} on host"),
        hold_lease(folder, "the store"),
    ):
        pass


def test_it_is_released_when_the_work_fails(folder: Path) -> None:
    with pytest.raises(ValueError, match="mine"), hold_lease(folder, "it"):
        raise ValueError("mine")
    taken(folder).release()


@pytest.mark.parametrize(
    ("terms", "age_s"),
    [
        (ELSEWHERE, EXPIRES_S + 1),
        (HERE, EXPIRES_S + 1),
        ({**HERE, "pid": DEAD}, 0),
        ({**HERE, "pid": None}, 0),
        ({**ELSEWHERE, "released": "2026-11-21T07:45:00"}, 0),
    ],
    ids=["silent elsewhere", "silent here", "its process is dead", "no process", "released"],
)
def test_of_one_who_is_gone_it_is_taken_over(
    folder: Path, terms: dict[str, Any], age_s: float
) -> None:
    old = left(folder, terms, age_s=age_s)
    with hold_lease(folder, "it") as lease:
        assert lease.path == folder / "00000008.json"
        assert not old.exists()
        lease.check()


@pytest.mark.parametrize("terms", [ELSEWHERE, HERE], ids=["elsewhere", "here"])
def test_of_one_who_shows_a_sign_of_life_it_is_not(folder: Path, terms: dict[str, Any]) -> None:
    left(folder, terms, age_s=EXPIRES_S - 20)
    assert take_lease(folder, "it") is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_one_that_can_not_be_read_expires_by_its_time(folder: Path, content: str) -> None:
    path = left(folder, HERE)
    path.write_text(content)
    assert take_lease(folder, "it") is None
    os.utime(path, (1, 1))
    taken(folder).release()


def test_a_thread_renews_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    renewed = threading.Event()
    monkeypatch.setattr(lease_module, "RENEW_S", 0.001)
    monkeypatch.setattr(os, "utime", lambda _: renewed.set())
    with hold_lease(folder, "it"):
        assert renewed.wait(timeout=60)


def test_that_another_took_it_over_is_told_and_stays_his(folder: Path) -> None:
    with hold_lease(folder, "the store") as first:
        terms = json.loads(first.path.read_bytes())
        write_json(first.path, {**terms, "pid": DEAD})
        second = taken(folder)
        with pytest.raises(StorageError, match="the store was taken over by process"):
            first.check()
    second.check()
    assert take_lease(folder, "it") is None
    second.release()


def test_that_it_was_deleted_is_told_even_where_the_next_has_the_same_number(folder: Path) -> None:
    with hold_lease(folder, "the store") as first:
        first.path.unlink()
        with pytest.raises(StorageError, match="taken over"):
            first.check()
        second = taken(folder)
        assert second.path == first.path
        with pytest.raises(StorageError, match=rf"taken over by process {os.getpid()}"):
            first.check()
    second.check()
    second.release()


def test_what_the_killed_left_aside_is_tidied_and_what_is_in_the_making_is_not(
    folder: Path,
) -> None:
    old, new = folder / ".partial-old", folder / ".partial-new"
    for path in (old, new):
        write_json(path, HERE)
    os.utime(old, (1, 1))
    with hold_lease(folder, "it"):
        assert [old.exists(), new.exists()] == [False, True]
    assert len(list(folder.iterdir())) == 2


def test_a_file_system_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "in the way").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="can't write"):
        take_lease(tmp_path / "in the way", "it")


def test_of_many_that_try_at_once_one_gets_it(folder: Path) -> None:
    for _ in range(20):
        start = threading.Barrier(8)
        got: list[Lease | None] = []

        def attempt(start: threading.Barrier = start, got: list[Lease | None] = got) -> None:
            start.wait()
            got.append(take_lease(folder, "it"))

        threads = [threading.Thread(target=attempt) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (held,) = (lease for lease in got if lease is not None)
        held.check()
        held.release()


@pytest.mark.kill
def test_of_a_process_that_was_killed_it_is_free_at_once(folder: Path) -> None:
    command = [sys.executable, "-c", HOLDING, str(folder)]
    for _ in range(3):
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            assert take_lease(folder, "it") is None
            process.kill()
        taken(folder).release()
