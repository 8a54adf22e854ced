"""A model's calibrated score as a function of plain tensors with dynamic shapes, for ONNX.

The weights and the code are the model's own; only the batch differs. A batch counts its graphs by
`len`, which is a number at once, and would become a constant of the exported graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Float32, Int8, Int64
from torch import Tensor, nn

from kdgat.data.batches import GraphBatch

INPUTS = ("x", "edge_index", "edge_attr", "graph", "edge_graph", "reference")
"""Names of the inputs, in their order; as in `GraphBatch`."""
OUTPUT = "score"
Score = Callable[[nn.Module, GraphBatch], Tensor]


class _TracedBatch(GraphBatch):
    """A batch that may have any number of graphs."""

    @property
    def num_graphs(self) -> int:
        return self.index.shape[0]


class OnnxForm(nn.Module):
    """One score a window from the tensors of a batch."""

    center: Tensor
    spread: Tensor

    def __init__(
        self, model: nn.Module, score: Score, center: Sequence[float], spread: Sequence[float]
    ) -> None:
        super().__init__()
        self.model = model
        self._score = score
        self.register_buffer("center", torch.tensor(center, dtype=torch.float64))
        self.register_buffer("spread", torch.tensor(spread, dtype=torch.float64))

    def forward(
        self,
        x: Float32[Tensor, "nodes features"],
        edge_index: Int64[Tensor, "2 edges"],
        edge_attr: Float32[Tensor, "edges edge_features"],
        graph: Int64[Tensor, "nodes"],
        edge_graph: Int64[Tensor, "edges"],
        reference: Int8[Tensor, "graphs"],
    ) -> Float[Tensor, "graphs"]:
        """The largest standardised part of each window's score, as `Calibration.scores` has it."""
        batch = _TracedBatch(
            x=x,
            edge_index=edge_index,
            edge_attr=edge_attr,
            graph=graph,
            edge_graph=edge_graph,
            index=reference.long(),
            y=None,
            reference=reference,
        )
        parts = self._score(self.model, batch).double()
        return ((parts - self.center) / self.spread).amax(dim=1).float()


def inputs_of(batch: GraphBatch) -> tuple[Tensor, ...]:
    """The inputs that stand for a batch."""
    return tuple(getattr(batch, name) for name in INPUTS)
