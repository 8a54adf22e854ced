"""A store's contents and names in a bucket, or whatever else fsspec reaches; laid out as here.

    <url>/blobs/ab/ab12...     contents
    <url>/names/NAME.json      a name's files, sent after their contents

A content is sent once, whichever names have it, and checked by its hash when it comes back.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdgat.assets.adding import commit_brought
from kdgat.assets.blobs import remove_tree
from kdgat.assets.record import Asset, File, asset_from, check_name, file_name
from kdgat.assets.store import AssetStore
from kdgat.errors import AssetError, KdgatError, did_you_mean
from kdgat.ledger.files import content_hash
from kdgat.progress import Progress

_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"})
"""Where a file appears as a whole, and folders are mere parts of names."""
_CHUNK_BYTES = 8 << 20


@dataclass(frozen=True)
class Sent:
    """One asset that was sent, or would be."""

    name: str
    contents: int
    """Contents that were not there yet."""
    bytes: int
    outcome: str
    """`added`, `replaced` or `unchanged`."""


class Remote:
    """A place that fsspec reaches, such as `s3://bucket/prefix`."""

    def __init__(self, url: str) -> None:
        """Raises AssetError where nothing reaches it."""
        self.url = url.rstrip("/")
        with _told(url):
            from fsspec.core import url_to_fs

            self._files, root = url_to_fs(self.url)
            # Kept listings may be of another day.
            self._files.invalidate_cache()
        protocol = self._files.protocol
        names = {protocol} if isinstance(protocol, str) else set(protocol)
        self._whole = bool(names & _OBJECT_STORES)
        self._root = str(root).rstrip("/")

    def push(
        self, store: AssetStore, asset: Asset, *, replace: bool, dry_run: bool, progress: Progress
    ) -> Sent:
        """Send the contents that are not there, then the name.

        Raises:
            AssetError: the name stands for other files there, or the other side refuses.
        """
        outcome = self._outcome(asset, replace)
        files = {file.sha256: file for file in asset.files.values()}
        with _told(self.url):
            lacking = [f for f in files.values() if self._size(self._blob(f.sha256)) != f.bytes]
            if not dry_run:
                for number, file in enumerate(lacking):
                    progress(f"sending {asset.name}", number, len(lacking))
                    self._send(store.blobs.path(file.sha256), self._blob(file.sha256))
                text = json.dumps(asset.to_json(), indent=2, ensure_ascii=False).encode()
                if outcome != "unchanged":
                    self._write(text, self._record(asset.name))
        progress(f"sent {asset.name}", len(lacking), len(lacking))
        return Sent(asset.name, len(lacking), sum(file.bytes for file in lacking), outcome)

    def pull(self, store: AssetStore, name: str, *, replace: bool, progress: Progress) -> str:
        """Bring an asset; what `AssetStore.commit` did with it.

        Raises:
            AssetError: it is not there, is damaged there, or the name stands for other files here.
            StorageError: another process brings the same, or the file system refused.
        """
        asset = self._read(name)
        if asset is None:
            raise AssetError(
                f"no asset '{name}' in '{self.url}'",
                hint=did_you_mean(name, self.names(), otherwise="leave the name out to pull all"),
            )
        with store.pulling(f"{self.url}/{name}") as folder:

            def bring() -> dict[str, File]:
                for number, (path, file) in enumerate(asset.files.items()):
                    progress(f"pulling {path}", number, len(asset.files))
                    if not store.blobs.has(file):
                        self._fetch(store, file, folder / f"{file.sha256}.part", path)
                progress(f"pulled {name}", len(asset.files), len(asset.files))
                return asset.files

            outcome = commit_brought(
                store, asset.name, asset.kind, asset.origin, bring, replace=replace
            )
            remove_tree(folder)
        return outcome

    def names(self) -> list[str]:
        """The names of every asset there."""
        with _told(self.url):
            try:
                paths = self._files.ls(f"{self._root}/names", detail=False)
            except FileNotFoundError:
                return []
        names = [str(path).rpartition("/")[2] for path in paths]
        whole = (n for n in names if n.endswith(".json") and not n.startswith("."))
        return sorted(name.removesuffix(".json").replace("--", "/") for name in whole)

    def _outcome(self, asset: Asset, replace: bool) -> str:
        there = self._read(asset.name)
        if there is None:
            return "added"
        if (there.tree, there.kind) == (asset.tree, asset.kind):
            return "unchanged"
        if not replace:
            raise AssetError(
                f"'{asset.name}' in '{self.url}' has {len(there.files)} files, and here it "
                "has others",
                hint="add --replace to let the name stand for these; the other contents stay there",
            )
        return "replaced"

    def _read(self, name: str) -> Asset | None:
        path = self._record(check_name(name))
        with _told(self.url):
            try:
                text = self._files.cat_file(path)
            except FileNotFoundError:
                return None
        asset = asset_from(bytes(text), f"{self.url}/names/{file_name(name)}")
        if asset.name != name:
            raise AssetError(
                f"'{self.url}' has the record of '{asset.name}' under the name '{name}'",
                hint="push the asset again from where it is whole",
            )
        return asset

    def _fetch(self, store: AssetStore, file: File, part: Path, path: str) -> None:
        """Go on with a content where it was broken off."""
        for last in (False, True):
            part.touch()
            with part.open("r+b") as writing, _told(f"{self.url}: {path}"):
                have = writing.seek(0, os.SEEK_END)
                if have > file.bytes:
                    have = writing.seek(0)
                    writing.truncate()
                if have < file.bytes:
                    self._stream(self._blob(file.sha256), have, writing)
            if content_hash(part) == file.sha256:
                store.blobs.take(part, file)
                return
            part.unlink()
            if last:
                raise AssetError(
                    f"the content of '{path}' in '{self.url}' is not the one of its hash",
                    hint="push the asset again from where it is whole",
                )

    def _stream(self, path: str, have: int, writing: Any) -> None:
        with self._files.open(path, "rb", block_size=_CHUNK_BYTES) as reading:
            reading.seek(have)
            while chunk := reading.read(_CHUNK_BYTES):
                writing.write(chunk)
                writing.flush()

    def _size(self, path: str) -> int | None:
        try:
            return self._files.info(path)["size"]
        except FileNotFoundError:
            return None

    def _send(self, source: Path, path: str) -> None:
        if self._whole:
            self._files.put_file(str(source), path)
            return
        aside = self._aside(path)
        self._files.put_file(str(source), aside)
        self._files.mv(aside, path)

    def _write(self, text: bytes, path: str) -> None:
        if self._whole:
            self._files.pipe_file(path, text)
            return
        aside = self._aside(path)
        self._files.pipe_file(aside, text)
        self._files.mv(aside, path)

    def _aside(self, path: str) -> str:
        folder, _, name = path.rpartition("/")
        self._files.makedirs(folder, exist_ok=True)
        return f"{folder}/.partial-{uuid.uuid4().hex[:8]}-{name}"

    def _blob(self, sha256: str) -> str:
        return f"{self._root}/blobs/{sha256[:2]}/{sha256}"

    def _record(self, name: str) -> str:
        return f"{self._root}/names/{file_name(name)}"


def wanted_names(remote: Remote, names: Sequence[str]) -> list[str]:
    """The names given, or all there are.

    Raises:
        AssetError: there is none.
    """
    found = list(names) or remote.names()
    if not found:
        raise AssetError(
            f"there is no asset in '{remote.url}'", hint="check the URL; `kdgat assets push` sends"
        )
    return found


@contextmanager
def _told(what: str) -> Iterator[None]:
    """What the other side, or the way to it, refuses, as one sentence."""
    try:
        yield
    except KdgatError:
        raise
    except Exception as error:
        said = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise AssetError(
            f"'{what}' can't be used: {type(error).__name__}: {said[:300]}",
            hint="check the URL, credentials and network; the same command goes on from here",
        ) from error
