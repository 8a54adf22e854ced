"""`kdgat assets pull hf:...`, by the real client against a small hub on loopback."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from kdgat.assets.store import AssetStore
from tests.faces.assets.hub import Hub, serving
from tests.faces.conftest import Command, Tiny

pytest.importorskip("huggingface_hub", reason="the extra `assets` is not installed")

CHUNK = 10 << 20
"""Bytes that the client writes at once."""
BIG = random.Random(1).randbytes(CHUNK + 2_000_000)
FILES = {"README.md": b"# captures", "train_01/a b.csv": b"x,y\n", "weights.bin": BIG}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_none")
        hub.large.add("weights.bin")
        yield hub


@pytest.fixture
def store(empty: Tiny) -> AssetStore:
    return AssetStore(empty.home / "assets")


def linked(store: AssetStore, name: str) -> dict[str, bytes]:
    """What an asset's files hold."""
    files = store.find(name).files
    return {path: store.blobs.path(file.sha256).read_bytes() for path, file in files.items()}


def test_a_dataset_and_a_model_come_with_every_file_and_their_commit(
    hub: Hub, store: AssetStore, kdgat: Command
) -> None:
    commit = hub.commit("dataset", "lab/can", "v1", FILES)
    hub.commit("dataset", "lab/can", "v2", {"README.md": b"newer"})
    hub.commit("model", "lab/gat", "main", {"model.ckpt": b"weights"})
    (done,) = kdgat("assets", "pull", "hf:dataset/lab/can@v1", "--json").json["items"]
    assert done["outcome"] == "added"
    assert done["asset"]["origin"] == f"hf:dataset/lab/can@{commit}"
    assert linked(store, "lab/can") == FILES
    (model,) = kdgat("assets", "pull", "hf:model/lab/gat", "--as", "gat", "--json").json["items"]
    assert model["asset"]["kind"] == "model"
    assert linked(store, "gat") == {"model.ckpt": b"weights"}
    assert not list((store.root / "pulls").iterdir())


def test_a_download_that_was_broken_off_goes_on_where_it_was(
    hub: Hub, store: AssetStore, kdgat: Command
) -> None:
    hub.commit("dataset", "lab/can", "v1", FILES)
    hub.cut["weights.bin"] = CHUNK + 1_000_000
    kdgat("assets", "pull", "hf:dataset/lab/can").mistake("weights.bin", "goes on")
    assert store.known() == []
    (part,) = store.root.glob("pulls/*/*.part")
    assert part.stat().st_size == CHUNK
    del hub.cut["weights.bin"]
    hub.sent.clear()
    assert kdgat("assets", "pull", "hf:dataset/lab/can").code == 0
    assert hub.sent == [("weights.bin", CHUNK)]
    assert linked(store, "lab/can") == FILES


def test_what_the_store_has_is_not_downloaded_again(
    hub: Hub, store: AssetStore, kdgat: Command
) -> None:
    hub.commit("dataset", "lab/can", "v1", FILES)
    assert kdgat("assets", "pull", "hf:dataset/lab/can@v1").code == 0
    hub.commit("dataset", "lab/can", "v2", {**FILES, "README.md": b"newer"})
    hub.sent.clear()
    kdgat("assets", "pull", "hf:dataset/lab/can@v2").mistake("already", "--replace")
    assert kdgat("assets", "pull", "hf:dataset/lab/can@v2", "--replace").code == 0
    assert "weights.bin" not in {path for path, _ in hub.sent}
    assert linked(store, "lab/can")["README.md"] == b"newer"


@pytest.mark.parametrize("path", ["weights.bin", "README.md"])
def test_bytes_that_are_not_those_of_the_listing_are_never_named(
    hub: Hub, store: AssetStore, kdgat: Command, path: str
) -> None:
    hub.commit("dataset", "lab/can", "v1", FILES)
    hub.other[path] = FILES[path][:-1] + b"!"
    kdgat("assets", "pull", "hf:dataset/lab/can").mistake(path, "as the Hub lists it")
    assert store.known() == []
    assert not list(store.root.glob("pulls/*/*.part"))
    hub.other.clear()
    assert kdgat("assets", "pull", "hf:dataset/lab/can").code == 0


def test_a_listing_that_would_leave_its_folder_is_refused(
    hub: Hub, store: AssetStore, kdgat: Command
) -> None:
    hub.commit("dataset", "evil/can", "v1", {"../../.bashrc": b"x"})
    kdgat("assets", "pull", "hf:dataset/evil/can").mistake("../../.bashrc")
    assert hub.sent == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("hf:dataset/lab/none", ("lab/none", "HF_TOKEN")),
        ("hf:dataset/lab/can@v9", ("lab/can@v9", "HF_TOKEN")),
        ("hf:space/lab/can", ("hf:space/lab/can", "hf:dataset/NAME")),
        ("lab/can", ("lab/can", "s3://bucket/prefix")),
    ],
)
def test_what_is_not_there_is_told_with_the_next_step(
    hub: Hub, store: AssetStore, kdgat: Command, source: str, words: tuple[str, ...]
) -> None:
    hub.commit("dataset", "lab/can", "v1", FILES)
    kdgat("assets", "pull", source).mistake(*words)


def test_a_hub_that_does_not_answer_is_told(
    store: AssetStore, kdgat: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
    kdgat("assets", "pull", "hf:dataset/lab/can").mistake("lab/can", "network")
