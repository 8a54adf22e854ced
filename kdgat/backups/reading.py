"""What of a home folder a backup copies, and in which order, so that the copy holds together.

Nothing is locked, and jobs go on writing. So the order does it. The journal comes before the runs,
that no event tells of a run that the copy lacks. Of a run its record comes first and is read again
at the end: a run that ended in between is copied once more, and one that still writes is copied as
a running one, which a restored ledger takes for lost, to be resumed. Of the history its manifests
come before the parts they name, which are never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from kdgat.ledger.scan import run_folders

PARTS = ("journal", "runs", "jobs", "tune", "memory", "history", "mlflow")
"""Folders of the home that are copied; the others can be made again, or are of this machine."""
DERIVED = ("history", "mlflow")
"""Those that are made from the others."""
SQLITE = b"SQLite format 3\0"
_SIDES = ("-journal", "-wal", "-shm")
_PASSED_OVER = (".partial-", ".removed-", ".artifact.uploading.")
_LEASE = "lease"
_TRIES = 3

Copy = Callable[[Path, str], None]


def copy_home(home: Path, copy: Copy, forget: Callable[[str], None], warn: Copy) -> None:
    """Give every file to `copy`, by its place and its path in the home.

    Args:
        home: the home folder.
        copy: copies one file; raises FileNotFoundError where it is gone.
        forget: drops every copied file below a path again.
        warn: told of what is left out: its place, and why.
    """
    for part in PARTS:
        if part == "runs":
            _copy_runs(home, copy, forget, warn)
            continue
        for path in _ordered(home / part):
            _copy_one(path, home, copy, warn)


def files_below(folder: Path) -> Iterator[Path]:
    """Every file, link and other thing below a folder that is there for good, in order."""
    try:
        entries = sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return
    for path in entries:
        if path.name.startswith(_PASSED_OVER):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from () if path.name == _LEASE else files_below(path)
        else:
            yield path


def is_sqlite(path: Path) -> bool:
    """Whether a file is an SQLite database, by its first bytes."""
    with path.open("rb") as file:
        return file.read(len(SQLITE)) == SQLITE


def _ordered(folder: Path) -> list[Path]:
    """Files of the folder itself first: manifests before parts, databases before artifacts."""
    found = list(files_below(folder))
    sides = {f"{path}{side}" for path in found if path.suffix == ".db" for side in _SIDES}
    kept = [path for path in found if str(path) not in sides]
    return sorted(kept, key=lambda path: len(path.relative_to(folder).parts) > 1)


def _copy_runs(home: Path, copy: Copy, forget: Callable[[str], None], warn: Copy) -> None:
    for folder in reversed(run_folders(home / "runs")):
        path = folder.path
        for last in (False,) * (_TRIES - 1) + (True,):
            try:
                before = (path / "run.json").read_bytes()
                copy(path / "run.json", (path / "run.json").relative_to(home).as_posix())
                for each in files_below(path):
                    if each.name != "run.json" or each.parent != path:
                        _copy_one(each, home, copy, warn)
                if (path / "run.json").read_bytes() == before or last:
                    break
            except FileNotFoundError:
                # Somebody has just removed the run.
                forget(path.relative_to(home).as_posix())
                break
            forget(path.relative_to(home).as_posix())


def _copy_one(path: Path, home: Path, copy: Copy, warn: Copy) -> None:
    shown = path.relative_to(home).as_posix()
    if path.is_symlink():
        return warn(path, "a link, which may point out of the home folder")
    if not path.is_file():
        return warn(path, "neither a file nor a folder") if path.exists() else None
    try:
        return copy(path, shown)
    except FileNotFoundError:
        # A writer has just replaced or removed it.
        return None
