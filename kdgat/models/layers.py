"""Layers shared by the models: a graph attention block and the pooling of nodes to a window."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import GATv2Conv, global_max_pool, global_mean_pool


class AttentionBlock(nn.Module):
    """GATv2 attention with edge features (Brody, Alon and Yahav 2022), residual and normalised.

    No self-loops are added: the residual carries a node's own state, and adding loops in the
    forward pass would keep the shapes from being traced.
    """

    def __init__(self, width_in: int, hidden: int, heads: int, edge_features: int) -> None:
        super().__init__()
        width = hidden * heads
        self.attention = GATv2Conv(
            width_in, hidden, heads, edge_dim=edge_features, add_self_loops=False
        )
        self.residual = nn.Linear(width_in, width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.activation = nn.ELU()
        self.recompute = False

    def forward(
        self,
        x: Float[Tensor, "nodes width_in"],
        edge_index: Int64[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges edge_features"],
    ) -> Float[Tensor, "nodes width"]:
        """New node states from the nodes' own and their neighbours'."""
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(self._attend, x, edge_index, edge_attr, use_reentrant=False)
        return self._attend(x, edge_index, edge_attr)

    def _attend(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        attended = self.attention(x, edge_index, edge_attr)
        return self.activation(self.norm(attended + self.residual(x)))


def recompute_attention(model: nn.Module) -> None:
    """Let every attention block forget its inside and compute it again in the backward pass.

    The same numbers in less memory, for about a third more time.
    """
    for module in model.modules():
        if isinstance(module, AttentionBlock):
            module.recompute = True


def pool_nodes(
    h: Float[Tensor, "nodes width"], graph: Int64[Tensor, "nodes"], graphs: int
) -> Float[Tensor, "graphs 2*width+1"]:
    """Mean and maximum over each graph's nodes, and the logarithm of how many there are."""
    count = torch.zeros(graphs, 1, dtype=h.dtype, device=h.device)
    count = count.index_add(0, graph, torch.ones_like(h[:, :1]))
    pooled = (global_mean_pool(h, graph, graphs), global_max_pool(h, graph, graphs))
    return torch.cat((*pooled, torch.log1p(count)), dim=1)
