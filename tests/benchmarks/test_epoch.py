"""Batches, epochs, distillation and scoring against the usual way with PyTorch Geometric.

Run by hand, on a machine with nothing else to do (some minutes):

    KDGAT_HOME=... uv run pytest tests/benchmarks/test_epoch.py -m benchmarks -s -o addopts=

Without `-o addopts=` the shapes of every call are checked, and that is timed too. The graphs are
hcrl_sa's where the workspace has them, and the embedded simulation's otherwise. The code is that of
`kdgat bench`; what it promises is asserted here.
"""

from __future__ import annotations

import pytest

from kdgat.cli.bench import _print
from kdgat.ops.bench import BenchReport, bench
from kdgat.ops.data import ingest_data
from kdgat.ops.simulation import simulate_data
from kdgat.workspace import Workspace

pytestmark = pytest.mark.benchmarks

BATCH = 512


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> BenchReport:
    ws = Workspace.find()
    name = "hcrl_sa"
    if not (ws.dataset(name) / "captures.json").is_file():
        folder = tmp_path_factory.mktemp("bench")
        ws, name = Workspace(root=folder, home=folder / "home"), "simulated"
        simulate_data(ws)
        ingest_data(ws, name)
    return bench(ws, overrides=[f"dataset={name}", f"training.max_graphs={BATCH}"])


def test_everything_is_as_much_faster_as_promised(
    report: BenchReport, capsys: pytest.CaptureFixture[str]
) -> None:
    with capsys.disabled():
        print()
        _print(report)
    short = {
        each.what: round(each.ratio, 2)
        for each in report.comparisons
        if each.goal is not None and each.ratio < each.goal
    }
    assert short == {}
