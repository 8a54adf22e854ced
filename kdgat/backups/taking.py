"""Taking a backup: copied aside, checked by hash, renamed to its name; then the oldest go.

A content that the backup before has, wherever, is a hard link to its file and takes no room. Every
file is read again in its place before the backup counts, also the linked ones, so that damage there
is found now and the file copied anew. A backup killed at any instant is a folder aside, which the
next one clears away; earlier backups are never touched.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kdgat.assets.record import check_path
from kdgat.backups.manifest import FILES, MANIFEST, Backup, Kept, backups_in, load_backup
from kdgat.backups.reading import copy_home, is_sqlite
from kdgat.errors import AssetError, BackupError
from kdgat.ledger.files import atomic_path, content_hash, storage_error, write_json
from kdgat.ledger.record import new_run_id, utc_now
from kdgat.ledger.removal import REMOVED, take_away
from kdgat.progress import Progress, quiet
from kdgat.runs.lease import hold_lease

SQLITE_WAIT_S = 60.0
"""Seconds that a database may be locked by its writers before it is left out."""
_LEASE = ".lease"
_ASIDE = (".partial-", REMOVED)
_CHUNK_BYTES = 1 << 20
_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP})


@dataclass(frozen=True)
class Taken:
    """A backup that was taken, and what it cost."""

    backup: Backup
    copied: int
    """Files whose content was not in the backup before."""
    copied_bytes: int
    removed: tuple[str, ...]
    """Older backups that are gone now."""


def take_backup(home: Path, place: Path, *, keep: int, progress: Progress = quiet) -> Taken:
    """Copy a home folder's records to a place, and keep the newest `keep` backups there.

    Raises:
        BackupError: the place is no second place, has backups of another home, or a copy can't be
            made whole.
        StorageError: another process takes a backup there, or the file system refused.
    """
    check_second_place(home, place)
    with _held(place):
        earlier = [load_or_none(path) for path in backups_in(place)]
        previous = next((each for each in reversed(earlier) if each is not None), None)
        if previous is not None and previous.home != str(home.resolve()):
            raise BackupError(
                f"'{place}' has backups of '{previous.home}', and this home is '{home.resolve()}'",
                hint="give another folder: each home has its own",
            )
        _sweep(place)
        final = place / new_run_id()
        with atomic_path(final) as aside:
            writer = _Writer(aside, previous)
            copy_home(home, writer.copy, writer.forget, writer.leave)
            progress("copied", len(writer.files), len(writer.files))
            backup = Backup(
                aside, str(home.resolve()), utc_now(), writer.files, tuple(writer.warnings)
            )
            writer.verify(progress)
            write_json(aside / MANIFEST, backup.to_json())
        taken = load_backup(final)
        removed = [path for path in backups_in(place)[:-keep] if path != final]
        for path in removed:
            take_away(path)
    names = tuple(path.name for path in removed)
    return Taken(taken, writer.copied, writer.copied_bytes, names)


def check_second_place(home: Path, place: Path) -> None:
    """Refuse a place that would go with the home folder.

    Raises:
        BackupError: it is in the home folder, or is no folder.
    """
    inside = place.resolve().is_relative_to(home.resolve())
    if inside or home.resolve().is_relative_to(place.resolve()):
        raise BackupError(
            f"'{place}' and the home folder '{home}' lie in each other",
            hint="give a folder elsewhere, on another disk: what takes one then leaves the other",
        )
    if place.exists() and not place.is_dir():
        raise BackupError(f"'{place}' is no folder", hint="give a folder, which may be new")


def load_or_none(path: Path) -> Backup | None:
    """A backup, or None where its manifest is damaged."""
    try:
        return load_backup(path)
    except BackupError:
        return None


class _Writer:
    """The backup as it grows."""

    def __init__(self, aside: Path, previous: Backup | None) -> None:
        self._aside = aside
        self._there = {} if previous is None else _by_content(previous)
        self._new: set[str] = set()
        self.files: dict[str, Kept] = {}
        self.warnings: list[str] = []
        self.copied = self.copied_bytes = 0
        (aside / FILES).mkdir(parents=True)

    def copy(self, source: Path, path: str) -> None:
        """Copy a file, or link the earlier copy of its content."""
        try:
            check_path(path)
        except AssetError:
            return self.leave(source, "its name is no text")
        final = self._aside / FILES / path
        final.parent.mkdir(parents=True, exist_ok=True)
        final.unlink(missing_ok=True)
        linked = False
        try:
            found = source.stat()
            executable = bool(found.st_mode & 0o100)
            if is_sqlite(source):
                sha256 = _copy_sqlite(source, final)
                linked = self._linked(final, sha256, executable)
            else:
                sha256 = content_hash(source)
                linked = self._linked(final, sha256, executable)
                # Hashed again as it is copied: it may have grown.
                sha256 = sha256 if linked else _copy(source, final)
        except PermissionError as error:
            return self.leave(source, error.strerror or "not permitted")
        except sqlite3.Error as error:
            final.unlink(missing_ok=True)
            return self.leave(source, f"SQLite says: {error}")
        size = final.stat().st_size
        self.files[path] = Kept(sha256, size, found.st_mtime_ns, executable)
        if not linked:
            final.chmod(0o555 if executable else 0o444)
            self._there[sha256, executable] = final
            self._new.add(path)
            self.copied += 1
            self.copied_bytes += size
        return None

    def forget(self, path: str) -> None:
        """Drop every file below a path."""
        for each in [each for each in self.files if each.startswith(f"{path}/")]:
            del self.files[each]
        shutil.rmtree(self._aside / FILES / path, ignore_errors=True)

    def leave(self, place: Path, why: str) -> None:
        """Write down what is left out."""
        self.warnings.append(f"'{place}' is left out: {why}")

    def verify(self, progress: Progress) -> None:
        """Read every new file again where it is; linked ones were read before they were linked.

        Raises:
            BackupError: one is not what was read.
        """
        new = sorted(self._new & self.files.keys())
        for number, path in enumerate(new):
            progress("checking", number, len(new))
            if content_hash(self._aside / FILES / path) != self.files[path].sha256:
                raise BackupError(
                    f"'{path}' reads back differently from the backup",
                    hint="the disk may be failing; nothing was kept, earlier backups are untouched",
                )

    def _linked(self, final: Path, sha256: str, executable: bool) -> bool:
        """Whether an earlier, whole copy of this content got the name."""
        earlier = self._there.get((sha256, executable))
        if earlier is None:
            return False
        aside = final.with_name(f".partial-{final.name}")
        try:
            if content_hash(earlier) != sha256:
                return False
            os.link(earlier, aside)
            aside.replace(final)
        except OSError as error:
            if error.errno not in _NO_LINK and not isinstance(error, FileNotFoundError):
                raise
            return False
        return True


def _by_content(backup: Backup) -> dict[tuple[str, bool], Path]:
    return {
        (kept.sha256, kept.executable): backup.place(path) for path, kept in backup.files.items()
    }


def _copy(source: Path, final: Path) -> str:
    """The hash of what was copied; a log that grows meanwhile is copied as far as it went."""
    digest = hashlib.sha256()
    with source.open("rb") as reading, final.open("xb") as writing:
        left = os.fstat(reading.fileno()).st_size
        while left > 0 and (chunk := reading.read(min(left, _CHUNK_BYTES))):
            digest.update(chunk)
            writing.write(chunk)
            left -= len(chunk)
    return digest.hexdigest()


def _copy_sqlite(source: Path, final: Path) -> str:
    """A database as it was at one moment, by SQLite's own backup, while others write to it."""
    deadline = time.monotonic() + SQLITE_WAIT_S

    def wait(status: int, _left: int, _pages: int) -> None:
        busy = status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        if busy and time.monotonic() > deadline:
            raise sqlite3.OperationalError(f"it was locked for {SQLITE_WAIT_S:.0f} s")

    # mode=rw makes no database where somebody has just removed one.
    uri = f"{source.absolute().as_uri()}?mode=rw"
    with (
        closing(sqlite3.connect(uri, uri=True)) as reading,
        closing(sqlite3.connect(final)) as writing,
    ):
        reading.backup(writing, progress=wait, sleep=0.05)
        # A copy of a store in WAL mode must not need files beside it.
        writing.execute("PRAGMA journal_mode = DELETE")
        (said,) = writing.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise sqlite3.DatabaseError(said)
    return content_hash(final)


def _sweep(place: Path) -> None:
    """Clear away what a killed backup left; only for the one that holds the lease."""
    for path in place.iterdir():
        if path.name.startswith(_ASIDE):
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _held(place: Path) -> Iterator[None]:
    """Be the only one that takes a backup there."""
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(place, error) from error
    with hold_lease(place / _LEASE, f"the place of backups '{place}'"):
        yield
