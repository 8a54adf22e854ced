"""VGAE: encodes each node of a window, decodes its features and the edges around it.

Trained on benign windows only, so that what it rebuilds badly is odd. The decoder scores observed
edges and a few sampled absent ones, never all pairs of nodes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch_geometric.utils import scatter

from kdgat.configs.model import VgaeConfig
from kdgat.data.batches import GraphBatch
from kdgat.models.gat import Layer
from kdgat.models.layers import AttentionBlock, Dropout, edge_order

LOG_VARIANCE_LIMIT = 10.0
"""Bound of log-variance and mean; beyond it half precision overflows."""


@dataclass(frozen=True)
class Encoding:
    """The latent distribution of each node."""

    mean: Float[Tensor, "nodes latent"]
    log_variance: Float[Tensor, "nodes latent"]


class VariationalGraphAutoencoder(nn.Module):
    """Encoder and decoder of a window's graph (after Kipf and Welling 2016)."""

    def __init__(self, config: VgaeConfig, node_features: int, edge_features: int) -> None:
        super().__init__()
        self.width = width = config.hidden * config.heads
        self.latent = config.latent
        self.block = AttentionBlock(node_features, config.hidden, config.heads, edge_features)
        self.second = AttentionBlock(width, config.hidden, config.heads, edge_features)
        self.dropout = Dropout(config.dropout)
        self.mean = nn.Linear(width, config.latent)
        self.log_variance = nn.Linear(width, config.latent)
        self.node_decoder = nn.Sequential(
            nn.Linear(config.latent, config.decoder),
            nn.ELU(),
            nn.Linear(config.decoder, node_features),
        )
        self.edge_source = nn.Linear(config.latent, config.latent)
        self.edge_target = nn.Linear(config.latent, config.latent)

    def encode(self, batch: GraphBatch) -> Encoding:
        """Mean and log-variance of each node's latent, clamped to +-10."""
        return self.latents(self.states(batch))

    def states(self, batch: GraphBatch) -> Float[Tensor, "nodes width"]:
        """Node states after the encoder's second layer."""
        order = edge_order(batch.x, batch.edge_index)
        h = self.dropout(self.block(batch.x, batch.edge_index, batch.edge_attr, order))
        return self.dropout(self.second(h, batch.edge_index, batch.edge_attr, order))

    def hidden(self, batch: GraphBatch) -> list[Layer]:
        """Node states and attention of both layers; the last states are those of `states`."""
        h, layers = batch.x, []
        order = edge_order(h, batch.edge_index)
        for block in (self.block, self.second):
            h, alpha = block.forward_with_attention(h, batch.edge_index, batch.edge_attr, order)
            h = self.dropout(h)
            layers.append((h, alpha))
        return layers

    def latents(self, h: Float[Tensor, "nodes width"]) -> Encoding:
        """Each node's latent distribution from the encoder's last node states."""
        limit = LOG_VARIANCE_LIMIT
        return Encoding(
            self.mean(h).clamp(-limit, limit), self.log_variance(h).clamp(-limit, limit)
        )

    def decode_nodes(self, z: Float[Tensor, "nodes latent"]) -> Float[Tensor, "nodes features"]:
        """Node features rebuilt from latents."""
        return self.node_decoder(z)

    def decode_edges(
        self, z: Float[Tensor, "nodes latent"], edge_index: Int64[Tensor, "2 edges"]
    ) -> Float[Tensor, "edges"]:
        """Logit of there being an edge, for each pair of nodes asked about."""
        # index_select's gradient is a sum in place; indexing's would sort the indices on a GPU.
        source = self.edge_source(z).index_select(0, edge_index[0])
        target = self.edge_target(z).index_select(0, edge_index[1])
        return (source * target).sum(dim=1) / source.shape[1] ** 0.5

    def forward(self, batch: GraphBatch) -> Float[Tensor, "graphs 3"]:
        """What is odd about each window, from the latents' means: nothing is sampled.

        The columns are the mean and the largest error of a node's features, and the mean surprise
        of an observed edge.
        """
        z = self.encode(batch).mean
        error = (self.decode_nodes(z) - batch.x).square().mean(dim=1)
        surprise = nn.functional.softplus(-self.decode_edges(z, batch.edge_index))
        graphs = batch.num_graphs
        columns = (
            scatter(error, batch.graph, dim_size=graphs, reduce="mean"),
            scatter(error, batch.graph, dim_size=graphs, reduce="max"),
            scatter(surprise, batch.edge_graph, dim_size=graphs, reduce="mean"),
        )
        return torch.stack(columns, dim=1)
