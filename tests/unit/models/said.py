"""Fusions of models that say what a test wants of each window."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kdgat.configs.model import FusionConfig
from kdgat.data.batches import GraphBatch
from kdgat.models.fusion import FusionModel, Scorer, ScoreScale

ONE_CLASS = ScoreScale((0.0,), (1.0,), (2.0, 4.0, 8.0))
"""Scores as they are, with a threshold for each reference."""
CLASSIFIER = ScoreScale((0.0,), (1.0,))


class Said(nn.Module):
    """Says of each window what is written for it."""

    def __init__(self, scores: Sequence[float]) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.tensor(scores)[:, None])

    def forward(self, batch: GraphBatch) -> Tensor:
        """The score of each window."""
        return self.scores[batch.index]


def fusion(
    config: FusionConfig, *said: Sequence[float], scales: Sequence[ScoreScale] | None = None
) -> FusionModel:
    """A fusion of a one-class model and classifiers that say these scores."""
    scales = scales or (ONE_CLASS, *(CLASSIFIER for _ in said[1:]))
    return FusionModel(
        config,
        [
            Scorer(Said(scores), lambda model, batch: model(batch), scale)
            for scores, scale in zip(said, scales, strict=True)
        ],
    )


def windows(count: int, reference: Sequence[int] | None = None) -> GraphBatch:
    """As many windows, of which nothing matters but their number."""
    return GraphBatch(
        x=torch.zeros(count, 1),
        edge_index=torch.zeros(2, 0, dtype=torch.long),
        edge_attr=torch.zeros(0, 1),
        graph=torch.arange(count),
        edge_graph=torch.zeros(0, dtype=torch.long),
        index=torch.arange(count),
        y=None,
        reference=None if reference is None else torch.tensor(reference, dtype=torch.int8),
    )
