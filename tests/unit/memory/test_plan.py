"""Plans: the largest budget that fits, what limits it, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.configs.resources import gpu
from kdgat.configs.training import TrainingConfig
from kdgat.data.packing import ByteLimit
from kdgat.errors import ConfigError, DataError, MemoryPlanError
from kdgat.memory.affine import Shape
from kdgat.memory.plan import Device, MemoryPlan, Workload, limits_of, plan_memory
from kdgat.memory.replay import PlannedBatch, Replay, replay
from kdgat.memory.spec import StepPrograms
from tests.unit.memory.runs import (
    MIB,
    epoch_batches,
    program,
    programs_of,
    random_work,
    shapes_of,
    spec_of,
    steps,
)

SEED = 7
MANY = TrainingConfig(max_graphs=1_000_000, min_steps_per_epoch=0)
V100 = gpu("v100-16gb")
WORKSPACES = 2 * V100.workspace_bytes
# 1 MiB a node and nothing else, in a training step as while validating.
BATCH = program([[MIB, 0, 0, 0]], [(0, +1), (0, -1)])
MADE = StepPrograms(BATCH, BATCH, resident_blocks=(), gradient_blocks=())


def device(capacity_bytes: int, name: str = "v100-16gb", **more: Any) -> Device:
    """A device of which so much is left for the allocator, where neither margin nor ranks count."""
    card = gpu(name)
    return Device(card, capacity_bytes + card.context_bytes, card.context_bytes, **more)


def windows(train: list[int], validation: list[int], **more: Any) -> Workload:
    """Graphs of so many nodes, without edges."""
    nodes, others = np.array(train, dtype=np.int64), np.array(validation, dtype=np.int64)
    return Workload(nodes, nodes * 0, others, others * 0, **more)


@cache
def real_programs() -> StepPrograms:
    return programs_of(spec_of("gat", "small", device="cuda"))


@cache
def real_work() -> Workload:
    return random_work(12_000)


@cache
def real_plan(capacity_mib: int = 160, expandable: bool = False) -> MemoryPlan:
    """A plan of which memory is the limit, in batches of some 25 windows."""
    at_hand = device(capacity_mib * MIB, expandable_segments=expandable)
    return plan_memory(real_programs(), real_work(), at_hand, MANY, SEED)


def replayed(plan: MemoryPlan, budget_bytes: int, epoch: int = 0, capacity: int = 0) -> Replay:
    """An epoch of the batches that a budget makes, at the plan's capacity."""
    limits = limits_of(real_programs(), budget_bytes)
    batches = epoch_batches(real_work(), replace(plan, limits=limits), MANY, SEED, epoch)
    return replay(
        real_programs(),
        steps(shapes_of(batches, real_work())),
        capacity or plan.capacity_bytes,
        other_blocks=(V100.workspace_bytes,) * 2,
    )
