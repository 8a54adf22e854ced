"""Sums over a node's edges and a graph's nodes, which lie together: one kernel, and no copies.

Edges come sorted by destination (`build_graphs`), nodes by graph. `embedding_bag` then adds up
weighted rows of a matrix without writing the rows down first, which on a CPU takes a third to a
tenth of the time of gathering them and adding them in place (knowledge/decisions/0034). It is used
where it was measured to pay: on a CPU, in full precision. Elsewhere the usual operators run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

_BAG = torch.ops.aten._embedding_bag_forward_only.default
_SUM = 0
_STANDS_FOR: ContextVar[str | None] = ContextVar("stands_for", default=None)
_FULL = (torch.float32, torch.float64)
Bags = tuple[Int32[Tensor, "picked"], Int32[Tensor, "bags"]]
"""Rows to pick, and where each bag of them begins."""


@contextmanager
def standing_for(device: str) -> Iterator[None]:
    """Have CPU tensors take the path of another device, whose memory they are a model of."""
    token = _STANDS_FOR.set(device)
    try:
        yield
    finally:
        _STANDS_FOR.reset(token)


def pays(x: Tensor) -> bool:
    """Whether the sums of this module are the faster ones for `x`, and can be taken.

    A graph that is exported or compiled gets the usual operators, which others can read.
    """
    return (
        (_STANDS_FOR.get() or x.device.type) == "cpu"
        and x.dtype in _FULL
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    )


def ascends(index: Int64[Tensor, "rows"]) -> bool:
    """Whether `index` is sorted; a fake tensor, which has no values, counts as sorted."""
    if isinstance(index, FakeTensor):
        return True
    return len(index) > 0 and bool((index[1:] >= index[:-1]).all())


def bag(
    rows: Float[Tensor, "rows width"],
    index: Int32[Tensor, "picked"],
    first: Int32[Tensor, "bags"],
    weights: Float[Tensor, "picked"] | None = None,
) -> Float[Tensor, "bags width"]:
    """Sums of `rows[index]`, weighted; bag i begins at `first[i]` and ends where the next begins.

    Without a gradient.
    """
    return _BAG(rows, index, first, False, _SUM, False, weights)[0]


def pointers(owner: Int64[Tensor, "rows"], owners: int) -> Int64[Tensor, "pointers"]:
    """Owner i's rows are those from pointer i to pointer i+1."""
    found = torch.zeros(owners + 1, dtype=torch.long, device=owner.device)
    sizes = found[1:]
    sizes.scatter_add_(0, owner, torch.ones_like(owner))
    torch.cumsum(sizes, 0, out=sizes)
    return found


class EdgeOrder:
    """Where each node's edges are: those that end in it, and those that begin in it.

    One serves all layers that attend over the same edges, and makes each list of positions when it
    is first asked for. Positions are 32 bits wide, half as much to read: a batch has less than
    2^31 / heads edges.
    """

    def __init__(self, edge_index: Int64[Tensor, "2 edges"], nodes: int) -> None:
        self.nodes = nodes
        self.edges = edge_index.shape[1]
        self.source, self.target = edge_index.to(torch.int32)
        self.into = pointers(edge_index[1], nodes)
        self.rows = torch.arange(self.edges, dtype=torch.int32, device=edge_index.device)
        self._by_head: dict[tuple[int, int], Bags] = {}

    @cached_property
    def first(self) -> Int32[Tensor, "nodes"]:
        """First of the edges that end in each node."""
        return self.into[:-1].to(torch.int32)

    @cached_property
    def ends(self) -> Bags:
        """Both ends of each edge, where node n is row 2n as a source and 2n+1 as a target."""
        pairs = torch.stack((self.source * 2, self.target * 2 + 1), dim=1)
        return pairs.flatten(), self.rows * 2

    def by_head(self, heads: int, row_step: int) -> Bags:
        """The sources of each node's edges, head by head; head h of node n is row_step * n + h."""
        if (heads, row_step) not in self._by_head:
            bags = _each_head(self.source * row_step, self.first, heads)
            self._by_head[heads, row_step] = bags
        return self._by_head[heads, row_step]

    @cached_property
    def leaving(self) -> Leaving:
        """The edges by source, which a backward pass needs."""
        return Leaving(self)


class Leaving:
    """The edges of an order sorted by source, and both orders side by side."""

    def __init__(self, order: EdgeOrder) -> None:
        source, self.edge = order.source.sort(stable=True)
        out = pointers(order.source.long(), order.nodes).to(torch.int32)
        self.first = out[:-1]
        self.target = order.target.index_select(0, self.edge)
        into, edges = order.first, order.edges
        # Bag 2n holds the edges out of node n, bag 2n+1 those into it.
        both = torch.empty(2 * edges, dtype=torch.int32, device=source.device)
        both.scatter_(0, (order.rows + into.index_select(0, source)).long(), self.edge.int())
        both.scatter_(0, (order.rows + out[1:].index_select(0, order.target)).long(), order.rows)
        self.both: Bags = both, torch.stack((self.first + into, out[1:] + into), dim=1).flatten()
        self._by_head: dict[int, Bags] = {}

    def by_head(self, heads: int) -> Bags:
        """The targets of each node's edges, head by head; head h of node n is row heads * n + h."""
        if heads not in self._by_head:
            self._by_head[heads] = _each_head(self.target * heads, self.first, heads)
        return self._by_head[heads]


def _each_head(row: Tensor, first: Tensor, heads: int) -> Bags:
    """Bags of one head after another: the rows of head 0, and where its bags begin, then head 1."""
    head = torch.arange(heads, dtype=torch.int32, device=row.device)[:, None]
    return (row + head).flatten(), (first + head * len(row)).flatten()


class _Pooled(torch.autograd.Function):
    """Mean and maximum of each graph's nodes."""

    @staticmethod
    def forward(ctx, h, graph, count):
        index = graph[:, None].expand_as(h)
        most = h.new_zeros(len(count), h.shape[1])
        most.scatter_reduce_(0, index, h, "amax", include_self=False)
        first = (count.cumsum(0) - count).int()
        mean = _by_graph(h, first).div_(count.clamp(min=1)[:, None])
        ctx.save_for_backward(h, graph, count, most)
        return mean, most

    @staticmethod
    def backward(ctx, mean, most):  # pyright: ignore[reportIncompatibleMethodOverride]
        h, graph, count, largest = ctx.saved_tensors
        first = (count.cumsum(0) - count).int()
        # 1 where a node has the largest value; nodes that share it share its gradient.
        top = torch.empty_like(h)
        torch.eq(h, largest.index_select(0, graph), out=top)
        share = most / _by_graph(top, first).clamp(min=1)
        top.mul_(share.index_select(0, graph))
        each = mean / count.clamp(min=1)[:, None]
        return top.add_(each.index_select(0, graph)), None, None


def _by_graph(h: Tensor, first: Tensor) -> Tensor:
    return bag(h, torch.arange(len(h), dtype=torch.int32, device=h.device), first)


def mean_and_max(
    h: Float[Tensor, "nodes width"],
    graph: Int64[Tensor, "nodes"],
    count: Int64[Tensor, "graphs"],
) -> tuple[Float[Tensor, "graphs width"], Float[Tensor, "graphs width"]]:
    """Mean and maximum over each graph's nodes, which lie together; `count` is how many.

    Equal to `global_mean_pool` and `global_max_pool`, whose backward pass takes longer than the
    rest of a small model's pooling and readout.
    """
    return _Pooled.apply(h, graph, count)
