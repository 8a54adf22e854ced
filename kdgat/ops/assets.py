"""Operations on assets: add, pull, link, list, verify, push, remove, collect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdgat.assets.adding import add_tree
from kdgat.assets.collecting import (
    Damage,
    Unused,
    collect,
    drop_damaged,
    living_users,
    store_bytes,
    verify_contents,
)
from kdgat.assets.hub import parse_reference, pull_repository
from kdgat.assets.links import link_asset
from kdgat.assets.record import Asset
from kdgat.assets.remote import Remote, Sent, wanted_names
from kdgat.assets.store import AssetStore
from kdgat.errors import AssetError
from kdgat.ops.export import need_extra
from kdgat.progress import Progress, quiet
from kdgat.workspace import Workspace

HUB = "hf:"
_EXTRA = "assets"


@dataclass(frozen=True)
class AssetRow:
    """One asset."""

    name: str
    kind: str
    files: int
    bytes: int
    tree: str
    """SHA-256 of its paths and contents."""
    origin: str
    added_at: str
    links: tuple[str, ...]
    """Places with links to it, of every workspace."""


@dataclass(frozen=True)
class AssetList:
    """Every asset of the store."""

    store: str
    items: tuple[AssetRow, ...]
    bytes: int
    """Bytes on disk, each content once."""
    broken: tuple[str, ...]


@dataclass(frozen=True)
class Brought:
    """An asset that is in the store now."""

    asset: AssetRow
    outcome: str
    """`added`, `replaced` or `unchanged`."""


@dataclass(frozen=True)
class Pulled:
    """Assets that came from elsewhere."""

    source: str
    items: tuple[Brought, ...]


@dataclass(frozen=True)
class Linked:
    """A folder of links to an asset."""

    name: str
    place: str
    files: int
    outcome: str
    """`linked`, `relinked` or `unchanged`."""


@dataclass(frozen=True)
class Verified:
    """What was read again."""

    contents: int
    damaged: tuple[Damage, ...]
    broken: tuple[str, ...]
    """Records that can't be read."""
    dropped: int
    """Damaged contents that were deleted, so that they can be brought anew."""

    @property
    def sound(self) -> bool:
        """Whether everything is there and whole."""
        return not self.damaged and not self.broken


@dataclass(frozen=True)
class Pushed:
    """What was sent; with `dry_run`, what would be."""

    url: str
    items: tuple[Sent, ...]
    dry_run: bool


@dataclass(frozen=True)
class RemovedNames:
    """Names that are gone, or would be; their contents stay until the collection."""

    names: tuple[str, ...]
    dry_run: bool


@dataclass(frozen=True)
class Collected:
    """What was taken away; with `dry_run`, what would be."""

    store: str
    unused: Unused
    dry_run: bool


def add_asset(
    ws: Workspace,
    source: Path,
    *,
    name: str | None = None,
    kind: str = "dataset",
    replace: bool = False,
    hard_link: bool = False,
    progress: Progress = quiet,
) -> Brought:
    """Take a file or a folder into the store, under a name.

    Args:
        ws: the workspace.
        source: the file or folder; links in it are followed.
        name: by default the source's own.
        kind: dataset, model or output.
        replace: let a name that stands for other files stand for these.
        hard_link: share the bytes on disk instead of copying; the files become read-only.
        progress: told of every file.

    Raises:
        AssetError: the name or kind is none, the name is taken, or the source can't be taken in.
        StorageError: the file system refused.
    """
    store = AssetStore(ws.assets)
    wanted = name or source.resolve().name
    outcome = add_tree(
        store, source, wanted, kind, replace=replace, hard_link=hard_link, progress=progress
    )
    return _brought(store, wanted, outcome)


def pull_assets(
    ws: Workspace,
    source: str,
    names: Sequence[str] = (),
    *,
    name: str | None = None,
    replace: bool = False,
    progress: Progress = quiet,
) -> Pulled:
    """Bring assets from the Hugging Face Hub, or from where `push_assets` sent them.

    Args:
        ws: the workspace.
        source: `hf:dataset/NAME` or `hf:model/NAME`, with `@REVISION` where it matters; or a URL
            such as `s3://bucket/prefix`.
        names: of a URL, the assets; all by default.
        name: what a repository is called here; by default its own name.
        replace: let names that stand for other files stand for these.
        progress: told of every file.

    Raises:
        WorkspaceError: the extra `assets` is not installed.
        AssetError: it is not there, is damaged there, can't be reached, or a name is taken.
        StorageError: another process brings the same, or the file system refused.
    """
    store = AssetStore(ws.assets)
    if source.startswith(HUB):
        reference = parse_reference(source)
        if names:
            raise AssetError(
                f"'{source}' is one repository, and has no asset '{names[0]}'",
                hint="name it here with --as",
            )
        need_extra(_EXTRA, ("huggingface_hub",))
        wanted = name or reference.repo
        outcome, _ = pull_repository(store, reference, wanted, replace=replace, progress=progress)
        return Pulled(source, (_brought(store, wanted, outcome),))
    if name is not None:
        raise AssetError("only a repository is named with --as", hint="give the assets' own names")
    remote = _remote(source)
    found = []
    for each in wanted_names(remote, names):
        outcome = remote.pull(store, each, replace=replace, progress=progress)
        found.append(_brought(store, each, outcome))
    return Pulled(source, tuple(found))


def push_assets(
    ws: Workspace,
    url: str,
    names: Sequence[str] = (),
    *,
    replace: bool = False,
    dry_run: bool = False,
    progress: Progress = quiet,
) -> Pushed:
    """Send assets to a bucket or another place that fsspec reaches; what is there is not sent.

    Args:
        ws: the workspace.
        url: such as `s3://bucket/prefix`.
        names: the assets; all by default.
        replace: let names that stand for other files there stand for these.
        dry_run: only tell.
        progress: told of every content.

    Raises:
        WorkspaceError: the extra `assets` is not installed.
        AssetError: an asset is unknown or not whole, a name is taken there, or it refuses.
    """
    store = AssetStore(ws.assets)
    chosen = _chosen(store, names)
    for asset in chosen:
        if missing := store.missing(asset):
            raise AssetError(
                f"the content of '{missing[0]}' of '{asset.name}' is not in the store, or cut",
                hint="`kdgat assets verify` tells what else is",
            )
    remote = _remote(url)
    sent = [
        remote.push(store, asset, replace=replace, dry_run=dry_run, progress=progress)
        for asset in chosen
    ]
    return Pushed(url, tuple(sent), dry_run)


def link_asset_here(ws: Workspace, name: str, *, place: Path | None = None) -> Linked:
    """Make a folder of links to an asset, over nothing that is there.

    Args:
        ws: the workspace, which counts as a user of the asset from then on.
        name: the asset.
        place: the folder; `<home>/linked/<name>` by default.

    Raises:
        AssetError: there is no such asset, a content is missing, or something is at the place.
        StorageError: the file system refused.
    """
    store = AssetStore(ws.assets)
    asset = store.find(name)
    target = place or ws.linked / name
    outcome = link_asset(store, asset, target, ws.root)
    return Linked(name, ws.show(target), len(asset.files), outcome)


def list_assets(ws: Workspace) -> AssetList:
    """Every asset of the store, and who links to it.

    Raises:
        StorageError: the store can't be read.
    """
    store = AssetStore(ws.assets)
    assets, faults = store.assets()
    links = living_users(store)
    rows = tuple(_row(asset, links.get(asset.name, [])) for asset in assets)
    return AssetList(str(store.root), rows, store_bytes(store), tuple(f.problem for f in faults))


def verify_assets(
    ws: Workspace, names: Sequence[str] = (), *, drop: bool = False, progress: Progress = quiet
) -> Verified:
    """Read contents again, and name every one that is missing or not what its hash says.

    Args:
        ws: the workspace.
        names: whose contents; without, all of the store.
        drop: delete the damaged ones, so that the next add or pull brings them anew.
        progress: told of every content.

    Raises:
        AssetError: there is no such asset.
        StorageError: the store can't be read.
    """
    store = AssetStore(ws.assets)
    assets, faults = store.assets()
    if names:
        assets, faults = _chosen(store, names), []
    count, damaged = verify_contents(store, assets, everything=not names, progress=progress)
    dropped = drop_damaged(store, damaged) if drop and damaged else 0
    return Verified(count, tuple(damaged), tuple(fault.problem for fault in faults), dropped)


def remove_assets(ws: Workspace, names: Sequence[str], *, dry_run: bool = False) -> RemovedNames:
    """Forget names; contents that nothing else uses go with the next collection.

    Raises:
        AssetError: one of them is unknown; then none is removed.
        StorageError: the file system refused.
    """
    store = AssetStore(ws.assets)
    chosen = _chosen(store, names)
    if not dry_run:
        with store.held():
            for asset in chosen:
                store.record_path(asset.name).unlink(missing_ok=True)
    return RemovedNames(tuple(asset.name for asset in chosen), dry_run)


def collect_assets(
    ws: Workspace, *, forget: bool = False, dry_run: bool = False, now: float | None = None
) -> Collected:
    """Take away contents that neither a name nor a living link uses.

    Args:
        ws: the workspace.
        forget: count links of workspaces that are not there as gone.
        dry_run: only tell.
        now: seconds since 1970; by default the clock's.

    Raises:
        AssetError: a record can't be read, so that nobody knows what it uses.
        StorageError: the file system refused.
    """
    store = AssetStore(ws.assets)
    return Collected(
        str(store.root), collect(store, now=now, forget=forget, dry_run=dry_run), dry_run
    )


def _remote(url: str) -> Remote:
    protocol, there, _ = url.partition("://")
    if not there or not protocol:
        raise AssetError(
            f"'{url}' is no place of assets",
            hint="write hf:dataset/NAME, hf:model/NAME, or a URL such as s3://bucket/prefix",
        )
    need_extra(_EXTRA, ("fsspec", "s3fs") if protocol in ("s3", "s3a") else ("fsspec",))
    return Remote(url)


def _chosen(store: AssetStore, names: Sequence[str]) -> list[Asset]:
    """The assets of these names; without names, all.

    Raises:
        AssetError: one is unknown; without names, a record can't be read, or there is none.
    """
    if names:
        return [store.find(name) for name in dict.fromkeys(names)]
    assets, faults = store.assets()
    if faults:
        raise faults[0]
    if not assets:
        raise AssetError(f"there is no asset in '{store.root}'", hint="kdgat assets add PATH")
    return assets


def _brought(store: AssetStore, name: str, outcome: str) -> Brought:
    return Brought(_row(store.find(name), living_users(store).get(name, [])), outcome)


def _row(asset: Asset, links: Sequence[str]) -> AssetRow:
    return AssetRow(
        asset.name, asset.kind, len(asset.files), asset.bytes, asset.tree, asset.origin,
        asset.added_at, tuple(links),
    )  # fmt: skip
