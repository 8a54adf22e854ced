"""A training run's memory: planned before its first step, measured after its last.

The plan is kept in the run's folder, because a run that goes on elsewhere must go on with the very
batches it began with.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdgat.configs.model import ModelConfig
from kdgat.configs.run import RunConfig
from kdgat.data.packing import BatchLimits, ByteLimit, PeakCost
from kdgat.data.sizes import GraphSizes
from kdgat.data.store import GraphStore
from kdgat.ledger.files import write_json
from kdgat.ledger.folder import RunFolder
from kdgat.memory.calibration import load_calibrations
from kdgat.memory.hardware import device_at_hand, measured_on_gpu
from kdgat.memory.host import PeakMemory
from kdgat.memory.planned import MemoryPlan
from kdgat.memory.programs import own_programs
from kdgat.memory.run import RunPlan, plan_run
from kdgat.training.curriculum import curriculum_of
from kdgat.training.ranks import ALONE, Ranks

_FILE = "memory.json"


class RunMemory:
    """One run's plan, and the measurement beside it."""

    def __init__(self, run: RunFolder, planned: RunPlan, limits: BatchLimits) -> None:
        self.run = run
        self.planned = planned
        self.limits = limits
        self._peak = PeakMemory()
        if self.on_gpu:
            torch.cuda.reset_peak_memory_stats()

    @property
    def on_gpu(self) -> bool:
        """Whether the run trains on a GPU."""
        return self.planned.spec.device == "cuda"

    def measure(self) -> dict[str, float | None]:
        """Predicted and measured peaks, written beside the plan; call after training.

        On a host the measured one is the growth of the process, code and all, and so only a hint.
        """
        plan = self.planned.plan
        figures: dict[str, float | None] = {"predicted_allocated_bytes": plan.peak_allocated_bytes}
        if self.on_gpu:
            figures["predicted_reserved_bytes"] = plan.peak_reserved_bytes
            measured = figures = {**figures, **measured_on_gpu()}
        else:
            # No figure of the run: what a process takes is never the same twice.
            measured = {**figures, "measured_process_growth_bytes": self._peak.growth_bytes()}
        path = self.run.artifacts / _FILE
        write_json(path, {**json.loads(path.read_bytes()), "measured": measured})
        self.run.keep_artifact(path)
        return figures


def plan_training(
    run: RunFolder,
    config: RunConfig,
    stores: tuple[GraphStore, GraphStore],
    teacher: ModelConfig | None,
    folder: Path,
    ranks: Ranks = ALONE,
) -> RunMemory:
    """Plan a run on the device at hand, or go on with the plan it began with.

    Args:
        run: folder of the run.
        config: its config.
        stores: its training and validation graphs.
        teacher: model of the teacher, for a distilled student.
        folder: step programs, plans and calibrations.
        ranks: the processes that share the training; the first one writes.

    Raises:
        MemoryPlanError: the device is too small, or a step's memory can't be foreseen.
    """
    card, total_bytes = device_at_hand(config.resources)
    train, validation = (_sizes(store) for store in stores)
    planned = plan_run(
        config,
        (train, validation),
        (stores[0].x.shape[1], stores[0].edge_attr.shape[1]),
        card,
        lambda spec: own_programs(folder / "programs", spec),
        folder / "plans",
        teacher=teacher,
        total_bytes=total_bytes,
        calibration=load_calibrations(folder / "calibration.json").get(card.name),
        ranks=ranks.count,
        curriculum=curriculum_of(config, stores[0]),
    )
    path = run.artifacts / _FILE
    limits = _earlier(path, planned.plan)
    if limits is None:
        limits = planned.plan.limits
        if ranks.leads:
            if path.exists():
                run.event("planned_again", gpu=card.name, budget_bytes=planned.plan.budget_bytes)
            write_json(path, _record(planned))
    return RunMemory(run, planned, limits)


def _earlier(path: Path, plan: MemoryPlan) -> BatchLimits | None:
    """The limits that the run began with, where this device has as much room."""
    try:
        kept = json.loads(path.read_bytes())
        if kept["plan"]["budget_bytes"] > plan.budget_bytes:
            return None
        return BatchLimits(_limit(kept["limits"]["train"]), _limit(kept["limits"]["validation"]))
    except (OSError, ValueError, KeyError, TypeError):
        # There is none, or a crash tore it: then no epoch was trained with it either.
        return None


def _limit(values: dict[str, Any]) -> ByteLimit:
    planes = np.array(values["planes"], dtype=np.int64)
    return ByteLimit(PeakCost(planes), int(values["budget_bytes"]))


def _record(planned: RunPlan) -> dict[str, Any]:
    limits = planned.plan.limits
    assert limits.train is not None
    assert limits.validation is not None
    return {
        "plan": planned.plan.to_json(),
        "limits": {
            name: {"planes": each.cost.planes.tolist(), "budget_bytes": each.budget_bytes}
            for name, each in (("train", limits.train), ("validation", limits.validation))
        },
        "resident": planned.resident,
        "assumed": list(planned.assumed),
    }


def _sizes(store: GraphStore) -> GraphSizes:
    return GraphSizes(np.diff(store.node_ptr.numpy()), np.diff(store.edge_ptr.numpy()))
