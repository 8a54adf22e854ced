"""Contents of files, each once, under the name of its SHA-256; read-only, and whole or absent.

    <store>/blobs/ab/ab12...    the contents
    <store>/incoming/           what is being written; a kill leaves it there for the collection

A content is hashed while it is copied and renamed to its name afterwards, so of two processes that
bring the same one it does not matter which is last.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kdgat.assets.record import File, is_sha256
from kdgat.errors import AssetError
from kdgat.ledger.files import content_hash, storage_error

READ_ONLY = 0o444
_CHUNK_BYTES = 1 << 20
_NO_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EOPNOTSUPP})


@dataclass(frozen=True)
class Blobs:
    """The contents of one store."""

    store: Path

    @property
    def folder(self) -> Path:
        """The folder of all contents."""
        return self.store / "blobs"

    @property
    def incoming(self) -> Path:
        """The folder of what is being written."""
        return self.store / "incoming"

    def path(self, sha256: str) -> Path:
        """Where a content is, or would be."""
        return self.folder / sha256[:2] / sha256

    def has(self, file: File) -> bool:
        """Whether a content of this hash and size is there; what is in it is for `verify`."""
        try:
            return self.path(file.sha256).stat().st_size == file.bytes
        except OSError:
            return False

    def all(self) -> Iterator[Path]:
        """Every content, in order of hash; what else lies there is passed over."""
        if self.folder.is_dir():
            for folder in sorted(self.folder.iterdir()):
                if folder.is_dir() and len(folder.name) == 2:
                    names = sorted(each.name for each in folder.iterdir())
                    yield from (folder / n for n in names if is_sha256(n) and n[:2] == folder.name)

    def put(self, source: Path, *, hard_link: bool = False) -> File:
        """Take in a file's content.

        Args:
            source: the file.
            hard_link: share its bytes on disk, where the file system can; the file becomes
                read-only with it.

        Raises:
            AssetError: it can't be read, or changed meanwhile.
            StorageError: the file system refused to write.
        """
        before, known = self._look(source)
        if self.has(known):
            return known
        aside = self.incoming / uuid.uuid4().hex
        try:
            self.incoming.mkdir(parents=True, exist_ok=True)
            linked = hard_link and _linked(source, aside)
            found = known if linked else _copied(source, aside)
            if found != known or _signs(source.stat()) != before:
                raise _changed(source)
            return self.take(aside, found)
        except OSError as error:
            raise storage_error(aside, error) from error
        finally:
            aside.unlink(missing_ok=True)

    def take(self, aside: Path, file: File) -> File:
        """Give a written file, whose hash was checked, its place in the store.

        Raises:
            OSError: the file system refused.
        """
        final = self.path(file.sha256)
        aside.chmod(READ_ONLY)
        with aside.open("rb") as handle:
            os.fsync(handle.fileno())
        final.parent.mkdir(parents=True, exist_ok=True)
        aside.replace(final)
        _sync_folder(final.parent)
        return file

    def _look(self, source: Path) -> tuple[tuple[int, ...], File]:
        """A file's signs of change, and its content."""
        try:
            before = source.stat()
            file = File(content_hash(source), before.st_size)
            after = source.stat()
        except OSError as error:
            raise AssetError(
                f"can't read '{source}': {error.strerror or error}", hint="mend its permissions"
            ) from error
        if _signs(after) != _signs(before):
            raise _changed(source)
        return _signs(before), file


def _signs(found: os.stat_result) -> tuple[int, ...]:
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _changed(source: Path) -> AssetError:
    return AssetError(
        f"'{source}' changed while it was being read", hint="add it when nobody writes to it"
    )


def _linked(source: Path, aside: Path) -> bool:
    """Whether the file could be linked; of a symbolic link, what it points to."""
    try:
        os.link(source.resolve(), aside)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    return True


def _copied(source: Path, aside: Path) -> File:
    digest = hashlib.sha256()
    with source.open("rb") as reading, aside.open("xb") as writing:
        while chunk := reading.read(_CHUNK_BYTES):
            digest.update(chunk)
            writing.write(chunk)
    return File(digest.hexdigest(), aside.stat().st_size)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove_tree(path: Path) -> None:
    """Delete a file or a folder, links not followed; what is gone already is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
