"""The compacted history's manifests: which Parquet parts are whole, and what they were read from.

    <history>/manifest-00000012.json    versions; the newest whole one counts
    <history>/parts/<part>-<view>.parquet    written once, never changed

A new version is linked to its name, which fails when the name is taken: of two compactions at once
one commits and the other's work is thrown away. So nothing hangs on the lease but wasted effort.
"""

from __future__ import annotations

import errno
import json
import os
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from kdgat.ledger.files import storage_error, write_json

MANIFEST_VERSION = 2
"""Goes up when the parts change meaning; a manifest of another version counts as none."""
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})


class Kept(NamedTuple):
    """One compacted run: the part with its rows, and the signs of the folder it was read from."""

    part: str
    folder_mtime_ns: int
    stamp: str
    """Sizes and times of the files that the rows were read from."""
    resumable: bool


@dataclass(frozen=True)
class Part:
    """One set of Parquet files, one for each view from run folders."""

    id: str
    runs: int
    """Runs whose rows it holds, dead ones included."""
    dead: tuple[str, ...] = ()
    """Runs whose rows no longer count: read again into a later part, or gone."""


@dataclass(frozen=True)
class Manifest:
    """One version of the compacted history."""

    number: int = 0
    parts: tuple[Part, ...] = ()
    folders: dict[str, dict[str, Kept]] = field(default_factory=dict)
    """By `<dataset>/<kind>` and run id."""


def part_path(history: Path, part: str, view: str) -> Path:
    """The Parquet file of one view in a part."""
    return history / "parts" / f"{part}-{view}.parquet"


def manifest_path(history: Path, number: int) -> Path:
    """The file of one version."""
    return history / f"manifest-{number:08d}.json"


def newest_numbers(history: Path) -> list[int]:
    """The versions there are, newest first; a file that is none is passed over."""
    try:
        names = [path.name for path in history.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    numbers = (name.removeprefix("manifest-").removesuffix(".json") for name in names)
    return sorted(
        (int(text) for text in numbers if len(text) == 8 and text.isdigit()), reverse=True
    )


def read_manifest(history: Path, number: int) -> Manifest | None:
    """One version, or None where the file is missing, damaged or of another layout."""
    try:
        return _parse(json.loads(manifest_path(history, number).read_bytes()), number)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # What is damaged is made again from the folders; an older version will do meanwhile.
        return None


def commit(history: Path, manifest: Manifest) -> bool:
    """Write a new version; False when another compaction has just taken its number.

    Raises:
        StorageError: the file system refused.
    """
    final = manifest_path(history, manifest.number)
    aside = history / f".partial-{uuid.uuid4().hex}.json"
    write_json(aside, {"version": MANIFEST_VERSION, **asdict(manifest)})
    try:
        return _link(aside, final)
    except OSError as error:
        raise storage_error(final, error) from error
    finally:
        aside.unlink(missing_ok=True)


def _link(aside: Path, final: Path) -> bool:
    try:
        os.link(aside, final)
    except FileExistsError:
        # An NFS server that answered twice says so too; then both names are the one file's.
        return final.samefile(aside)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if final.exists():
            return False
        aside.replace(final)
    return True


def _parse(values: dict[str, Any], number: int) -> Manifest:
    if values["version"] != MANIFEST_VERSION or values["number"] != number:
        raise ValueError(f"version {values['version']!r}, number {values['number']!r}")
    parts = tuple(Part(str(p["id"]), int(p["runs"]), tuple(p["dead"])) for p in values["parts"])
    folders = {
        parent: {run_id: Kept(*kept) for run_id, kept in runs.items()}
        for parent, runs in values["folders"].items()
    }
    return Manifest(number, parts, folders)
