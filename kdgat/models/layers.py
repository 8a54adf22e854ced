"""Layers shared by the models: a graph attention block and the pooling of nodes to a window."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import global_max_pool, global_mean_pool

from kdgat.models.attention import SortedGATv2
from kdgat.models.segments import EdgeOrder, ascends, mean_and_max, pays


class AttentionBlock(nn.Module):
    """GATv2 attention with edge features (Brody, Alon and Yahav 2022), residual and normalised.

    No self-loops are added: the residual carries a node's own state, and adding loops in the
    forward pass would keep the shapes from being traced.
    """

    def __init__(self, width_in: int, hidden: int, heads: int, edge_features: int) -> None:
        super().__init__()
        width = hidden * heads
        self.attention = SortedGATv2(width_in, hidden, heads, edge_features)
        self.residual = nn.Linear(width_in, width, bias=False)
        self.norm = nn.LayerNorm(width)
        self.activation = nn.ELU(inplace=True)
        self.recompute = False

    def forward(
        self,
        x: Float[Tensor, "nodes width_in"],
        edge_index: Int64[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges edge_features"],
        order: EdgeOrder | None = None,
    ) -> Float[Tensor, "nodes width"]:
        """New node states from the nodes' own and their neighbours'.

        `order` is that of the edges, which several blocks share.
        """
        if self.recompute and torch.is_grad_enabled():
            again = checkpoint(
                self.forward_with_attention, x, edge_index, edge_attr, order, use_reentrant=False
            )
            return again[0]  # pyright: ignore[reportOptionalSubscript]
        return self.forward_with_attention(x, edge_index, edge_attr, order)[0]

    def forward_with_attention(
        self,
        x: Float[Tensor, "nodes width_in"],
        edge_index: Int64[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges edge_features"],
        order: EdgeOrder | None = None,
    ) -> tuple[Float[Tensor, "nodes width"], Float[Tensor, "edges heads"]]:
        """New node states, and how much of each head's attention goes over each edge."""
        h, alpha = self.attention.attend(x, edge_index, edge_attr, order, self.residual)
        return self.activation(self.norm(h)), alpha


def recompute_attention(model: nn.Module) -> None:
    """Let every attention block forget its inside and compute it again in the backward pass.

    The same numbers in less memory, for about a third more time.
    """
    for module in model.modules():
        if isinstance(module, AttentionBlock):
            module.recompute = True


def edge_order(
    x: Float[Tensor, "nodes features"], edge_index: Int64[Tensor, "2 edges"]
) -> EdgeOrder | None:
    """The order of the edges for all of a model's blocks; None where they go another way."""
    useful = pays(x) and ascends(edge_index[1])
    return EdgeOrder(edge_index, len(x)) if useful else None


class Dropout(nn.Dropout):
    """Dropout; on a CPU four times as fast as PyTorch's, which draws every unit by itself there.

    Four units share one number of 64 random bits. The probability is a multiple of 2^-16.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Units dropped while training, and the others made larger."""
        if not self.training or self.p == 0 or not pays(input):
            return super().forward(input)
        width = input.shape[-1]
        bits = torch.empty(*input.shape[:-1], -(-width // 4), dtype=torch.long)
        drawn = bits.random_(-(2**63), None).view(torch.int16)[..., :width]
        kept = torch.empty_like(input)
        torch.ge(drawn, round(self.p * 2**16) - 2**15, out=kept)
        return input * kept.mul_(1 / (1 - self.p))


def pool_nodes(
    h: Float[Tensor, "nodes width"], graph: Int64[Tensor, "nodes"], graphs: int
) -> Float[Tensor, "graphs 2*width+1"]:
    """Mean and maximum over each graph's nodes, and the logarithm of how many there are."""
    if pays(h) and ascends(graph):
        count = torch.zeros(graphs, dtype=torch.long).scatter_add_(0, graph, torch.ones_like(graph))
        pooled = (*mean_and_max(h, graph, count), count[:, None].to(h.dtype).log1p())
        return torch.cat(pooled, dim=1)
    count = torch.zeros(graphs, 1, dtype=h.dtype, device=h.device)
    count = count.index_add(0, graph, torch.ones_like(h[:, :1]))
    pooled = (global_mean_pool(h, graph, graphs), global_max_pool(h, graph, graphs))
    return torch.cat((*pooled, torch.log1p(count)), dim=1)
