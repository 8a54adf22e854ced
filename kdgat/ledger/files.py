"""Files that are whole or absent: written aside, fsynced, renamed.

A rename within one folder is atomic on local disks and on NFS, and needs no lock, so a process
killed at any instant leaves the old file or the new one and never half of either.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kdgat.errors import StorageError

_ASIDE = ".partial-"


@contextmanager
def atomic_path(final: Path) -> Iterator[Path]:
    """A path beside `final` to write to; renamed to `final` when the block ends well.

    The block may make a file or a folder there. On any error nothing is left behind.

    Raises:
        StorageError: the file system refused (full, read-only, not permitted).
    """
    aside = final.with_name(f"{_ASIDE}{uuid.uuid4().hex[:8]}-{final.name}")
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        _sync_tree(aside)
        try:
            aside.replace(final)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            # A folder can't be renamed over a full one: the old one steps aside first.
            old = final.with_name(f"{_ASIDE}old-{uuid.uuid4().hex[:8]}-{final.name}")
            final.rename(old)
            try:
                aside.rename(final)
            except OSError:
                old.rename(final)
                raise
            shutil.rmtree(old, ignore_errors=True)
        _sync(final.parent)
    except BaseException as error:
        _remove(aside)
        if isinstance(error, OSError):
            raise storage_error(final, error) from error
        raise


def storage_error(path: Path, error: OSError) -> StorageError:
    """What to tell the user when the file system refused to write `path`."""
    return StorageError(
        f"can't write '{path}': {error.strerror or error}",
        hint="free some space, or set KDGAT_HOME to a folder you can write to with room in it",
    )


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with atomic_path(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON to `path`, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def append_line(path: Path, value: Any) -> None:
    """Append `value` as one line of JSON, in a single write.

    A line cut by a full disk or a kill has no newline at its end; the next append starts a new
    line, and readers pass over the broken one (`read_lines`).
    """
    line = json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with path.open("ab+") as file:
            if file.tell() > 0:
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = "\n" + line
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise storage_error(path, error) from error


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON-lines file; an absent file has none."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    rows = []
    for line in text.split(b"\n"):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict):
            rows.append(row)
    return rows


def content_hash(path: Path) -> str:
    """SHA-256 of a file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(path: Path) -> None:
    """Remove what was written aside, as far as that goes: the first error is the one to tell."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _sync_tree(path: Path) -> None:
    for part in (*path.rglob("*"), path) if path.is_dir() else (path,):
        _sync(part)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
