"""What among the runs is no whole run, and what can be done about it.

Only what is kdgat's own is ever changed: a run whose process died is written down as lost,
leftovers of killed writers are swept, a removal that was begun is finished. What is foreign or
corrupt is named and left.
"""

from __future__ import annotations

import shlex
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kdgat.errors import RunError, StorageError
from kdgat.ledger.files import read_lines
from kdgat.ledger.folder import RunFolder, place_of
from kdgat.ledger.journal import Journal
from kdgat.ledger.record import RunRecord
from kdgat.ledger.removal import REMOVED, sweep, take_away
from kdgat.ledger.states import State

LEFTOVER_AFTER_S = 86_400.0
"""Seconds after which nobody is still writing a file aside."""
_ASIDE = ".partial-"
_OLD = ".partial-old-"
_DEPTH = 3
_LOGS = ("metrics.jsonl", "events.jsonl")

Action = Literal["marked lost", "swept", "removed", "left"]


@dataclass(frozen=True)
class Fault:
    """Something among the runs that is no whole run."""

    path: Path
    fault: str
    action: Action
    next_step: str
    """What the user can do; empty where nothing is left to do."""


def find_faults(runs: Path, journal: Journal) -> list[Fault]:
    """Everything that is wrong among the runs and in the journal, in order of path."""
    if runs.exists() and not runs.is_dir():
        return [_left(runs, "a file where the folder of all runs should be")]
    removed = journal.standing().removed
    faults, folders = _layout(runs, removed)
    whole: list[tuple[Path, RunRecord]] = []
    for path in folders:
        found, record = _inside(path, runs)
        faults += found
        if record is not None:
            whole.append((path, record))
    faults += [*_duplicates(whole), *_journal_faults(journal)]
    return sorted(faults, key=lambda fault: str(fault.path))


def mend(fault: Fault) -> Fault:
    """Do what the fault says; what the file system refuses is left, and says why."""
    try:
        match fault.action:
            case "marked lost":
                RunFolder(fault.path).mark_lost()
            case "swept":
                sweep(fault.path)
            case "removed":
                take_away(fault.path)
            case "left":
                pass
    except (RunError, StorageError) as error:
        return replace(fault, action="left", next_step=f"{error.problem}; {error.hint}")
    return fault


def _layout(runs: Path, removed: frozenset[str]) -> tuple[list[Fault], list[Path]]:
    """What lies wrong at the three levels, and the folders that should be runs."""
    faults: list[Fault] = []
    folders: list[Path] = []
    open_folders = [(runs, 1)] if runs.exists() else []
    while open_folders:
        parent, depth = open_folders.pop()
        try:
            paths = sorted(parent.iterdir())
        except OSError as error:
            faults.append(_unreadable(parent, error))
            continue
        for path in paths:
            if (fault := _misplaced(path, depth, removed)) is not None:
                faults.append(fault)
            elif path.name.startswith(_ASIDE):
                faults += _leftovers([path])
            elif depth == _DEPTH:
                folders.append(path)
            else:
                open_folders.append((path, depth + 1))
    return faults, folders


def _misplaced(path: Path, depth: int, removed: frozenset[str]) -> Fault | None:
    """What is wrong with an entry at this level, by its name and kind alone."""
    run_id = path.name.removeprefix(REMOVED)
    if path.name.startswith(_ASIDE):
        return None
    if depth == _DEPTH and run_id in removed and not _lives(path):
        return Fault(
            path, f"run '{run_id}' was removed, and its folder is still here", "removed", ""
        )
    if path.name.startswith(REMOVED):
        return _left(path, "named like a removed run, and no event says that it was removed")
    if not path.is_dir():
        return _left(path, "a file where only folders of runs should be")
    if depth < _DEPTH and (path / "run.json").exists():
        return _left(path, f"a run at level {depth} of <dataset>/<size>_<stage>/<run_id>")
    return None


def _inside(path: Path, runs: Path) -> tuple[list[Fault], RunRecord | None]:
    """What is wrong with a folder that should be a run, and its record where it has one."""
    folder = RunFolder(path)
    try:
        record, written = folder.current(), folder.record()
    except RunError as error:
        # Between the listing and now it may have been removed.
        return [Fault(path, error.problem, "left", error.hint)] if path.exists() else [], None
    faults: list[Fault] = []
    if record.state is State.LOST and written.state is not State.LOST:
        again = "the same command resumes it, `kdgat runs rm` removes it"
        faults.append(Fault(path, record.reason or "lost", "marked lost", again))
    faults += _wrong_place(path, runs, record)
    try:
        folder.config()
    except RunError as error:
        faults.append(Fault(path, error.problem, "left", error.hint))
    if record.state is not State.RUNNING:
        try:
            faults += [*_torn(path), *_leftovers(sorted(path.rglob(f"{_ASIDE}*")))]
        except OSError as error:
            faults.append(_unreadable(path, error))
    return faults, record


def _wrong_place(path: Path, runs: Path, record: RunRecord) -> Iterator[Fault]:
    place = place_of(runs, record)
    if path != place:
        move = f"mv {shlex.quote(str(path))} {shlex.quote(str(place))}"
        step = "compare the two, and move one away" if place.exists() else move
        yield Fault(path, f"its record belongs in '{place}'", "left", step)


def _torn(path: Path) -> Iterator[Fault]:
    """Logs with lines that are no JSON objects; a running job may be writing one."""
    for name in _LOGS:
        log = path / name
        if not log.is_file():
            continue
        lines = sum(bool(line.strip()) for line in log.read_bytes().split(b"\n"))
        if torn := lines - len(read_lines(log)):
            step = "nothing needs to be done: readers pass over torn lines"
            yield Fault(log, f"{torn} of {lines} lines are torn", "left", step)


def _leftovers(paths: Iterable[Path]) -> Iterator[Fault]:
    """Files and folders that a killed writer left aside, once nobody can be writing them."""
    for path in paths:
        try:
            age_s = time.time() - _newest(path)
        except FileNotFoundError:
            # Its writer has just renamed it.
            continue
        if age_s < LEFTOVER_AFTER_S:
            continue
        if path.name.startswith(_OLD) and not _final(path).exists():
            move = f"mv {shlex.quote(str(path))} {shlex.quote(str(_final(path)))}"
            yield Fault(path, "what a killed writer was about to replace", "left", move)
        else:
            yield Fault(path, f"left by a killed writer {age_s / 86_400:.0f} days ago", "swept", "")


def _newest(path: Path) -> float:
    """The newest time of change in a tree, seconds since 1970."""
    parts = (path, *path.rglob("*")) if path.is_dir() else (path,)
    return max(part.lstat().st_mtime for part in parts)


def _final(old: Path) -> Path:
    """The name of what was put aside as `.partial-old-<8 digits>-<name>`."""
    return old.with_name(old.name[len(_OLD) + 9 :] or old.name)


def _duplicates(whole: list[tuple[Path, RunRecord]]) -> Iterator[Fault]:
    places: dict[str, list[Path]] = defaultdict(list)
    for path, record in whole:
        places[record.run_id].append(path)
    for run_id, paths in places.items():
        for path in paths if len(paths) > 1 else ():
            others = ", ".join(f"'{other}'" for other in paths if other != path)
            step = "keep one of them, and move the others out of the runs"
            yield Fault(path, f"run '{run_id}' is here and in {others}", "left", step)


def _journal_faults(journal: Journal) -> Iterator[Fault]:
    for error in journal.broken():
        yield Fault(journal.folder, error.problem, "left", error.hint)
    if journal.folder.is_dir():
        yield from _leftovers(sorted(journal.folder.glob(f"{_ASIDE}*")))


def _lives(path: Path) -> bool:
    """Whether a process works in this run's folder."""
    try:
        return RunFolder(path).current().state is State.RUNNING
    except RunError:
        return False


def _left(path: Path, fault: str) -> Fault:
    return Fault(path, fault, "left", "move it out of the runs, or delete it")


def _unreadable(path: Path, error: OSError) -> Fault:
    return Fault(path, f"can't be read: {error.strerror or error}", "left", "ask its owner")
