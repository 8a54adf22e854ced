"""A workspace with captures and a cluster, and a scheduler that answers as a test wants."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from kdgat.ops.data import ingest_data
from kdgat.ops.simulation import simulate_data
from kdgat.slurm.client import Slurm
from kdgat.workspace import Workspace
from tests.unit.slurm.fake_slurm import FakeSlurm

# No GPU of the catalogue, so that no memory is planned: that has tests of its own.
CLUSTER = """
accounts = ["PAS3209"]
partition_gpu = "gpu"
partition_cpu = "cpu"
time_limit = "01:00:00"
max_array = 4
[partitions.gpu]
nodes = 2
cores_per_node = 8
memory_mb_per_node = 16000
memory_mb_per_core = 1000
gpus_per_node = 2
gres = "v100"
[partitions.cpu]
max_time = "00:30:00"
cores_per_node = 8
"""


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with simulated captures, ingested."""
    root = tmp_path_factory.mktemp("ingested")
    ws = Workspace(root, root / ".kdgat")
    words = ("seed=3", "capture_s=5", "attack_free_s=6", "known_attacks=[dos]")
    simulate_data(ws, overrides=(*words, "unknown_attacks=[suppress]"))
    ingest_data(ws, "simulated")
    folder = root / "slurm" / "clusters"
    folder.mkdir(parents=True)
    (folder / "here.toml").write_text(CLUSTER)
    return root


@pytest.fixture
def ws(ingested: Path, tmp_path: Path) -> Workspace:
    root = tmp_path / "workspace"
    shutil.copytree(ingested, root)
    return Workspace(root, root / ".kdgat")


@pytest.fixture
def fake(tmp_path: Path) -> FakeSlurm:
    """A scheduler that takes everything as job 41, 42, ..., and tells nothing of it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    fake = FakeSlurm(folder)
    fake.answers("sbatch", *(f"{number}\n" for number in range(41, 60)))
    fake.answers("squeue", "")
    fake.answers("sacct", "")
    return fake


@pytest.fixture
def client(fake: FakeSlurm) -> Slurm:
    return fake.client()
