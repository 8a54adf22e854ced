"""A lease: one process at a time does a piece of work, and a dead one doesn't hold it for ever.

A file that says who and until when, made by an exclusive create as NFS allows it. Two processes
that break an expired lease at the same instant may both go on, so what they do must bear it.
"""

from __future__ import annotations

import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kdgat.errors import StorageError
from kdgat.ledger.files import storage_error, write_json

LEASE_S = 120.0
"""Seconds that a lease holds unless it is renewed."""


@dataclass
class Lease:
    """A lease that is held."""

    path: Path
    what: str
    owner: str
    renewed_at: float = field(default_factory=time.monotonic)

    def check(self) -> None:
        """Make sure that it is still held, and renew it when a third of its time is over.

        Raises:
            StorageError: it ran out and another process took it, or the file system refused.
        """
        if _holder(self.path).get("owner") != self.owner:
            raise StorageError(
                f"another process took over {self.what} meanwhile",
                hint="run the command again; it goes on where this one stopped",
            )
        if time.monotonic() - self.renewed_at > LEASE_S / 3:
            write_json(self.path, _terms(self.owner))
            self.renewed_at = time.monotonic()

    def release(self) -> None:
        """Let go of it."""
        if _holder(self.path).get("owner") == self.owner:
            self.path.unlink(missing_ok=True)


@contextmanager
def lease(path: Path, what: str) -> Iterator[Lease]:
    """Hold the lease on `what` while the block lasts.

    Raises:
        StorageError: another process holds it, or the file system refused.
    """
    held = take_lease(path, what)
    if held is None:
        terms = _holder(path)
        raise StorageError(
            f"another process (host {terms.get('host')}, pid {terms.get('pid')}) works on {what}",
            hint=f"wait until it has ended; a dead one's claim lasts {LEASE_S:g} s at most",
        )
    try:
        yield held
    finally:
        held.release()


def take_lease(path: Path, what: str) -> Lease | None:
    """The lease, to be released by the caller; None where another process holds it.

    Raises:
        StorageError: the file system refused.
    """
    owner = uuid.uuid4().hex
    if _take(path, owner) or (_break_if_over(path) and _take(path, owner)):
        return Lease(path, what, owner)
    return None


def _take(path: Path, owner: str) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        os.write(handle, json.dumps(_terms(owner)).encode())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise storage_error(path, error) from error
    finally:
        os.close(handle)
    return True


def _terms(owner: str) -> dict[str, Any]:
    until = time.time() + LEASE_S
    return {"owner": owner, "host": socket.gethostname(), "pid": os.getpid(), "expires": until}


def _holder(path: Path) -> dict[str, Any]:
    """What the lease says; nothing where it is gone or was cut short."""
    try:
        terms = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return terms if isinstance(terms, dict) else {}


def _break_if_over(path: Path) -> bool:
    """Put an expired lease out of the way; False when it still holds."""
    terms = _holder(path)
    if not _over(path, terms):
        return False
    stale = path.with_name(f".partial-lease-{uuid.uuid4().hex}")
    try:
        path.rename(stale)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise storage_error(path, error) from error
    taken = _holder(stale)
    if taken != terms:
        # Another broke it first, and this was its new one: give that back.
        with suppress(OSError):
            os.link(stale, path)
    stale.unlink(missing_ok=True)
    return taken == terms


def _over(path: Path, terms: dict[str, Any]) -> bool:
    expires, host, pid = (terms.get(name) for name in ("expires", "host", "pid"))
    if not isinstance(expires, int | float):
        # Cut short while it was written: its time is all there is.
        try:
            expires = path.stat().st_mtime + LEASE_S
        except FileNotFoundError:
            return True
    if time.time() > expires:
        return True
    return host == socket.gethostname() and isinstance(pid, int) and not _process_exists(pid)


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
