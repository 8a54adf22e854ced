"""A small simulated dataset, ingested and prepared."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kdgat.data.simulate import simulate
from kdgat.stages.ingest import ingest
from kdgat.stages.prepare import Prepared, prepare
from tests.unit.data.tiny import DATASET
from tests.unit.stages.small import CONFIG, SIMULATION


@pytest.fixture(scope="session")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Raw captures of a small simulation."""
    folder = tmp_path_factory.mktemp("raw")
    simulate(SIMULATION, folder)
    return folder


@pytest.fixture(scope="session")
def ingested(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, ingested; nobody changes it."""
    folder = tmp_path_factory.mktemp("data") / "tiny"
    ingest(DATASET, raw, folder)
    return folder


@pytest.fixture
def folder(ingested: Path, tmp_path: Path) -> Path:
    """A dataset folder of one's own."""
    return shutil.copytree(ingested, tmp_path / "tiny")


@pytest.fixture(scope="session")
def shared(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Prepared]:
    """A prepared dataset that nobody changes."""
    folder = shutil.copytree(ingested, tmp_path_factory.mktemp("prepared") / "tiny")
    return folder, prepare(folder, CONFIG)
