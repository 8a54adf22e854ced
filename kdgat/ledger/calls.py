"""What agents called: one file of JSON lines for each server, which only that server appends to.

    <home>/agent/calls/20261121T191500-4711-3f2a.jsonl

So servers need no lock between them, and a line that a kill cut short is passed over by readers.
Lines are not synced to disk one by one: that may take longer than the call, and is no loss when
the machine goes down.
"""

from __future__ import annotations

import json
import os
import threading
import uuid
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_type_hints

from kdgat.errors import StorageError
from kdgat.ledger.files import read_lines, storage_error

LONGEST_TEXT = 300
"""Characters of an error that are kept."""


@dataclass(frozen=True)
class CallRecord:
    """One call of a tool."""

    tool: str
    action: str | None
    """What the tool was asked to do, where it can do several things."""
    mode: str | None
    """The mode it was called in; None where that could not be told."""
    client: str | None
    """The client's name, as it says itself."""
    server: str
    """Names the server's process."""
    started_at: datetime
    """In UTC, without a zone."""
    duration_s: float
    bytes: int
    """Size of the answer, its text included."""
    error: str | None


_KINDS = MappingProxyType(get_type_hints(CallRecord))
_NAMES = tuple(field.name for field in fields(CallRecord))


class CallLog:
    """Appends the calls of one server; any of its threads may."""

    def __init__(self, folder: Path) -> None:
        now = datetime.now(UTC)
        self.server = f"{now:%Y%m%dT%H%M%S}-{os.getpid()}-{uuid.uuid4().hex[:4]}"
        """Names this server."""
        self.path = folder / f"{self.server}.jsonl"
        self._lock = threading.Lock()

    def append(self, call: CallRecord) -> None:
        """Write a call down.

        Raises:
            StorageError: the file system refused.
        """
        values = {**asdict(call), "started_at": call.started_at.isoformat()}
        line = json.dumps(values, ensure_ascii=True) + "\n"
        try:
            # One call at a time: a disk that fills up may take half a line.
            with self._lock:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                with self.path.open("ab", buffering=0) as file:
                    file.write(line.encode())
        except OSError as error:
            raise storage_error(self.path, error) from error


def read_calls(folder: Path) -> list[CallRecord]:
    """Every call that can be read, oldest server first.

    Raises:
        StorageError: a file can't be read.
    """
    calls = []
    try:
        for path in sorted(folder.glob("*.jsonl")):
            calls += [call for line in read_lines(path) if (call := _call(line)) is not None]
    except OSError as error:
        raise StorageError(
            f"can't read the calls in '{folder}': {error.strerror or error}",
            hint="mend its permissions",
        ) from error
    return calls


def call_rows(folder: Path) -> list[tuple[Any, ...]]:
    """The rows of the history's view `agent_calls`."""
    return [tuple(getattr(call, name) for name in _NAMES) for call in read_calls(folder)]


def _call(line: dict[str, Any]) -> CallRecord | None:
    """The call in a line; None where a value is missing or of another type."""
    try:
        values = {name: line[name] for name in _NAMES}
        values["started_at"] = datetime.fromisoformat(values["started_at"])
    except (KeyError, TypeError, ValueError):
        return None
    fits = all(isinstance(values[name], kind) for name, kind in _KINDS.items())
    return CallRecord(**values) if fits else None
