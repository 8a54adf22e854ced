"""Speed on a CUDA GPU: against the plain PyG loop, and how busy the GPU is. Below 8 minutes.

Run by hand, with nothing else on the GPU:

    uv run python tests/benchmarks/gpu_speed.py --out gpu_speed.json

Graphs are random, 32 nodes and 57 edges each, and stay on the GPU. The plain loop has four worker
processes. Both sides' sums and softmax are the usual operators: the sorted way is for CPUs.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).parents[2]))

from kdgat.configs.model import GatConfig, model_preset
from kdgat.configs.training import DistillationConfig, TrainingConfig
from kdgat.data.batches import BatchLoader
from kdgat.memory.affine import Shape
from kdgat.training.compare import Bench, both_models, comparisons, own_epoch
from kdgat.training.optimizer import build_optimizer
from kdgat.training.profiling import device_busy
from kdgat.training.tasks import Classification, Objective
from tests.unit.memory.runs import random_store

GRAPHS, BATCH = 16_384, 2_048
GOALS = {"busy": 0.8, "data": 0.05}


def gpu_bench() -> Bench:
    """The comparisons' graphs and models."""
    student, teacher = (model_preset("gat", size) for size in ("small", "large"))
    assert isinstance(student, GatConfig)
    assert isinstance(teacher, GatConfig)
    store = random_store(Shape(32 * GRAPHS, 57 * GRAPHS, GRAPHS))
    training = TrainingConfig(max_graphs=BATCH, min_steps_per_epoch=0)
    return Bench(store, training, student, teacher, 3, torch.device("cuda"), workers=4)


def shares(bench: Bench, config: GatConfig) -> dict[str, float]:
    """How busy the GPU is in an epoch, and the share of the step that batches take."""
    _, model = both_models(config, bench)
    store = bench.store.to(bench.device)
    loader = BatchLoader(store, BATCH, seed=0)
    optimizer = build_optimizer(model.parameters(), bench.training)
    objective = Objective(Classification(), DistillationConfig())

    def epoch() -> float:
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in own_epoch(model, objective, loader, bench.training, optimizer):
            pass
        torch.cuda.synchronize()
        return time.perf_counter() - start

    epoch()
    whole = min(epoch() for _ in range(3))
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in loader:
        pass
    torch.cuda.synchronize()
    data = time.perf_counter() - start
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiler:
        epoch()
    return {"busy": device_busy(profiler) or 0.0, "data": data / whole}


def main() -> int:
    """Print ratios and shares; 1 where one is short of its goal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    if not torch.cuda.is_available():
        print("torch sees no GPU on this machine")
        return 2
    bench = gpu_bench()
    roles = {"student": bench.student, "teacher": bench.teacher}
    found = {role: shares(bench, config) for role, config in roles.items()}
    for role, each in found.items():
        print(f"{role}: GPU busy {each['busy']:.0%} of an epoch, data {each['data']:.1%} of it")
    compared = list(comparisons(bench))
    for each in compared:
        print(f"{each.what}: {each.ratio:.1f} times (goal {each.goal}), {each.usual}")
    versions = {name: version(name) for name in ("torch", "torch-geometric")}
    print(torch.cuda.get_device_name(), versions)
    if given.out:
        result = {
            "device": torch.cuda.get_device_name(),
            "versions": versions,
            "shares": found,
            "comparisons": [asdict(each) for each in compared],
        }
        given.out.write_text(json.dumps(result, indent=1))
    short = any(each["busy"] < GOALS["busy"] or each["data"] > GOALS["data"]
                for each in found.values())  # fmt: skip
    return int(short or any(each.goal and each.ratio < each.goal for each in compared))


if __name__ == "__main__":
    sys.exit(main())
