"""Links over nothing that is there, and a collection that leaves what a name or a link uses."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from kdgat.assets.collecting import collect, drop_damaged, verify_contents
from kdgat.assets.links import link_asset
from kdgat.assets.store import AssetStore, user_files
from kdgat.errors import AssetError
from tests.unit.assets.made import CAPTURES, added, folder

DAY_S = 86_400.0


@pytest.fixture
def store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "store")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "workspace"
    root.mkdir()
    return root


def later() -> float:
    return time.time() + DAY_S / 2


def contents(store: AssetStore) -> int:
    return len(list(store.blobs.all()))


def test_a_link_is_a_folder_of_links_that_reads_as_the_source(
    store: AssetStore, root: Path, tmp_path: Path
) -> None:
    asset = added(store, folder(tmp_path / "raw"))
    place = root / "raw" / "can"
    assert link_asset(store, asset, place, root) == "linked"
    for name, text in CAPTURES.items():
        assert (place / name).is_symlink()
        assert (place / name).read_text() == text
    assert not (place / "train_01").is_symlink()
    assert link_asset(store, asset, place, root) == "unchanged"
    assert [path.name for path in place.parent.iterdir()] == ["can"]


def test_nothing_that_is_there_is_overwritten(
    store: AssetStore, root: Path, tmp_path: Path
) -> None:
    asset = added(store, folder(tmp_path / "raw"))
    file = folder(root, {"file": "mine"}) / "file"
    full = folder(root / "full", {"mine": "mine"})
    pointing = root / "pointing"
    pointing.symlink_to(full)
    nowhere = root / "nowhere"
    nowhere.symlink_to("gone")
    for place in (file, full, pointing, nowhere):
        with pytest.raises(AssetError, match="is there already"):
            link_asset(store, asset, place, root)
    assert file.read_text() == "mine"
    assert [path.name for path in full.iterdir()] == ["mine"]
    assert str(nowhere.readlink()) == "gone"
    linked = root / "linked"
    link_asset(store, asset, linked, root)
    (linked / "notes").write_text("mine")
    with pytest.raises(AssetError, match="is there already"):
        link_asset(store, asset, linked, root)
    assert (linked / "notes").read_text() == "mine"
    with pytest.raises(AssetError, match="in the store itself"):
        link_asset(store, asset, store.root / "here", root)


def test_a_place_that_was_linked_follows_a_replaced_name(
    store: AssetStore, root: Path, tmp_path: Path
) -> None:
    raw = folder(tmp_path / "raw")
    place = root / "can"
    link_asset(store, added(store, raw), place, root)
    (raw / "README").write_text("new")
    asset = added(store, raw, replace=True)
    assert (place / "README").read_text() == "x"
    assert link_asset(store, asset, place, root) == "relinked"
    assert (place / "README").read_text() == "new"


def test_what_a_name_or_a_living_link_uses_is_never_collected(
    store: AssetStore, root: Path, tmp_path: Path
) -> None:
    asset = added(store, folder(tmp_path / "raw"))
    place = root / "can"
    link_asset(store, asset, place, root)
    assert collect(store, now=later()).contents == 0
    store.record_path("can").unlink()
    assert collect(store, now=later()).contents == 0
    assert (place / "README").read_text() == "x"
    shutil.rmtree(place)
    told = collect(store, now=later(), dry_run=True)
    assert (told.contents, told.users) == (3, (str(place),))
    assert contents(store) == 3
    assert collect(store, now=later()) == told
    assert contents(store) == 0
    assert user_files(store) == []


def test_new_contents_are_left_for_those_who_are_about_to_name_them(
    store: AssetStore, tmp_path: Path
) -> None:
    store.blobs.put(folder(tmp_path / "raw") / "README")
    told = collect(store)
    assert (told.contents, told.too_new) == (0, 1)
    assert collect(store, now=later()).contents == 1


def test_links_of_a_workspace_that_is_not_there_count_until_they_are_forgotten(
    store: AssetStore, root: Path, tmp_path: Path
) -> None:
    link_asset(store, added(store, folder(tmp_path / "raw")), root / "can", root)
    store.record_path("can").unlink()
    root.rename(tmp_path / "unmounted")
    told = collect(store, now=later())
    assert (told.contents, told.unreachable) == (0, (str(root / "can"),))
    assert collect(store, now=later(), forget=True).contents == 3


def test_nothing_is_collected_while_a_record_can_not_be_read(
    store: AssetStore, tmp_path: Path
) -> None:
    added(store, folder(tmp_path / "raw"))
    store.record_path("can").write_text("{half")
    with pytest.raises(AssetError, match=r"can\.json' is no record"):
        collect(store, now=later())
    assert contents(store) == 3


def test_what_was_broken_off_is_cleared_after_a_day(store: AssetStore, tmp_path: Path) -> None:
    folder(store.blobs.incoming, {"half": "ha"})
    folder(store.root / "pulls" / "origin", {"x.part": "ha"})
    assert collect(store).leftovers == 0
    assert collect(store, now=time.time() + DAY_S + 60).leftovers == 2
    assert not list(store.blobs.incoming.iterdir())
    assert not list((store.root / "pulls").iterdir())


def test_every_damaged_and_missing_content_is_named_with_its_files(
    store: AssetStore, tmp_path: Path
) -> None:
    raw = folder(tmp_path / "raw")
    asset = added(store, raw)
    assert verify_contents(store, [asset], everything=True) == (3, [])
    turned = store.blobs.path(asset.files["train_01/dos.csv"].sha256)
    turned.chmod(0o644)
    turned.write_text("a,b\n3,5\n")
    store.blobs.path(asset.files["README"].sha256).unlink()
    count, found = verify_contents(store, [asset], everything=True)
    assert count == 3
    assert {(each.problem, each.files) for each in found} == {
        ("damaged", ("can: train_01/dos.csv",)), ("missing", ("can: README",)),
    }  # fmt: skip
    assert drop_damaged(store, found) == 1
    added(store, raw)
    assert verify_contents(store, [asset], everything=True) == (3, [])
