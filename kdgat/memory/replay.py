"""A run's batches replayed through the simulated allocator: what it reserves, whether it fits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from kdgat.memory.affine import Shape, StepProgram
from kdgat.memory.allocator import Block, CachingAllocator, OutOfMemory
from kdgat.memory.spec import StepPrograms

Handles = list[Block | None]


@dataclass(frozen=True)
class PlannedBatch:
    """One batch of the sequence to replay."""

    shape: Shape
    training: bool


@dataclass(frozen=True)
class Replay:
    """What a sequence of batches does to the allocator."""

    batches: int
    """Batches that were replayed; fewer than planned where one failed."""
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    retries: int
    """Times the allocator ran out and had to give back its cache first, which is slow."""
    failure: str | None
    """What did not fit, or None where everything did."""


def replay(
    programs: StepPrograms,
    batches: Sequence[PlannedBatch],
    capacity_bytes: int | None,
    *,
    other_blocks: Iterable[int] = (),
    expandable_segments: bool = False,
) -> Replay:
    """Replay steps one after the other, as one process on one GPU makes them.

    Args:
        programs: the run's steps.
        batches: their sizes, in order.
        capacity_bytes: what the allocator may reserve; None for no limit.
        other_blocks: bytes of what lies there before the first step, beside the weights: resident
            graphs and workspaces.
        expandable_segments: whether the allocator may grow its segments.
    """
    allocator = CachingAllocator(capacity_bytes, expandable_segments=expandable_segments)
    done, failure = 0, None
    try:
        for nbytes in (*programs.resident_blocks, *other_blocks):
            allocator.malloc(nbytes)
        # Gradients of the step before, by the number of their block; none before the first.
        carried: Handles = []
        for batch, sizes in zip(batches, _sizes(programs, batches), strict=True):
            program = programs.training if batch.training else programs.validation
            if not batch.training:
                # Lightning drops the gradients before it validates.
                for block in carried:
                    allocator.free(block)
                carried = []
            taken = _step(allocator, program, sizes, carried)
            carried = taken if batch.training else []
            done += 1
    except OutOfMemory as error:
        failure = (
            f"batch {done + 1}: {error.requested_bytes:,} bytes more than "
            f"{error.allocated_bytes:,} in use of {capacity_bytes:,}"
        )
    return Replay(
        done,
        allocator.peak_allocated_bytes,
        allocator.peak_reserved_bytes,
        allocator.retries,
        failure,
    )


def _sizes(programs: StepPrograms, batches: Sequence[PlannedBatch]) -> Iterable[list[int]]:
    for batch in batches:
        program = programs.training if batch.training else programs.validation
        yield program.sizes(batch.shape).tolist()


def _step(
    allocator: CachingAllocator, program: StepProgram, sizes: list[int], carried: Handles
) -> Handles:
    """One step; returns its blocks by number, those given back as None."""
    malloc, free = allocator.malloc, allocator.free
    taken: Handles = [None] * len(sizes)
    for block, change in program.order:
        if change > 0:
            taken[block] = malloc(sizes[block])
        elif change == -1:
            free(taken[block])
            taken[block] = None
        elif carried:
            free(carried[block])
            carried[block] = None
    return taken


def live_blocks(program: StepProgram, shape: Shape) -> list[tuple[int, int]]:
    """(block, bytes) of what is in use at a step's peak, the largest first.

    Blocks that the step before left are counted as this step's, which are as large.
    """
    sizes = program.sizes(shape)
    live = dict.fromkeys((block for block, change in program.order if change == -2), 0)
    carried = {block: ~block for block in live}
    current = {~block: int(sizes[block]) for block in live}
    total = sum(current.values())
    peak, at_peak = total, dict(current)
    for block, change in program.order:
        key = carried[block] if change == -2 else block
        if change > 0:
            current[key] = int(sizes[block])
            total += current[key]
            if total > peak:
                peak, at_peak = total, dict(current)
        else:
            total -= current.pop(key)
    by_size = sorted(at_peak.items(), key=lambda item: -item[1])
    return [(~key if key < 0 else key, nbytes) for key, nbytes in by_size]


def peak_bytes(program: StepProgram, shapes: np.ndarray) -> np.ndarray:
    """Peak bytes of a step for each row (nodes, edges, graphs) of `shapes`."""
    rows = np.column_stack((shapes, np.ones(len(shapes), dtype=np.int64)))
    return (rows @ program.live_planes().T).max(axis=1)
