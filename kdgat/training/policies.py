"""Training of a fusion's policy on the table of what its models say.

`dqn` plays through the windows of each capture in their order, as a detector meets them; `bandit`
takes each window for itself; both learn from the reward of the weights they chose. `mlp` and
`weighted_average` lower the cross entropy of the fused score. All are judged alike, by the cross
entropy on validation windows, some of them blinded.

A teacher's fused score, softened by the temperature, is a second label, of which alpha is the
share.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from kdgat.configs.model import FusionConfig
from kdgat.configs.run import RunConfig
from kdgat.configs.training import DistillationConfig
from kdgat.models.fusion import AveragePolicy, FusionModel, LatticePolicy, fused, lattice
from kdgat.progress import Progress, quiet
from kdgat.training.fusion_table import FusionTable, blinded
from kdgat.training.losses import soft_label_loss

_LEAST = 1e-4
"""Scores nearer than this to 0 or 1 cost no more than this: a model that errs, errs with all its
might."""

Listener = Callable[[int, dict[str, float | None]], None]


@dataclass(frozen=True)
class PolicyFit:
    """How training ended."""

    best_epoch: int
    best_loss: float
    epochs: int


@dataclass(frozen=True)
class Lesson:
    """An epoch's windows as a policy learns from them."""

    states: Float32[Tensor, "windows state"]
    odds: Float32[Tensor, "windows scorers"]
    y: Int64[Tensor, "windows"]
    following: Int64[Tensor, "windows"]
    teacher: Float[Tensor, "windows"] | None
    """The teacher's fused score of each window, as it is without blinding."""


@runtime_checkable
class Learner(Protocol):
    """How one kind of policy learns."""

    def step(self, lesson: Lesson, chosen: Int64[Tensor, "batch"], progress: float) -> Tensor:
        """Learn from some windows; the loss. `progress` goes from 0 to 1 over the training."""
        ...


def train_policy(
    model: FusionModel,
    tables: tuple[FusionTable, FusionTable],
    config: RunConfig,
    listen: Listener,
    *,
    teacher: Float[Tensor, "windows"] | None = None,
    progress: Progress = quiet,
) -> PolicyFit:
    """Train the model's policy to its best epoch, the same from the same seed.

    Args:
        model: the fusion; only its policy changes.
        tables: training and validation windows.
        config: the run's config, of a fusion.
        listen: called with each epoch's number and figures.
        teacher: the teacher's fused score of each training window, for a distilled policy.
        progress: told of every epoch.
    """
    fusion = config.model
    assert isinstance(fusion, FusionConfig)
    generator = torch.Generator().manual_seed(config.seed)
    validation = blinded(tables[1], model, fusion.blind_share, generator)
    learner = _learner(model, config, generator)
    epochs = 1 if fusion.method == "weighted_average" else fusion.epochs
    size = _batch_windows(len(tables[0]), config)
    best_loss, best_epoch, best = float("inf"), -1, model.policy.state_dict()
    for epoch in range(epochs):
        progress(f"fusion {config.size}: epoch {epoch + 1}", epoch, epochs)
        lesson = _lesson(model, tables[0], fusion.blind_share, teacher, generator)
        order = torch.randperm(len(tables[0]), generator=generator)
        batches = order.split(len(order) if fusion.method == "weighted_average" else size)
        losses = [
            learner.step(lesson, chosen, (epoch + number / len(batches)) / epochs)
            for number, chosen in enumerate(batches)
        ]
        figures = judged(model, validation)
        listen(epoch, {"train_loss": float(torch.stack(losses).mean()), **figures})
        if figures["val_task_loss"] < best_loss:
            best_loss, best_epoch = figures["val_task_loss"], epoch
            best = copy.deepcopy(model.policy.state_dict())
    model.policy.load_state_dict(best)
    progress(f"fusion {config.size}: trained", epochs, epochs)
    return PolicyFit(best_epoch, best_loss, epochs)


def judged(model: FusionModel, table: FusionTable) -> dict[str, float]:
    """Cross entropy of the fused score and share of windows decided wrongly, the mean of benign
    and attack windows, as rare attacks would not count otherwise."""
    with torch.no_grad():
        score = fused(table.odds, model.policy(model.states(table.odds, table.signals)))
    attack = table.y == 1
    sides = [side for side in (attack, ~attack) if side.any()]
    entropy, wrong = cross_entropy(score, table.y.float()), (score >= 0.5) != attack

    def balanced(values: Tensor) -> float:
        return float(torch.stack([values[side].double().mean() for side in sides]).mean())

    return {"val_task_loss": balanced(entropy), "val_balanced_error": balanced(wrong)}


def cross_entropy(
    score: Float[Tensor, "*windows"], label: Float[Tensor, "*windows"]
) -> Float[Tensor, "*windows"]:
    """Of fused scores against labels, which may be soft."""
    score = score.clamp(_LEAST, 1 - _LEAST)
    return functional.binary_cross_entropy(score, label, reduction="none")


def reward(
    score: Float[Tensor, "*windows"], label: Float[Tensor, "*windows"]
) -> Float[Tensor, "*windows"]:
    """Worth of a fused score, from -1 to 1: half for the decision, half for its margin.

    With side = +1 for an attack and -1 for a benign window it is
    side * (decision + margin) / 2, where decision is +1 for alarm (score >= .5) and -1 for none,
    and margin = 2 * score - 1. A soft label earns what its sides earn in the mean.
    """
    decision = torch.where(score >= 0.5, 1.0, -1.0)
    return (2 * label - 1) * (decision + 2 * score - 1) / 2


def softened(score: Float[Tensor, "*windows"], temperature: float) -> Float[Tensor, "*windows"]:
    """A score as it is at a temperature: its log odds are divided by it."""
    return (score.clamp(_LEAST, 1 - _LEAST).logit() / temperature).sigmoid()


class ValueLearner:
    """Learns what each action is worth, from the reward of the ones it takes (dqn, bandit).

    An action is taken at random with a probability that falls from 1 to `exploration`, and else is
    the one thought best. With a discount its worth holds that of the window that comes next, as a
    network tells it that is renewed every `target_steps` steps (Mnih et al. 2015).
    """

    def __init__(
        self, policy: LatticePolicy, config: RunConfig, generator: torch.Generator
    ) -> None:
        assert isinstance(config.model, FusionConfig)
        self.config = config.model
        self.distillation = config.distillation
        self.discount = self.config.discount if self.config.method == "dqn" else 0.0
        self.policy = policy
        self.target = copy.deepcopy(policy.values)
        self.lattice = cast(Tensor, policy.lattice)
        self.generator = generator
        self.steps = 0
        self.optimizer = _optimizer(policy, config)

    def step(self, lesson: Lesson, chosen: Int64[Tensor, "batch"], progress: float) -> Tensor:
        """One step of the network towards what the taken actions turned out to be worth."""
        values = self.policy.values(lesson.states[chosen])
        exploration = 1 - progress * (1 - self.config.exploration)
        random = torch.randint(len(self.lattice), (len(chosen),), generator=self.generator)
        explores = torch.rand(len(chosen), generator=self.generator) < exploration
        action = torch.where(explores, random, values.argmax(dim=1))
        score = fused(lesson.odds[chosen], self.lattice[action])
        worth = reward(score, _labels(lesson, chosen, self.distillation))
        if self.discount:
            worth = worth + self.discount * self._next(lesson, chosen)
        loss = functional.smooth_l1_loss(values.gather(1, action[:, None])[:, 0], worth)
        _descend(self.optimizer, loss)
        self.steps += 1
        if self.steps % self.config.target_steps == 0:
            self.target.load_state_dict(self.policy.values.state_dict())
        return loss.detach()

    def _next(self, lesson: Lesson, chosen: Int64[Tensor, "batch"]) -> Tensor:
        """What the next window is worth at best; nothing after a capture's last."""
        after = lesson.following[chosen]
        with torch.no_grad():
            best = self.target(lesson.states[after.clamp(min=0)]).max(dim=1).values
        return torch.where(after >= 0, best, 0.0)


class EntropyLearner:
    """Lowers the cross entropy of the fused score by its gradient (mlp)."""

    def __init__(self, policy: nn.Module, config: RunConfig) -> None:
        self.policy = policy
        self.distillation = config.distillation
        self.optimizer = _optimizer(policy, config)

    def step(self, lesson: Lesson, chosen: Int64[Tensor, "batch"], progress: float) -> Tensor:  # noqa: ARG002
        """One step."""
        score = fused(lesson.odds[chosen], self.policy(lesson.states[chosen]))
        loss = _entropy(score, lesson, chosen, self.distillation)
        _descend(self.optimizer, loss)
        return loss.detach()


class LatticeSearch:
    """Takes the one vector of weights with the lowest cross entropy (weighted_average)."""

    def __init__(self, policy: AveragePolicy, config: RunConfig) -> None:
        assert isinstance(config.model, FusionConfig)
        self.policy = policy
        self.distillation = config.distillation
        self.lattice = lattice(len(policy.weights), config.model.actions)

    def step(self, lesson: Lesson, chosen: Int64[Tensor, "batch"], progress: float) -> Tensor:  # noqa: ARG002
        """Look at every vector."""
        losses = torch.stack(
            [
                _entropy(fused(lesson.odds[chosen], weights), lesson, chosen, self.distillation)
                for weights in self.lattice
            ]
        )
        with torch.no_grad():
            self.policy.weights.copy_(self.lattice[losses.argmin()])
        return losses.min()


def _learner(model: FusionModel, config: RunConfig, generator: torch.Generator) -> Learner:
    policy = model.policy
    if isinstance(policy, LatticePolicy):
        return ValueLearner(policy, config, generator)
    if isinstance(policy, AveragePolicy):
        return LatticeSearch(policy, config)
    return EntropyLearner(policy, config)


def _lesson(
    model: FusionModel,
    table: FusionTable,
    share: float,
    teacher: Float[Tensor, "windows"] | None,
    generator: torch.Generator,
) -> Lesson:
    shown = blinded(table, model, share, generator)
    states = model.states(shown.odds, shown.signals)
    return Lesson(states, shown.odds, shown.y, shown.following, teacher)


def _labels(
    lesson: Lesson, chosen: Int64[Tensor, "batch"], config: DistillationConfig
) -> Float[Tensor, "batch"]:
    """Labels, with the teacher's share where there is one."""
    y = lesson.y[chosen].float()
    if lesson.teacher is None:
        return y
    soft = softened(lesson.teacher[chosen], config.temperature)
    return config.alpha * soft + (1 - config.alpha) * y


def _entropy(
    score: Float[Tensor, "batch"],
    lesson: Lesson,
    chosen: Int64[Tensor, "batch"],
    config: DistillationConfig,
) -> Tensor:
    """Mean cross entropy against the labels, with the teacher's share where there is one."""
    hard = cross_entropy(score, lesson.y[chosen].float()).mean()
    if lesson.teacher is None:
        return hard
    soft = soft_label_loss(_logits(score), _logits(lesson.teacher[chosen]), config.temperature)
    return config.alpha * soft + (1 - config.alpha) * hard


def _logits(score: Float[Tensor, "batch"]) -> Float[Tensor, "batch 2"]:
    score = score.clamp(_LEAST, 1 - _LEAST)
    return torch.stack(((1 - score).log(), score.log()), dim=1)


def _optimizer(policy: nn.Module, config: RunConfig) -> torch.optim.Optimizer:
    assert isinstance(config.model, FusionConfig)
    return torch.optim.AdamW(
        policy.parameters(),
        lr=config.model.learning_rate,
        weight_decay=config.training.weight_decay,
    )


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def _batch_windows(windows: int, config: RunConfig) -> int:
    """Windows a step: fewer where an epoch would have fewer steps than it must."""
    assert isinstance(config.model, FusionConfig)
    steps = max(1, config.training.min_steps_per_epoch)
    return max(1, min(config.model.batch_windows, windows // steps))
