"""`kdgat bench` on a small dataset: every comparison is made, and told with what it is against."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from kdgat.cli.bench import bench as command
from kdgat.errors import DataError
from kdgat.ops import bench as operation
from kdgat.workspace import Workspace

WHAT = [
    "batches of 512 graphs",
    "batches of 64 graphs",
    "an epoch of the student",
    "an epoch of the teacher",
    "an epoch of distillation",
    "scoring by the student",
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "_QUICK_GRAPHS", 64)
    monkeypatch.setattr(operation, "_QUICK_ROUNDS", 1)


@pytest.mark.usefixtures("small")
def test_every_comparison_is_made_on_the_workspaces_own_graphs(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = typer.Typer()
    app.command()(command)
    monkeypatch.setattr(Workspace, "find", lambda: ws)
    words = ["--quick", "--json", "dataset=simulated", "training.max_graphs=32"]
    answer = CliRunner().invoke(app, [*words, "resources.accelerator=cpu"])
    assert answer.exit_code == 0, answer.output
    report = json.loads(answer.stdout)
    assert (report["dataset"], report["graphs"], report["batch_graphs"]) == ("simulated", 64, 32)
    assert {"torch", "torch-geometric"} <= set(report["versions"])
    assert [each["what"] for each in report["comparisons"]] == WHAT
    for each in report["comparisons"]:
        assert 0 < each["low"] <= each["ratio"] <= each["high"]
        assert "PyG" in each["usual"] or "teacher" in each["usual"]


def test_a_dataset_too_small_to_time_is_refused(
    ws: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation, "_FEWEST", 10**9)
    with pytest.raises(DataError, match="too few to time anything"):
        operation.bench(ws, overrides=["dataset=simulated"])
