"""What each kind of model is trained for: its answer to a batch, its loss, its score of a window.

`task_loss` is the loss without a teacher's share. The best epoch is chosen by it, so that runs with
and without a teacher compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from kdgat.configs.model import GatConfig, ModelConfig, VgaeConfig
from kdgat.configs.training import DistillationConfig
from kdgat.data.batches import GraphBatch
from kdgat.models.vgae import Encoding, VariationalGraphAutoencoder
from kdgat.training.losses import edge_loss, kl_divergence, sample, soft_label_loss

Terms = dict[str, Tensor]
Answer = TypeVar("Answer")


@runtime_checkable
class Task(Protocol[Answer]):
    """How one kind of model is trained and asked."""

    def answer(self, model: nn.Module, batch: GraphBatch) -> Answer:
        """What the model says about a batch, computed once for every loss on it."""
        ...

    def terms(self, model: nn.Module, answer: Answer, batch: GraphBatch) -> Terms:
        """`task_loss` and its parts."""
        ...

    def distance(self, student: Answer, teacher: Answer, config: DistillationConfig) -> Tensor:
        """How far a student's answer is from its teacher's."""
        ...

    def score(self, model: nn.Module, batch: GraphBatch) -> Float[Tensor, "graphs parts"]:
        """What is odd about each window; the larger, the odder."""
        ...


class Classification:
    """Benign or attack, by cross entropy."""

    def answer(self, model: nn.Module, batch: GraphBatch) -> Float[Tensor, "graphs 2"]:
        """Logits of (benign, attack)."""
        return model(batch)

    def terms(self, model: nn.Module, answer: Tensor, batch: GraphBatch) -> Terms:  # noqa: ARG002
        """Cross entropy, and the share of windows that are right."""
        y = cast(Tensor, batch.y)
        right = (answer.argmax(dim=1) == y).float().mean()
        return {"task_loss": functional.cross_entropy(answer, y), "accuracy": right}

    def distance(self, student: Tensor, teacher: Tensor, config: DistillationConfig) -> Tensor:
        """Divergence of the softened answers."""
        return soft_label_loss(student, teacher, config.temperature)

    def score(self, model: nn.Module, batch: GraphBatch) -> Float[Tensor, "graphs 1"]:
        """Probability of attack."""
        return model(batch).softmax(dim=1)[:, 1:]


@dataclass(frozen=True)
class Rebuilt:
    """An autoencoder's answer: the latents, one draw of them, and the nodes rebuilt from it."""

    encoding: Encoding
    z: Float[Tensor, "nodes latent"]
    nodes: Float[Tensor, "nodes features"]


@dataclass(frozen=True)
class Reconstruction:
    """Evidence lower bound: nodes, edges, and divergence from the prior."""

    config: VgaeConfig

    def answer(self, model: nn.Module, batch: GraphBatch) -> Rebuilt:
        """Latents are drawn while training, and are the mean otherwise."""
        vgae = cast(VariationalGraphAutoencoder, model)
        encoding = vgae.encode(batch)
        z = sample(encoding) if vgae.training else encoding.mean
        return Rebuilt(encoding, z, vgae.decode_nodes(z))

    def terms(self, model: nn.Module, answer: Rebuilt, batch: GraphBatch) -> Terms:
        """The bound and its three parts."""
        vgae = cast(VariationalGraphAutoencoder, model)
        nodes = functional.mse_loss(answer.nodes, batch.x)
        edges = edge_loss(vgae, answer.z, batch, self.config.negatives_per_edge)
        divergence = kl_divergence(answer.encoding)
        loss = nodes + self.config.edge_weight * edges + self.config.kl_weight * divergence
        return {"task_loss": loss, "node_loss": nodes, "edge_loss": edges, "kl": divergence}

    def distance(self, student: Rebuilt, teacher: Rebuilt, config: DistillationConfig) -> Tensor:  # noqa: ARG002
        """Squared error between the nodes as both rebuild them."""
        return functional.mse_loss(student.nodes, teacher.nodes)

    def score(self, model: nn.Module, batch: GraphBatch) -> Float[Tensor, "graphs 3"]:
        """Mean and largest node error and mean edge surprise; calibration weighs them."""
        return model(batch)


@dataclass(frozen=True)
class Objective(Generic[Answer]):
    """A task's loss, with a teacher's share where there is one."""

    task: Task[Answer]
    distillation: DistillationConfig
    teacher: nn.Module | None = None

    def __call__(self, model: nn.Module, batch: GraphBatch) -> Terms:
        """`loss` to minimise, `task_loss`, and their parts.

        With a teacher the loss is alpha * distance + (1 - alpha) * task_loss. The teacher is
        frozen, in evaluation mode, and on the batch's device.
        """
        answer = self.task.answer(model, batch)
        terms = self.task.terms(model, answer, batch)
        if self.teacher is None:
            return {"loss": terms["task_loss"], **terms}
        with torch.no_grad():
            target = self.task.answer(self.teacher.eval(), batch)
        distance = self.task.distance(answer, target, self.distillation)
        alpha = self.distillation.alpha
        loss = alpha * distance + (1 - alpha) * terms["task_loss"]
        return {"loss": loss, "distance": distance, **terms}


def task_of(config: ModelConfig) -> Task:
    """The task of a kind of model."""
    match config:
        case GatConfig():
            return Classification()
        case VgaeConfig():
            return Reconstruction(config)
        case _:
            raise NotImplementedError(config.kind)
