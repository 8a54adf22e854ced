"""What each kind of model is trained for: its answer to a batch, its loss, its score of a window.

`task_loss` is the loss without a teacher's share. The best epoch is chosen by it, so that runs with
and without a teacher compare.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, Protocol, TypeVar, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from kdgat.configs.model import (
    FusionConfig,
    GatConfig,
    GradientBoostingConfig,
    IdFrequencyConfig,
    MlpConfig,
    ModelConfig,
    ProfileConfig,
    VgaeConfig,
)
from kdgat.configs.training import DistillationConfig
from kdgat.data.batches import GraphBatch
from kdgat.models.gat import GatClassifier
from kdgat.models.vgae import Encoding, VariationalGraphAutoencoder
from kdgat.training.distillation import (
    CachedAnswers,
    Outputs,
    distances,
    look_inside,
    projections,
    weighed,
)
from kdgat.training.losses import edge_loss, kl_divergence, sample
from kdgat.training.terms import INSIDE, Term, terms_on

Terms = dict[str, Tensor]
Phase = Literal["train", "val"]
NO_TERMS: frozenset[Term] = frozenset()
WindowScore = Callable[[nn.Module, GraphBatch], Tensor]
"""What is odd about each window, (graphs, parts); the larger, the odder."""
Answer = TypeVar("Answer")


@runtime_checkable
class Task(Protocol[Answer]):
    """How one kind of model is trained and asked."""

    has_latents: bool

    def answer(
        self, model: nn.Module, batch: GraphBatch, terms: frozenset[Term] = NO_TERMS
    ) -> Answer:
        """What the model says about a batch, computed once for every loss on it.

        `terms` are those of a distilled student's loss: some look into the layers.
        """
        ...

    def terms(self, model: nn.Module, answer: Answer, batch: GraphBatch) -> Terms:
        """`task_loss` and its parts."""
        ...

    def outputs(self, answer: Answer) -> Outputs:
        """What of an answer is compared between a student and its teacher."""
        ...

    def score(self, model: nn.Module, batch: GraphBatch) -> Float[Tensor, "graphs parts"]:
        """What is odd about each window; the larger, the odder."""
        ...


class Classification:
    """Benign or attack, by cross entropy."""

    has_latents = False

    def answer(
        self, model: nn.Module, batch: GraphBatch, terms: frozenset[Term] = NO_TERMS
    ) -> Outputs:
        """Logits of (benign, attack)."""
        if not terms & INSIDE:
            return Outputs(logits=model(batch))
        gat = cast(GatClassifier, model)
        states, attention = look_inside(gat, batch, terms)
        return Outputs(logits=gat.read(states, batch), states=states, attention=attention)

    def terms(self, model: nn.Module, answer: Outputs, batch: GraphBatch) -> Terms:  # noqa: ARG002
        """Cross entropy, and the share of windows that are right."""
        logits, y = cast(Tensor, answer.logits), cast(Tensor, batch.y)
        right = (logits.argmax(dim=1) == y).float().mean()
        return {"task_loss": functional.cross_entropy(logits, y), "accuracy": right}

    def outputs(self, answer: Outputs) -> Outputs:
        """The logits, and what a term asked for."""
        return answer

    def score(self, model: nn.Module, batch: GraphBatch) -> Float[Tensor, "graphs 1"]:
        """Probability of attack."""
        return model(batch).softmax(dim=1)[:, 1:]


@dataclass(frozen=True)
class Rebuilt:
    """An autoencoder's answer: the latents, one draw of them, and the nodes rebuilt from it."""

    encoding: Encoding
    z: Float[Tensor, "nodes latent"]
    nodes: Float[Tensor, "nodes features"]
    states: Float[Tensor, "nodes width"] | None = None
    attention: tuple[Float[Tensor, "edges"], ...] = ()


@dataclass(frozen=True)
class Reconstruction:
    """Evidence lower bound: nodes, edges, and divergence from the prior."""

    config: VgaeConfig
    has_latents = True

    def answer(
        self, model: nn.Module, batch: GraphBatch, terms: frozenset[Term] = NO_TERMS
    ) -> Rebuilt:
        """Latents are drawn while training, and are the mean otherwise."""
        vgae = cast(VariationalGraphAutoencoder, model)
        states, attention = None, ()
        if terms & INSIDE:
            states, attention = look_inside(vgae, batch, terms)
            encoding = vgae.latents(states)
        else:
            encoding = vgae.encode(batch)
        z = sample(encoding) if vgae.training else encoding.mean
        return Rebuilt(encoding, z, vgae.decode_nodes(z), states, attention)

    def terms(self, model: nn.Module, answer: Rebuilt, batch: GraphBatch) -> Terms:
        """The bound and its three parts."""
        vgae = cast(VariationalGraphAutoencoder, model)
        nodes = functional.mse_loss(answer.nodes, batch.x)
        edges = edge_loss(vgae, answer.z, batch, self.config.negatives_per_edge)
        divergence = kl_divergence(answer.encoding)
        loss = nodes + self.config.edge_weight * edges + self.config.kl_weight * divergence
        return {"task_loss": loss, "node_loss": nodes, "edge_loss": edges, "kl": divergence}

    def outputs(self, answer: Rebuilt) -> Outputs:
        """The rebuilt nodes, the latents' means, and what a term asked for."""
        return Outputs(
            nodes=answer.nodes,
            latents=answer.encoding.mean,
            states=answer.states,
            attention=answer.attention,
        )

    def score(self, model: nn.Module, batch: GraphBatch) -> Float[Tensor, "graphs 3"]:
        """Mean and largest node error and mean edge surprise; calibration weighs them."""
        return model(batch)


@dataclass(frozen=True)
class Objective(Generic[Answer]):
    """A task's loss, with a teacher's share where there is one."""

    task: Task[Answer]
    distillation: DistillationConfig
    teacher: nn.Module | None = None
    cached: CachedAnswers | None = None
    """What the teacher answers, where it need not be asked."""
    projections: nn.ModuleDict = field(default_factory=nn.ModuleDict)
    """Maps from the student's widths to the teacher's, trained with it; see `prepared`."""

    @property
    def on(self) -> frozenset[Term]:
        """The terms of the teacher's share; none without a teacher."""
        if self.teacher is None:
            return NO_TERMS
        return terms_on(self.distillation, latents=self.task.has_latents)

    def prepared(self, student: nn.Module, seed: int) -> Objective[Answer]:
        """The same with fresh projections for this student, drawn from the seed."""
        if self.teacher is None:
            return self
        maps = projections(student, self.teacher, self.on, seed)
        return replace(self, projections=maps)

    def to(self, device: torch.device) -> Objective[Answer]:
        """The same with its teacher, or the teacher's answers, on a device."""
        if self.cached is not None:
            return replace(self, cached=self.cached.to(device))
        if self.teacher is not None:
            self.teacher.to(device)
        return self

    def __call__(self, model: nn.Module, batch: GraphBatch, phase: Phase = "train") -> Terms:
        """`loss` to minimise, `task_loss`, and their parts.

        With a teacher the loss is alpha * share + (1 - alpha) * task_loss, where the share is the
        distance of the answers and the weighed distances of what else the config asks for. The
        teacher is frozen, in evaluation mode, and on the batch's device. `phase` says which of the
        two stores the batch is from.
        """
        on = self.on
        answer = self.task.answer(model, batch, on)
        terms = self.task.terms(model, answer, batch)
        if not on:
            return {"loss": terms["task_loss"], **terms}
        theirs = self._asked(batch, phase)
        found = distances(self.task.outputs(answer), theirs, self.distillation, self.projections)
        alpha = self.distillation.alpha
        loss = alpha * weighed(found, self.distillation) + (1 - alpha) * terms["task_loss"]
        return {"loss": loss, **found, **terms}

    def _asked(self, batch: GraphBatch, phase: Phase) -> Outputs:
        """What the teacher says of a batch."""
        if self.cached is not None:
            answers = self.cached.train if phase == "train" else self.cached.validation
            return answers.of(batch)
        teacher = cast(nn.Module, self.teacher)
        with torch.no_grad():
            return self.task.outputs(self.task.answer(teacher.eval(), batch, self.on))


def task_of(config: ModelConfig) -> Task:
    """The task of a kind of model that has a loss.

    Raises:
        TypeError: the kind has none: its own stage fits it, and it says how odd a window is.
    """
    match config:
        case GatConfig() | MlpConfig() | GradientBoostingConfig():
            return Classification()
        case VgaeConfig():
            return Reconstruction(config)
        case FusionConfig() | ProfileConfig() | IdFrequencyConfig():
            raise TypeError(f"a model of kind '{config.kind}' has no loss")


def score_of(config: ModelConfig) -> WindowScore:
    """How models of a kind score windows."""
    match config:
        case FusionConfig() | ProfileConfig() | IdFrequencyConfig():
            return _own_score
        case _:
            return task_of(config).score


def _own_score(model: nn.Module, batch: GraphBatch) -> Float[Tensor, "graphs parts"]:
    return model(batch)
