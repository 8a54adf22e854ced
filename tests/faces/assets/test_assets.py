"""`kdgat assets ...` at the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.faces.conftest import SIMULATION, Command, Tiny
from tests.unit.assets.made import CAPTURES, folder


def test_two_workspaces_share_one_store(
    empty: Tiny, kdgat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty.root / "pyproject.toml").write_text('[tool.kdgat]\nassets = "../shared"\n')
    folder(empty.root / "raw")
    done = kdgat("assets", "add", "raw", "--name", "can", "--json").json
    assert (done["outcome"], done["asset"]["files"]) == ("added", len(CAPTURES))
    other = tmp_path / "other"
    other.mkdir()
    (other / "pyproject.toml").write_text("[tool.kdgat]\n")
    monkeypatch.chdir(other)
    monkeypatch.setenv("KDGAT_ASSETS", str(tmp_path / "shared"))
    assert kdgat("assets", "link", "can", "--json").json["place"] == ".kdgat/linked/can"
    (row,) = kdgat("assets", "list", "--json").json["items"]
    assert row["links"] == [str(other / ".kdgat" / "linked" / "can")]
    assert kdgat("assets", "rm", "can", "--dry-run").out == "would forget can\n"
    assert kdgat("assets", "rm", "can").code == 0
    assert kdgat("assets", "gc", "--json").json["unused"]["contents"] == 0
    assert (other / ".kdgat/linked/can/README").read_text() == "x"


def test_verify_ends_with_1_and_names_what_is_damaged(empty: Tiny, kdgat: Command) -> None:
    folder(empty.root / "raw")
    assert kdgat("assets", "add", "raw", "--name", "can").code == 0
    assert kdgat("assets", "verify").code == 0
    path = next(each for each in empty.home.rglob("blobs/*/*") if each.read_text() == "x")
    path.chmod(0o644)
    path.write_text("y")
    said = kdgat("assets", "verify", "can")
    assert said.code == 1
    assert f"damaged: {path.name} of can: README" in said.out
    assert kdgat("assets", "verify", "--drop").code == 1
    assert kdgat("assets", "add", "raw", "--name", "can").code == 0
    assert kdgat("assets", "verify").code == 0


def test_mistakes_are_told(empty: Tiny, kdgat: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(empty.root / "raw")
    kdgat("assets", "add", "raw", "--name", "../x").mistake("'../x'", "lab/can-2026")
    kdgat("assets", "add", "raw", "--kind", "datset").mistake("datset", "dataset")
    kdgat("assets", "link", "nothing").mistake("nothing")
    kdgat("assets", "add", "nowhere").mistake("nowhere")
    assert kdgat("assets", "add", "raw").code == 0
    kdgat("assets", "link", "raw", "raw").mistake("is there already")
    kdgat("assets", "link", "rwa").mistake("did you mean 'raw'")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    kdgat("assets", "pull", "hf:dataset/x").mistake("huggingface_hub", "uv sync --extra assets")
    kdgat("assets", "push", "s3://x/y").mistake("s3fs", "uv sync --extra assets")


@pytest.mark.slow
def test_a_linked_asset_is_a_raw_folder_of_ingest(empty: Tiny, kdgat: Command) -> None:
    assert kdgat("data", "simulate", *SIMULATION).code == 0
    raw = empty.home / "data" / "simulated" / "raw"
    direct = kdgat("data", "ingest", "simulated", "--json").json["content_hash"]
    assert kdgat("assets", "add", raw, "--name", "sim").code == 0
    assert kdgat("assets", "link", "sim", "linked").code == 0
    through = kdgat("data", "ingest", "simulated", "--raw", "linked", "--json").json
    assert through["content_hash"] == direct
    assert through["provenance"] == "simulated"
