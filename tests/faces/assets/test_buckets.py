"""`kdgat assets push` and `pull` with a bucket: s3fs against moto's server on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kdgat.assets.store import AssetStore
from tests.faces.conftest import Command, Tiny
from tests.unit.assets.made import CAPTURES, folder

s3fs: Any = pytest.importorskip("s3fs", reason="the extra `assets` is not installed")
moto_server: Any = pytest.importorskip("moto.server")
URL = "s3://lab/kdgat"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_CONFIG_FILE", "/nonexistent")
        s3fs.S3FileSystem.clear_instance_cache()
        yield f"http://{host}:{port}"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture
def bucket(endpoint: str) -> Iterator[Any]:
    files = s3fs.S3FileSystem()
    files.mkdir("lab")
    yield files
    files.rm("lab", recursive=True)


@pytest.fixture
def store(empty: Tiny, kdgat: Command) -> AssetStore:
    """A store with one asset."""
    folder(empty.root / "raw")
    assert kdgat("assets", "add", "raw", "--name", "lab/can").code == 0
    return AssetStore(empty.home / "assets")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AssetStore:
    """From now on an empty store."""
    monkeypatch.setenv("KDGAT_ASSETS", str(tmp_path / "elsewhere"))
    return AssetStore(tmp_path / "elsewhere")


def test_what_is_pushed_comes_back_in_another_store(
    bucket: Any, store: AssetStore, kdgat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = kdgat("assets", "push", URL, "--dry-run", "--json").json["items"]
    assert [(each["name"], each["contents"]) for each in told] == [("lab/can", 3)]
    assert bucket.find("lab") == []
    assert kdgat("assets", "push", URL, "--json").json["items"] == told
    (again,) = kdgat("assets", "push", URL, "lab/can", "--json").json["items"]
    assert (again["contents"], again["outcome"]) == (0, "unchanged")
    monkeypatch.setenv("KDGAT_ASSETS", str(tmp_path / "elsewhere"))
    (done,) = kdgat("assets", "pull", URL, "--json").json["items"]
    assert done["asset"]["tree"] == store.find("lab/can").tree
    assert kdgat("assets", "link", "lab/can", tmp_path / "linked").code == 0
    assert {name: (tmp_path / "linked" / name).read_text() for name in CAPTURES} == CAPTURES
    (again,) = kdgat("assets", "pull", URL, "lab/can", "--json").json["items"]
    assert again["outcome"] == "unchanged"


def test_a_pull_goes_on_with_the_bytes_it_has(
    bucket: Any, store: AssetStore, elsewhere: AssetStore, kdgat: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("KDGAT_ASSETS", str(store.root))
    assert kdgat("assets", "push", URL).code == 0
    monkeypatch.setenv("KDGAT_ASSETS", str(elsewhere.root))
    file = store.find("lab/can").files["train_01/dos.csv"]
    with elsewhere.pulling(f"{URL}/lab/can") as parts:
        (parts / f"{file.sha256}.part").write_text(CAPTURES["train_01/dos.csv"][:4])
    with elsewhere.pulling(f"{URL}/lab/can"):
        kdgat("assets", "pull", URL).mistake("another process downloads")
    assert kdgat("assets", "pull", URL).code == 0
    assert elsewhere.blobs.path(file.sha256).read_text() == CAPTURES["train_01/dos.csv"]


def test_a_content_that_is_damaged_there_is_never_named_here(
    bucket: Any, store: AssetStore, elsewhere: AssetStore, kdgat: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("KDGAT_ASSETS", str(store.root))
    assert kdgat("assets", "push", URL).code == 0
    monkeypatch.setenv("KDGAT_ASSETS", str(elsewhere.root))
    sha256 = store.find("lab/can").files["train_01/dos.csv"].sha256
    bucket.pipe_file(f"lab/kdgat/blobs/{sha256[:2]}/{sha256}", b"a,b\n3,5\n")
    kdgat("assets", "pull", URL).mistake("train_01/dos.csv", "not the one of its hash")
    assert elsewhere.known() == []


def test_a_record_that_would_leave_its_folder_is_refused(
    bucket: Any, store: AssetStore, elsewhere: AssetStore, kdgat: Command
) -> None:
    record = store.find("lab/can").to_json()
    record["files"] = {"../../.bashrc": ["a" * 64, 3]}
    bucket.pipe_file("lab/kdgat/names/lab--can.json", json.dumps(record).encode())
    kdgat("assets", "pull", URL).mistake("../../.bashrc")
    assert not elsewhere.root.exists()


def test_a_name_there_is_replaced_only_when_that_is_asked_for(
    bucket: Any, store: AssetStore, empty: Tiny, kdgat: Command
) -> None:
    assert kdgat("assets", "push", URL).code == 0
    (empty.root / "raw" / "README").write_text("newer")
    assert kdgat("assets", "add", "raw", "--name", "lab/can", "--replace").code == 0
    kdgat("assets", "push", URL).mistake("lab/can", "--replace")
    (done,) = kdgat("assets", "push", URL, "--replace", "--json").json["items"]
    assert (done["contents"], done["outcome"]) == (1, "replaced")


def test_a_bucket_that_is_not_there_is_told(bucket: Any, store: AssetStore, kdgat: Command) -> None:
    kdgat("assets", "push", "s3://nobody/x").mistake("s3://nobody/x", "credentials")
    kdgat("assets", "pull", "s3://nobody/x").mistake("s3://nobody/x")
    kdgat("assets", "pull", "what://ever").mistake("what://ever")


def test_a_folder_is_a_place_too(
    store: AssetStore, kdgat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path}/place"
    assert kdgat("assets", "push", url).code == 0
    assert not list((tmp_path / "place").rglob(".partial-*"))
    monkeypatch.setenv("KDGAT_ASSETS", str(tmp_path / "elsewhere"))
    assert kdgat("assets", "pull", url).code == 0
    assert AssetStore(tmp_path / "elsewhere").known() == ["lab/can"]
