"""Taking in a file or a folder: what is in it, followed through links, and never round a loop."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from kdgat.assets.record import File, check_path, new_asset
from kdgat.assets.store import AssetStore
from kdgat.errors import AssetError
from kdgat.ledger.record import utc_now
from kdgat.progress import Progress, quiet

_TRIES = 3


def add_tree(
    store: AssetStore,
    source: Path,
    name: str,
    kind: str,
    *,
    replace: bool = False,
    hard_link: bool = False,
    progress: Progress = quiet,
) -> str:
    """Take in a file or a folder under a name; what `AssetStore.commit` did with it.

    Links are followed: their contents are taken. Empty folders are left out.

    Raises:
        AssetError: the name is none or stands for other files, or the source has something that
            can't be taken in.
        StorageError: the file system refused.
    """
    found = dict(tree_of(source))
    if source.resolve().is_relative_to(store.root.resolve()):
        raise AssetError(f"'{source}' lies in the store itself", hint="add what lies elsewhere")
    # Before gigabytes are copied for a name that can't be.
    new_asset(name, kind, dict.fromkeys(found, File("", 0)), "", "")
    origin = str(source.resolve())

    def bring() -> dict[str, File]:
        files = {}
        for number, (path, place) in enumerate(found.items()):
            progress(f"adding {path}", number, len(found))
            files[path] = store.blobs.put(place, hard_link=hard_link)
        progress(f"added {name}", len(found), len(found))
        return files

    return commit_brought(store, name, kind, origin, bring, replace=replace)


def commit_brought(
    store: AssetStore,
    name: str,
    kind: str,
    origin: str,
    bring: Callable[[], dict[str, File]],
    *,
    replace: bool,
) -> str:
    """Bring contents and name them, again where a collection took one away in between.

    Raises:
        AssetError: it did so again and again, or the name stands for other files.
    """
    for _ in range(_TRIES):
        asset = new_asset(name, kind, bring(), origin, utc_now())
        outcome = store.commit(asset, replace=replace)
        if outcome != "incomplete":
            return outcome
    raise AssetError(f"contents of '{name}' went away while they were brought", hint="try again")


def tree_of(source: Path) -> Iterator[tuple[str, Path]]:
    """Path in the asset, and place, of every file of a source, in order of path.

    Raises:
        AssetError: the source is missing; a link leads nowhere or round a loop; something is
            neither file nor folder; a folder can't be listed.
    """
    found = _stat(source)
    if stat.S_ISDIR(found.st_mode):
        yield from _below(source, "", ((found.st_dev, found.st_ino),))
    else:
        _check_file(source, found)
        yield check_path(source.name), source


def _below(
    folder: Path, prefix: str, above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, Path]]:
    try:
        names = sorted(place.name for place in folder.iterdir())
    except OSError as error:
        raise _unreadable(folder, error) from error
    for name in names:
        place, path = folder / name, check_path(f"{prefix}{name}")
        found = _stat(place)
        if not stat.S_ISDIR(found.st_mode):
            _check_file(place, found)
            yield path, place
            continue
        here = (found.st_dev, found.st_ino)
        if here in above:
            raise AssetError(
                f"'{place}' is a link to a folder that it lies in",
                hint="remove the link, or add what is inside",
            )
        yield from _below(place, f"{path}/", (*above, here))


def _stat(place: Path) -> os.stat_result:
    try:
        return place.stat()
    except OSError as error:
        raise _unreadable(place, error) from error


def _check_file(place: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise AssetError(
            f"'{place}' is neither a file nor a folder", hint="take it out, and add the rest"
        )


def _unreadable(place: Path, error: OSError) -> AssetError:
    what = "a link that leads nowhere" if place.is_symlink() else error.strerror or str(error)
    return AssetError(f"can't read '{place}': {what}", hint="mend it, or take it out")
