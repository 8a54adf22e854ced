"""What decides a step's memory beside the batch, and the programs it comes to; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from kdgat.configs.model import ModelConfig, VgaeConfig
from kdgat.configs.run import RunConfig
from kdgat.data.packing import PeakCost
from kdgat.memory.affine import Block, StepProgram
from kdgat.training.terms import Term, terms_on

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class StepSpec:
    """A run's steps, on one kind of device."""

    config: RunConfig
    features: tuple[int, int]
    """Features of a node and of an edge."""
    device: Device
    teacher: ModelConfig | None = None
    resident: bool = True
    """Whether the graphs lie on the device, so that batches are put together there."""
    cached: bool = False
    """Whether the teacher's answers are kept, so that it is never asked."""

    def key(self) -> dict[str, Any]:
        """All that the programs depend on, as plain values."""
        training = self.config.training
        return {
            "model": self.config.model.model_dump(mode="json"),
            "teacher": None if self.teacher is None else self.teacher.model_dump(mode="json"),
            "precision": training.precision,
            "gradient_checkpointing": self.config.resources.gradient_checkpointing,
            "features": list(self.features),
            "device": self.device,
            "resident": self.resident,
            "terms": sorted(self.terms()),
            "cached": self.cached,
        }

    def terms(self) -> frozenset[Term]:
        """What a distilled student's loss is made of."""
        if self.teacher is None:
            return frozenset()
        latents = isinstance(self.teacher, VgaeConfig)
        return terms_on(self.config.distillation, latents=latents)


@dataclass(frozen=True)
class StepPrograms:
    """A run's steps for any batch, and what stays from step to step."""

    training: StepProgram
    validation: StepProgram
    resident_blocks: tuple[int, ...]
    """Bytes of the weights, of the teacher's and of the optimiser's state, block by block."""
    gradient_blocks: tuple[int, ...]
    """Bytes of the gradients, which a step leaves to the next and which validation drops."""

    @property
    def resident_bytes(self) -> int:
        """Bytes that stay whatever the batch, without the gradients."""
        return sum(self.resident_blocks)

    def training_cost(self) -> PeakCost:
        """Peak bytes of an optimisation step, all that stays counted in."""
        return PeakCost(_upper(self.training.live_planes(), self.resident_bytes))

    def validation_cost(self) -> PeakCost:
        """Peak bytes of a step without gradients, all that stays counted in."""
        return PeakCost(_upper(self.validation.live_planes(), self.resident_bytes))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for the cache."""
        return {
            "training": _dumped(self.training),
            "validation": _dumped(self.validation),
            "resident_blocks": list(self.resident_blocks),
            "gradient_blocks": list(self.gradient_blocks),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> StepPrograms:
        """The programs that `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it wrote something else.
        """
        return cls(
            _loaded(values["training"]),
            _loaded(values["validation"]),
            tuple(map(int, values["resident_blocks"])),
            tuple(map(int, values["gradient_blocks"])),
        )


def _upper(planes: np.ndarray, stays: int) -> np.ndarray:
    """The planes that no other lies above everywhere, `stays` bytes added to each."""
    unique = np.unique(planes, axis=0)
    kept: list[np.ndarray] = []
    for plane in unique[np.argsort(-unique.sum(axis=1))]:
        if not any((other >= plane).all() for other in kept):
            kept.append(plane)
    return np.array(kept) + np.array([0, 0, 0, stays])


def _dumped(program: StepProgram) -> dict[str, Any]:
    return {
        "planes": program.planes.tolist(),
        "blocks": [[each.operator, each.module, each.phase] for each in program.blocks],
        "order": [list(each) for each in program.order],
    }


def _loaded(values: dict[str, Any]) -> StepProgram:
    planes = np.array(values["planes"], dtype=np.int64).reshape(-1, 4)
    order = tuple((int(block), int(change)) for block, change in values["order"])
    return StepProgram(planes, tuple(Block(*each) for each in values["blocks"]), order)
