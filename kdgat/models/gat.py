"""GAT: attention over a window's graph, pooled, then a small classifier."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from kdgat.configs.model import GatConfig
from kdgat.data.batches import GraphBatch
from kdgat.models.layers import AttentionBlock, pool_nodes


class GatClassifier(nn.Module):
    """Logits of benign and attack for each graph of a batch."""

    def __init__(self, config: GatConfig, node_features: int, edge_features: int) -> None:
        super().__init__()
        width = config.hidden * config.heads
        widths = [node_features] + [width] * (config.layers - 1)
        self.blocks = nn.ModuleList(
            AttentionBlock(each, config.hidden, config.heads, edge_features) for each in widths
        )
        self.dropout = nn.Dropout(config.dropout)
        self.readout = nn.Sequential(
            nn.Linear(2 * width + 1, config.readout),
            nn.ELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.readout, 2),
        )

    def forward(self, batch: GraphBatch) -> Float[Tensor, "graphs 2"]:
        """Logits of (benign, attack)."""
        h = batch.x
        for block in self.blocks:
            h = self.dropout(block(h, batch.edge_index, batch.edge_attr))
        return self.readout(pool_nodes(h, batch.graph, batch.num_graphs))
