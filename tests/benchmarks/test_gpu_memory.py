"""The script that measures on a GPU, as far as a machine without one goes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from kdgat.configs.resources import gpu
from kdgat.memory.affine import Shape
from tests.benchmarks import gpu_memory

pytestmark = pytest.mark.slow

SMALL = (Shape(6_400, 11_000, 200), Shape(1_280, 2_200, 40))


def test_without_a_gpu_it_says_so_in_one_sentence() -> None:
    command = [sys.executable, "-W", "ignore", str(Path(gpu_memory.__file__))]
    # Where there is a GPU, it is hidden.
    environ = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=environ
    )
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("torch sees no GPU on this machine")


def test_at_least_twelve_configurations_are_measured() -> None:
    assert len({case.name for case in gpu_memory.CASES}) == len(gpu_memory.CASES) >= 12


@pytest.mark.parametrize("case", gpu_memory.CASES[3:6], ids=lambda case: case.name)
def test_a_run_is_planned_and_replayed_for_a_gpu(case: gpu_memory.Case) -> None:
    capacity = (64 if case.size == "large" else 32) << 20
    job = gpu_memory.prepare(case, gpu("v100-16gb"), capacity, 20, SMALL)
    assert job.planned.spec.device == "cuda"
    assert job.planned.plan.capacity_bytes == capacity
    assert job.planned.plan.limited_by == "memory"
    assert job.expected.failure is None
    assert job.expected.batches >= 20
    assert job.expected.peak_reserved_bytes <= capacity
    assert job.config.resources.accelerator == "gpu"


def test_the_planned_batches_are_trained() -> None:
    case = gpu_memory.Case("gat", "small", distilled=True, checkpointed=True)
    job = gpu_memory.prepare(case, gpu("cpu"), 24 << 20, 6, SMALL)
    done, failure = gpu_memory.train(job)
    assert failure is None
    assert done >= 6
    assert done == job.planned.plan.steps_per_epoch * job.config.training.max_epochs


def test_the_table_has_a_line_for_each_row_and_for_each_failure() -> None:
    case = gpu_memory.CASES[0]
    row = {
        "name": case.name, "batches": 200, "fill": 0.981, "out_of_memory": 0, "seconds": 21.0,
        "predicted_allocated_bytes": 101 << 20, "measured_allocated_bytes": 100 << 20,
        "predicted_reserved_bytes": 120 << 20, "measured_reserved_bytes": 120 << 20,
        "predicted_retries": 0, "measured_retries": 1, "measured_context_bytes": 500 << 20,
        "allocated_residual": 0.01, "reserved_residual": 0.0,
    }  # fmt: skip
    lines = gpu_memory.table([row, {"name": "gat-small", "error": "died"}]).splitlines()
    assert len(lines) == 3
    assert "+1.00%" in lines[1]
    assert lines[2].split() == ["gat-small", "died"]
    assert json.dumps(row)
