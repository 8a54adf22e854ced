"""`kdgat backup` and `kdgat restore`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faces.conftest import Command, Tiny


def test_runs_that_were_lost_are_back_with_their_figures(
    trained: Tiny, kdgat: Command, tmp_path: Path
) -> None:
    before = kdgat("runs", "list", "--json").json["items"]
    done = kdgat("backup", tmp_path / "place", "--keep", "2", "--json").json
    assert done["backup"]["runs"] == 3
    (listed,) = kdgat("backup", tmp_path / "place", "--list", "--json").json["items"]
    assert listed == done["backup"]
    shutil.rmtree(trained.home / "runs")
    told = kdgat("restore", tmp_path / "place", "--dry-run", "--json").json
    assert {run["action"] for run in told["runs"]} == {"whole"}
    assert not (trained.home / "runs").exists()
    assert kdgat("restore", tmp_path / "place").code == 0
    assert kdgat("runs", "list", "--json").json["items"] == before
    assert kdgat("evaluate", trained.teacher).code == 0


def test_the_set_place_and_another_home(
    trained: Tiny, kdgat: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KDGAT_BACKUP", str(tmp_path / "place"))
    name = kdgat("backup", "--json").json["backup"]["id"]
    assert kdgat("restore", name, "--into", tmp_path / "into").code == 0
    copied = {path.parent.name for path in (tmp_path / "into").rglob("run.json")}
    assert copied == trained.runs()


def test_mistakes_are_told(empty: Tiny, kdgat: Command, tmp_path: Path) -> None:
    kdgat("backup", tmp_path / "place").mistake("nothing to back up")
    (empty.home / "runs").mkdir(parents=True)
    kdgat("backup").mistake("no place", "KDGAT_BACKUP")
    kdgat("backup", tmp_path / "place", "--keep", "0").mistake("--keep is 0")
    kdgat("restore", tmp_path / "place").mistake("no whole backup")
    kdgat("restore").mistake("no place")
