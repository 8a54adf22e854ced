"""Links from a workspace to contents: real folders, and for each file a symbolic link.

Folders are real because tools that walk a tree may not follow a linked one. A place appears by one
rename, which never goes over a file or a folder that has something in it.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kdgat.assets.blobs import remove_tree
from kdgat.assets.record import Asset, is_sha256
from kdgat.assets.store import AssetStore, User
from kdgat.errors import AssetError
from kdgat.ledger.files import atomic_path, storage_error

Outcome = Literal["linked", "relinked", "unchanged"]


@dataclass(frozen=True)
class Found:
    """What lies at a place: contents it links to, and whether there is anything else."""

    links: dict[str, str]
    """Where each link points to, by its path."""
    foreign: bool
    """Whether there is a file, or a link to somewhere else."""


def link_asset(store: AssetStore, asset: Asset, place: Path, workspace: Path) -> Outcome:
    """Make a folder of links to an asset's contents.

    Args:
        store: where the contents are.
        asset: what to link.
        place: the folder; it may not exist, or may be one that was linked before.
        workspace: root of the workspace whose links these are.

    Raises:
        AssetError: something else is at the place, or a content is missing.
        StorageError: the file system refused.
    """
    place = _absolute(place)
    blobs = store.blobs.folder.resolve()
    if place.is_relative_to(store.root.resolve()):
        raise AssetError(f"'{place}' lies in the store itself", hint="give a place elsewhere")
    wanted = {path: str(blobs / f.sha256[:2] / f.sha256) for path, f in asset.files.items()}
    with store.held():
        if missing := store.missing(asset):
            raise AssetError(
                f"the content of '{missing[0]}' of '{asset.name}' is not in the store, or cut",
                hint="`kdgat assets verify` tells what else is; add or pull the asset again",
            )
        replacing = _check_place(store, place, wanted)
        user = User(str(place), str(workspace), asset.name, asset.tree, tuple(sorted(asset.hashes)))
        # Before the links, so that a kill in between leaves no link that nobody knows of.
        store.write_user(user)
        if replacing == "unchanged":
            return replacing
        if replacing == "relinked":
            with atomic_path(place) as aside:
                _make(aside, wanted)
        else:
            _appear(place, wanted)
        return replacing


def links_at(place: Path) -> Found:
    """What lies at a place, which may be nothing.

    Raises:
        OSError: it can't be read.
    """
    links: dict[str, str] = {}
    foreign = False
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        return Found({}, True)
    folders = [place] if place.is_dir() else []
    while folders:
        for entry in os.scandir(folders.pop()):
            path = Path(entry.path)
            if entry.is_symlink() and _is_content(target := str(path.readlink())):
                links[path.relative_to(place).as_posix()] = target
            elif entry.is_dir(follow_symlinks=False):
                folders.append(path)
            else:
                foreign = True
    return Found(links, foreign)


def _is_content(target: str) -> bool:
    """Whether a link's target is a content of some store, by its name."""
    parts = Path(target).parts
    return len(parts) > 3 and is_sha256(parts[-1]) and parts[-3:-1] == ("blobs", parts[-1][:2])


def _check_place(store: AssetStore, place: Path, wanted: dict[str, str]) -> Outcome:
    """What is to be done at a place; refuses to touch what is not of our making."""
    if not place.is_symlink() and not place.exists():
        return "linked"
    try:
        found = links_at(place)
    except OSError as error:
        raise storage_error(place, error) from error
    if found.links == wanted and not found.foreign:
        return "unchanged"
    if not found.links and not found.foreign:
        return "linked"
    if not found.foreign and store.user_at(place) is not None:
        return "relinked"
    raise AssetError(
        f"'{place}' is there already, and not all of it is links that kdgat made",
        hint="give another place, or move it away; nothing was changed",
    )


def _appear(place: Path, wanted: dict[str, str]) -> None:
    """Let the folder appear, whole, and over nothing."""
    aside = place.with_name(f".partial-{uuid.uuid4().hex[:8]}-{place.name}")
    try:
        _make(aside, wanted)
        # An empty folder gives way; a file, or a folder with something in it, makes this fail.
        aside.rename(place)
    except OSError as error:
        raise storage_error(place, error) from error
    finally:
        remove_tree(aside)


def _make(folder: Path, wanted: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for path, target in wanted.items():
        link = folder / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def _absolute(place: Path) -> Path:
    """The whole path, whose last part may be a link itself."""
    given = Path(os.path.abspath(place.expanduser()))  # noqa: PTH100 (resolve follows the last)
    return given.parent.resolve() / given.name
