"""Whether a process is there: this one, one that ended, and what no process can be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from kdgat.ledger.processes import process_exists


def test_a_process_exists_until_it_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert process_exists(process.pid)
        process.communicate(b"\n")
    assert not process_exists(process.pid)
    assert process_exists(os.getpid())


def test_a_process_of_somebody_else_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "kill", _refusing(PermissionError))
    assert process_exists(1)


@pytest.mark.parametrize("pid", [None, "1", 1.0, [], 0, -1, 2**22 + 1, 2**70])
def test_what_is_no_process_id_has_no_process(pid: object) -> None:
    assert not process_exists(pid)


def _refusing(error: type[OSError]) -> Callable[[int, int], None]:
    def kill(pid: int, signal: int) -> None:
        raise error

    return kill
