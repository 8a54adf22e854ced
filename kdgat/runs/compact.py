"""Compaction: rows of runs that have ended, from many small files into a few Parquet parts.

Each step writes new files beside the old ones and then commits a manifest version, so a process
killed at any instant leaves the version before or the version after; a repeat goes on from there.
Files that only older versions need are deleted by a compaction an hour later, so a reader keeps
what it began with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from kdgat.errors import HistoryError, StorageError
from kdgat.runs.fresh import Found, FreshRun, Scanner
from kdgat.runs.lease import Lease, take_lease
from kdgat.runs.manifest import Manifest, commit, newest_numbers
from kdgat.runs.parts import clean, has_ended, merge_parts, write_part
from kdgat.runs.revision import Place, with_merged, with_runs, without_runs, worth_merging
from kdgat.runs.snapshot import ENDED, FolderRows, Snapshot, current_manifest, take_snapshot

if TYPE_CHECKING:
    from kdgat.workspace import Workspace

AUTOMATIC_ABOVE = 64
"""Fresh runs that have ended, above which a reader compacts."""
BATCH_RUNS = 500
"""Runs that are read and committed at once."""

Outcome = Literal["compacted", "nothing to do", "busy", "would compact"]


@dataclass(frozen=True)
class Compaction:
    """What a compaction did, or would do."""

    outcome: Outcome
    runs: int = 0
    """Runs whose rows were written, or would be."""
    gone: int = 0
    """Runs whose folder is gone and whose rows were dropped."""
    fresh: int = 0
    """Runs left out: not ended, or something is wrong with their folder."""
    parts: int = 0
    """Parquet parts there are now."""
    version: int = 0
    """The manifest's version."""


def compact(ws: Workspace, *, dry_run: bool = False, batch_runs: int = BATCH_RUNS) -> Compaction:
    """Compact every run that has ended, merge small parts, and delete what nobody needs.

    Raises:
        StorageError: the file system refused.
        HistoryError: a compacted part is damaged.
    """
    if dry_run:
        return _foreseen(ws)
    held = take_lease(ws.history / "lease", "the history")
    if held is None:
        return Compaction("busy")
    try:
        return _compacted(ws, held, batch_runs)
    finally:
        held.release()


def _compacted(ws: Workspace, held: Lease, batch_runs: int) -> Compaction:
    # The number first: a version that another commits meanwhile then takes it from us.
    number = max(newest_numbers(ws.history), default=0) + 1
    manifest = current_manifest(ws.history)
    found = Scanner(ws.runs).look(manifest)
    steps = _Steps(ws.history, manifest, number)
    alone = steps.forget(_gone(manifest, found))
    for start in range(0, len(found.fresh), batch_runs):
        alone = alone and steps.add(found.fresh[start : start + batch_runs])
        held.check()
    alone = alone and steps.merge()
    clean(ws.history)
    return steps.report() if alone else Compaction("busy")


_unfit: dict[Path, int] = {}
"""By home folder, ended runs that the last compaction of this process had to leave out."""


def compact_if_many(ws: Workspace, snapshot: Snapshot) -> tuple[Snapshot, tuple[str, ...]]:
    """Compact when more than `AUTOMATIC_ABOVE` fresh runs have ended.

    Gives the snapshot to go on with, and a warning where that did not work.
    """
    ended = _ended(snapshot)
    if ended - _unfit.get(ws.home, 0) <= AUTOMATIC_ABOVE:
        return snapshot, ()
    try:
        outcome = compact(ws).outcome
    except (StorageError, HistoryError) as error:
        return snapshot, (f"{ended} runs are not compacted: {error.problem}",)
    if outcome == "busy":
        return snapshot, ()
    snapshot = take_snapshot(ws)
    _unfit[ws.home] = _ended(snapshot)
    return snapshot, ()


class _Steps:
    """The manifest as it grows, one committed version after another."""

    def __init__(self, history: Path, manifest: Manifest, number: int) -> None:
        self._history = history
        self._manifest = manifest
        self._number = number
        self._runs = self._gone = self._seen = self._written = 0

    def forget(self, gone: list[Place]) -> bool:
        """Drop runs whose folders are gone; False when another compaction came between."""
        self._gone = len(gone)
        return not gone or self._commit(without_runs(self._manifest, gone))

    def add(self, batch: Sequence[FreshRun]) -> bool:
        """Write the rows of runs; False when another compaction came between."""
        self._seen += len(batch)
        part, kept = write_part(self._history, batch)
        if part is None:
            return True
        self._runs += len(kept)
        places = {(run.parent, run.run_id): each for run, each in kept.items()}
        return self._commit(with_runs(self._manifest, part, places))

    def merge(self) -> bool:
        """Merge small parts; False when another compaction came between."""
        old = worth_merging(self._manifest.parts)
        if not old:
            return True
        new = merge_parts(self._history, old)
        return self._commit(with_merged(self._manifest, old, new))

    def report(self) -> Compaction:
        """What was done."""
        parts = len(self._manifest.parts)
        outcome: Outcome = "compacted" if self._written else "nothing to do"
        left = self._seen - self._runs
        return Compaction(outcome, self._runs, self._gone, left, parts, self._manifest.number)

    def _commit(self, manifest: Manifest) -> bool:
        manifest = replace(manifest, number=self._number)
        if not commit(self._history, manifest):
            return False
        self._manifest = manifest
        self._number += 1
        self._written += 1
        return True


def _foreseen(ws: Workspace) -> Compaction:
    manifest = current_manifest(ws.history)
    found = Scanner(ws.runs).look(manifest)
    ended = sum(1 for run in found.fresh if has_ended(FolderRows(run)))
    gone = len(_gone(manifest, found))
    return Compaction(
        "would compact" if ended or gone else "nothing to do",
        ended,
        gone,
        len(found.fresh) - ended,
        len(manifest.parts),
        manifest.number,
    )


def _gone(manifest: Manifest, found: Found) -> list[Place]:
    """Compacted runs whose rows no longer count and that have no folder to read again."""
    dead = set(found.dead)
    there = {(run.parent, run.run_id) for run in found.fresh}
    return [
        (parent, run_id)
        for parent, runs in manifest.folders.items()
        for run_id in dead & runs.keys()
        if (parent, run_id) not in there
    ]


def _ended(snapshot: Snapshot) -> int:
    return sum(1 for folder in snapshot.fresh if folder.state in ENDED)
