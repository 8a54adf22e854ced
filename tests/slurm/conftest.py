"""A real Slurm on this machine for the tests that need one: started once, shared, stopped after."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

HERE = Path(__file__).parent
_DAEMONS = ("munged", "slurmctld", "slurmd", "slurmdbd", "mariadbd")
_PORTS = 6


@pytest.fixture(scope="session")
def slurm() -> Iterator[Mapping[str, str]]:
    """The environment of a process that talks to it.

    `KDGAT_SLURM_DIR` names the folder of one that runs already (`slurm-up.sh`), which is then used
    and not stopped.
    """
    running = os.environ.get("KDGAT_SLURM_DIR")
    if running:
        yield _environ(Path(running))
        return
    _need_daemons()
    # Workers of one test run share one; a socket's path must be short.
    name = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))[-8:]
    folder = Path(tempfile.gettempdir()) / f"kdgat-slurm-{name}"
    with _one_at_a_time(folder):
        _count(folder, 1)
        _call("slurm-up.sh", folder, SLURM_UP_PORT=str(_free_ports()))
    yield _environ(folder)
    with _one_at_a_time(folder):
        if _count(folder, -1) == 0:
            _call("slurm-down.sh", folder, SLURM_UP_PURGE="1")
            _users(folder).unlink()


@pytest.fixture
def own_slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The same of one that the test may break, because nobody else uses it."""
    _need_daemons()
    name = f"{os.getpid()}-{tmp_path_factory.getbasetemp().name}"[-16:]
    folder = Path(tempfile.gettempdir()) / f"kdgat-slurm-own-{name}"
    with _one_at_a_time(Path(tempfile.gettempdir()) / "kdgat-slurm-own"):
        _call("slurm-up.sh", folder, SLURM_UP_PORT=str(_free_ports(29_000)))
    yield _environ(folder)
    _call("slurm-down.sh", folder, SLURM_UP_PURGE="1")


def _need_daemons() -> None:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [name for name in _DAEMONS if shutil.which(name, path=path) is None]
    if missing and os.geteuid() != 0:
        pytest.skip(f"no {', '.join(missing)} here, and only root may install Slurm's packages")


def _environ(folder: Path) -> dict[str, str]:
    conf = folder / "etc" / "slurm.conf"
    return {**os.environ, "SLURM_CONF": str(conf), "SLURM_UP_DIR": str(folder)}


def _call(script: str, folder: Path, **settings: str) -> None:
    environ = {**os.environ, "SLURM_UP_DIR": str(folder), **settings}
    log = folder.with_suffix(".log")
    # Not a pipe: the daemons would hold it open.
    with log.open("w") as out:
        done = subprocess.run(
            [HERE / script], env=environ, stdout=out, stderr=subprocess.STDOUT, check=False,
            timeout=600,
        )  # fmt: skip
    said = log.read_text()
    log.unlink()
    assert done.returncode == 0, f"{script} failed:\n{said}"


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _users(folder: Path) -> Path:
    return folder.with_suffix(".users")


def _count(folder: Path, change: int) -> int:
    """How many workers use it, after this change."""
    path = _users(folder)
    count = change
    with suppress(FileNotFoundError):
        count += int(path.read_text())
    path.write_text(str(count))
    return count


def _free_ports(beginning: int = 21_000) -> int:
    """The first of some neighbouring ports that nobody listens on."""
    for first in range(beginning, beginning + 3_000, _PORTS):
        with ExitStack() as stack, suppress(OSError):
            for port in range(first, first + _PORTS):
                probe = stack.enter_context(socket.socket())
                probe.bind(("127.0.0.1", port))
            return first
    raise AssertionError("no free ports")
