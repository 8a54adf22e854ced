"""Parquet parts of the compacted history: written from run folders, merged, and deleted."""

from __future__ import annotations

import shutil
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kdgat.errors import HistoryError
from kdgat.ledger.files import atomic_path, storage_error
from kdgat.ledger.states import RESUMABLE, State
from kdgat.runs.fresh import FreshRun, signs_of, stamp_of
from kdgat.runs.held import quoted
from kdgat.runs.manifest import (
    Kept,
    Part,
    manifest_path,
    newest_numbers,
    part_path,
    read_manifest,
)
from kdgat.runs.rows import Row
from kdgat.runs.snapshot import ENDED, FolderRows
from kdgat.runs.tables import table_of
from kdgat.runs.views import FROM_FOLDERS

if TYPE_CHECKING:
    import pyarrow as pa

GRACE_S = 3600.0
"""Seconds that a version's files stay after a newer version came."""
OLD_LOST_S = 24 * 3600.0
"""Seconds without a change after which a lost run counts as ended."""
_TICK_S = 0.02
"""Longer than one tick of a local file system's clock."""
_ROW_GROUP = 50_000
_ORDER = {
    "runs": ("run_id",),
    "params": ("name", "run_id"),
    "metrics": ("name", "run_id"),
    "epochs": ("run_id", "epoch", "name"),
    "variants": ("name", "run_id"),
}
"""How a part's rows lie: a question about one figure of all runs then reads little."""


def write_part(
    history: Path, batch: Iterable[FreshRun]
) -> tuple[Part | None, dict[FreshRun, Kept]]:
    """Write the rows of those runs that have ended and are whole.

    A folder that changes while it is read is left for the next time.

    Raises:
        StorageError: the file system refused.
    """
    name = new_part_id()
    kept: dict[FreshRun, Kept] = {}
    rows: dict[str, list[Row]] = {view.name: [] for view in FROM_FOLDERS}
    waiting = list(batch)
    for turn in range(2):
        if turn:
            time.sleep(_TICK_S)
        # A file written twice within one tick of the clock bears one time; so only what is older
        # than the tick may be known by its times from now on.
        now_ns = _clock_ns(history)
        late: list[FreshRun] = []
        for run in waiting:
            signs = _signs(run)
            folder = FolderRows(run)
            if signs is None or not has_ended(folder):
                continue
            if signs.newest_ns >= now_ns:
                late.append(run)
                continue
            found = {view: folder.rows(view) for view in rows}
            if folder.faults or _signs(run) != signs:
                continue
            kept[run] = Kept(name, signs.folder_ns, signs.stamp, folder.state in RESUMABLE)
            for view, each in found.items():
                rows[view] += each
        waiting = late
        if not waiting:
            break
    if not kept:
        return None, {}
    try:
        tables = {view: table_of(view, each) for view, each in rows.items()}
    except ValueError:
        # Some value fits no column: without the runs that have one.
        fitting = [run for run in kept if _fits(FolderRows(run))]
        return write_part(history, fitting) if len(fitting) < len(kept) else (None, {})
    for view, table in tables.items():
        _write(part_path(history, name, view), view, table)
    return Part(name, len(kept)), kept


def merge_parts(history: Path, parts: tuple[Part, ...]) -> Part | None:
    """Write the living rows of some parts into one; None when none of their runs lives.

    Raises:
        StorageError: the file system refused.
        HistoryError: a part can't be read.
    """
    alive = sum(part.runs - len(part.dead) for part in parts)
    if not alive:
        return None
    name = new_part_id()
    for view, order in _ORDER.items():
        with atomic_path(part_path(history, name, view)) as aside:
            _merge_into(aside, history, parts, view, order)
    return Part(name, alive)


def has_ended(rows: FolderRows) -> bool:
    """Whether a run's rows will stay as they are, unless it is resumed."""
    if rows.state == State.LOST:
        try:
            changed = rows.run.path.stat().st_mtime
        except OSError:
            return False
        return time.time() - changed > OLD_LOST_S
    return rows.state in ENDED


def clean(history: Path) -> None:
    """Delete versions that were replaced long ago, and files that no other version needs.

    Raises:
        StorageError: the file system refused.
    """
    long_ago = time.time() - GRACE_S
    newer_at = float("inf")
    needed: set[str] = set()
    try:
        for number in newest_numbers(history):
            path = manifest_path(history, number)
            manifest = read_manifest(history, number)
            if newer_at < long_ago and path.stat().st_mtime < long_ago:
                path.unlink(missing_ok=True)
            elif manifest is not None:
                needed |= {part.id for part in manifest.parts}
            if manifest is not None:
                newer_at = path.stat().st_mtime if path.exists() else newer_at
        for path in (*(history / "parts").glob("*"), *history.glob(".partial-*")):
            unneeded = path.name.rsplit("-", 1)[0] not in needed
            if unneeded and path.stat().st_mtime < long_ago:
                _remove(path)
    except FileNotFoundError:
        # Another compaction cleaned at the same time; what is left is left for the next.
        return
    except OSError as error:
        raise storage_error(history, error) from error


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def new_part_id() -> str:
    """A name for a part that no other has; it sorts by time."""
    return f"{time.time_ns() // 1_000_000:013d}{uuid.uuid4().hex[:8]}"


def _fits(folder: FolderRows) -> bool:
    for view in FROM_FOLDERS:
        folder.table(view.name)
    return not folder.faults


class _Signs(NamedTuple):
    """What tells that a run's files changed, and the time of the newest change, nanoseconds."""

    folder_ns: int
    stamp: str
    newest_ns: int


def _signs(run: FreshRun) -> _Signs | None:
    try:
        folder_ns = run.path.stat().st_mtime_ns
    except OSError:
        return None
    files = list(signs_of(run.path))
    return _Signs(folder_ns, stamp_of(files), max(folder_ns, *(changed for changed, _ in files)))


def _clock_ns(history: Path) -> int:
    """The time of a file that is written now: a file server's clock may not be ours."""
    probe = history / f".partial-clock-{uuid.uuid4().hex}"
    try:
        history.mkdir(parents=True, exist_ok=True)
        probe.touch()
        try:
            return probe.stat().st_mtime_ns
        finally:
            probe.unlink()
    except OSError as error:
        raise storage_error(history, error) from error


def _write(path: Path, view: str, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    table = table.sort_by([(name, "ascending") for name in _ORDER[view]])
    with atomic_path(path) as aside:
        pq.write_table(table, aside, compression="zstd", row_group_size=_ROW_GROUP)


def _merge_into(
    aside: Path, history: Path, parts: tuple[Part, ...], view: str, order: tuple[str, ...]
) -> None:
    import duckdb

    sources = []
    for part in parts:
        dead = ", ".join(map(quoted, part.dead))
        sources.append(
            f"select * from read_parquet({quoted(str(part_path(history, part.id, view)))})"
            + (f" where run_id not in ({dead})" if dead else "")
        )
    rows = f"select * from ({' union all '.join(sources)}) order by {', '.join(order)}"
    options = f"format parquet, compression zstd, row_group_size {_ROW_GROUP}"
    try:
        with duckdb.connect(":memory:", config={"threads": 2}) as database:
            # What does not fit into memory spills beside the parts, and is cleaned with them.
            spilled = history / f".partial-merge-{uuid.uuid4().hex}"
            database.execute(f"set temp_directory = {quoted(str(spilled))}")
            database.execute(f"copy ({rows}) to {quoted(str(aside))} ({options})")
    except duckdb.Error as error:
        raise HistoryError(
            f"the compacted history can't be merged: {str(error).splitlines()[0]}",
            hint=f"delete '{history}'; it is made again from the runs",
        ) from error
