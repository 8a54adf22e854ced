"""One process at a time does some work, without file locks: numbered files, the highest counts.

A process takes the next number by linking a file to a name that must not exist, so that of two that
try at once one gets it, on NFS too. A lease expires when its file is no longer renewed, or at once
when its process ended on this host; the next number takes over, and the old holder finds out by
looking. So what is done under a lease must bear that two do it for a while. A clock that differs
from the file server's by a minute would end a lease too early.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdgat.errors import StorageError
from kdgat.ledger.files import storage_error
from kdgat.ledger.processes import process_exists
from kdgat.ledger.record import utc_now

RENEW_S = 10.0
"""Seconds between two renewals."""
EXPIRES_S = 60.0
"""Seconds without a renewal after which a lease no longer counts."""


@dataclass(frozen=True)
class Lease:
    """A lease that was taken; `path` is its numbered file, which a thread renews."""

    path: Path
    what: str
    owner: str
    _stop: threading.Event = field(default_factory=threading.Event)

    def check(self) -> None:
        """Make sure that nobody took over.

        Raises:
            StorageError: somebody did, because this process stood still for too long.
        """
        newest = _newest(self.path.parent)
        if newest != self.path or not self._mine():
            raise StorageError(
                f"{self.what} was taken over by {_holder(newest)}, because this process gave no "
                f"sign of life for {EXPIRES_S:.0f} s",
                hint="nothing is lost; the other one goes on with it",
            )

    def release(self) -> None:
        """Let go of it; what somebody took over stays his."""
        self._stop.set()
        if self._mine():
            terms = {**_read(self.path), "released": utc_now()}
            with suppress(OSError), _written_aside(self, terms) as aside:
                # A disk that refuses lets the lease expire instead.
                aside.replace(self.path)

    def renew(self) -> None:
        """Show a sign of life every `RENEW_S` seconds until it is released."""
        while not self._stop.wait(RENEW_S):
            with suppress(OSError):
                # A file that is gone was taken over, which `check` tells.
                os.utime(self.path)

    def _mine(self) -> bool:
        return _read(self.path).get("owner") == self.owner


@contextmanager
def hold_lease(folder: Path, what: str) -> Iterator[Lease]:
    """Hold the lease in `folder` while the block lasts; `what` names it in a sentence.

    Raises:
        StorageError: somebody holds it (says who), or the file system refused.
    """
    lease = take_lease(folder, what)
    if lease is None:
        raise StorageError(
            f"{what} is held by {_holder(_newest(folder))}",
            hint="wait until it is done; should it have died, the next one takes over after "
            f"{EXPIRES_S:.0f} s",
        )
    try:
        yield lease
    finally:
        lease.release()


def take_lease(folder: Path, what: str) -> Lease | None:
    """The lease in `folder`, to be released by the caller; None where somebody holds it.

    Raises:
        StorageError: the file system refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    newest = _newest(folder)
    if newest is not None and _live(newest):
        return None
    lease = Lease(folder / f"{_number(newest) + 1:08d}.json", what, uuid.uuid4().hex)
    if not _linked(lease):
        return None
    if _newest(folder) != lease.path:
        # Between looking and taking others came and went: the higher number counts.
        lease.path.unlink(missing_ok=True)
        return None
    _tidy(folder)
    threading.Thread(target=lease.renew, daemon=True).start()
    return lease


def _linked(lease: Lease) -> bool:
    """Let the lease's file appear, whole or not at all and never over another one."""
    terms = {"host": socket.gethostname(), "pid": os.getpid(), "since": utc_now()}
    try:
        with _written_aside(lease, {"owner": lease.owner, **terms}) as aside:
            os.link(aside, lease.path)
    except FileExistsError:
        return False
    except OSError as error:
        raise storage_error(lease.path, error) from error
    return True


@contextmanager
def _written_aside(lease: Lease, terms: dict[str, Any]) -> Iterator[Path]:
    """A file with these terms beside the lease's; not fsynced, for none outlives a host's crash."""
    aside = lease.path.with_name(f".partial-{lease.owner}")
    try:
        aside.write_text(json.dumps(terms, indent=2), encoding="utf-8")
        yield aside
    finally:
        aside.unlink(missing_ok=True)


def _tidy(folder: Path) -> None:
    """Delete the leases before the newest, and what those who were killed left aside."""
    leftovers = [path for path in folder.glob(".partial-*") if not _renewed(path)]
    for path in (*_files(folder)[:-1], *leftovers):
        with suppress(OSError):
            path.unlink(missing_ok=True)


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
    if holder.get("host") == socket.gethostname() and not process_exists(holder.get("pid")):
        return False
    return _renewed(path)


def _renewed(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime < EXPIRES_S
    except FileNotFoundError:
        return False


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
