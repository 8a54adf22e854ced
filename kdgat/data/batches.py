"""Graphs of a store to batches by index arithmetic: no per-graph Python, no worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from jaxtyping import Float32, Int8, Int64
from torch import Tensor
from torch.nn import functional

from kdgat.data.packing import ByteLimit, EpochBatches, epoch_order, plan_epoch
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
    reference: Int8[Tensor, "graphs"] | None = None
    """What each graph is measured against (`kdgat.data.measured`); None counts as its own
    capture."""

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


def collate(
    store: GraphStore, index: Int64[Tensor, "graphs"], rows: tuple[int, int] | None = None
) -> GraphBatch:
    """The graphs at `index`, in that order, with the labels if the store has them.

    `rows` are their nodes and edges in all, where the caller knows them: without, a GPU is waited
    for to count them.
    """
    node_rows, edge_rows = rows or (None, None)
    nodes, graph, first_node = _ragged(store.node_ptr, index, node_rows)
    edges, edge_graph, _ = _ragged(store.edge_ptr, index, edge_rows)
    # Rows are picked with index_select: indexing with brackets takes twice the time on a CPU.
    shift = first_node.index_select(0, edge_graph)
    edge_index = shift.new_empty(2, len(shift))
    for side, local in zip(edge_index, store.edge_index, strict=True):
        torch.add(shift, local.index_select(0, edges), out=side)
    return GraphBatch(
        x=store.x.index_select(0, nodes),
        edge_index=edge_index,
        edge_attr=store.edge_attr.index_select(0, edges),
        graph=graph,
        edge_graph=edge_graph,
        index=index,
        y=None if store.attack_messages is None else (store.attack_messages[index] > 0).long(),
        reference=store.reference[index],
    )


def subset(store: GraphStore, index: Int64[Tensor, "picked"]) -> GraphStore:
    """A store of the graphs at `index` alone, in that order, copied into memory."""
    nodes, _, _ = _ragged(store.node_ptr, index)
    edges, _, _ = _ragged(store.edge_ptr, index)
    attacks = store.attack_messages
    return replace(
        store,
        x=store.x.index_select(0, nodes),
        edge_index=store.edge_index.index_select(1, edges),
        edge_attr=store.edge_attr.index_select(0, edges),
        node_ptr=_picked_ptr(store.node_ptr, index),
        edge_ptr=_picked_ptr(store.edge_ptr, index),
        start_s=store.start_s[index],
        end_s=store.end_s[index],
        capture=store.capture[index],
        reference=store.reference[index],
        attack_messages=None if attacks is None else attacks[index],
    )


class BatchLoader:
    """Batches of a store for one epoch after another; Lightning takes it as a data loader.

    With a seed each epoch is a permutation drawn from (seed, epoch), so that a resumed run sees
    the batches an uninterrupted one would; without one, graphs come in their order. Of several
    ranks each has its share of the batches, and as many as every other. `chosen` says which graphs
    an epoch takes, where it does not take all. Its state is the place in the epoch, from which a
    loader that takes it up goes on.
    """

    def __init__(
        self,
        store: GraphStore,
        max_graphs: int,
        *,
        seed: int | None = None,
        limit: ByteLimit | None = None,
        min_steps: int = 0,
        rank: int = 0,
        ranks: int = 1,
        chosen: Callable[[int], Int64[np.ndarray, "taken"]] | None = None,
    ) -> None:
        self.store = store
        self.max_graphs = max_graphs
        self.seed = seed
        self.limit = limit
        self.min_steps = min_steps
        self.rank = rank
        self.ranks = ranks
        self.chosen = chosen
        self.epoch = 0
        self._given = 0
        self._skipped = 0
        self._nodes, self._edges = _sizes(store.node_ptr), _sizes(store.edge_ptr)
        self._plan: EpochBatches | None = None

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose permutation comes next."""
        self.epoch = epoch
        self._plan = None
        self._given = self._skipped = 0

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches this rank was given."""
        return {"epoch": self.epoch, "given": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on in the middle of the epoch; the place in another epoch means nothing."""
        if state["epoch"] == self.epoch:
            self._skipped = state["given"]

    def __len__(self) -> int:
        return len(self.plan()) // self.ranks

    def __iter__(self) -> Iterator[GraphBatch]:
        plan = self.plan()
        order = torch.from_numpy(plan.order).to(self.store.node_ptr.device)
        starts, nodes, edges = (
            each.tolist() for each in (plan.starts, plan.sums(self._nodes), plan.sums(self._edges))
        )
        mine = range(self.rank, len(plan), self.ranks)
        first, self._skipped = self._skipped, 0
        for place in range(first, len(mine)):
            self._given = place + 1
            i = mine[place]
            index = order[starts[i] : starts[i + 1]]
            yield collate(self.store, index, (nodes[i], edges[i]))

    def plan(self) -> EpochBatches:
        """The batches of all ranks in this epoch.

        Raises:
            DataError: a graph alone is over the limit, or the graphs can't be shared evenly.
        """
        if self._plan is None:
            self._plan = plan_epoch(
                self._nodes,
                self._edges,
                self.order(),
                limit=self.limit,
                max_graphs=self.max_graphs,
                min_steps=self.min_steps,
                ranks=self.ranks,
            )
        return self._plan

    def order(self) -> Int64[np.ndarray, "graphs"]:
        """The order of the graphs in this epoch."""
        chosen = None if self.chosen is None else self.chosen(self.epoch)
        return epoch_order(self.seed, self.epoch, len(self.store), chosen)


def _sizes(pointer: Int64[Tensor, "pointers"]) -> Int64[np.ndarray, "graphs"]:
    return np.diff(pointer.cpu().numpy())


def _ragged(
    pointer: Int64[Tensor, "pointers"], index: Int64[Tensor, "picked"], rows: int | None = None
) -> tuple[Int64[Tensor, "rows"], Int64[Tensor, "rows"], Int64[Tensor, "picked"]]:
    """Their rows, the place in `index` each row belongs to, each graph's offset.

    With their number given, no shape depends on values, which a GPU or a fake tensor lacks.
    """
    first = pointer.index_select(0, index)
    size = pointer.index_select(0, index + 1).sub_(first)
    offset = size.cumsum(0).sub_(size)
    place = torch.arange(len(index), device=index.device)
    owner = torch.repeat_interleave(place, size, output_size=rows)
    picked = torch.repeat_interleave(first - offset, size, output_size=len(owner))
    picked += torch.arange(len(owner), device=index.device)
    return picked, owner, offset


def _picked_ptr(
    pointer: Int64[Tensor, "pointers"], index: Int64[Tensor, "picked"]
) -> Int64[Tensor, "picked_pointers"]:
    return functional.pad((pointer[index + 1] - pointer[index]).cumsum(0), (1, 0))
