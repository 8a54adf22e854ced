"""Who does a job that no scheduler has, and which of its tasks are to end: files in its folder.

    worker.json     the process that took the job
    stop-<n>.json   task <n> is to end, and who wants it

Of several processes that want a job the one that makes the first file has it, and has it for ever:
what is left undone when it ends is given anew, in another job. It looks for the other files itself,
so that whoever asks needs no signal and may sit on another host.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdgat.ledger.files import storage_error, write_json
from kdgat.ledger.processes import process_exists
from kdgat.ledger.record import utc_now

_WORKER = "worker.json"


@dataclass(frozen=True)
class Worker:
    """The process that took a job."""

    host: str
    pid: int

    @property
    def gone(self) -> bool:
        """Whether it is known to have ended; of another host nothing is known."""
        return self.host == socket.gethostname() and not process_exists(self.pid)


def take(folder: Path) -> bool:
    """Take the job in `folder` for this process; False where one has it, or had it.

    Raises:
        StorageError: the file system refused.
    """
    aside = folder / f".partial-{uuid.uuid4().hex[:8]}-{_WORKER}"
    terms = {"host": socket.gethostname(), "pid": os.getpid(), "since": utc_now()}
    try:
        aside.write_text(json.dumps(terms) + "\n", encoding="utf-8")
        # A link, not a rename: it never replaces what is there, on NFS either.
        os.link(aside, folder / _WORKER)
    except FileExistsError:
        return False
    except OSError as error:
        raise storage_error(folder / _WORKER, error) from error
    finally:
        aside.unlink(missing_ok=True)
    return True


def worker_of(folder: Path) -> Worker | None:
    """Who took the job in `folder`; None where nobody did."""
    if not (folder / _WORKER).exists():
        return None
    terms = _read(folder / _WORKER)
    host, pid = terms.get("host"), terms.get("pid")
    return Worker(str(host), pid if isinstance(pid, int) else 0)


def ask_to_stop(folder: Path, task: int, by: str) -> None:
    """Ask whoever has the job in `folder` to end one of its tasks, or not to begin it.

    Raises:
        StorageError: the file system refused.
    """
    write_json(_stop(folder, task), {"by": by, "time": utc_now()})


def asked_to_stop(folder: Path, task: int) -> str | None:
    """Who wants a task to end; None where nobody does."""
    path = _stop(folder, task)
    return str(_read(path).get("by", "its owner")) if path.exists() else None


def tasks_to_stop(folder: Path) -> list[int]:
    """The tasks that somebody wants to end, whether or not they have ended since."""
    return sorted(int(path.stem.removeprefix("stop-")) for path in folder.glob("stop-*.json"))


def _stop(folder: Path, task: int) -> Path:
    return folder / f"stop-{task:d}.json"


def _read(path: Path) -> dict[str, Any]:
    """What a file says; nothing where it is gone or damaged."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
