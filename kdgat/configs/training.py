"""How a model is trained: optimisation, stopping, distillation, and where it runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from kdgat.configs.model import Size
from kdgat.configs.schema import Config


def _digits_are_text(value: object) -> object:
    """Overrides know no type, so `training.precision=32` arrives as a number."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole else value


class TrainingConfig(Config):
    """Optimisation and stopping."""

    max_epochs: int = Field(default=6, ge=1, le=10_000)
    """Most epochs to train."""
    patience_epochs: int = Field(default=6, ge=1, le=10_000)
    """Epochs without a better validation loss before training stops."""
    learning_rate: float = Field(default=2e-3, gt=0.0, le=1.0)
    """Peak step size of AdamW; it falls to nothing along a cosine over `max_epochs`."""
    weight_decay: float = Field(default=1e-4, ge=0.0, le=1.0)
    """Decoupled weight decay of AdamW."""
    max_graphs: int = Field(default=128, ge=1, le=1_000_000)
    """Most graphs in one optimisation step; memory may ask for fewer."""
    min_steps_per_epoch: int = Field(default=50, ge=0, le=100_000)
    """Fewest optimisation steps an epoch; batches get smaller until there are so many."""
    gradient_clip_norm: float = Field(default=1.0, gt=0.0, le=1e6)
    """Largest norm of the gradient in one step."""
    curriculum: Literal["none", "hard_benign"] = "none"
    """Which windows an epoch takes: all, or (for a classifier) all attacks with benign windows from
    easy to hard, more of them every epoch."""
    curriculum_start: float = Field(default=0.3, gt=0.0, le=1.0)
    """Where a curriculum starts: how much of the benign windows its first epoch has; it grows to
    1."""
    curriculum_epochs: int = Field(default=4, ge=1, le=10_000)
    """Epochs until a curriculum takes every window."""
    precision: Annotated[Literal["32", "bf16", "fp16"], BeforeValidator(_digits_are_text)] = "32"
    """Arithmetic of the forward and backward pass; weights stay in 32 bits."""


class DistillationConfig(Config):
    """What a student takes from its teacher; no teacher means no distillation."""

    teacher: Annotated[str | None, BeforeValidator(_digits_are_text)] = None
    """Run id of the teacher, or `latest` for the newest completed large run of the same kind."""
    alpha: float = Field(default=0.7, ge=0.0, le=1.0)
    """Share of the teacher's answer in the loss; the labels (or the data) have the rest."""
    temperature: float = Field(default=4.0, gt=0.0, le=100.0)
    """Softening of both answers before they are compared."""
    teacher_size: Size = "large"
    """Size of the teacher that `latest` means; `medium` makes the last step of a cascade."""
    feature_weight: float = Field(default=0.0, ge=0.0, le=100.0)
    """Weight of the distance between hidden states, the student's projected to the teacher's."""
    attention_weight: float = Field(default=0.0, ge=0.0, le=100.0)
    """Weight of the distance between attention over each node's edges, averaged over heads."""
    latent_weight: float = Field(default=0.5, ge=0.0, le=100.0)
    """Weight of the distance between an autoencoder's latents, the student's projected."""


class ResourcesConfig(Config):
    """Where a run computes; never part of an experiment's identity."""

    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """Device to train on; auto takes a GPU when there is one."""
    nodes: int = Field(default=1, ge=1, le=1_000)
    """Nodes that share one training; more than one needs a scheduler (`kdgat submit --nodes`)."""
    devices: int = Field(default=1, ge=1, le=64)
    """Processes on each node that share one training, each with a GPU of its own."""
    gradient_checkpointing: bool = False
    """Compute attention again in the backward pass: less memory, more time, the same numbers."""
    memory_margin_share: float = Field(default=0.02, ge=0.0, lt=1.0)
    """Share of the device's memory that the memory plan leaves alone."""
    profile: bool = False
    """Time the steps of the first epoch and trace some of them, into the run's artifacts."""
    threads: int = Field(default=0, ge=0, le=1024)
    """CPU threads of torch; 0 leaves it to torch."""
