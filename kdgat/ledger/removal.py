"""Taking a run's folder away: renamed aside first, so that a run is there as a whole or not at all.

What a kill leaves is a folder `.removed-<run_id>`, which no reader takes for a run.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from kdgat.errors import StorageError

REMOVED = ".removed-"
"""How the name of a folder on its way out begins."""


def take_away(folder: Path) -> None:
    """Rename a run's folder aside and delete it; a folder that is aside already is deleted.

    Raises:
        StorageError: the file system refused.
    """
    try:
        aside = folder
        if not folder.name.startswith(REMOVED):
            aside = folder.with_name(f"{REMOVED}{folder.name}")
            _delete(aside)
            folder.rename(aside)
        _delete(aside)
    except OSError as error:
        raise removal_error(folder, error.strerror or str(error)) from error


def check_removable(folder: Path) -> None:
    """Refuse before anything is done what the file system would refuse half-way.

    Raises:
        StorageError: the folder above can't be written to.
    """
    if not os.access(folder.parent, os.W_OK | os.X_OK):
        raise removal_error(folder, f"'{folder.parent}' can't be written to")


def removal_error(folder: Path, why: str) -> StorageError:
    """What to tell the user when a folder can't be taken away."""
    return StorageError(
        f"can't remove '{folder}': {why}",
        hint="mend that (whose folder is it?); then `kdgat runs repair` finishes what was begun",
    )


def tree_bytes(folder: Path) -> int:
    """Bytes of every file under a folder, links not followed."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def sweep(path: Path) -> None:
    """Delete what a killed writer left aside: a file or a folder.

    Raises:
        StorageError: the file system refused.
    """
    try:
        _delete(path)
    except OSError as error:
        raise removal_error(path, error.strerror or str(error)) from error


def _delete(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)
