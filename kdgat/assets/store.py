"""The store: contents by hash, names for trees of them, and who uses them by links.

    <store>/blobs/ab/ab12...      contents, read-only (`blobs.py`)
    <store>/names/NAME.json       a name's files, written whole
    <store>/users/ab12....json    a place with links into the store, which the collection asks
    <store>/pulls/                downloads that were broken off
    <store>/lease, leases/        who changes names or collects; who downloads what

Contents are brought without any lock. A name or link is only written while the store is held, and
only when every content is there; the collection holds it too. So nothing is collected that is about
to be used: what came within the last hour is left alone, and what went before is noticed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from kdgat.assets.blobs import Blobs
from kdgat.assets.record import Asset, asset_from, check_name, file_name
from kdgat.errors import AssetError, StorageError, did_you_mean
from kdgat.ledger.files import storage_error, write_json
from kdgat.runs.lease import take_lease

WAIT_S = 90.0
"""Seconds to wait for another process that changes the store; a killed one's hold ends after 60."""


@dataclass(frozen=True)
class User:
    """A place whose links point into the store."""

    place: str
    workspace: str
    """Root of the workspace that it was made from."""
    name: str
    tree: str
    hashes: tuple[str, ...]


@dataclass(frozen=True)
class AssetStore:
    """One store, which need not exist yet."""

    root: Path

    @property
    def blobs(self) -> Blobs:
        """The contents."""
        return Blobs(self.root)

    @property
    def names(self) -> Path:
        """The folder of names."""
        return self.root / "names"

    @property
    def users(self) -> Path:
        """The folder of those who use contents by links."""
        return self.root / "users"

    def record_path(self, name: str) -> Path:
        """The file of one name."""
        return self.names / file_name(check_name(name))

    def known(self) -> list[str]:
        """Every name, sorted."""
        return [asset.name for asset in self.assets()[0]]

    def assets(self) -> tuple[list[Asset], list[AssetError]]:
        """Every asset in order of name, and what is wrong with the records that are none."""
        found, faults = [], []
        for path in _files(self.names):
            try:
                found.append(_read(path))
            except AssetError as error:
                faults.append(error)
        return sorted(found, key=lambda asset: asset.name), faults

    def find(self, name: str) -> Asset:
        """The asset of this name.

        Raises:
            AssetError: there is none, or its record can't be read.
        """
        path = self.record_path(name)
        if not path.exists():
            raise AssetError(
                f"no asset '{name}' in '{self.root}'",
                hint=did_you_mean(name, self.known(), otherwise="`kdgat assets list` shows all"),
            )
        return _read(path)

    def missing(self, asset: Asset) -> list[str]:
        """Paths of an asset whose content is not there."""
        return [path for path, file in asset.files.items() if not self.blobs.has(file)]

    def commit(self, asset: Asset, *, replace: bool) -> str:
        """Write a name down, when its contents are there.

        Returns:
            `added`, `replaced`, `unchanged`, or `incomplete` where a content was collected
            meanwhile: then nothing is written, and the caller brings it again.

        Raises:
            AssetError: the name stands for other files, and may not be replaced.
            StorageError: the file system refused.
        """
        path = self.record_path(asset.name)
        with self.held():
            if self.missing(asset):
                return "incomplete"
            there = path.exists()
            before = self._standing(path, replace) if there else None
            if before is not None and (before.tree, before.kind) == (asset.tree, asset.kind):
                return "unchanged"
            if before is not None and not replace:
                raise AssetError(
                    f"'{asset.name}' is a {before.kind} of {len(before.files)} files already, and "
                    "these are others",
                    hint="choose another name, or add --replace",
                )
            write_json(path, asset.to_json())
            return "replaced" if there else "added"

    def _standing(self, path: Path, replace: bool) -> Asset | None:
        """What a name stands for; None for a damaged record that may be replaced."""
        try:
            return _read(path)
        except AssetError:
            if replace:
                return None
            raise

    def write_user(self, user: User) -> None:
        """Write down who uses contents; only while the store is held."""
        write_json(self._user_path(user.place), asdict(user))

    def user_at(self, place: Path) -> User | None:
        """Who is known at a place.

        Raises:
            AssetError: the record can't be read.
        """
        path = self._user_path(str(place))
        return user_from(path) if path.exists() else None

    def _user_path(self, place: str) -> Path:
        return self.users / f"{hashlib.sha256(place.encode()).hexdigest()[:32]}.json"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the only one that changes names, links and contents, waiting for others.

        Raises:
            AssetError: somebody held it for too long.
            StorageError: the file system refused.
        """
        deadline, pause_s = time.monotonic() + WAIT_S, 0.01
        while (lease := take_lease(self.root / "lease", "the store of assets")) is None:
            if time.monotonic() > deadline:
                raise AssetError(
                    f"another process has been changing the store '{self.root}' for {WAIT_S:.0f} s",
                    hint="try again when it is done",
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.5)
        try:
            yield
        finally:
            lease.release()

    @contextmanager
    def pulling(self, origin: str) -> Iterator[Path]:
        """A folder to download to, which stays when that is broken off; one process at a time.

        Raises:
            StorageError: somebody else downloads the same, or the file system refused.
        """
        slug = hashlib.sha256(origin.encode()).hexdigest()[:32]
        folder = self.root / "pulls" / slug
        lease = take_lease(self.root / "leases" / slug, f"the download of '{origin}'")
        if lease is None:
            raise StorageError(
                f"another process downloads '{origin}' to this store",
                hint="wait until it is done; what it brings is yours too",
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
        except OSError as error:
            raise storage_error(folder, error) from error
        finally:
            lease.release()


def user_from(path: Path) -> User:
    """Read who uses contents.

    Raises:
        AssetError: the file is no such record.
    """
    try:
        values = json.loads(path.read_bytes())
        told = {name: str(values[name]) for name in ("place", "workspace", "name", "tree")}
        return User(**told, hashes=tuple(map(str, values["hashes"])))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise AssetError(
            f"'{path}' is no record of links: {error}",
            hint="move the file away, and link the asset again where it is used",
        ) from error


def user_files(store: AssetStore) -> list[Path]:
    """The records of all users."""
    return _files(store.users)


def _files(folder: Path) -> list[Path]:
    try:
        paths = [path for path in folder.iterdir() if not path.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(
            f"can't read '{folder}': {error.strerror or error}", hint="mend its permissions"
        ) from error
    return sorted(path for path in paths if path.suffix == ".json")


def _read(path: Path) -> Asset:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise AssetError(
            f"can't read '{path}': {error.strerror or error}", hint="mend its permissions"
        ) from error
    asset = asset_from(text, str(path))
    if file_name(asset.name) != path.name:
        raise AssetError(
            f"'{path}' is the record of '{asset.name}'", hint=f"name it {file_name(asset.name)}"
        )
    return asset
