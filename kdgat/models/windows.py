"""A window as one vector, for models without a graph: its nodes and edges pooled."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from kdgat.data.batches import GraphBatch


def window_width(node_features: int, edge_features: int) -> int:
    """Numbers that `WindowFeatures` makes of one window."""
    return 3 * node_features + 2 * edge_features + 2


class WindowFeatures(nn.Module):
    """Each graph's nodes and edges pooled to one vector.

    In this order: mean, maximum and minimum of every node feature over the nodes, log(1 + nodes),
    mean and maximum of every edge feature over the edges, log(1 + edges). A graph without edges has
    zeros there. Nothing depends on the values' shapes, so that the memory planner can trace it.
    """

    def forward(self, batch: GraphBatch) -> Float[Tensor, "graphs width"]:
        """One vector a graph."""
        graphs = batch.num_graphs
        nodes, edges = (rows_of(owner, graphs) for owner in (batch.graph, batch.edge_graph))
        pooled = (
            total(batch.x, batch.graph, graphs) / nodes.clamp(min=1),
            largest(batch.x, batch.graph, graphs),
            smallest(batch.x, batch.graph, graphs),
            nodes.log1p(),
            total(batch.edge_attr, batch.edge_graph, graphs) / edges.clamp(min=1),
            largest(batch.edge_attr, batch.edge_graph, graphs),
            edges.log1p(),
        )
        return torch.cat(pooled, dim=1)


def rows_of(owner: Int64[Tensor, "rows"], graphs: int) -> Float[Tensor, "graphs 1"]:
    """How many rows each graph owns."""
    # By shape: `len` would be a constant of an exported graph.
    return total(torch.ones(owner.shape[0], 1, device=owner.device), owner, graphs)


def total(
    values: Float[Tensor, "rows columns"], owner: Int64[Tensor, "rows"], graphs: int
) -> Float[Tensor, "graphs columns"]:
    """Sum of each column over the rows of each graph; 0 where it has none."""
    return _zeros(values, graphs).index_add(0, owner, values)


def largest(
    values: Float[Tensor, "rows columns"], owner: Int64[Tensor, "rows"], graphs: int
) -> Float[Tensor, "graphs columns"]:
    """Maximum of each column over the rows of each graph; 0 where it has none."""
    return _extreme(values, owner, graphs, "amax")


def smallest(
    values: Float[Tensor, "rows columns"], owner: Int64[Tensor, "rows"], graphs: int
) -> Float[Tensor, "graphs columns"]:
    """Minimum of each column over the rows of each graph; 0 where it has none."""
    return _extreme(values, owner, graphs, "amin")


def _extreme(values: Tensor, owner: Tensor, graphs: int, which: str) -> Tensor:
    index = owner[:, None].expand(values.shape)
    return _zeros(values, graphs).scatter_reduce(0, index, values, which, include_self=False)


def _zeros(values: Tensor, graphs: int) -> Tensor:
    return torch.zeros(graphs, values.shape[1], dtype=values.dtype, device=values.device)
