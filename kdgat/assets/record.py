"""What an asset is: a name for a tree of files, each by the hash of its content.

A record may come from another machine, so nothing in it is believed: a path that would leave its
folder, or a hash that is none, is refused before anything is written.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast, get_args

from kdgat.errors import AssetError, did_you_mean

Kind = Literal["dataset", "model", "output"]
KINDS: tuple[str, ...] = get_args(Kind)
RECORD_VERSION = 1
"""Goes up when a record changes meaning."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_LONGEST_NAME = 200
_SHA256 = re.compile(r"[0-9a-f]{64}")
_BETWEEN = "--"
"""Stands for `/` in the name of a record's file; no name may have it."""


class File(NamedTuple):
    """One file's content."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Asset:
    """A name, and the files it stands for. Times are ISO 8601 in UTC."""

    name: str
    kind: str
    files: dict[str, File]
    """By path in the asset, with `/` between folders."""
    origin: str
    """Where it was taken from."""
    added_at: str

    @property
    def bytes(self) -> int:
        """Bytes of all files; those of the same content count each."""
        return sum(file.bytes for file in self.files.values())

    @property
    def tree(self) -> str:
        """SHA-256 of paths and contents: two assets of one tree hold the same."""
        lines = sorted(f"{file.sha256} {path}" for path, file in self.files.items())
        return hashlib.sha256(json.dumps(lines).encode()).hexdigest()

    @property
    def hashes(self) -> frozenset[str]:
        """The hashes of its files."""
        return frozenset(file.sha256 for file in self.files.values())

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return {
            "version": RECORD_VERSION,
            "name": self.name,
            "kind": self.kind,
            "origin": self.origin,
            "added_at": self.added_at,
            "files": {path: list(file) for path, file in sorted(self.files.items())},
        }


def new_asset(name: str, kind: str, files: dict[str, File], origin: str, added_at: str) -> Asset:
    """An asset whose name, kind and paths are sound.

    Raises:
        AssetError: one of them is not, or there is no file.
    """
    check_name(name)
    if kind not in KINDS:
        raise AssetError(f"no asset is a '{kind}'", hint=did_you_mean(kind, KINDS))
    if not files:
        raise AssetError(
            f"asset '{name}' would have no file in it", hint="give a file, or a folder with files"
        )
    for path in files:
        check_path(path)
        parts = path.split("/")
        inside = next(
            ("/".join(parts[:n]) for n in range(1, len(parts)) if "/".join(parts[:n]) in files),
            None,
        )
        if inside is not None:
            raise AssetError(
                f"asset '{name}' has '{inside}' as a file and as a folder",
                hint="rename one of them",
            )
    return Asset(name, kind, files, origin, added_at)


def check_name(name: str) -> str:
    """The name, when it is one.

    Raises:
        AssetError: it has characters that no name has, or could be taken for a path.
    """
    sound = _NAME.fullmatch(name) and len(name) <= _LONGEST_NAME
    if not sound or _BETWEEN in name or ".." in name:
        raise AssetError(
            f"'{name}' can't be the name of an asset",
            hint="write letters and digits with single '.', '_', '-' or '/', such as lab/can-2026",
        )
    return name


def check_path(path: str) -> str:
    """The path of a file in an asset, when it stays inside.

    Raises:
        AssetError: it is absolute, leads upwards, or is no text.
    """
    parts = path.split("/")
    try:
        path.encode()
    except UnicodeEncodeError:
        parts = [""]
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise AssetError(
            f"{path!r} can't be a file's path in an asset",
            hint="it must be text, and stay inside its folder; rename the file",
        )
    return path


def file_name(name: str) -> str:
    """The name of the file that holds an asset's record."""
    return f"{name.replace('/', _BETWEEN)}.json"


def asset_from(text: bytes, shown: str) -> Asset:
    """Read a record.

    Raises:
        AssetError: it is no record of an asset; names `shown` and the fault.
    """
    try:
        values = json.loads(text)
        if values["version"] != RECORD_VERSION:
            raise ValueError(f"version is {values['version']!r}")
        files = {str(path): _file(file) for path, file in values["files"].items()}
        told = [values[name] for name in ("name", "kind", "origin", "added_at")]
        if not all(isinstance(each, str) for each in told):
            raise TypeError(f"name, kind, origin, added_at are {told!r}")
        name, kind, origin, added_at = cast("list[str]", told)
        return new_asset(name, kind, files, origin, added_at)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise AssetError(
            f"'{shown}' is no record of an asset: {type(error).__name__}: {error}",
            hint="move the file away, then add or pull the asset again",
        ) from error


def _file(value: Any) -> File:
    match value:
        case [str(sha256), int(size)] if _SHA256.fullmatch(sha256) and size >= 0:
            return File(sha256, size)
    raise ValueError(f"{value!r} is no hash and size")


def is_sha256(text: str) -> bool:
    """Whether a text is 64 hex digits."""
    return _SHA256.fullmatch(text) is not None
