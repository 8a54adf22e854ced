"""Looking after the store: every content read again, and what nobody uses taken away."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kdgat.assets.blobs import remove_tree
from kdgat.assets.links import links_at
from kdgat.assets.record import Asset
from kdgat.assets.store import AssetStore, User, user_files, user_from
from kdgat.errors import AssetError
from kdgat.ledger.files import content_hash
from kdgat.ledger.removal import tree_bytes
from kdgat.progress import Progress, quiet

GRACE_S = 3_600.0
"""Contents younger than this are left: somebody may be about to name them."""
LEFTOVER_S = 86_400.0
"""After so long nobody goes on with what was broken off."""


@dataclass(frozen=True)
class Damage:
    """A content that is not what its name says, or not there."""

    sha256: str
    problem: Literal["missing", "damaged", "unreadable"]
    files: tuple[str, ...]
    """Files that need it, as `name: path`; none where only links do, or nobody."""


@dataclass(frozen=True)
class Unused:
    """What nobody uses, and what was left."""

    contents: int
    bytes: int
    users: tuple[str, ...]
    """Places that have no link any more."""
    leftovers: int
    """Files and downloads that were broken off a day ago or earlier."""
    too_new: int
    """Unused contents that are younger than an hour."""
    unreachable: tuple[str, ...]
    """Places whose whole workspace is not there; what they link to is kept."""


def verify_contents(
    store: AssetStore, assets: list[Asset], *, everything: bool, progress: Progress = quiet
) -> tuple[int, list[Damage]]:
    """Read contents again: how many, and each that is missing or damaged.

    Args:
        store: whose contents.
        assets: whose files must be there.
        everything: read also contents that no asset has.
        progress: told of every content.
    """
    needed: dict[str, list[str]] = defaultdict(list)
    sizes: dict[str, int] = {}
    for asset in assets:
        for path, file in asset.files.items():
            needed[file.sha256].append(f"{asset.name}: {path}")
            sizes[file.sha256] = file.bytes
    there = {path.name for path in store.blobs.all()} if everything else set()
    hashes = sorted(there | needed.keys())
    found = []
    for number, sha256 in enumerate(hashes):
        progress(f"reading {sha256[:12]}", number, len(hashes))
        problem = _problem(store.blobs.path(sha256), sha256)
        if problem is not None:
            found.append(Damage(sha256, problem, tuple(needed.get(sha256, ()))))
    progress("read", len(hashes), len(hashes))
    return len(hashes), found


def drop_damaged(store: AssetStore, found: list[Damage]) -> int:
    """Delete contents that are damaged, so that they can be brought anew; how many."""
    dropped = 0
    with store.held():
        for each in found:
            path = store.blobs.path(each.sha256)
            # Looked at again: somebody may have brought it anew meanwhile.
            if each.problem == "damaged" and _problem(path, each.sha256) == "damaged":
                path.unlink()
                dropped += 1
    return dropped


def collect(
    store: AssetStore, *, now: float | None = None, forget: bool = False, dry_run: bool = False
) -> Unused:
    """Take away contents that neither a name nor a living link uses.

    Args:
        store: whose contents.
        now: seconds since 1970; by default the clock's.
        forget: count links of workspaces that are not there as gone.
        dry_run: only tell.

    Raises:
        AssetError: a record can't be read, so that nobody knows what it uses; or another process
            holds the store.
        StorageError: the file system refused.
    """
    now = time.time() if now is None else now
    with store.held():
        assets, faults = store.assets()
        if faults:
            raise faults[0]
        used = {sha256 for asset in assets for sha256 in asset.hashes}
        dead, unreachable = [], []
        for path in user_files(store):
            user = user_from(path)
            living, hashes = _living(user)
            if living == "unreachable" and not forget:
                unreachable.append(user.place)
            elif living != "yes":
                dead.append((path, user.place))
                continue
            used |= hashes
        unused = [path for path in store.blobs.all() if path.name not in used]
        # By the time of the last change of name or rights: a linked file keeps its older times.
        old = [path for path in unused if now - path.stat().st_ctime >= GRACE_S]
        leftovers = _leftovers(store, now)
        size = sum(path.stat().st_size for path in old)
        if not dry_run:
            for path in (*old, *leftovers, *(path for path, _ in dead)):
                remove_tree(path)
    return Unused(
        len(old), size, tuple(place for _, place in dead), len(leftovers),
        len(unused) - len(old), tuple(unreachable),
    )  # fmt: skip


def store_bytes(store: AssetStore) -> int:
    """Bytes of all contents."""
    return tree_bytes(store.blobs.folder) if store.blobs.folder.is_dir() else 0


def living_users(store: AssetStore) -> dict[str, list[str]]:
    """By asset's name, the places that have links; records that can't be read are passed over."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in user_files(store):
        try:
            user = user_from(path)
        except AssetError:
            continue
        if _living(user)[0] == "yes":
            found[user.name].append(user.place)
    return found


def _living(user: User) -> tuple[Literal["yes", "no", "unreachable"], set[str]]:
    """Whether a place has links, and the contents that must stay for it."""
    hashes = set(user.hashes)
    place = Path(user.place)
    try:
        found = links_at(place)
        if found.links:
            return "yes", hashes | {Path(target).name for target in found.links.values()}
        return ("no" if Path(user.workspace).is_dir() else "unreachable"), hashes
    except OSError:
        # A folder that can't be read may have links.
        return "yes", hashes


def _problem(path: Path, sha256: str) -> Literal["missing", "damaged", "unreadable"] | None:
    try:
        return None if content_hash(path) == sha256 else "damaged"
    except FileNotFoundError:
        return "missing"
    except OSError:
        return "unreadable"


def _leftovers(store: AssetStore, now: float) -> list[Path]:
    """What writers and downloads left a day ago or earlier."""
    found = []
    for folder in (store.blobs.incoming, store.root / "pulls"):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            parts = (path, *path.rglob("*")) if path.is_dir() else (path,)
            if all(now - part.lstat().st_ctime >= LEFTOVER_S for part in parts):
                found.append(path)
    return found
