"""Bringing a backup back: checked first, then what is lacking, and never over what is newer.

A run that is here with the very record of the backup gets the files that it lacks: a purge takes
single files. One whose record is another stays as it is where anything of it is newer than the
backup's, and otherwise gives way as a whole. Whatever else is here already stays.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kdgat.backups.manifest import Backup, Kept
from kdgat.backups.reading import DERIVED, files_below
from kdgat.errors import BackupError, RunError
from kdgat.ledger.files import atomic_path, content_hash
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.journal import Journal
from kdgat.ledger.states import State
from kdgat.progress import Progress, quiet

_RECORD = "run.json"
_DEPTH = 4
"""Parts of a run's path: runs, dataset, kind, run id."""

Action = Literal["whole", "filled", "replaced", "unchanged", "kept", "removed since"]


@dataclass(frozen=True)
class RunPlan:
    """What becomes of one run of the backup."""

    path: str
    """Its folder in the home."""
    action: Action
    files: tuple[str, ...]
    """Files that are written, by path in the home."""


@dataclass(frozen=True)
class Plan:
    """What a restore would write."""

    runs: tuple[RunPlan, ...]
    others: tuple[str, ...]
    """Files of other parts, by path in the home."""
    kept: tuple[str, ...]
    """Files of other parts that are here with another content, and stay."""


def check_whole(backup: Backup) -> None:
    """Read every file of a backup.

    Raises:
        BackupError: one is missing or changed.
    """
    damaged = list(backup.damaged())
    if damaged:
        more = f" and {len(damaged) - 3} more" if len(damaged) > 3 else ""
        raise BackupError(
            f"backup '{backup.path}' is damaged: {', '.join(damaged[:3])}{more}",
            hint="nothing was written; choose an earlier one (`kdgat backup --list`)",
        )


def plan_restore(backup: Backup, home: Path) -> Plan:
    """What a restore into a home folder would write.

    Raises:
        StorageError: something there can't be read.
    """
    runs: dict[str, list[str]] = defaultdict(list)
    others, kept = [], []
    empty = {part for part in DERIVED if not any(files_below(home / part))}
    for path, file in backup.files.items():
        parts = path.split("/")
        if parts[0] == "runs" and len(parts) > _DEPTH:
            runs["/".join(parts[:_DEPTH])].append(path)
        elif not (home / path).exists():
            # What is made from the runs is mixed with nothing.
            if parts[0] not in DERIVED or parts[0] in empty:
                others.append(path)
        elif parts[0] not in DERIVED and not _same(home / path, file):
            kept.append(path)
    removed = Journal(home / "journal").standing().removed
    plans = [_plan_run(backup, home, run, paths, removed) for run, paths in sorted(runs.items())]
    return Plan(tuple(plans), tuple(others), tuple(kept))


def restore(backup: Backup, home: Path, plan: Plan, *, progress: Progress = quiet) -> None:
    """Write what was planned; the journal first, then each run as a whole or file by file.

    Raises:
        StorageError: the file system refused.
    """
    steps = [*plan.others, *(each for each in plan.runs if each.files)]
    for number, step in enumerate(steps):
        progress("restoring", number, len(steps))
        if isinstance(step, str):
            _write(backup, step, home / step)
        elif step.action == "filled":
            # The record last: without it the folder is no run.
            for path in sorted(step.files, key=lambda path: path.endswith(_RECORD)):
                _write(backup, path, home / path)
        else:
            with atomic_path(home / step.path) as aside:
                for path in step.files:
                    _copy(backup, path, aside / path.removeprefix(f"{step.path}/"))
    progress("restored", len(steps), len(steps))


def _plan_run(
    backup: Backup, home: Path, run: str, paths: list[str], removed: frozenset[str]
) -> RunPlan:
    folder, record = home / run, f"{run}/{_RECORD}"
    if folder.name in removed:
        return RunPlan(run, "removed since", ())
    if not folder.exists():
        return RunPlan(run, "whole", tuple(paths))
    here = [path for path in paths if (home / path).exists()]
    lacking = tuple(path for path in paths if path not in set(here))
    same_record = record in here and _same(home / record, backup.files[record])
    if same_record or (record not in here and all(_same(home / p, backup.files[p]) for p in here)):
        return RunPlan(run, "filled" if lacking else "unchanged", lacking)
    if _lives(folder) or _newest(folder) >= max(backup.files[path].mtime_ns for path in paths):
        return RunPlan(run, "kept", ())
    return RunPlan(run, "replaced", tuple(paths))


def _lives(folder: Path) -> bool:
    """Whether a process or a scheduler has this run."""
    try:
        return RunFolder(folder).current().state in (State.RUNNING, State.SUBMITTED)
    except RunError:
        return False


def _newest(folder: Path) -> int:
    """When the newest file of a run was changed."""
    return max((path.lstat().st_mtime_ns for path in files_below(folder)), default=0)


def _same(path: Path, kept: Kept) -> bool:
    try:
        return path.stat().st_size == kept.bytes and content_hash(path) == kept.sha256
    except OSError:
        return False


def _write(backup: Backup, path: str, final: Path) -> None:
    with atomic_path(final) as aside:
        _copy(backup, path, aside)


def _copy(backup: Backup, path: str, final: Path) -> None:
    """A copy of its own, with the times and rights of what was backed up."""
    kept = backup.files[path]
    final.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(backup.place(path), final)
    if kept.executable:
        final.chmod(0o755)
    os.utime(final, ns=(kept.mtime_ns, kept.mtime_ns))
