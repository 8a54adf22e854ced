"""Replay run folders into MLflow: idempotent, resumable, one writer at a time.

The folders are the truth. An MLflow run is found again by a tag, gets what it lacks, and a stamp as
its last tag; whatever is cut short has no stamp and is gone through again. What is already there is
asked of SQLite, so that a sync with nothing to do never imports MLflow.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kdgat.errors import KdgatError, RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.journal import Journal, Standing
from kdgat.ledger.scan import LATEST, find_run, run_folders
from kdgat.progress import Progress, quiet
from kdgat.runs.lease import Lease, hold_lease
from kdgat.runs.mirror import is_settled, mirror_of, stamp_of, with_state
from kdgat.runs.model_mirror import mirror_models, models_to_mirror
from kdgat.runs.store import (
    LOCK_WAIT_S,
    Mirrored,
    check_place,
    delete_store,
    mirrored,
    mirrored_by_search,
    open_store,
    remove_leftovers,
    retried,
)
from kdgat.runs.writer import RunWriter, restore_experiments
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

NO_SYNC = "KDGAT_NO_SYNC"
"""Environment variable that, set to 1, leaves runs out of MLflow until somebody syncs."""


@dataclass(frozen=True)
class SyncReport:
    """What a sync did, by run id."""

    store: str
    created: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    """Removed from the ledger, and now from MLflow (which keeps them as deleted)."""
    unchanged: int = 0
    models: tuple[str, ...] = ()
    """Registered models that were brought up to date."""
    notes: tuple[str, ...] = ()
    """What was met and mended, such as an experiment that had been deleted."""
    failed: tuple[str, ...] = ()
    """A sentence for each run that can't be synced; the others are."""


@dataclass
class _Work:
    """What is to be done, and what was."""

    stale: list[tuple[RunFolder, str]] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unchanged: int = 0
    created: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)


def sync_runs(
    ws: Workspace,
    *,
    runs: Sequence[str] | None = None,
    rebuild: bool = False,
    progress: Progress = quiet,
    lock_wait_s: float = LOCK_WAIT_S,
) -> SyncReport:
    """Bring MLflow up to date with the run folders and the registered models.

    Args:
        ws: the workspace.
        runs: ids of runs (or their beginnings); None for all that there are.
        rebuild: delete the store and make it again.
        progress: told of every run.
        lock_wait_s: seconds to wait while another program is writing to the store.

    Raises:
        RunError: a run that was named does not exist.
        StorageError: another sync is going on, or the store is locked or can't be written.
    """
    folders = _folders(ws, runs)
    standing = Journal(ws.journal).standing()
    if not rebuild and (work := _nothing_to_do(ws, folders, standing)) is not None:
        return _report(ws, work)
    with hold_lease(ws.mlflow / "lease", "the MLflow store") as held:
        remove_leftovers(ws.mlflow)
        if rebuild:
            delete_store(ws.mlflow)
        with open_store(ws.mlflow, lock_wait_s) as client:
            work = _sync(ws, client, held, folders, standing, progress, lock_wait_s)
    return _report(ws, work)


def pending(ws: Workspace) -> tuple[str, ...]:
    """Ids of the runs that MLflow does not have as they are now; cheap, without MLflow itself.

    Raises:
        StorageError: the store is locked.
    """
    standing = Journal(ws.journal).standing()
    work = _compare(run_folders(ws.runs), standing, mirrored(ws.mlflow))
    return tuple(folder.path.name for folder, _ in work.stale) + tuple(work.gone)


def sync_after(ws: Workspace, run_id: str, what: str | None = None) -> str | None:
    """Sync one run of which something is new; never raises, because that itself went well.

    Args:
        ws: the workspace.
        run_id: the run.
        what: what is new, as a sentence begins with it; by default the run.

    Returns:
        None, or one sentence that says why it is not in MLflow yet. It is also an event of the run.
        With `KDGAT_NO_SYNC=1` nothing is done.
    """
    if os.environ.get(NO_SYNC, "") not in ("", "0"):
        return None
    try:
        failed = sync_runs(ws, runs=[run_id]).failed
        reason = failed[0] if failed else None
    except KdgatError as error:
        reason = error.problem
    except Exception as error:  # Whatever a tracker does, it never fails a run.
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if reason is None:
        return None
    _tell(ws, run_id, reason)
    new = what or f"run '{run_id}'"
    return f"{new} is not in MLflow yet: {reason} (`kdgat runs sync` tries again)"


def _tell(ws: Workspace, run_id: str, reason: str) -> None:
    """Keep the reason in the run's events, where that is possible."""
    try:
        find_run(ws.runs, run_id, journal=Journal(ws.journal)).event("sync_failed", reason=reason)
    except KdgatError:
        # The caller gets the sentence; a folder that takes no event is told by `runs repair`.
        return


def _folders(ws: Workspace, runs: Sequence[str] | None) -> list[RunFolder]:
    """The folders of the runs that were named, or all, oldest first."""
    if runs is None:
        return run_folders(ws.runs)[::-1]

    def found(run: str) -> RunFolder:
        return find_run(ws.runs, run, journal=Journal(ws.journal))

    if LATEST in runs:
        return [found(run) for run in runs]
    folders = {folder.path.name: folder for folder in run_folders(ws.runs)}
    return [folders[run] if run in folders else found(run) for run in runs]


def _nothing_to_do(ws: Workspace, folders: list[RunFolder], standing: Standing) -> _Work | None:
    """The work if there is none, found without MLflow; None when it takes MLflow to tell."""
    try:
        work = _compare(folders, standing, mirrored(ws.mlflow))
        idle = not (work.stale or work.gone or models_to_mirror(ws))
    except sqlite3.Error:
        return None
    return work if idle else None


def _compare(
    folders: Iterable[RunFolder], standing: Standing, held: dict[str, list[Mirrored]]
) -> _Work:
    """Which folders MLflow does not have as they are now."""
    work = _Work()
    work.gone = [
        run_id
        for run_id in sorted(standing.removed & set(held))
        if any(copy.active for copy in held[run_id])
    ]
    for folder in folders:
        run_id = folder.path.name
        if run_id in standing.removed:
            continue
        stamp = stamp_of(folder, archived=run_id in standing.archived)
        try:
            unchanged = _is_unchanged(folder, stamp, held.get(run_id, []))
        except RunError as error:
            work.failed.append(error.problem)
            continue
        if unchanged:
            work.unchanged += 1
        else:
            work.stale.append((folder, stamp))
    return work


def _is_unchanged(folder: RunFolder, stamp: str, copies: list[Mirrored]) -> bool:
    good = [copy for copy in copies if copy.active and not copy.superseded]
    if len(good) != 1 or any(copy.active and copy.superseded for copy in copies):
        # Also when there is none: then the record must be readable to say anything.
        folder.record()
        return False
    kept = good[0].stamp
    return is_settled(stamp, kept) or kept == with_state(stamp, folder.current().state)


def _sync(
    ws: Workspace,
    client: MlflowClient,
    held: Lease,
    folders: list[RunFolder],
    standing: Standing,
    progress: Progress,
    lock_wait_s: float,
) -> _Work:
    notes = retried(ws.mlflow, lock_wait_s, lambda: restore_experiments(client, ws.runs))
    check_place(ws.mlflow)
    copies = _copies(ws.mlflow, client)
    work = _compare(folders, standing, copies)
    work.notes += notes
    writer = RunWriter(client, ws.mlflow)
    for run_id in work.gone:
        retried(ws.mlflow, lock_wait_s, lambda of=run_id: writer.delete(copies[of]))
    for number, (folder, stamp) in enumerate(work.stale):
        held.check()
        progress("syncing runs with MLflow", number, len(work.stale))
        run_id = folder.path.name
        _sync_one(ws, writer, folder, stamp, standing, copies.get(run_id, []), work, lock_wait_s)
    progress("runs are in MLflow", len(work.stale), len(work.stale))
    if models_to_mirror(ws):
        held.check()
        done = retried(ws.mlflow, lock_wait_s, lambda: mirror_models(ws, client))
        work.models += done.models
        work.notes += done.notes
    return work


def _copies(store: Path, client: MlflowClient) -> dict[str, list[Mirrored]]:
    try:
        return mirrored(store)
    except sqlite3.Error:
        return mirrored_by_search(client)


def _sync_one(
    ws: Workspace,
    writer: RunWriter,
    folder: RunFolder,
    stamp: str,
    standing: Standing,
    copies: list[Mirrored],
    work: _Work,
    lock_wait_s: float,
) -> None:
    """Bring one run up to date; what is wrong with it is told, and stops no other."""
    from mlflow.exceptions import MlflowException

    run_id = folder.path.name
    try:
        record = folder.current()
        archived = run_id in standing.archived
        mirror = mirror_of(folder, record, archived=archived, home=ws.home)
        kept = with_state(stamp, record.state)
        # Tried again, it must not go by what was there before the first try.
        tries: Iterator[list[Mirrored]] = iter([copies])
        created = retried(
            ws.mlflow,
            lock_wait_s,
            lambda: writer.write(
                mirror, kept, next(tries, None) or _copies(ws.mlflow, writer.client).get(run_id, [])
            ),
        )
    except RunError as error:
        work.failed.append(error.problem)
    except MlflowException as error:
        work.failed.append(f"MLflow refused run '{run_id}': {' '.join(str(error).split())[:300]}")
    else:
        (work.created if created else work.updated).append(run_id)


def _report(ws: Workspace, work: _Work) -> SyncReport:
    return SyncReport(
        store=ws.show(ws.mlflow),
        created=tuple(work.created),
        updated=tuple(work.updated),
        deleted=tuple(work.gone),
        unchanged=work.unchanged,
        models=tuple(work.models),
        notes=tuple(work.notes),
        failed=tuple(work.failed),
    )
