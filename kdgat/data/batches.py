"""Graphs of a store to batches by index arithmetic: no per-graph Python, no worker processes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import torch
from jaxtyping import Float32, Int64
from torch import Tensor
from torch.nn import functional

from kdgat.data.store import GraphStore


@dataclass(frozen=True)
class GraphBatch:
    """Some graphs as one disconnected graph; `graph` says which graph a node belongs to."""

    x: Float32[Tensor, "nodes features"]
    edge_index: Int64[Tensor, "2 edges"]
    edge_attr: Float32[Tensor, "edges edge_features"]
    graph: Int64[Tensor, "nodes"]
    edge_graph: Int64[Tensor, "edges"]
    index: Int64[Tensor, "graphs"]
    """Position of each graph in its store."""
    y: Int64[Tensor, "graphs"] | None

    @property
    def num_graphs(self) -> int:
        """Graphs in the batch."""
        return len(self.index)

    def to(self, device: torch.device | str, **kwargs: bool) -> GraphBatch:
        """The same batch on a device."""
        moved = {
            field.name: value.to(device, **kwargs)
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
        }
        return replace(self, **moved)


def collate(store: GraphStore, index: Int64[Tensor, "graphs"]) -> GraphBatch:
    """The graphs at `index`, in that order, with the labels if the store has them."""
    nodes, graph, first_node = _ragged(store.node_ptr, index)
    edges, edge_graph, _ = _ragged(store.edge_ptr, index)
    return GraphBatch(
        x=store.x[nodes],
        edge_index=store.edge_index[:, edges].long() + first_node[edge_graph],
        edge_attr=store.edge_attr[edges],
        graph=graph,
        edge_graph=edge_graph,
        index=index,
        y=None if store.attack_messages is None else (store.attack_messages[index] > 0).long(),
    )


def subset(store: GraphStore, index: Int64[Tensor, "picked"]) -> GraphStore:
    """A store of the graphs at `index` alone, in that order, copied into memory."""
    nodes, _, _ = _ragged(store.node_ptr, index)
    edges, _, _ = _ragged(store.edge_ptr, index)
    attacks = store.attack_messages
    return replace(
        store,
        x=store.x[nodes],
        edge_index=store.edge_index[:, edges],
        edge_attr=store.edge_attr[edges],
        node_ptr=_picked_ptr(store.node_ptr, index),
        edge_ptr=_picked_ptr(store.edge_ptr, index),
        start_s=store.start_s[index],
        end_s=store.end_s[index],
        capture=store.capture[index],
        attack_messages=None if attacks is None else attacks[index],
    )


class BatchLoader:
    """Batches of a store for one epoch after another; Lightning takes it as a data loader.

    With a seed each epoch is a permutation drawn from (seed, epoch), so that a resumed run sees
    the batches an uninterrupted one would; without one, graphs come in their order.
    """

    def __init__(self, store: GraphStore, batch_graphs: int, *, seed: int | None = None) -> None:
        self.store = store
        self.batch_graphs = batch_graphs
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose permutation comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self.store) / self.batch_graphs)

    def __iter__(self) -> Iterator[GraphBatch]:
        order = self.order()
        for first in range(0, len(order), self.batch_graphs):
            yield collate(self.store, order[first : first + self.batch_graphs])

    def order(self) -> Int64[Tensor, "graphs"]:
        """The order of the graphs in this epoch."""
        device = self.store.node_ptr.device
        if self.seed is None:
            return torch.arange(len(self.store), device=device)
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return torch.randperm(len(self.store), generator=generator).to(device)


def _ragged(
    pointer: Int64[Tensor, "pointers"], index: Int64[Tensor, "picked"]
) -> tuple[Int64[Tensor, "rows"], Int64[Tensor, "rows"], Int64[Tensor, "picked"]]:
    """Rows of the picked graphs, the place in `index` each row belongs to, each graph's offset."""
    first = pointer[index]
    size = pointer[index + 1] - first
    offset = size.cumsum(0) - size
    place = torch.arange(len(index), device=index.device)
    owner = torch.repeat_interleave(place, size)
    rows = torch.arange(len(owner), device=index.device) + (first - offset)[owner]
    return rows, owner, offset


def _picked_ptr(
    pointer: Int64[Tensor, "pointers"], index: Int64[Tensor, "picked"]
) -> Int64[Tensor, "picked_pointers"]:
    return functional.pad((pointer[index + 1] - pointer[index]).cumsum(0), (1, 0))
