"""One run's folder, written by one process: record, config, metrics, events, heartbeat, files.

<runs>/<dataset>/<size>_<stage>[_kd]/<run_id>/
    run.json  config.json  metrics.jsonl  events.jsonl  heartbeat
    attempts/  checkpoints/  artifacts/
"""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kdgat.errors import KdgatError, RunError, StorageError
from kdgat.ledger.files import (
    append_line,
    atomic_path,
    content_hash,
    read_lines,
    storage_error,
    write_json,
    write_text,
)
from kdgat.ledger.processes import process_exists
from kdgat.ledger.record import RunRecord, record_from, utc_now
from kdgat.ledger.states import State

HEARTBEAT_S = 10.0
"""Seconds between two signs of life of a running job."""
LOST_AFTER_S = 180.0
"""Seconds without a sign of life after which a running job counts as lost."""
_HAS_A_PROCESS = {
    State.PLANNED: "its process ended before it began",
    State.RUNNING: "its process ended without a word",
}
"""States that need a living process, and why a run in one of them is lost without it."""


class Paused(Exception):
    """Work that was asked to stop has saved what it needs to go on from here."""


@dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @classmethod
    def create(cls, runs: Path, record: RunRecord, config: dict[str, Any]) -> RunFolder:
        """A new folder under `runs`, there as a whole or not at all.

        A planned run is its maker's until it runs, is submitted to a scheduler, or is lost
        because the maker's process ended before.

        Raises:
            RunError: there is a run of this id already.
            StorageError: the file system refused.
        """
        if record.state is State.PLANNED:
            record = record.with_changes(host=socket.gethostname(), pid=os.getpid())
        folder = cls(place_of(runs, record))
        if folder.path.exists():
            raise RunError(
                f"there is a run '{record.run_id}' already", hint="a new run needs an id of its own"
            )
        with atomic_path(folder.path) as aside:
            write_json(aside / "config.json", config)
            write_json(aside / "run.json", record.to_json())
            cls(aside).event("planned")
        return folder

    @property
    def checkpoints(self) -> Path:
        """Folder of the model's checkpoints."""
        return self.path / "checkpoints"

    @property
    def artifacts(self) -> Path:
        """Folder of what the run made."""
        return self.path / "artifacts"

    def record(self) -> RunRecord:
        """The record as it is on disk."""
        return record_from(self.path / "run.json")

    def current(self) -> RunRecord:
        """The record with `lost` for a run whose process no longer shows a sign of life."""
        record = self.record()
        while record.state in _HAS_A_PROCESS and not self._alive(record):
            again = self.record()
            if again == record:
                return record.with_changes(state=State.LOST, reason=_HAS_A_PROCESS[record.state])
            # It wrote its end, or somebody took it up, between the two looks.
            record = again
        return record

    def fail(self, reason: str) -> None:
        """Write down that a run failed before it could begin."""
        self._end(State.FAILED, reason)

    def submitted(self, job_id: str) -> RunRecord:
        """Write down that a job was made for it; from here on no process here is its own."""
        record = self.update(
            state=State.SUBMITTED, job=job_id, host=None, pid=None, reason=None, ended_at=None
        )
        self.event("submitted", job=job_id)
        return record

    def mark_lost(self) -> bool:
        """Write down that a run is lost, with its last sign of life as its end.

        Returns:
            Whether it was lost and not yet written down as such.
        """
        lost = self.current()
        if lost.state is not State.LOST or self.record().state is State.LOST:
            return False
        beat = self._last_beat()
        ended = beat.isoformat(timespec="milliseconds") if beat else None
        self.update(state=State.LOST, reason=lost.reason, ended_at=ended)
        self.event(State.LOST.value, reason=lost.reason)
        return True

    def config(self) -> dict[str, Any]:
        """The resolved config the run keeps.

        Raises:
            RunError: the file is missing, no JSON, or no mapping.
        """
        path = self.path / "config.json"
        hint = "restore the file, or train anew"
        try:
            values = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise RunError(f"'{path}' can't be read: {error}", hint=hint) from error
        if not isinstance(values, dict):
            raise RunError(f"'{path}' holds {type(values).__name__}, not a config", hint=hint)
        return values

    def update(self, **changes: Any) -> RunRecord:
        """Change some fields of the record, atomically."""
        record = self.record().with_changes(**changes)
        write_json(self.path / "run.json", record.to_json())
        return record

    def event(self, kind: str, **details: Any) -> None:
        """Append to the run's history of what happened to it."""
        append_line(self.path / "events.jsonl", {"time": utc_now(), "event": kind, **details})

    def log_metrics(self, epoch: int, values: dict[str, float | None]) -> None:
        """Append one epoch's figures."""
        row = {"epoch": epoch, "time": utc_now(), **values}
        append_line(self.path / "metrics.jsonl", row)

    def metrics(self) -> list[dict[str, Any]]:
        """Every epoch's figures, in order."""
        return read_lines(self.path / "metrics.jsonl")

    def forget_metrics_from(self, epoch: int) -> None:
        """Drop the figures of epochs that a resumed run will train again."""
        kept = [row for row in self.metrics() if row["epoch"] < epoch]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        write_text(self.path / "metrics.jsonl", text)

    def keep_artifact(self, path: Path) -> None:
        """Record a file under the run's folder, with its hash."""
        name = str(path.relative_to(self.path))
        self.update(artifacts={**self.record().artifacts, name: content_hash(path)})

    @contextmanager
    def working(
        self,
        environment: dict[str, Any],
        diff: str | None = None,
        when_paused: tuple[State, str] = (State.CANCELLED, "asked to stop"),
    ) -> Iterator[None]:
        """Mark the run as running while the block lasts, then as completed, failed or cancelled.

        Args:
            environment: what it runs on.
            diff: what the code differed by from its commit; it is kept with the artifacts, each
                attempt's under a name of its own.
            when_paused: state and reason of a run whose block raised `Paused`.
        """
        attempt = self._claim()
        self._beat()
        self.update(
            state=State.RUNNING,
            started_at=self.record().started_at or utc_now(),
            ended_at=None,
            host=socket.gethostname(),
            pid=os.getpid(),
            attempts=attempt,
            reason=None,
            environment=environment,
        )
        stop = threading.Event()
        pulse = threading.Thread(target=self._pulse, args=(stop,), daemon=True)
        pulse.start()
        try:
            self.event("started", attempt=attempt)
            if diff is not None:
                self._keep_diff(diff, attempt)
            yield
        except BaseException as error:
            if isinstance(error, Paused):
                self.event("paused", where=str(error))
                self._end(*when_paused)
            elif isinstance(error, KeyboardInterrupt):
                self._end(State.CANCELLED, "interrupted from the keyboard")
            else:
                known = isinstance(error, KdgatError)
                self._end(State.FAILED, error.problem if known else repr(error))
            raise
        else:
            self._end(State.COMPLETED, None)
        finally:
            stop.set()
            pulse.join()

    def _keep_diff(self, diff: str, attempt: int) -> None:
        path = self.artifacts / ("git.diff" if attempt == 1 else f"git-{attempt}.diff")
        write_text(path, diff)
        self.keep_artifact(path)

    def _claim(self) -> int:
        """Take the next attempt's number; of two processes that start at once one gets it.

        Raises:
            RunError: another process took it.
        """
        folder = self.path / "attempts"
        try:
            folder.mkdir(exist_ok=True)
            attempt = sum(1 for _ in folder.iterdir()) + 1
            (folder / str(attempt)).touch(exist_ok=False)
        except FileExistsError as error:
            raise RunError(
                f"another process has just begun to work on run '{self.path.name}'",
                hint="wait for it, or train anew beside it with --fresh",
            ) from error
        except OSError as error:
            raise storage_error(folder, error) from error
        return attempt

    def _end(self, state: State, reason: str | None) -> None:
        try:
            over = None if state is State.SUBMITTED else utc_now()
            self.update(state=state, ended_at=over, reason=reason)
        except StorageError:
            # A full disk still lets go of a file, and without a heartbeat the run is lost.
            with suppress(OSError):
                (self.path / "heartbeat").unlink(missing_ok=True)
            raise
        self.event(state.value, **({"reason": reason} if reason else {}))

    def _pulse(self, stop: threading.Event) -> None:
        while not stop.wait(HEARTBEAT_S):
            try:
                self._beat()
            except KdgatError:
                # A full disk will stop the run at its next checkpoint, and say so there.
                continue

    def _beat(self) -> None:
        write_text(self.path / "heartbeat", utc_now() + "\n")

    def _alive(self, record: RunRecord) -> bool:
        here = record.host == socket.gethostname()
        if record.state is State.PLANNED:
            # It has no heartbeat yet, so of a maker elsewhere nothing is known.
            return record.pid is None or not here or process_exists(record.pid)
        if here and not process_exists(record.pid):
            return False
        beat = self._last_beat()
        return beat is not None and (datetime.now(UTC) - beat).total_seconds() < LOST_AFTER_S

    def _last_beat(self) -> datetime | None:
        try:
            return datetime.fromisoformat((self.path / "heartbeat").read_text().strip())
        except (OSError, ValueError):
            return None


def place_of(runs: Path, record: RunRecord) -> Path:
    """Where the folder of a run belongs: `<dataset>/<size>_<stage>[_kd]/<run_id>`."""
    kind = f"{record.size}_{record.stage}{'_kd' if record.distilled else ''}"
    return runs / record.dataset / kind / record.run_id
