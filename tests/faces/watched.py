"""A workspace with a model that is quickly trained on short captures, for detection and export."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faces.conftest import TINY, Tiny, call, enter

SHORT = (*TINY, "size=small", "data.prefix_s=1")


@dataclass(frozen=True)
class Watched:
    """A workspace, the id of its run, and a capture that no model was trained on."""

    root: Path
    run: str
    capture: Path


@pytest.fixture(scope="session")
def watched_once(prepared_once: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    root = tmp_path_factory.mktemp("watched") / "workspace"
    shutil.copytree(prepared_once.root, root)
    with pytest.MonkeyPatch.context() as patch:
        enter(root, patch)
        run = call("train", *SHORT, "--json").json["run_id"]
    raw = root / ".kdgat" / "data" / "simulated" / "raw"
    return Watched(root, run, next(raw.glob("test_01*/dos-*.csv.gz")))


@pytest.fixture
def watched(watched_once: Watched, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Watched:
    """The same workspace for every test, which must leave it as it is; entered."""
    enter(watched_once.root, monkeypatch)
    return watched_once
