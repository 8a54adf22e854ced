"""Multilayer perceptron on a window's pooled features: what a classifier can do without a graph."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from kdgat.configs.model import MlpConfig
from kdgat.data.batches import GraphBatch
from kdgat.models.windows import WindowFeatures, window_width


class WindowMlp(nn.Module):
    """Logits of benign and attack for each graph of a batch, from its pooled features alone."""

    def __init__(self, config: MlpConfig, node_features: int, edge_features: int) -> None:
        super().__init__()
        self.pool = WindowFeatures()
        width = window_width(node_features, edge_features)
        layers: list[nn.Module] = []
        for _ in range(config.layers):
            layers += [nn.Linear(width, config.hidden), nn.ELU(), nn.Dropout(config.dropout)]
            width = config.hidden
        self.layers = nn.Sequential(*layers, nn.Linear(width, 2))

    def forward(self, batch: GraphBatch) -> Float[Tensor, "graphs 2"]:
        """Logits of (benign, attack)."""
        return self.layers(self.pool(batch))
