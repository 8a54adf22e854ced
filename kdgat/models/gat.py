"""GAT: attention over a window's graph, pooled, then a small classifier."""

from __future__ import annotations

from typing import cast

from jaxtyping import Float
from torch import Tensor, nn

from kdgat.configs.model import GatConfig
from kdgat.data.batches import GraphBatch
from kdgat.models.layers import AttentionBlock, Dropout, edge_order, pool_nodes

Layer = tuple[Float[Tensor, "nodes width"], Float[Tensor, "edges heads"]]
"""What comes out of an attention layer, and each head's attention over each edge."""


class GatClassifier(nn.Module):
    """Logits of benign and attack for each graph of a batch."""

    def __init__(self, config: GatConfig, node_features: int, edge_features: int) -> None:
        super().__init__()
        self.width = width = config.hidden * config.heads
        widths = [node_features] + [width] * (config.layers - 1)
        self.blocks = nn.ModuleList(
            AttentionBlock(each, config.hidden, config.heads, edge_features) for each in widths
        )
        self.dropout = Dropout(config.dropout)
        self.readout = nn.Sequential(
            nn.Linear(2 * width + 1, config.readout),
            nn.ELU(),
            Dropout(config.dropout),
            nn.Linear(config.readout, 2),
        )

    def forward(self, batch: GraphBatch) -> Float[Tensor, "graphs 2"]:
        """Logits of (benign, attack)."""
        return self.read(self.states(batch), batch)

    def states(self, batch: GraphBatch) -> Float[Tensor, "nodes width"]:
        """Node states after the last layer."""
        h, order = batch.x, edge_order(batch.x, batch.edge_index)
        for block in self.blocks:
            h = self.dropout(block(h, batch.edge_index, batch.edge_attr, order))
        return h

    def hidden(self, batch: GraphBatch) -> list[Layer]:
        """Node states and attention of every layer; the last states are those of `states`."""
        h, layers = batch.x, []
        order = edge_order(h, batch.edge_index)
        for block in self.blocks:
            attend = cast(AttentionBlock, block).forward_with_attention
            h, alpha = attend(h, batch.edge_index, batch.edge_attr, order)
            h = self.dropout(h)
            layers.append((h, alpha))
        return layers

    def read(self, h: Float[Tensor, "nodes width"], batch: GraphBatch) -> Float[Tensor, "graphs 2"]:
        """Logits of (benign, attack) from the last layer's node states."""
        return self.readout(pool_nodes(h, batch.graph, batch.num_graphs))
