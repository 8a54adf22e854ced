"""What a student takes from its teacher: answers, latents, node states and attention.

A student is narrower than its teacher, so latents and node states are compared after a learned
linear map to the teacher's width (Romero et al. 2015, FitNets). The maps are trained with the
student and are none of its parameters: they are gone when training ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from kdgat.configs.training import DistillationConfig
from kdgat.data.batches import GraphBatch
from kdgat.errors import ConfigError
from kdgat.training.losses import attention_distance, soft_label_loss
from kdgat.training.terms import INSIDE, Term


@dataclass(frozen=True)
class Outputs:
    """What is compared of a model's answer to a batch; None where no term asks for it."""

    logits: Float[Tensor, "graphs 2"] | None = None
    nodes: Float[Tensor, "nodes features"] | None = None
    """Nodes as an autoencoder rebuilds them."""
    latents: Float[Tensor, "nodes latent"] | None = None
    """Means of the latents."""
    states: Float[Tensor, "nodes width"] | None = None
    """Node states after the last layer."""
    attention: tuple[Float[Tensor, "edges"], ...] = ()
    """Each layer's attention over each edge, averaged over heads."""


@dataclass(frozen=True)
class Answers:
    """A teacher's answers to all windows of one store, in place of its forward pass."""

    columns: Mapping[str, Tensor]
    """By the names of `Outputs`."""
    node_ptr: Int64[Tensor, "pointers"] | None = None
    """The store's, where a column has a row for each node."""

    def of(self, batch: GraphBatch) -> Outputs:
        """The answers to a batch of that store."""
        rows = batch.index if self.node_ptr is None else _node_rows(self.node_ptr, batch)
        # The arrays may be mapped from disk, and are only ever read.
        taken = {name: each.index_select(0, rows) for name, each in self.columns.items()}
        return Outputs(taken.get("logits"), taken.get("nodes"), taken.get("latents"))

    def to(self, device: torch.device) -> Answers:
        """The same answers on a device."""
        columns = {name: each.to(device) for name, each in self.columns.items()}
        pointers = None if self.node_ptr is None else self.node_ptr.to(device)
        return Answers(columns, pointers)


@dataclass(frozen=True)
class CachedAnswers:
    """A teacher's answers to a run's training and to its validation windows."""

    train: Answers
    validation: Answers

    def to(self, device: torch.device) -> CachedAnswers:
        """The same answers on a device."""
        return replace(self, train=self.train.to(device), validation=self.validation.to(device))


@runtime_checkable
class Layered(Protocol):
    """A model that can be looked into."""

    width: int

    def states(self, batch: GraphBatch) -> Float[Tensor, "nodes width"]:
        """Node states after the last layer."""
        ...

    def hidden(
        self, batch: GraphBatch
    ) -> list[tuple[Float[Tensor, "nodes width"], Float[Tensor, "edges heads"]]]:
        """Node states and attention of every layer."""
        ...


def look_inside(
    model: Layered, batch: GraphBatch, terms: frozenset[Term]
) -> tuple[Float[Tensor, "nodes width"], tuple[Float[Tensor, "edges"], ...]]:
    """The last node states, and the attention of every layer where a term asks for it."""
    if "attention" not in terms:
        return model.states(batch), ()
    layers = model.hidden(batch)
    return layers[-1][0], tuple(alpha.mean(dim=1) for _, alpha in layers)


def projections(
    student: nn.Module, teacher: nn.Module, terms: frozenset[Term], seed: int
) -> nn.ModuleDict:
    """A fresh linear map for each term that compares states of different widths.

    They are drawn from `seed` alone, and torch's own generator goes on as if nothing was drawn.

    Raises:
        ConfigError: a term looks into layers that one of the models has not.
    """
    if terms & INSIDE and not (isinstance(student, Layered) and isinstance(teacher, Layered)):
        name = sorted(terms & INSIDE)[0]
        raise ConfigError(
            f"distillation.{name}_weight is set, and {type(student).__name__} has no layers of "
            "node states",
            hint=f"set distillation.{name}_weight=0, or distil a gat or a vgae",
        )
    widths = {"latent": "latent", "feature": "width"}
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return nn.ModuleDict(
            {
                term: nn.Linear(
                    cast(int, getattr(student, name)), cast(int, getattr(teacher, name))
                )
                for term, name in widths.items()
                if term in terms
            }
        )


def distances(
    student: Outputs, teacher: Outputs, config: DistillationConfig, maps: nn.ModuleDict
) -> dict[str, Tensor]:
    """How far a student is from its teacher, term by term and not weighed.

    Only what both were asked for is compared.
    """
    found = {"distance": _answer_distance(student, teacher, config)}
    if "latent" in maps:
        assert student.latents is not None
        assert teacher.latents is not None
        found["latent_distance"] = functional.mse_loss(
            maps["latent"](student.latents), teacher.latents
        )
    if "feature" in maps:
        assert student.states is not None
        assert teacher.states is not None
        found["feature_distance"] = functional.mse_loss(
            maps["feature"](student.states), teacher.states
        )
    if student.attention:
        found["attention_distance"] = attention_distance(student.attention, teacher.attention)
    return found


def weighed(found: Mapping[str, Tensor], config: DistillationConfig) -> Tensor:
    """The terms' sum, each by its weight in the config; the answer's weight is one."""
    total = found["distance"]
    for term in ("latent", "feature", "attention"):
        if f"{term}_distance" in found:
            total = total + getattr(config, f"{term}_weight") * found[f"{term}_distance"]
    return total


def _answer_distance(student: Outputs, teacher: Outputs, config: DistillationConfig) -> Tensor:
    """Divergence of softened classes, or squared error between the nodes as both rebuild them."""
    if student.logits is not None and teacher.logits is not None:
        return soft_label_loss(student.logits, teacher.logits, config.temperature)
    assert student.nodes is not None
    assert teacher.nodes is not None
    return functional.mse_loss(student.nodes, teacher.nodes)


def _node_rows(pointer: Int64[Tensor, "pointers"], batch: GraphBatch) -> Int64[Tensor, "nodes"]:
    """Where in its store each node of a batch lies; no shape depends on values."""
    first = pointer[batch.index]
    size = pointer[batch.index + 1] - first
    offset = size.cumsum(0) - size
    place = torch.arange(len(batch.graph), device=batch.graph.device)
    return place + (first - offset)[batch.graph]
