"""What a backup holds: its files by path, each with hash, size and time. Written last.

<place>/20261122-021530-123ab12/
    backup.json
    files/runs/...  files/journal/...  files/mlflow/...
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from kdgat.assets.record import check_path, is_sha256
from kdgat.errors import AssetError, BackupError
from kdgat.ledger.files import content_hash
from kdgat.ledger.record import is_run_id

MANIFEST = "backup.json"
FILES = "files"
VERSION = 1
"""Goes up when a manifest changes meaning."""


class Kept(NamedTuple):
    """One file of a backup."""

    sha256: str
    bytes: int
    mtime_ns: int
    """When the file it is a copy of was last changed."""
    executable: bool


@dataclass(frozen=True)
class Backup:
    """One backup. Times are ISO 8601 in UTC."""

    path: Path
    home: str
    """The home folder it was taken of."""
    taken_at: str
    files: dict[str, Kept]
    """By path in the home folder."""
    warnings: tuple[str, ...]

    @property
    def id(self) -> str:
        """Its folder's name, which sorts by time."""
        return self.path.name

    @property
    def bytes(self) -> int:
        """Bytes of all files, those that earlier backups share included."""
        return sum(file.bytes for file in self.files.values())

    def place(self, path: str) -> Path:
        """Where a file of it is."""
        return self.path / FILES / path

    def to_json(self) -> dict[str, Any]:
        """The manifest as plain JSON values."""
        return {
            "version": VERSION,
            "home": self.home,
            "taken_at": self.taken_at,
            "warnings": list(self.warnings),
            "files": {path: list(kept) for path, kept in sorted(self.files.items())},
        }

    def damaged(self) -> Iterator[str]:
        """The files that are not what the manifest says, each with what is wrong."""
        for path, kept in self.files.items():
            try:
                if content_hash(self.place(path)) != kept.sha256:
                    yield f"{path} (changed)"
            except OSError as error:
                yield f"{path} ({error.strerror or error})"


def backups_in(place: Path) -> list[Path]:
    """The folders of backups in a place, oldest first."""
    try:
        return sorted(path for path in place.iterdir() if is_run_id(path.name))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise BackupError(
            f"can't read '{place}': {error.strerror or error}", hint="mend its permissions"
        ) from error


def load_backup(path: Path) -> Backup:
    """Read a backup's manifest.

    Raises:
        BackupError: there is none, or it is damaged.
    """
    hint = "choose another backup; `kdgat backup --list` shows all"
    try:
        values = json.loads((path / MANIFEST).read_bytes())
        if values["version"] != VERSION:
            raise ValueError(f"version is {values['version']!r}")
        files = {check_path(name): _kept(kept) for name, kept in values["files"].items()}
        warnings = tuple(map(str, values["warnings"]))
        return Backup(path, str(values["home"]), str(values["taken_at"]), files, warnings)
    except FileNotFoundError as error:
        raise BackupError(f"'{path}' is no backup: it has no {MANIFEST}", hint=hint) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, AssetError) as error:
        raise BackupError(f"'{path / MANIFEST}' is damaged: {error}", hint=hint) from error


def _kept(value: Any) -> Kept:
    match value:
        case [str(sha256), int(size), int(mtime_ns), bool(executable)] if is_sha256(sha256):
            return Kept(sha256, size, mtime_ns, executable)
    raise ValueError(f"{value!r} is no hash, size and time")
