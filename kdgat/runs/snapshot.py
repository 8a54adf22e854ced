"""What the history holds at one moment: compacted parts, the rows of fresh folders, the journal.

Kept from one question to the next within a process, for what did not change meanwhile; each
question looks anew. Nothing kept here is needed: a process without it gives the same answer.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kdgat.errors import RunError
from kdgat.ledger.journal import Journal, JournalEvent
from kdgat.ledger.states import RESUMABLE, State
from kdgat.runs.fresh import FreshRun, Scanner, signs_of, stamp_of
from kdgat.runs.manifest import Manifest, newest_numbers, part_path, read_manifest
from kdgat.runs.rows import (
    Row,
    epoch_rows,
    metric_rows,
    param_rows,
    read_record,
    run_row,
    variant_rows,
)
from kdgat.runs.tables import check_fit, schema_of, table_of
from kdgat.runs.views import FROM_FOLDERS

if TYPE_CHECKING:
    import pyarrow as pa

    from kdgat.workspace import Workspace


ENDED = frozenset({State.COMPLETED, *RESUMABLE} - {State.LOST})
"""States that last until a run is resumed; the others hang on signs of life."""


class FolderRows:
    """The rows of one fresh folder, read when they are asked for."""

    def __init__(self, run: FreshRun) -> None:
        self.run = run
        self.faults: dict[str, str] = {}
        """What is wrong with it, by view."""
        self._fitting: dict[str, list[Row]] = {}
        self._tables: dict[str, pa.Table] = {}
        self.record = self._read_record()

    @property
    def state(self) -> str | None:
        """The run's state, or None where its record can't be read."""
        return self.record["state"] if self.record else None

    def fitting_rows(self, view: str) -> list[Row]:
        """Its rows of a view; none where they, or the run's own, can't be read or do not fit."""
        if view not in self._fitting:
            self._fitting[view] = []
            rows = self._rows_of_known(view)
            try:
                check_fit(view, rows)
                self._fitting[view] = rows
            except ValueError as error:
                self._misfit(view, error)
        return self._fitting[view]

    def table(self, view: str) -> pa.Table:
        """The same as an Arrow table, which takes less memory."""
        if view not in self._tables:
            try:
                self._tables[view] = table_of(view, self._rows_of_known(view))
            except ValueError as error:
                self._misfit(view, error)
                self._tables[view] = table_of(view, [])
        return self._tables[view]

    def _rows_of_known(self, view: str) -> list[Row]:
        return self.rows(view) if view == "runs" or self.fitting_rows("runs") else []

    def _misfit(self, view: str, error: ValueError) -> None:
        self.faults[view] = f"'{self.run.path}', {view}: {error!s:.120}"

    def rows(self, view: str) -> list[Row]:
        """Its rows of a view; none where they can't be read."""
        if self.record is None:
            return []
        try:
            return self._read(view, self.record)
        except RunError as error:
            self.faults[view] = error.problem
        except OSError as error:
            self.faults[view] = f"'{self.run.path}', {view}: {error!s:.120}"
        return []

    def _read(self, view: str, record: dict[str, Any]) -> list[Row]:
        match view:
            case "runs":
                return [run_row(record, f"runs/{self.run.parent}/{self.run.run_id}")]
            case "params":
                return param_rows(self.run.path)
            case "metrics":
                return metric_rows(self.run.path, record)
            case "variants":
                return variant_rows(self.run.path, record)
            case _:
                return epoch_rows(self.run.path)

    def _read_record(self) -> dict[str, Any] | None:
        try:
            return read_record(self.run.path)
        except RunError as error:
            self.faults["runs"] = error.problem
        except OSError as error:
            self.faults["runs"] = f"'{self.run.path}': {error!s:.120}"
        return None


@dataclass(frozen=True)
class Snapshot:
    """The history at one moment."""

    history: Path
    manifest: Manifest
    fresh: tuple[FolderRows, ...]
    dead: tuple[str, ...]
    """Compacted runs whose rows no longer count."""
    events: tuple[JournalEvent, ...]

    def files(self) -> list[str]:
        """Every Parquet file of the compacted history."""
        return [
            str(part_path(self.history, part.id, view.name))
            for part in self.manifest.parts
            for view in FROM_FOLDERS
        ]

    def fresh_rows(self, view: str) -> list[Row]:
        """The fresh folders' rows of a view."""
        return [row for folder in self.fresh for row in folder.fitting_rows(view)]

    def fresh_table(self, view: str) -> pa.Table:
        """The same as an Arrow table."""
        import pyarrow as pa

        tables = [folder.table(view) for folder in self.fresh]
        return pa.concat_tables(tables) if tables else schema_of(view).empty_table()

    def faults(self) -> tuple[str, ...]:
        """What is wrong with folders, as far as they were read; one file may harm two views."""
        told = (fault for folder in self.fresh for fault in folder.faults.values())
        return tuple(dict.fromkeys(told))


class _Memory:
    """What one process remembers of one home folder."""

    def __init__(self, ws: Workspace) -> None:
        self.lock = threading.Lock()
        self._ws = ws
        self._scanner = Scanner(ws.runs)
        self._manifest = Manifest()
        self._folders: dict[Path, tuple[object, FolderRows]] = {}
        self._events: tuple[int, tuple[JournalEvent, ...]] = (0, ())

    def look(self, *, full: bool) -> Snapshot:
        self._manifest = current_manifest(self._ws.history, self._manifest)
        found = self._scanner.look(self._manifest, full=full)
        folders = {run.path: self._rows(run) for run in found.fresh}
        self._folders = folders
        rows = tuple(rows for _, rows in folders.values())
        return Snapshot(self._ws.history, self._manifest, rows, found.dead, self._journal())

    def _rows(self, run: FreshRun) -> tuple[object, FolderRows]:
        """The folder's rows, read again where a sign changed or its heart must be felt."""
        signs = _signs(run.path)
        before = self._folders.get(run.path)
        if before and before[0] == signs and before[1].state in ENDED:
            return before
        return signs, FolderRows(run)

    def _journal(self) -> tuple[JournalEvent, ...]:
        """The events; files are only ever added, so the folder's time tells of news."""
        try:
            found = self._ws.journal.stat()
        except (FileNotFoundError, NotADirectoryError):
            return ()
        names = (found.st_mtime_ns, sum(1 for _ in self._ws.journal.iterdir()))
        if self._events[0] != hash(names):
            self._events = (hash(names), tuple(Journal(self._ws.journal).events()))
        return self._events[1]


_memories: dict[Path, _Memory] = {}
_memories_lock = threading.Lock()


def take_snapshot(ws: Workspace, *, full: bool = False) -> Snapshot:
    """The history now; `full` looks at every folder, whatever was seen before."""
    with _memories_lock:
        memory = _memories.setdefault(ws.home, _Memory(ws))
    with memory.lock:
        return memory.look(full=full)


def current_manifest(history: Path, known: Manifest | None = None) -> Manifest:
    """The newest whole manifest all of whose parts are there; an empty one where there is none."""
    for number in newest_numbers(history):
        if known and known.number == number and _whole(history, known):
            return known
        manifest = read_manifest(history, number)
        if manifest and _whole(history, manifest):
            return manifest
    return Manifest()


def _whole(history: Path, manifest: Manifest) -> bool:
    return all(
        part_path(history, part.id, view.name).is_file()
        for part in manifest.parts
        for view in FROM_FOLDERS
    )


def _signs(path: Path) -> object:
    """Changes with every change of the run's files: a renamed one has another inode."""
    try:
        inode = (path / "run.json").stat().st_ino
    except OSError:
        inode = 0
    return inode, stamp_of(signs_of(path))
