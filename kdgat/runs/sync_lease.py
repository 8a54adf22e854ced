"""One writer at a time, without file locks: numbered files of which the highest counts.

A writer takes the next number by linking a file to a name that must not exist, so that of two that
try at once one gets it, on NFS too. A lease expires when its file is no longer renewed, or at once
when its process ended on this host; the next number takes over, and the old holder finds out by
looking. A clock that differs from the file server's by a minute would end a lease too early.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdgat.errors import StorageError
from kdgat.ledger.files import storage_error, write_json
from kdgat.ledger.record import utc_now

RENEW_S = 10.0
"""Seconds between two renewals."""
EXPIRES_S = 60.0
"""Seconds without a renewal after which a lease no longer counts."""


@dataclass(frozen=True)
class Lease:
    """A lease that was taken; `path` is its numbered file."""

    path: Path
    what: str

    def check(self) -> None:
        """Make sure that nobody took over.

        Raises:
            StorageError: somebody did, because this process stood still for too long.
        """
        newest = _newest(self.path.parent)
        if newest != self.path:
            raise StorageError(
                f"{self.what} was taken over by {_holder(newest)}, because this process gave no "
                f"sign of life for {EXPIRES_S:.0f} s",
                hint="nothing is lost; the other one goes on with it",
            )


@contextmanager
def hold_lease(folder: Path, what: str) -> Iterator[Lease]:
    """Hold the lease in `folder` while the block lasts; `what` names it in a sentence.

    Raises:
        StorageError: somebody holds it (says who), or the file system refused.
    """
    lease = _take(folder, what)
    stop = threading.Event()
    pulse = threading.Thread(target=_renew, args=(lease.path, stop), daemon=True)
    pulse.start()
    try:
        yield lease
    finally:
        stop.set()
        pulse.join()
        with suppress(StorageError):
            # A disk that refuses lets the lease expire instead.
            write_json(lease.path, {**_read(lease.path), "released": utc_now()})


def _take(folder: Path, what: str) -> Lease:
    newest = _newest(folder)
    if newest is not None and _live(newest):
        raise _held(what, newest)
    path = folder / f"{_number(newest) + 1:08d}.json"
    aside = folder / f".partial-{uuid.uuid4().hex}"
    write_json(aside, {"host": socket.gethostname(), "pid": os.getpid(), "since": utc_now()})
    try:
        # The file appears whole or not at all, and never over another one.
        os.link(aside, path)
    except FileExistsError as error:
        raise _held(what, path) from error
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        aside.unlink(missing_ok=True)
    if _newest(folder) != path:
        # Between looking and taking others came and went: the higher number counts.
        path.unlink(missing_ok=True)
        raise _held(what, _newest(folder))
    for old in _files(folder)[:-1]:
        with suppress(OSError):
            old.unlink(missing_ok=True)
    return Lease(path, what)


def _held(what: str, path: Path | None) -> StorageError:
    return StorageError(
        f"{what} is held by {_holder(path)}",
        hint="wait until it is done; should it have died, the next one takes over after "
        f"{EXPIRES_S:.0f} s",
    )


def _holder(path: Path | None) -> str:
    holder = {} if path is None else _read(path)
    return (
        f"process {holder.get('pid', '?')} on host {holder.get('host', '?')} "
        f"since {holder.get('since', 'just now')}"
    )


def _live(path: Path) -> bool:
    """Whether the holder of a lease still works."""
    holder = _read(path)
    if "released" in holder:
        return False
    if holder.get("host") == socket.gethostname() and not _exists(holder.get("pid")):
        return False
    try:
        return time.time() - path.stat().st_mtime < EXPIRES_S
    except FileNotFoundError:
        return False


def _exists(pid: object) -> bool:
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _renew(path: Path, stop: threading.Event) -> None:
    while not stop.wait(RENEW_S):
        with suppress(OSError):
            # A file that is gone was taken over, which `check` tells.
            os.utime(path)


def _read(path: Path) -> dict[str, Any]:
    """Who holds a lease; nothing when the file is gone or no lease."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if path.stem.isdigit())


def _newest(folder: Path) -> Path | None:
    return next(reversed(_files(folder)), None)


def _number(path: Path | None) -> int:
    return 0 if path is None else int(path.stem)
