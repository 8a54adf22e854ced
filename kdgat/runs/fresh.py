"""Which runs the compacted history does not hold, or not as they are now.

Looking at ten thousand folders takes longer than a query may. A new folder changes the time of the
folder it lies in; a run that goes on changes its own folder's (`run.json` and `heartbeat` are
renamed into it). So in a process that looked before, only changed parents are listed, and of the
compacted runs only those that may go on are looked at; every `FULL_CHECK_S` all are.
"""

# Paths stay plain text here: making ten thousand of pathlib's takes longer than looking at them.
# ruff: noqa: PTH110, PTH116, PTH118

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from kdgat.runs.manifest import Kept, Manifest

FULL_CHECK_S = 10.0
"""Seconds after which a process looks at every folder again."""
_SETTLED_NS = 2_000_000_000
"""A folder changed within so many nanoseconds may change again within one tick of its clock."""
_READ_FROM = ("run.json", "config.json", "metrics.jsonl", "artifacts/evaluation.json")


@dataclass(frozen=True)
class FreshRun:
    """A folder whose rows must be read; `parent` is `<dataset>/<kind>`."""

    path: Path
    parent: str

    @property
    def run_id(self) -> str:
        """The folder's name."""
        return self.path.name


@dataclass
class _Parent:
    """What one look at `<dataset>/<kind>` found."""

    mtime_ns: int
    settled: bool
    fresh: list[str] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)
    watched: dict[str, int] = field(default_factory=dict)
    """Folders that may become or go on as runs, and their times when they were looked at."""


@dataclass(frozen=True)
class Found:
    """Fresh runs, and compacted ones whose rows no longer count."""

    fresh: tuple[FreshRun, ...]
    dead: tuple[str, ...]


class Scanner:
    """Looks at one ledger, and remembers what it saw. Not safe for threads."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._seen: dict[str, _Parent] = {}
        self._number = -1
        self._full_at = 0.0

    def look(self, manifest: Manifest, *, full: bool = False) -> Found:
        """What is fresh beside `manifest`; `full` trusts nothing seen before."""
        now = time.monotonic()
        if full or manifest.number != self._number or now - self._full_at > FULL_CHECK_S:
            self._seen, self._number, self._full_at = {}, manifest.number, now
        seen: dict[str, _Parent] = {}
        for name, path in _parents(self._runs):
            seen[name] = self._parent(name, path, manifest.folders.get(name, {}))
        self._seen = seen
        gone = [run for name in manifest.folders.keys() - seen.keys()
                for run in manifest.folders[name]]  # fmt: skip
        dead = {*gone, *(run for parent in seen.values() for run in parent.dead)}
        return Found(self._fresh(manifest, dead), tuple(sorted(dead)))

    def _fresh(self, manifest: Manifest, dead: set[str]) -> tuple[FreshRun, ...]:
        """One folder for each run id: of copies the compacted one counts, or the first."""
        fresh: dict[str, FreshRun] = {}
        for name, parent in self._seen.items():
            for run_id in parent.fresh:
                copied = run_id not in dead and any(run_id in m for m in manifest.folders.values())
                if not copied:
                    fresh.setdefault(run_id, FreshRun(self._runs / name / run_id, name))
        return tuple(fresh.values())

    def _parent(self, name: str, path: str, kept: dict[str, Kept]) -> _Parent:
        try:
            mtime_ns = os.stat(path).st_mtime_ns
            before = self._seen.get(name)
            if before and before.settled and before.mtime_ns == mtime_ns and _unmoved(path, before):
                return before
            return _list(path, mtime_ns, kept)
        except OSError:
            # Removed meanwhile, or not ours to read: its runs are not there for us.
            return _Parent(0, False, dead=list(kept))


def signs_of(folder: str | os.PathLike[str]) -> Iterator[tuple[int, int]]:
    """Times (nanoseconds) and sizes of the files a run's rows are read from, absent ones too."""
    for name in _READ_FROM:
        try:
            found = os.stat(os.path.join(folder, name))
            yield found.st_mtime_ns, found.st_size
        except OSError:
            yield 0, 0


def stamp_of(signs: Iterable[tuple[int, int]]) -> str:
    """Signs as text, to be compared."""
    return " ".join(f"{m:x}.{s:x}" for m, s in signs)


def _list(path: str, mtime_ns: int, kept: dict[str, Kept]) -> _Parent:
    parent = _Parent(mtime_ns, time.time_ns() - mtime_ns > _SETTLED_NS)
    there = set()
    with os.scandir(path) as entries:
        for entry in entries:
            run_id = entry.name
            if run_id.startswith("."):
                continue
            known = kept.get(run_id)
            if known is None:
                if os.path.exists(os.path.join(entry.path, "run.json")):
                    parent.fresh.append(run_id)
                elif entry.is_dir():
                    # Its record may be about to be renamed into it.
                    parent.watched[run_id] = entry.stat().st_mtime_ns
                continue
            there.add(run_id)
            moved_ns = entry.stat().st_mtime_ns
            if moved_ns != known.folder_mtime_ns and stamp_of(signs_of(entry.path)) != known.stamp:
                parent.fresh.append(run_id)
                parent.dead.append(run_id)
            elif known.resumable:
                parent.watched[run_id] = moved_ns
    parent.dead += kept.keys() - there
    parent.fresh.sort()
    return parent


def _unmoved(path: str, parent: _Parent) -> bool:
    """Whether no compacted run that may go on has changed since."""
    return all(
        os.stat(os.path.join(path, run_id)).st_mtime_ns == moved_ns
        for run_id, moved_ns in parent.watched.items()
    )


def _parents(runs: Path) -> Iterator[tuple[str, str]]:
    """Every `<dataset>/<kind>` folder and its path, in order."""
    for dataset, path in _folders(runs):
        for kind, inner in _folders(path):
            yield f"{dataset}/{kind}", inner


def _folders(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    try:
        with os.scandir(path) as entries:
            found = [(e.name, e.path) for e in entries if not e.name.startswith(".") and e.is_dir()]
    except OSError:
        # The same: a folder that nobody can list holds no runs.
        return []
    return sorted(found)
