"""Bytes of each block of a step as an exact plane over nodes, edges and graphs of the batch.

Every block's size is affine in the three; the peak is not, being a maximum over hundreds of such
planes. So blocks are fitted, one by one and to the byte, and the step is replayed; a regression on
peaks would miss them by a tenth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int64

from kdgat.errors import MemoryPlanError

if TYPE_CHECKING:
    from kdgat.memory.trace import Trace


@dataclass(frozen=True)
class Shape:
    """Size of a batch."""

    nodes: int
    edges: int
    graphs: int


PROBES = (
    Shape(640, 1207, 20),
    Shape(1013, 1531, 29),
    Shape(811, 2203, 41),
    Shape(1499, 1777, 23),
    Shape(1201, 2719, 61),
    Shape(1733, 3011, 37),
)
"""Shapes to trace: no two sizes in one proportion, so that a plane through them is unique."""


@dataclass(frozen=True)
class Block:
    """Where a block of a step comes from."""

    operator: str
    module: str
    phase: str


@dataclass(frozen=True)
class StepProgram:
    """One step for any batch: blocks whose sizes are planes, taken and given back in order.

    `order` is as in `Trace`.
    """

    planes: Int64[np.ndarray, "blocks 4"]
    """Bytes a node, an edge, a graph, and constant bytes of each block."""
    blocks: tuple[Block, ...]
    order: tuple[tuple[int, int], ...]

    def sizes(self, shape: Shape) -> Int64[np.ndarray, "blocks"]:
        """Bytes of each block for one batch."""
        return self.planes @ np.array([shape.nodes, shape.edges, shape.graphs, 1])

    def live_planes(self) -> Int64[np.ndarray, "moments 4"]:
        """Bytes in use after each block is taken, what the step before left counted in."""
        carried = [block for block, change in self.order if change == -2]
        live = self.planes[carried].sum(axis=0, dtype=np.int64)
        moments = []
        for block, change in self.order:
            live = live + (self.planes[block] if change > 0 else -self.planes[block])
            if change > 0:
                moments.append(live)
        return np.array(moments, dtype=np.int64).reshape(-1, 4)


def fit_step(traces: Sequence[Trace], shapes: Sequence[Shape]) -> StepProgram:
    """The program of which the traces are instances, exactly.

    Args:
        traces: one step traced at each of `shapes`.
        shapes: at least five, not all on one plane.

    Raises:
        MemoryPlanError: the order of the blocks changes with the batch, or a block's size is not
            affine in nodes, edges and graphs.
    """
    first = traces[0]
    blocks = tuple(Block(each.operator, each.module, each.phase) for each in first.allocations)
    for trace, shape in zip(traces, shapes, strict=True):
        _same_order(first, trace, blocks, shape)
    design = np.array([[each.nodes, each.edges, each.graphs, 1] for each in shapes])
    seen = np.array([[each.nbytes for each in trace.allocations] for trace in traces])
    fitted, *_ = np.linalg.lstsq(design.astype(float), seen.astype(float), rcond=None)
    planes = np.rint(fitted).astype(np.int64)
    residual = seen - design @ planes
    wrong = np.abs(residual).max(axis=0)
    if wrong.any():
        worst = int(wrong.argmax())
        at = int(np.abs(residual[:, worst]).argmax())
        raise _refused(
            f"takes {seen[at, worst]:,} bytes for {_told(shapes[at])}, {wrong[worst]:,} off any "
            "plane over nodes, edges and graphs",
            blocks[worst],
        )
    return StepProgram(planes.T.copy(), blocks, first.order)


def _same_order(first: Trace, other: Trace, blocks: tuple[Block, ...], shape: Shape) -> None:
    ours, theirs = _told_order(first), _told_order(other)
    if ours == theirs:
        return
    pairs = zip(ours, theirs, strict=False)
    parts = next((at for at, (one, two) in enumerate(pairs) if one != two), None)
    at = min(len(ours), len(theirs)) - 1 if parts is None else parts
    raise _refused(
        f"is taken or given back at another moment for {_told(shape)} than for other batches",
        blocks[first.order[at][0]] if first.order else Block("nothing", "", "first"),
    )


def _told_order(trace: Trace) -> list[tuple[str, int, int]]:
    """The order with each block's operator."""
    operators = [each.operator for each in trace.allocations]
    return [(operators[block], block, change) for block, change in trace.order]


def _refused(what: str, block: Block) -> MemoryPlanError:
    where = f"module '{block.module}'" if block.module else f"the {block.phase} phase"
    return MemoryPlanError(
        f"memory can't be planned: the block of {block.operator} in {where} {what}",
        hint="score sampled pairs rather than all pairs of nodes, and take sizes from the batch's "
        "own nodes, edges and graphs",
    )


def _told(shape: Shape) -> str:
    return f"{shape.nodes} nodes, {shape.edges} edges and {shape.graphs} graphs"
