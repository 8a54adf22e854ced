"""GATConv and GATv2Conv for edges sorted by destination, equal to PyG's and faster on a CPU.

Both are PyG's own layers with another way through the same weights, so that a state dict of the
one loads into the other. `plain` is PyG's way. The sorted way takes the gradient by hand: what lies
on each edge of each head is written down once and then worked on in place, where autograd would
keep six copies of it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import cast

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GATConv, GATv2Conv, MessagePassing

from kdgat.models.segments import EdgeOrder, ascends, bag, pays

aten = torch.ops.aten
Attended = tuple[Float[Tensor, "nodes width"], Float[Tensor, "edges heads"]]
"""New node states, and how much of each head's attention goes over each edge."""


class _Sorted(MessagePassing):
    """What both layers share: the sorted way where it pays, else PyG's own."""

    def attend(
        self,
        x: Float[Tensor, "nodes width_in"],
        edge_index: Int64[Tensor, "2 edges"],
        edge_attr: Float[Tensor, "edges edge_features"] | None = None,
        order: EdgeOrder | None = None,
        residual: nn.Linear | None = None,
    ) -> Attended:
        """What each node attends to, and the attention over each edge.

        Args:
            x: node states.
            edge_index: source and destination of each edge.
            edge_attr: features of each edge.
            order: of these edges, where the caller has it.
            residual: a map of the nodes' own states, without a bias, that is added to the result.
        """
        if not _sorted_way(x, edge_index, order):
            out, alpha = self.plain(x, edge_index, edge_attr)
            return (out if residual is None else out + residual(x)), alpha
        return self.in_order(x, edge_attr, order or EdgeOrder(edge_index, len(x)), residual)

    @abstractmethod
    def in_order(
        self, x: Tensor, edge_attr: Tensor | None, order: EdgeOrder, residual: nn.Linear | None
    ) -> Attended:
        """`attend` over edges sorted by destination."""

    def plain(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None = None) -> Attended:
        """PyG's way: the same numbers from operators that autograd, CUDA and ONNX know."""
        out, (_, alpha) = super().forward(x, edge_index, edge_attr, return_attention_weights=True)
        return out, alpha

    def forward(self, x, edge_index, edge_attr=None, *, return_attention_weights=None):
        """As PyG's."""
        out, alpha = self.attend(x, edge_index, edge_attr)
        return (out, (edge_index, alpha)) if return_attention_weights else out


class SortedGATv2(_Sorted, GATv2Conv):  # pyright: ignore[reportIncompatibleMethodOverride]
    """GATv2 attention (Brody, Alon and Yahav 2022), heads side by side, without self-loops."""

    def __init__(self, width_in: int, hidden: int, heads: int, edge_features: int | None) -> None:
        super().__init__(width_in, hidden, heads, edge_dim=edge_features, add_self_loops=False)

    def in_order(
        self, x: Tensor, edge_attr: Tensor | None, order: EdgeOrder, residual: nn.Linear | None
    ) -> Attended:
        """One gradient by hand, from the nodes to the sums."""
        base = _base(x, self.bias, residual)
        left, right = cast(nn.Linear, self.lin_l), cast(nn.Linear, self.lin_r)
        both = functional.linear(
            x, torch.cat((left.weight, right.weight)), torch.cat((left.bias, right.bias))
        )
        weight = None if edge_attr is None else cast(nn.Linear, self.lin_edge).weight
        return _GATv2.apply(both, edge_attr, weight, self.att, base, order, self.negative_slope)


class SortedGAT(_Sorted, GATConv):  # pyright: ignore[reportIncompatibleMethodOverride]
    """GAT attention (Velickovic and others 2018), heads side by side, without self-loops."""

    def __init__(self, width_in: int, hidden: int, heads: int, edge_features: int | None) -> None:
        super().__init__(width_in, hidden, heads, edge_dim=edge_features, add_self_loops=False)

    def in_order(
        self, x: Tensor, edge_attr: Tensor | None, order: EdgeOrder, residual: nn.Linear | None
    ) -> Attended:
        """One gradient by hand, from the scores to the sums."""
        heads, hidden = self.heads, self.out_channels
        rows = cast(nn.Linear, self.lin)(x)
        by_head = rows.view(-1, heads, hidden)
        scores = (by_head * self.att_src).sum(-1).index_select(0, order.source)
        scores = scores + (by_head * self.att_dst).sum(-1).index_select(0, order.target)
        if edge_attr is not None:
            # The sum over a head's channels is done on the weights, not on every edge.
            weight = cast(nn.Linear, self.lin_edge).weight.view(heads, hidden, -1)
            scores = scores + edge_attr @ (weight * self.att_edge.view(heads, hidden, 1)).sum(1).T
        scores = functional.leaky_relu(scores, self.negative_slope)
        return _GAT.apply(rows, scores, _base(x, self.bias, residual), order)


class _GATv2(torch.autograd.Function):
    """From both projections of the nodes, row 2n its own as a source and 2n+1 as a target."""

    @staticmethod
    def forward(ctx, both, edge_attr, weight, att, base, order, slope):
        nodes, edges, (_, heads, hidden) = order.nodes, order.edges, att.shape
        rows = both.view(2 * nodes, heads * hidden)
        on_edge = bag(rows, *order.ends)
        if edge_attr is not None:
            on_edge.addmm_(edge_attr, weight.T)
        functional.leaky_relu_(on_edge, slope)
        scores = _by_head(on_edge.view(edges, heads, hidden) * att)
        alpha = _softmax_(scores, order)
        _add_attended_(base, rows.view(-1, hidden), 2 * heads, alpha, order)
        ctx.order, ctx.slope = order, slope
        ctx.mark_dirty(base)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(rows, edge_attr, weight, att, on_edge, alpha)
        return base, alpha

    @staticmethod
    def backward(ctx, g, g_alpha):  # pyright: ignore[reportIncompatibleMethodOverride]
        rows, edge_attr, weight, att, on_edge, alpha = ctx.saved_tensors
        order, (_, heads, hidden) = ctx.order, att.shape
        nodes, width = order.nodes, heads * hidden
        g = rows.new_zeros(nodes, width) if g is None else g.contiguous()
        per_edge, g_scores = _to_scores(rows, order.source * 2, g, g_alpha, alpha, order)
        g_att = (g_scores.T @ on_edge).view(heads, heads, hidden).diagonal().T[None]
        # Each head's score has a gradient on its own channels alone.
        spread = att.new_zeros(heads, heads, hidden)
        spread.diagonal().copy_(att[0].T)
        torch.mm(g_scores, spread.view(heads, width), out=per_edge)
        aten.leaky_relu_backward.grad_input(per_edge, on_edge, ctx.slope, True, grad_input=per_edge)
        g_both = bag(per_edge, *order.leaving.both)
        sources = g_both.view(nodes, 2, heads, hidden)[:, 0]
        sources.add_(_back_to_sources(g, hidden, alpha, order))
        needs = ctx.needs_input_grad
        g_edge = per_edge @ weight if edge_attr is not None and needs[1] else None
        g_weight = (edge_attr.T @ per_edge).T if edge_attr is not None and needs[2] else None
        return g_both.view(nodes, 2 * width), g_edge, g_weight, g_att, g, None, None


class _GAT(torch.autograd.Function):
    """From the nodes' projection and each head's score of each edge."""

    @staticmethod
    def forward(ctx, rows, scores, base, order):
        heads = scores.shape[1]
        hidden = rows.shape[1] // heads
        alpha = _softmax_(scores.clone(), order)
        _add_attended_(base, rows.view(-1, hidden), heads, alpha, order)
        ctx.order = order
        ctx.mark_dirty(base)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(rows, alpha)
        return base, alpha

    @staticmethod
    def backward(ctx, g, g_alpha):  # pyright: ignore[reportIncompatibleMethodOverride]
        (rows, alpha), order = ctx.saved_tensors, ctx.order
        hidden = rows.shape[1] // alpha.shape[1]
        g = torch.zeros_like(rows) if g is None else g.contiguous()
        _, g_scores = _to_scores(rows, order.source, g, g_alpha, alpha, order)
        g_rows = _back_to_sources(g, hidden, alpha, order).reshape(rows.shape)
        return g_rows, g_scores, g, None


def _sorted_way(x: Tensor, edge_index: Tensor, order: EdgeOrder | None) -> bool:
    """Whether the sorted way pays and can be gone; an order was made from sorted edges."""
    return pays(x) and edge_index.shape[1] > 0 and (order is not None or ascends(edge_index[1]))


def _base(x: Tensor, bias: Tensor, residual: nn.Linear | None) -> Tensor:
    """What attention is added to, in place."""
    if residual is None:
        return bias.expand(len(x), -1).clone()
    return functional.linear(x, residual.weight, bias)


def _by_head(products: Tensor) -> Tensor:
    """Sums over each head's channels; as a product with ones, half the time of `sum`."""
    edges, heads, hidden = products.shape
    ones = products.new_ones(hidden)
    return (products.view(edges * heads, hidden) @ ones).view(edges, heads)


def _softmax_(scores: Tensor, order: EdgeOrder) -> Tensor:
    """Each head's scores of the edges into a node, turned into shares of one."""
    # Less the largest, so that no node's shares are all rounded to nothing.
    most = torch.segment_reduce(scores, "max", offsets=order.into, axis=0, unsafe=True)
    shares = scores.sub_(most.index_select(0, order.target)).exp_()
    total = bag(shares, order.rows, order.first)
    return shares.div_(total.index_select(0, order.target))


def _add_attended_(
    base: Tensor, rows: Tensor, row_step: int, alpha: Tensor, order: EdgeOrder
) -> None:
    """Add to each node what its edges bring; head h of node n is row n * row_step + h."""
    heads = alpha.shape[1]
    attended = bag(rows, *order.by_head(heads, row_step), alpha.T.flatten())
    by_head = attended.view(heads, order.nodes, -1).transpose(0, 1)
    base.view(order.nodes, heads, -1).add_(by_head)


def _to_scores(
    rows: Tensor, sources: Tensor, g: Tensor, g_alpha: Tensor | None, alpha: Tensor,
    order: EdgeOrder,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The gradient of the scores before the softmax; a block as large as the edges is free."""
    edges, heads = alpha.shape
    products = bag(rows, sources, order.rows)
    products.mul_(bag(g, order.target, order.rows))
    g_scores = _by_head(products.view(edges, heads, -1))
    if g_alpha is not None:
        g_scores.add_(g_alpha)
    g_scores.mul_(alpha)
    total = bag(g_scores, order.rows, order.first)
    return products, g_scores.addcmul_(alpha, total.index_select(0, order.target), value=-1)


def _back_to_sources(g: Tensor, hidden: int, alpha: Tensor, order: EdgeOrder) -> Tensor:
    """The gradient of what each node sends, by node and head."""
    leaving, heads = order.leaving, alpha.shape[1]
    weights = alpha.index_select(0, leaving.edge).T.flatten()
    sent = bag(g.view(-1, hidden), *leaving.by_head(heads), weights)
    return sent.view(heads, order.nodes, hidden).transpose(0, 1)
