"""The store: contents once and read-only, names whole, and what must not be taken in."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kdgat.assets.adding import add_tree
from kdgat.assets.store import AssetStore
from kdgat.errors import AssetError
from tests.unit.assets.made import CAPTURES, added, folder

ADDING = """
import sys
from pathlib import Path
from kdgat.assets.adding import add_tree
from kdgat.assets.store import AssetStore
store, source, name = AssetStore(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3]
sys.stdin.readline()
print(add_tree(store, source, name, "dataset"))
"""


@pytest.fixture
def store(tmp_path: Path) -> AssetStore:
    return AssetStore(tmp_path / "store")


def test_a_content_is_kept_once_and_read_only(store: AssetStore, tmp_path: Path) -> None:
    files = {**CAPTURES, "copy/of.csv": CAPTURES["train_01/dos.csv"]}
    asset = added(store, folder(tmp_path / "raw", files))
    assert set(asset.files) == set(files)
    contents = list(store.blobs.all())
    assert len(contents) == 3
    for path in contents:
        assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert not list(store.blobs.incoming.iterdir())
    again = add_tree(store, tmp_path / "raw", "other", "output")
    assert again == "added"
    assert list(store.blobs.all()) == contents


def test_a_copy_leaves_the_source_alone_and_a_hard_link_shares_its_bytes(
    store: AssetStore, tmp_path: Path
) -> None:
    source = folder(tmp_path / "raw") / "README"
    added(store, source, "copied")
    assert source.stat().st_nlink == 1
    assert source.stat().st_mode & stat.S_IWUSR
    other = folder(tmp_path / "more", {"big": "bytes"}) / "big"
    asset = added(store, other, "linked", hard_link=True)
    assert store.blobs.path(asset.files["big"].sha256).samefile(other)
    assert not other.stat().st_mode & stat.S_IWUSR


def test_a_name_is_replaced_only_when_that_is_asked_for(store: AssetStore, tmp_path: Path) -> None:
    added(store, folder(tmp_path / "raw"))
    assert add_tree(store, tmp_path / "raw", "can", "dataset") == "unchanged"
    (tmp_path / "raw" / "README").write_text("other")
    with pytest.raises(AssetError, match="3 files already"):
        add_tree(store, tmp_path / "raw", "can", "dataset")
    assert add_tree(store, tmp_path / "raw", "can", "dataset", replace=True) == "replaced"


def test_links_are_followed_and_a_loop_is_named(store: AssetStore, tmp_path: Path) -> None:
    raw = folder(tmp_path / "raw")
    outside = folder(tmp_path / "outside", {"b.csv": "far"})
    (raw / "far").symlink_to(outside)
    (raw / "near.csv").symlink_to("README")
    assert set(added(store, raw).files) == {*CAPTURES, "far/b.csv", "near.csv"}
    (raw / "train_01" / "up").symlink_to("..")
    with pytest.raises(AssetError, match="train_01/up' is a link to a folder that it lies in"):
        added(store, raw, "looped")
    (raw / "train_01" / "up").unlink()
    (raw / "self").symlink_to("self")
    with pytest.raises(AssetError, match="a link that leads nowhere"):
        added(store, raw, "dangling")
    assert store.known() == ["can"]


def test_what_is_no_file_or_no_text_is_refused_before_anything_is_copied(
    store: AssetStore, tmp_path: Path
) -> None:
    raw = folder(tmp_path / "raw")
    os.mkfifo(raw / "pipe")
    with pytest.raises(AssetError, match="neither a file nor a folder"):
        added(store, raw)
    (raw / "pipe").unlink()
    (Path(os.fsdecode(bytes(raw) + b"/\xff.csv"))).write_text("x")
    with pytest.raises(AssetError, match="can't be a file's path"):
        added(store, raw)
    (tmp_path / "empty").mkdir()
    with pytest.raises(AssetError, match="no file in it"):
        added(store, tmp_path / "empty")
    with pytest.raises(AssetError, match="can't read"):
        added(store, tmp_path / "nowhere")
    assert not store.root.exists()


def test_the_store_does_not_take_in_itself(store: AssetStore, tmp_path: Path) -> None:
    added(store, folder(tmp_path / "raw"))
    with pytest.raises(AssetError, match="in the store itself"):
        added(store, store.blobs.folder, "self")


def test_a_content_that_was_cut_is_brought_anew(store: AssetStore, tmp_path: Path) -> None:
    raw = folder(tmp_path / "raw")
    asset = added(store, raw)
    path = store.blobs.path(asset.files["README"].sha256)
    path.chmod(0o644)
    path.write_text("")
    assert store.missing(asset) == ["README"]
    assert add_tree(store, raw, "can", "dataset") == "unchanged"
    assert store.missing(asset) == []
    assert path.read_text() == "x"


def test_processes_that_add_at_once_lose_nothing(store: AssetStore, tmp_path: Path) -> None:
    sources = [folder(tmp_path / f"raw{n}", {**CAPTURES, "own": f"{n}"}) for n in range(4)]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", ADDING, str(store.root), str(source), f"can{n}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for n, source in enumerate(sources)
    ]  # fmt: skip
    said = [process.communicate("go\n", timeout=120)[0] for process in processes]
    assert said == ["added\n"] * 4
    assets, faults = store.assets()
    assert faults == []
    assert [asset.name for asset in assets] == ["can0", "can1", "can2", "can3"]
    assert all(not store.missing(asset) for asset in assets)
    assert len(list(store.blobs.all())) == 3 + 4
