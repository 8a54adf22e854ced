"""Predicted against measured memory, on a machine with a CUDA GPU.

Run by hand, with nothing else on the GPU:

    uv run python tests/benchmarks/gpu_memory.py --out gpu_memory.json

Each configuration gets a process of its own. There a run is planned for this GPU with `--gib` left
to the allocator, the allocator is capped at just that, and the product's own trainer makes some 200
packed batches of random graphs, with a validation after each epoch. The very same sequence is
replayed through the simulated allocator. Printed are both, and how far they are apart.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from kdgat.configs.model import Kind, ModelConfig, Size
from kdgat.configs.resources import Gpu
from kdgat.configs.run import RunConfig
from kdgat.configs.training import ResourcesConfig
from kdgat.data.sizes import GraphSizes
from kdgat.data.store import GraphStore
from kdgat.memory.affine import Shape
from kdgat.memory.hardware import device_at_hand, measured_on_gpu
from kdgat.memory.host import HOST_PROCESS_BYTES
from kdgat.memory.planned import Workload
from kdgat.memory.programs import own_programs
from kdgat.memory.replay import Replay, replay
from kdgat.memory.run import RunPlan, plan_run
from kdgat.models.table import build_model
from kdgat.training.checkpoint import TrainedModel
from kdgat.training.fit import fit
from kdgat.training.tasks import Objective, task_of
from kdgat.training.teacher_cache import cached_answers
from tests.unit.memory.runs import FEATURES, random_store, run_batches, spec_of, with_training

GIB = 2**30
TRAIN, VALIDATION = Shape(640_000, 1_100_000, 20_000), Shape(128_000, 220_000, 4_000)
EXPANDABLE = "expandable_segments:True"
DEADLINE_S = 120
SIDES = ("predicted", "measured")


@dataclass(frozen=True)
class Case:
    """One configuration to measure."""

    kind: Kind
    size: Size
    half: bool = False
    """In bf16, or where the card has none in fp16."""
    distilled: bool = False
    checkpointed: bool = False
    expandable: bool = False

    @property
    def name(self) -> str:
        flags = ("half", "distilled", "checkpointed", "expandable")
        return "-".join((self.kind, self.size, *(flag for flag in flags if getattr(self, flag))))


CASES = tuple(
    case
    for kind in ("gat", "vgae")
    for case in (
        Case(kind, "large"),
        Case(kind, "large", half=True),
        Case(kind, "large", checkpointed=True),
        Case(kind, "large", expandable=True),
        Case(kind, "small"),
        Case(kind, "small", distilled=True),
        Case(kind, "small", half=True, distilled=True, checkpointed=True),
    )
)


@dataclass(frozen=True, eq=False)
class Job:
    """A planned run, its graphs, and what the simulated allocator makes of its batches."""

    config: RunConfig
    planned: RunPlan
    stores: tuple[GraphStore, GraphStore]
    expected: Replay


def prepare(
    case: Case,
    card: Gpu,
    capacity_bytes: int,
    batches: int,
    shapes: tuple[Shape, Shape] = (TRAIN, VALIDATION),
) -> Job:
    """Plan a run for so many bytes on a card, of at least so many batches."""
    on_host = card.compute_capability is None
    config, teacher = run_config(case, card, max_epochs=10_000)
    stores = (random_store(shapes[0]), random_store(shapes[1], seed=1))
    sizes = (sizes_of(stores[0]), sizes_of(stores[1]))
    with tempfile.TemporaryDirectory() as folder:
        planned = plan_run(
            config,
            sizes,
            FEATURES,
            card,
            lambda spec: own_programs(Path(folder), spec),
            Path(folder),
            teacher=teacher,
            total_bytes=capacity_bytes + (HOST_PROCESS_BYTES if on_host else card.context_bytes),
            expandable_segments=case.expandable,
        )
        programs = own_programs(Path(folder), planned.spec).programs
    plan, device = planned.plan, planned.device
    config, _ = run_config(case, card, max_epochs=-(-batches // plan.steps_per_epoch))
    work = Workload(sizes[0].nodes, sizes[0].edges, sizes[1].nodes, sizes[1].edges)
    blocks = [block for each in sizes for block in each.store_blocks(FEATURES)]
    expected = replay(
        programs,
        run_batches(work, plan.limits, config.training, config.seed, config.training.max_epochs),
        plan.capacity_bytes,
        other_blocks=(*(blocks if planned.resident else ()), *device.workspace_blocks),
        expandable_segments=case.expandable,
    )
    return Job(config, planned, stores, expected)


def run_config(case: Case, card: Gpu, max_epochs: int) -> tuple[RunConfig, ModelConfig | None]:
    """The run of a case, limited by memory alone, and its teacher's model."""
    half = "bf16" if "bf16" in card.precisions else "fp16"
    spec = spec_of(
        case.kind,
        case.size,
        precision=half if case.half else "32",
        teacher=case.distilled,
        checkpointing=case.checkpointed,
    )
    limits = {"max_graphs": 1_000_000, "min_steps_per_epoch": 0}
    epochs = {"max_epochs": max_epochs, "patience_epochs": max_epochs}
    spec = with_training(spec, **limits, **epochs)
    where = {
        "accelerator": "cpu" if card.compute_capability is None else "gpu",
        "memory_margin_share": 0.0,
    }
    resources = spec.config.resources.model_copy(update=where)
    return spec.config.model_copy(update={"resources": resources}), spec.teacher


def sizes_of(store: GraphStore) -> GraphSizes:
    return GraphSizes(np.diff(store.node_ptr.numpy()), np.diff(store.edge_ptr.numpy()))


def train(job: Job) -> tuple[int, str | None]:
    """Make the batches as the product does; gives how many, and what ran out of memory."""
    config, teacher = job.config, job.planned.spec.teacher
    frozen = None if teacher is None else build_model(teacher, *FEATURES).requires_grad_(False)
    done = 0

    def tick(what: str, batches: int, total: int) -> None:
        nonlocal done
        done = max(done, batches)

    with tempfile.TemporaryDirectory() as folder:
        answers = None
        if frozen is not None and teacher is not None and job.planned.spec.cached:
            master = TrainedModel(frozen, RunConfig(model=teacher), FEATURES, 0, None)
            on_gpu = job.planned.spec.device == "cuda"
            answers = cached_answers(master, config, job.stores, Path(folder), on_gpu=on_gpu)
        try:
            fit(
                build_model(config.model, *FEATURES),
                Objective(task_of(config.model), config.distillation, frozen, answers),
                job.stores,
                config,
                Path(folder),
                None,
                lambda *_: None,
                tick,
                limits=job.planned.plan.limits,
                resident=job.planned.resident,
            )
        except torch.OutOfMemoryError as error:
            return done, str(error).splitlines()[0]
    return done, None


def measure(case: Case, capacity_bytes: int, batches: int) -> dict[str, Any]:
    """Plan, cap, train and compare; for a process that does nothing else."""
    started = time.monotonic()
    card, _ = device_at_hand(ResourcesConfig())
    job = prepare(case, card, capacity_bytes, batches)
    total = torch.cuda.get_device_properties(0).total_memory
    # A little more than planned, so that no rounding takes a byte away.
    torch.cuda.set_per_process_memory_fraction((job.planned.plan.capacity_bytes + 512) / total)
    torch.cuda.reset_peak_memory_stats()
    done, failure = train(job)
    figures = measured_on_gpu()
    stats = torch.cuda.memory_stats()
    expected = job.expected
    return {
        "case": asdict(case),
        "name": case.name,
        "precision": job.config.training.precision,
        "capacity_bytes": job.planned.plan.capacity_bytes,
        "budget_bytes": job.planned.plan.budget_bytes,
        "limited_by": job.planned.plan.limited_by,
        "fill": job.planned.plan.fill,
        "graphs_per_batch": job.planned.plan.graphs_per_batch.median,
        "resident": job.planned.resident,
        "batches": done,
        "out_of_memory": int(failure is not None),
        "failure": failure,
        "predicted_failure": expected.failure,
        "predicted_allocated_bytes": expected.peak_allocated_bytes,
        "predicted_reserved_bytes": expected.peak_reserved_bytes,
        "predicted_retries": expected.retries,
        **figures,
        "measured_retries": stats["num_alloc_retries"],
        "allocated_residual": apart(expected.peak_allocated_bytes, figures, "allocated"),
        "reserved_residual": apart(expected.peak_reserved_bytes, figures, "reserved"),
        "seconds": round(time.monotonic() - started, 1),
    }


def apart(predicted: int, figures: dict[str, float | None], what: str) -> float:
    """Predicted over measured, less one: above zero the prediction is on the safe side."""
    return predicted / (figures[f"measured_{what}_bytes"] or float("nan")) - 1


def in_child(case: Case, capacity_bytes: int, batches: int) -> dict[str, Any]:
    """The answer of a process of its own; one that dies or hangs is a row too."""
    command = [sys.executable, "-W", "ignore", __file__, "--one", json.dumps(asdict(case))]
    command += ["--gib", str(capacity_bytes / GIB), "--batches", str(batches)]
    environment = dict(os.environ)
    if case.expandable:
        environment["PYTORCH_CUDA_ALLOC_CONF"] = environment["PYTORCH_ALLOC_CONF"] = EXPANDABLE
    failed = {"case": asdict(case), "name": case.name}
    try:
        done = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {**failed, "error": f"no answer in {DEADLINE_S} s"}
    if done.returncode != 0:
        return {**failed, "error": (done.stderr.strip().splitlines() or ["died"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a person reads them."""
    lines = [
        f"{'':34} {'batches':>7} {'fill':>6} {'oom':>3} {'allocated, MiB':>21} {'off':>7} "
        f"{'reserved, MiB':>19} {'off':>7} {'retries':>9} {'context':>8} {'s':>5}"
    ]
    for row in rows:
        if "error" in row:
            lines.append(f"{row['name']:34} {row['error']}")
            continue
        allocated, reserved = (
            " ".join(f"{row[f'{who}_{what}_bytes'] / 2**20:9,.1f}" for who in SIDES)
            for what in ("allocated", "reserved")
        )
        retries = f"{row['predicted_retries']}/{row['measured_retries']}"
        lines.append(
            f"{row['name']:34} {row['batches']:7} {row['fill']:6.1%} {row['out_of_memory']:3} "
            f"{allocated:>21} {row['allocated_residual']:+7.2%} {reserved:>19} "
            f"{row['reserved_residual']:+7.2%} {retries:>9} "
            f"{row['measured_context_bytes'] / 2**20:8,.0f} {row['seconds']:5.0f}"
        )
    return "\n".join(lines)


def record(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """All that was found, and on what."""
    properties = torch.cuda.get_device_properties(0)
    contexts = [row["measured_context_bytes"] for row in rows if "error" not in row]
    return {
        "gpu": properties.name,
        "total_bytes": properties.total_memory,
        "compute_capability": [properties.major, properties.minor],
        "driver": driver(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "context_bytes": max(contexts, default=None),
        "rows": rows,
    }


def driver() -> str:
    """The driver's version as nvidia-smi has it, or nothing."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return ""
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="file for the record (JSON)")
    parser.add_argument("--gib", type=float, default=2.0, help="memory left to the allocator")
    parser.add_argument("--batches", type=int, default=200, help="batches of a configuration")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    capacity_bytes = int(chosen.gib * GIB)
    if not torch.cuda.is_available():
        print("torch sees no GPU on this machine: run this on one with a CUDA GPU", file=sys.stderr)
        return 2
    if chosen.one:
        print(json.dumps(measure(Case(**json.loads(chosen.one)), capacity_bytes, chosen.batches)))
        return 0
    rows: list[dict[str, Any]] = []
    for case in CASES:
        rows.append(in_child(case, capacity_bytes, chosen.batches))
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    found = record(rows)
    print(f"\n{found['gpu']}, {chosen.gib:g} GiB for the allocator, torch {found['torch']}")
    print(table(rows))
    if chosen.out:
        chosen.out.write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
