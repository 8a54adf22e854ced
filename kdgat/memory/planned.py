"""What a memory plan is made of, and what it says: workload, device, limits, the plan itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from kdgat.configs.resources import Gpu
from kdgat.data.packing import BatchLimits, ByteLimit
from kdgat.memory.affine import Shape
from kdgat.memory.spec import StepPrograms
from kdgat.training.curriculum import Curriculum


@dataclass(frozen=True, eq=False)
class Workload:
    """Sizes of the graphs of a run, and what lies on the device beside the steps."""

    train_nodes: Int64[np.ndarray, "graphs"]
    train_edges: Int64[np.ndarray, "graphs"]
    validation_nodes: Int64[np.ndarray, "others"]
    validation_edges: Int64[np.ndarray, "others"]
    store_blocks: tuple[int, ...] = ()
    """Bytes of the resident graphs and of a teacher's kept answers, tensor by tensor; none where
    they stay on the host."""
    curriculum: Curriculum | None = None
    """Which training graphs each epoch takes, where it does not take all."""


@dataclass(frozen=True)
class Device:
    """What is planned for."""

    gpu: Gpu
    total_bytes: int
    """The GPU's memory, or for a host what the job may use."""
    context_bytes: int
    margin: float = 0.0
    """Share of the memory that is left alone."""
    correction: float = 1.0
    """Measured over predicted bytes of earlier runs on this GPU, where they were more."""
    ranks: int = 1
    expandable_segments: bool = False

    @property
    def capacity_bytes(self) -> int:
        """Bytes that the allocator may reserve."""
        return int((self.total_bytes * (1 - self.margin) - self.context_bytes) / self.correction)

    @property
    def workspace_blocks(self) -> tuple[int, ...]:
        """Workspaces of the forward and of the backward thread."""
        return (self.gpu.workspace_bytes,) * 2 if self.gpu.workspace_bytes else ()


@dataclass(frozen=True)
class Spread:
    """Smallest, middle and largest of some counts."""

    least: int
    median: int
    most: int


@dataclass(frozen=True, eq=False)
class MemoryPlan:
    """The batches of a run on one device, and what they will take."""

    gpu: str
    capacity_bytes: int
    """What the allocator may reserve: the device's memory without context and margin."""
    budget_bytes: int
    """Most bytes in use at a step's peak, of which batches are made."""
    limited_by: str
    """What keeps batches from being larger: memory, or a field of the training config."""
    steps_per_epoch: int
    graphs_per_batch: Spread
    largest: Shape
    """The training batch with the highest peak."""
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    headroom_bytes: int
    """Capacity that is never in use."""
    fill: float
    """Mean share of the budget that a training batch uses."""
    resident_bytes: int
    """Weights, optimiser state, resident graphs and workspaces."""
    replayed_batches: int
    retries: int
    warnings: tuple[str, ...]
    limits: BatchLimits

    def to_json(self) -> dict[str, Any]:
        """Plain values, without the limits' planes."""
        values = {name: value for name, value in vars(self).items() if name != "limits"}
        parts = {"graphs_per_batch": asdict(self.graphs_per_batch), "largest": asdict(self.largest)}
        return {**values, **parts}

    @classmethod
    def from_json(cls, values: dict[str, Any], programs: StepPrograms) -> MemoryPlan:
        """The plan that `to_json` wrote, of these programs.

        Raises:
            KeyError, TypeError: it wrote something else.
        """
        parts = {
            "graphs_per_batch": Spread(**values["graphs_per_batch"]),
            "largest": Shape(**values["largest"]),
            "warnings": tuple(values["warnings"]),
            "limits": limits_of(programs, values["budget_bytes"]),
        }
        return cls(**{**values, **parts})


def limits_of(programs: StepPrograms, budget_bytes: int) -> BatchLimits:
    """What a budget means for training and for validation."""
    return BatchLimits(
        train=ByteLimit(programs.training_cost(), budget_bytes),
        validation=ByteLimit(programs.validation_cost(), budget_bytes),
    )
