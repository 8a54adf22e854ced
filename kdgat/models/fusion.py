"""Fusion: a policy that weighs what several frozen models say of a window.

The fused score is sum_k weight_k * odds_k with the weights that the policy chose for that very
window, so that a policy which weighs otherwise decides otherwise. Each model says its odds of an
attack: a classifier its probability, a one-class model r / (1 + r) with r its score over its own
threshold, so that .5 is every model's own alarm line, and that of the fused score.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb
from typing import cast

import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from kdgat.configs.model import FusionConfig
from kdgat.data.batches import GraphBatch
from kdgat.data.measured import OWN
from kdgat.errors import ConfigError

MOST_ACTIONS = 2_000
"""Weights that a policy chooses from at most."""
_SIGNAL_LIMIT = 8.0
_SIGNAL_SCALE = 4.0
_LEAST = 1e-9

Score = Callable[[nn.Module, GraphBatch], Tensor]
"""A task's score of each window of a batch, in parts."""


@dataclass(frozen=True)
class ScoreScale:
    """What a model's score means: centre and spread of each part on benign windows, and where
    alarm begins for each reference of a window; no thresholds for a probability."""

    center: Sequence[float]
    spread: Sequence[float]
    thresholds: Sequence[float] | None = None


class Scorer(nn.Module):
    """A frozen model, and what its score means."""

    def __init__(self, model: nn.Module, score: Score, scale: ScoreScale) -> None:
        super().__init__()
        self.model = model.requires_grad_(False)
        self.labelled = scale.thresholds is None
        """Whether it was trained with labels, so that it says a probability."""
        self.parts = len(scale.center)
        self._score = score
        thresholds = scale.thresholds or (0.5,)
        # Beside the checkpoint's weights: they are the calibration's, which is kept as it is.
        for name, values in (
            ("center", scale.center),
            ("spread", scale.spread),
            ("thresholds", thresholds),
        ):
            tensor = torch.tensor(values, dtype=torch.float64)
            self.register_buffer(name, tensor, persistent=False)

    @property
    def width(self) -> int:
        """Signals that it gives beside its odds."""
        return 1 if self.labelled else self.parts + 1

    def forward(
        self, batch: GraphBatch
    ) -> tuple[Float32[Tensor, "graphs"], Float32[Tensor, "graphs signals"]]:
        """Its odds of each window, and its score on a scale of logarithms."""
        parts = self._score(self.model, batch).double()
        if self.labelled:
            odds = parts.max(dim=1).values
            ratio = odds.clamp(min=_LEAST) / (1 - odds).clamp(min=_LEAST)
            return odds.float(), _signal(ratio.log()[:, None])
        center, spread = cast(Tensor, self.center), cast(Tensor, self.spread)
        standard = (parts - center) / spread
        score = standard.max(dim=1).values
        ratio = (score / self._threshold(batch)).clamp(min=0)
        logs = (ratio.clamp(min=_LEAST).log()[:, None], standard.sign() * standard.abs().log1p())
        # As 1 - 1 / (1 + r), so that a score without bound is 1 and no nan.
        return (1 - 1 / (1 + ratio)).float(), _signal(torch.cat(logs, dim=1))

    def _threshold(self, batch: GraphBatch) -> Tensor:
        """Where its alarm begins for each window."""
        thresholds = cast(Tensor, self.thresholds).clamp(min=_LEAST)
        if batch.reference is None:
            return thresholds[OWN]
        return thresholds[batch.reference.long()]


class FusionModel(nn.Module):
    """Several frozen models and the policy that weighs them.

    Raises:
        ConfigError: the policy would choose from too many weights.
    """

    def __init__(self, config: FusionConfig, scorers: Sequence[Scorer]) -> None:
        super().__init__()
        self.scorers = nn.ModuleList(scorers)
        self.labelled = tuple(each.labelled for each in scorers)
        """Which of the models were trained with labels."""
        widths = [each.width for each in scorers]
        ends = torch.tensor(widths).cumsum(0).tolist()
        self.columns = tuple(slice(e - w, e) for w, e in zip(widths, ends, strict=True))
        """Where each model's signals are among those of all."""
        self.policy = _policy(config, 3 * len(scorers) + sum(widths), len(scorers))

    def train(self, mode: bool = True) -> FusionModel:
        """Only the policy is ever trained: its models stay as they are."""
        super().train(mode)
        self.scorers.eval()
        return self

    def read(
        self, batch: GraphBatch
    ) -> tuple[Float32[Tensor, "graphs scorers"], Float32[Tensor, "graphs signals"]]:
        """What the models say of each window: their odds, and their signals side by side."""
        odds, signals = zip(*(scorer(batch) for scorer in self.scorers), strict=True)
        return torch.stack(odds, dim=1), torch.cat(signals, dim=1)

    def states(
        self, odds: Float32[Tensor, "graphs scorers"], signals: Float32[Tensor, "graphs signals"]
    ) -> Float32[Tensor, "graphs state"]:
        """What the policy sees of each window, all of it the models' own words.

        Each model's odds, how sure it is (their distance from even), how far it is from what the
        others say in the mean, and its signals.
        """
        count = odds.shape[1]
        others = (odds.sum(dim=1, keepdim=True) - odds) / (count - 1)
        return torch.cat((odds, (odds - 0.5).abs(), (odds - others).abs(), signals), dim=1)

    def explain(
        self, batch: GraphBatch
    ) -> tuple[Float32[Tensor, "graphs scorers"], Float32[Tensor, "graphs scorers"]]:
        """Each model's odds, and the weight that the policy gives it."""
        odds, signals = self.read(batch)
        return odds, self.policy(self.states(odds, signals))

    def forward(self, batch: GraphBatch) -> Float32[Tensor, "graphs 1"]:
        """The fused score of each window, from 0 to 1."""
        odds, weights = self.explain(batch)
        return fused(odds, weights)[:, None]


def fused(
    odds: Float[Tensor, "... scorers"], weights: Float[Tensor, "... scorers"]
) -> Float[Tensor, "..."]:
    """Odds by their weights, which sum to 1."""
    return (odds * weights).sum(dim=-1)


class LatticePolicy(nn.Module):
    """Chooses one of a lattice of weights: the one whose worth its network thinks highest."""

    def __init__(self, config: FusionConfig, state: int, scorers: int) -> None:
        super().__init__()
        grid = lattice(scorers, config.actions)
        self.register_buffer("lattice", grid, persistent=False)
        self.values = _network(config, state, len(grid))

    def forward(self, states: Float[Tensor, "graphs state"]) -> Float[Tensor, "graphs scorers"]:
        """The weights chosen for each window."""
        return cast(Tensor, self.lattice)[self.values(states).argmax(dim=1)]


class SoftmaxPolicy(nn.Module):
    """Says the weights of each window itself."""

    def __init__(self, config: FusionConfig, state: int, scorers: int) -> None:
        super().__init__()
        self.logits = _network(config, state, scorers)

    def forward(self, states: Float[Tensor, "graphs state"]) -> Float[Tensor, "graphs scorers"]:
        """The weights of each window."""
        return self.logits(states).softmax(dim=1)


class AveragePolicy(nn.Module):
    """The same weights for every window."""

    def __init__(self, scorers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((scorers,), 1 / scorers))

    def forward(self, states: Float[Tensor, "graphs state"]) -> Float[Tensor, "graphs scorers"]:
        """The weights, once a window."""
        # By shape: `len` would be a constant of an exported graph.
        return self.weights.expand(states.shape[0], -1)


def lattice(scorers: int, actions: int) -> Float32[Tensor, "actions scorers"]:
    """Every vector of weights that are multiples of 1 / (actions - 1) and sum to 1.

    Raises:
        ConfigError: there are over 2,000 of them.
    """
    steps = actions - 1
    count = comb(steps + scorers - 1, scorers - 1)
    if count > MOST_ACTIONS:
        raise ConfigError(
            f"model.actions = {actions} with {scorers} models makes {count:,} weights to choose "
            f"from, and {MOST_ACTIONS:,} are the most",
            hint="lower model.actions, or name fewer model.scorers",
        )
    # Weights are the gaps between bars among steps: each choice of places is one vector.
    rows = []
    for bars in combinations(range(steps + scorers - 1), scorers - 1):
        ends = (-1, *bars, steps + scorers - 1)
        rows.append([after - before - 1 for before, after in pairwise(ends)])
    return torch.tensor(rows, dtype=torch.float32) / steps


def _policy(config: FusionConfig, state: int, scorers: int) -> nn.Module:
    match config.method:
        case "dqn" | "bandit":
            return LatticePolicy(config, state, scorers)
        case "mlp":
            return SoftmaxPolicy(config, state, scorers)
        case "weighted_average":
            return AveragePolicy(scorers)


def _network(config: FusionConfig, width: int, answers: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(config.layers):
        layers += [nn.Linear(width, config.hidden), nn.ELU()]
        width = config.hidden
    return nn.Sequential(*layers, nn.Linear(width, answers))


def _signal(logs: Float[Tensor, "graphs signals"]) -> Float32[Tensor, "graphs signals"]:
    """Logarithms within a range that a small network takes well."""
    return (logs.clamp(-_SIGNAL_LIMIT, _SIGNAL_LIMIT) / _SIGNAL_SCALE).float()
