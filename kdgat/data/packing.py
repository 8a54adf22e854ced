"""An epoch's graphs to batches that fit in memory: numpy alone, and work for each batch only.

A batch ends where the next graph would take it over the budget. So batches differ in graphs, and
their number is known exactly before the epoch begins.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np
from jaxtyping import Int64

from kdgat.errors import DataError

Sums = int | np.integer | Int64[np.ndarray, "*batches"]


@dataclass(frozen=True, eq=False)
class PeakCost:
    """Peak bytes of a batch: the largest of some planes over its nodes, edges and graphs."""

    planes: Int64[np.ndarray, "planes 4"]
    """Bytes a node, bytes an edge, bytes a graph, constant bytes."""

    def peak_bytes(self, nodes: Sums, edges: Sums, graphs: Sums) -> Int64[np.ndarray, "*batches"]:
        """Peak bytes of batches with these sums."""
        counts = np.stack(np.broadcast_arrays(nodes, edges, graphs, 1))
        # One plane at a time: all planes times an epoch's graphs would be large.
        costs = (np.tensordot(plane, counts, 1) for plane in self.planes)
        return np.asarray(reduce(np.maximum, costs))

    def rising(self) -> PeakCost:
        """The same with no slope below zero: never less, and a part costs no more than the whole.

        Slopes fitted to a trace may be a little below zero where a quantity hardly matters.
        """
        slopes, constants = self.planes[:, :3], self.planes[:, 3:]
        return PeakCost(np.concatenate((slopes.clip(min=0), constants), axis=1))


@dataclass(frozen=True)
class ByteLimit:
    """What a batch costs, and what it may cost; the same on every rank."""

    cost: PeakCost
    budget_bytes: int


@dataclass(frozen=True)
class BatchLimits:
    """The limits of a training run; None leaves only the number of graphs."""

    train: ByteLimit | None = None
    validation: ByteLimit | None = None


UNLIMITED = BatchLimits()
"""Batches limited by their number of graphs alone."""


@dataclass(frozen=True, eq=False)
class EpochBatches:
    """The batches of an epoch, of all ranks: batch i is order[starts[i]:starts[i + 1]]."""

    order: Int64[np.ndarray, "graphs"]
    starts: Int64[np.ndarray, "starts"]

    def __len__(self) -> int:
        return len(self.starts) - 1

    def batch(self, i: int) -> Int64[np.ndarray, "picked"]:
        """Positions of the graphs of batch i."""
        return self.order[self.starts[i] : self.starts[i + 1]]

    def sums(self, sizes: Int64[np.ndarray, "store"]) -> Int64[np.ndarray, "batches"]:
        """Each batch's sum of a size (nodes or edges) that is given for each graph of the store."""
        return np.diff(_running(sizes[self.order])[self.starts])


def pack(
    nodes: Int64[np.ndarray, "store"],
    edges: Int64[np.ndarray, "store"],
    order: Int64[np.ndarray, "graphs"],
    limit: ByteLimit | None,
    max_graphs: int,
) -> Int64[np.ndarray, "starts"]:
    """Next-fit in the given order: a batch is closed when one graph more would not fit.

    `nodes` and `edges` are those of each graph of the store. Negative slopes count as zero
    (`PeakCost.rising`), so that a batch is never over budget, nor any part of it.

    Returns:
        Where batches begin in `order`, and where the last one ends.

    Raises:
        DataError: a graph alone is over the budget.
    """
    total = len(order)
    if limit is None:
        return np.append(np.arange(0, total, max_graphs), total)
    cost = limit.cost.rising()
    need = cost.peak_bytes(nodes[order], edges[order], 1)
    if total and need.max() > limit.budget_bytes:
        worst = order[need.argmax()]
        raise DataError(
            f"graph {worst} ({nodes[worst]} nodes, {edges[worst]} edges) alone needs {need.max()} "
            f"bytes, and the budget is {limit.budget_bytes} bytes",
            hint="lower data.window_messages, or use a larger GPU",
        )
    sums = np.stack((_running(nodes[order]), _running(edges[order]), np.arange(total + 1)))
    # Bytes of the graphs before each position, by each plane; all rise.
    curves = cost.planes[:, :3] @ sums
    room = (limit.budget_bytes - cost.planes[:, 3]).tolist()
    starts = [0]
    while (start := starts[-1]) < total:
        end = min(start + max_graphs, total)
        for curve, bytes_ in zip(curves, room, strict=True):
            reach = curve[start : end + 1]
            end = start + int(reach.searchsorted(reach[0] + bytes_, side="right")) - 1
        starts.append(end)
    return np.array(starts)


def plan_epoch(
    nodes: Int64[np.ndarray, "store"],
    edges: Int64[np.ndarray, "store"],
    order: Int64[np.ndarray, "graphs"],
    *,
    limit: ByteLimit | None,
    max_graphs: int,
    min_steps: int = 0,
    ranks: int = 1,
) -> EpochBatches:
    """The batches of all ranks in an epoch: each graph once, and as many batches for each rank.

    Rank r takes batches r, r + ranks, and so on. The ranks' batches of one step together hold at
    most `max_graphs`, so that more GPUs make a step quicker and not another one (where that leaves
    one graph a batch, a few have two, so that all ranks have as many batches). Batches get smaller
    until every rank has `min_steps` of them, or they are of one graph.

    Raises:
        DataError: a graph alone is over the budget, or the graphs can't be shared evenly.
    """
    total = len(order)
    if ranks > 1 and total < ranks:
        raise DataError(
            f"{total} graphs can't be shared by {ranks} processes",
            hint="use fewer GPUs, or ingest longer captures",
        )
    wanted = min_steps * ranks
    share = max(1, max_graphs // ranks)
    cap = min(share, max(1, total // wanted)) if wanted else share
    plan = EpochBatches(order, pack(nodes, edges, order, limit, cap))
    extra = len(plan) % ranks
    if extra == 0:
        return plan
    if len(plan) + ranks - extra <= total:
        return EpochBatches(order, _split(plan.starts, ranks - extra))
    for _ in range(extra):
        plan = _merged(plan, nodes, edges, limit, max_graphs)
    return plan


def _split(starts: Int64[np.ndarray, "starts"], times: int) -> Int64[np.ndarray, "more"]:
    """The batch with most graphs into halves, so many times."""
    for _ in range(times):
        largest = int(np.diff(starts).argmax())
        middle = (starts[largest] + starts[largest + 1] + 1) // 2
        starts = np.insert(starts, largest + 1, middle)
    return starts


def _merged(
    plan: EpochBatches,
    nodes: Int64[np.ndarray, "store"],
    edges: Int64[np.ndarray, "store"],
    limit: ByteLimit | None,
    max_graphs: int,
) -> EpochBatches:
    """The first two neighbours that fit in one batch made one."""
    graphs = plan.starts[2:] - plan.starts[:-2]
    fits = graphs <= max_graphs
    if limit is not None:
        in_nodes, in_edges = (sums[:-1] + sums[1:] for sums in (plan.sums(nodes), plan.sums(edges)))
        need = limit.cost.rising().peak_bytes(in_nodes, in_edges, graphs)
        fits &= need <= limit.budget_bytes
    if not fits.any():
        raise DataError(
            f"{len(plan)} batches of one graph or two can't be shared evenly by several processes",
            hint="use one GPU, or raise training.max_graphs",
        )
    return EpochBatches(plan.order, np.delete(plan.starts, int(fits.argmax()) + 1))


def _running(sizes: Int64[np.ndarray, "graphs"]) -> Int64[np.ndarray, "positions"]:
    """Sums of the sizes before each position."""
    return np.concatenate((np.zeros(1, np.int64), sizes.cumsum()))


def epoch_order(
    seed: int | None,
    epoch: int,
    graphs: int,
    chosen: Int64[np.ndarray, "taken"] | None = None,
) -> Int64[np.ndarray, "ordered"]:
    """The order of an epoch's graphs: drawn from (seed, epoch), or as they are without a seed.

    `chosen` are the positions of the graphs that the epoch takes; without it, it takes all.
    """
    taken = np.arange(graphs) if chosen is None else chosen
    return taken if seed is None else np.random.default_rng((seed, epoch)).permutation(taken)
