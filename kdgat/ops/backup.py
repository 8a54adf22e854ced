"""Operations on backups: take one, list them, bring one back."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from kdgat.backups.manifest import MANIFEST, Backup, backups_in, load_backup
from kdgat.backups.restoring import RunPlan, check_whole, plan_restore
from kdgat.backups.restoring import restore as write_back
from kdgat.backups.taking import load_or_none, take_backup
from kdgat.errors import BackupError
from kdgat.ledger.record import is_run_id
from kdgat.progress import Progress, quiet
from kdgat.workspace import Workspace

KEEP = 7
"""Backups that are kept, unless another number is given."""
_SET_PLACE = 'give a folder elsewhere, or set KDGAT_BACKUP or `backup = "DIR"` in [tool.kdgat]'


@dataclass(frozen=True)
class BackupRow:
    """One backup."""

    id: str
    path: str
    taken_at: str
    home: str
    runs: int
    files: int
    bytes: int


@dataclass(frozen=True)
class BackupDone:
    """A backup that was taken and read again."""

    backup: BackupRow
    copied: int
    """Files whose content was new; the others are hard links to the backup before."""
    copied_bytes: int
    removed: tuple[str, ...]
    """Ids of older backups that are gone now."""
    warnings: tuple[str, ...]
    """What is left out, and why."""


@dataclass(frozen=True)
class BackupList:
    """The backups in a place, oldest first."""

    place: str
    items: tuple[BackupRow, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True)
class Restoration:
    """What was brought back; with `dry_run`, what would be."""

    backup: BackupRow
    home: str
    """Where it went."""
    verified: int
    """Files of the backup that were read and have their hash."""
    runs: tuple[RunPlan, ...]
    files: int
    """Files that were written."""
    kept: tuple[str, ...]
    """Files beside the runs that were here with another content, and stayed."""
    dry_run: bool

    @property
    def counts(self) -> dict[str, int]:
        """Runs by what became of them."""
        return dict(Counter(run.action for run in self.runs))


def backup(
    ws: Workspace, *, place: Path | None = None, keep: int = KEEP, progress: Progress = quiet
) -> BackupDone:
    """Copy ledger, history and the MLflow store to a second place, and read the copy again.

    Jobs may go on writing meanwhile.

    Args:
        ws: the workspace.
        place: a folder elsewhere, for backups of this home alone; the set one by default.
        keep: how many backups to keep, this one included.
        progress: told of the files.

    Raises:
        BackupError: no place is given or set, it is no second place, or has another home's backups.
        StorageError: another process takes a backup there, or the file system refused.
    """
    if keep < 1:
        raise BackupError(f"--keep is {keep}", hint="keep 1 or more")
    if not ws.runs.is_dir():
        raise BackupError(
            f"there is nothing to back up: no '{ws.show(ws.runs)}'", hint="check KDGAT_HOME"
        )
    done = take_backup(ws.home, _place(ws, place), keep=keep, progress=progress)
    return BackupDone(
        _row(done.backup), done.copied, done.copied_bytes, done.removed, done.backup.warnings
    )


def list_backups(ws: Workspace, *, place: Path | None = None) -> BackupList:
    """The backups in a place, or in the set one.

    Raises:
        BackupError: no place is given or set, or it can't be read.
    """
    where = _place(ws, place)
    rows, broken = [], []
    for path in backups_in(where):
        try:
            rows.append(_row(load_backup(path)))
        except BackupError as error:
            broken.append(error.problem)
    return BackupList(str(where), tuple(rows), tuple(broken))


def restore(
    ws: Workspace,
    name: str | None = None,
    *,
    into: Path | None = None,
    dry_run: bool = False,
    progress: Progress = quiet,
) -> Restoration:
    """Check a backup, and bring back what is lacking; what is newer here is never overwritten.

    Args:
        ws: the workspace.
        name: a backup's id or folder, or a place of backups; the newest of the set place if None.
        into: the home folder to write to; the workspace's by default.
        dry_run: check, and only tell.
        progress: told of the files.

    Raises:
        BackupError: there is no such backup, or it is damaged; then nothing is written.
        StorageError: the file system refused.
    """
    found = load_backup(_named(ws, name))
    home = into or ws.home
    progress("checking the backup", 0, 1)
    check_whole(found)
    plan = plan_restore(found, home)
    if not dry_run:
        write_back(found, home, plan, progress=progress)
    files = len(plan.others) + sum(len(run.files) for run in plan.runs)
    return Restoration(
        _row(found), str(home), len(found.files), plan.runs, files, plan.kept, dry_run
    )


def _named(ws: Workspace, name: str | None) -> Path:
    """The folder of the backup that is meant."""
    path = Path(name).expanduser() if name is not None else _place(ws, None)
    if (path / MANIFEST).is_file():
        return path
    if name is not None and is_run_id(name):
        return _place(ws, None) / name
    found = [each for each in backups_in(path) if load_or_none(each) is not None]
    if not found:
        raise BackupError(f"there is no whole backup in '{path}'", hint=_SET_PLACE)
    return found[-1]


def _place(ws: Workspace, place: Path | None) -> Path:
    where = place or ws.backups
    if where is None:
        raise BackupError("no place of backups is given or set", hint=_SET_PLACE)
    return where.expanduser()


def _row(found: Backup) -> BackupRow:
    runs = sum(path.startswith("runs/") and path.endswith("/run.json") for path in found.files)
    return BackupRow(
        found.id, str(found.path), found.taken_at, found.home, runs, len(found.files), found.bytes
    )
