"""`kdgat memory` and the plan that training makes by itself, as a user meets them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

Process = Callable[..., subprocess.CompletedProcess[str]]
WATCH = """
import resource, sys
from kdgat.cli.main import main
try:
    main()
except SystemExit as error:
    assert not error.code, error.code
print("torch" in sys.modules, file=sys.stderr)
# The own peak from the kernel's status: rusage begins with the size of the process that forked.
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(status["VmHWM"].split()[0], file=sys.stderr)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def traced_once(
    trained_once: Any, tiny_config: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """The trained workspace with the tiny model's steps on a GPU in its cache."""
    root = tmp_path_factory.mktemp("traced") / "workspace"
    shutil.copytree(trained_once.root, root)
    command = [sys.executable, "-c", WATCH, "memory", "plan", *tiny_config, "--gpu", "a100-40gb"]
    subprocess.run(command, cwd=root, check=True, capture_output=True, timeout=300)
    return replace(trained_once, root=root)


@pytest.fixture
def traced(traced_once: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same, a copy of its own, entered."""
    root = tmp_path / "workspace"
    shutil.copytree(traced_once.root, root)
    monkeypatch.chdir(root)
    for name in ("KDGAT_HOME", "KDGAT_ROOT"):
        monkeypatch.delenv(name, raising=False)
    return replace(traced_once, root=root)


def plan_process(process: Process, *arguments: object) -> tuple[dict[str, Any], list[str]]:
    done = process("-c", WATCH, "memory", "plan", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr.split()


def test_an_80_gb_job_is_planned_in_little_memory_and_then_from_the_cache(
    prepared: Any, process: Process
) -> None:
    job = (
        "model=gat", "size=large", "training.max_graphs=1000000", "training.min_steps_per_epoch=0",
        "data.training_stride_messages=1", "--gpu", "a100-80gb",
    )  # fmt: skip
    plan, told = plan_process(process, *job)
    assert plan["limited_by"] in ("memory", "the number of graphs")
    assert plan["peak_reserved_bytes"] <= plan["capacity_bytes"]
    assert not plan["cached"]
    assert told[0] == "False"
    assert max(map(int, told[1:])) * 1024 < 1.5e9

    again, _ = plan_process(process, *job)
    assert again["cached"]
    timing = ("cached", "seconds")
    assert {k: v for k, v in again.items() if k not in timing} == {
        k: v for k, v in plan.items() if k not in timing
    }


def test_a_plan_before_the_data_says_what_it_assumed(empty: Any, process: Process) -> None:
    plan, _ = plan_process(process, "dataset=hcrl_sa", "model=vgae", "size=small", "--gpu", "cpu")
    assert plan["gpu"] == "cpu"
    assert any("'hcrl_sa' is not ingested" in each for each in plan["assumed"])
    assert plan["steps_per_epoch"] > 50
    assert (empty.home / "memory").exists()
    assert not (empty.home / "data").exists()


def test_training_keeps_its_plan_and_what_it_measured(trained: Any, kdgat: Any) -> None:
    kept = json.loads((trained.run(trained.student) / "artifacts" / "memory.json").read_bytes())
    assert kept["plan"]["gpu"] == "cpu"
    assert kept["plan"]["limited_by"] == "training.max_graphs"
    assert kept["limits"]["train"]["planes"]
    record = kdgat("runs", "show", trained.student, "--json").json["record"]
    assert record["metrics"]["predicted_allocated_bytes"] == kept["plan"]["peak_allocated_bytes"]
    assert "artifacts/memory.json" in record["artifacts"]


def test_without_runs_on_a_gpu_there_is_nothing_to_calibrate(trained: Any, kdgat: Any) -> None:
    said = kdgat("memory", "calibrate")
    assert said.code == 0
    assert "no run on a GPU" in said.out
    assert not (trained.home / "memory" / "calibration.json").exists()


def test_measured_runs_on_a_gpu_correct_later_plans(
    traced: Any, kdgat: Any, tiny_config: tuple[str, ...]
) -> None:
    """The figures are made up here, because this suite runs without a GPU."""
    path = traced.run(traced.teacher) / "artifacts" / "memory.json"
    kept = json.loads(path.read_bytes())
    kept["plan"]["gpu"] = "v100-16gb"
    kept["measured"] = {
        "predicted_allocated_bytes": 100.0,
        "measured_allocated_bytes": 110.0,
        "predicted_reserved_bytes": 200.0,
        "measured_reserved_bytes": 190.0,
        "measured_context_bytes": 300.0 * 2**20,
    }
    path.write_text(json.dumps(kept))
    job = ("memory", "plan", *tiny_config, "--gpu", "v100-16gb", "--json")
    before = kdgat(*job).json
    report = kdgat("memory", "calibrate", "--dry-run", "--json").json
    assert kdgat(*job).json["context_bytes"] == before["context_bytes"]
    assert report["items"][0]["allocated_ratio"] == pytest.approx(1.1)
    assert kdgat("memory", "calibrate").code == 0
    after = kdgat(*job).json
    assert after["context_bytes"] == 300 * 2**20
    assert after["capacity_bytes"] < before["capacity_bytes"]
    assert any("calibrate" in each for each in before["assumed"])
    assert not any("calibrate" in each for each in after["assumed"])


class TestMistakes:
    @pytest.mark.usefixtures("prepared")
    def test_an_unknown_gpu(self, kdgat: Any) -> None:
        kdgat("memory", "plan", "--gpu", "v100-15gb").mistake("v100-15gb", "v100-16gb")

    @pytest.mark.usefixtures("prepared")
    def test_a_negative_margin(self, kdgat: Any) -> None:
        said = kdgat("memory", "plan", "resources.memory_margin_share=-0.1", "--gpu", "a100-40gb")
        said.mistake("resources.memory_margin_share", "-0.1")

    @pytest.mark.usefixtures("prepared")
    def test_a_memory_below_zero(self, kdgat: Any) -> None:
        kdgat("memory", "plan", "--memory-gib", "-3").mistake("--memory-gib", "-3")

    @pytest.mark.usefixtures("prepared")
    def test_a_model_without_a_stage(self, kdgat: Any) -> None:
        kdgat("memory", "plan", "model=fusion").mistake("fusion")

    @pytest.mark.usefixtures("traced")
    def test_a_gpu_smaller_than_its_context(self, kdgat: Any, tiny_config: tuple[str, ...]) -> None:
        job = ("memory", "plan", *tiny_config, "--gpu", "v100-16gb", "--memory-gib", "0.5")
        kdgat(*job).mistake("0.50 GiB", "context")

    @pytest.mark.usefixtures("traced")
    def test_a_gpu_smaller_than_one_graph(self, kdgat: Any, tiny_config: tuple[str, ...]) -> None:
        context = 640 / 1024 / 0.98
        job = ("memory", "plan", *tiny_config, "--gpu", "v100-16gb", "--memory-gib", context + 1e-4)
        kdgat(*job).mistake("single graph", "GiB")

    @pytest.mark.usefixtures("prepared")
    def test_a_teacher_that_does_not_exist(self, kdgat: Any) -> None:
        kdgat("memory", "plan", "distillation.teacher=nope").mistake("nope")

    @pytest.mark.parametrize("how", ["empty", "damaged"])
    def test_prepared_graphs_that_are_none(
        self, trained: Any, kdgat: Any, tiny_config: tuple[str, ...], how: str
    ) -> None:
        (train,) = trained.data.glob("graphs/*/train")
        _spoil(train, how)
        said = kdgat("memory", "plan", *tiny_config, "--gpu", "a100-40gb")
        said.mistake("no training graph" if how == "empty" else "can't be read")


def _spoil(train: Path, how: str) -> None:
    import numpy as np

    if how == "damaged":
        (train / "node_ptr.npy").write_bytes(b"nothing")
        return
    for name, rows in (("node_ptr", 1), ("edge_ptr", 1), ("attack_messages", 0)):
        np.save(train / f"{name}.npy", np.zeros(rows, dtype=np.int64))
