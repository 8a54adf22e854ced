"""Programs replayed through the allocator: steps of few blocks, worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kdgat.memory.affine import Shape, StepProgram
from kdgat.memory.allocator import rounded
from kdgat.memory.replay import PlannedBatch, Replay, replay
from kdgat.memory.spec import StepPrograms
from tests.unit.memory.runs import MIB, program, programs_of, spec_of, steps

# A batch of 1 MiB a node, and a gradient of 4 MiB that stays until the next batch was taken.
TRAINING = program([[MIB, 0, 0, 0], [0, 0, 0, 4 * MIB]], [(0, +1), (1, -2), (1, +1), (0, -1)])
# A batch of 2 MiB an edge.
VALIDATION = program([[0, 2 * MIB, 0, 0]], [(0, +1), (0, -1)])
MADE = StepPrograms(TRAINING, VALIDATION, resident_blocks=(40 * MIB,), gradient_blocks=(4 * MIB,))


def training(nodes: int) -> PlannedBatch:
    return PlannedBatch(Shape(nodes, 0, 1), training=True)


def validation(edges: int) -> PlannedBatch:
    return PlannedBatch(Shape(0, edges, 1), training=False)


def outcome(batches: Sequence[PlannedBatch], capacity_mib: int | None, **more: object) -> Replay:
    capacity = None if capacity_mib is None else capacity_mib * MIB
    return replay(MADE, batches, capacity, **more)  # type: ignore[arg-type]


def test_the_first_step_has_no_gradient_of_a_step_before() -> None:
    # 40 resident, 30 for the batch, 4 for the gradient: a segment of 20 is made for that.
    found = outcome([training(30)], None)
    assert found == Replay(1, 74 * MIB, 90 * MIB, 0, None)


def test_a_gradient_stays_until_the_next_step_gives_it_back() -> None:
    # The second batch of 30 takes the first's segment, beside the old gradient: 40 + 30 + 4. The
    # new gradient comes where the old one was.
    assert outcome([training(30)] * 5, None) == Replay(5, 74 * MIB, 90 * MIB, 0, None)


def test_validation_drops_the_gradients_and_the_next_training_step_finds_none() -> None:
    # 40 + 2 * 25 = 90 in use, in segments of 40, 30, 20 and 50.
    batches = [training(30), validation(25), validation(25), training(30), training(30)]
    assert outcome(batches, None) == Replay(5, 90 * MIB, 140 * MIB, 0, None)


def test_a_validation_before_any_training_has_no_gradients() -> None:
    assert outcome([validation(25)], None) == Replay(1, 90 * MIB, 90 * MIB, 0, None)


def test_a_batch_that_does_not_fit_is_told_by_number_and_bytes() -> None:
    found = outcome([training(30), training(30), training(50), training(30)], 90)
    # 40 resident and an old gradient of 4 leave 46, and its segment of 20 can't be given back.
    assert found.batches == 2
    assert found.failure == "batch 3: 52,428,800 bytes more than 46,137,344 in use of 94,371,840"
    assert found.peak_allocated_bytes == 74 * MIB


def test_the_cache_given_back_is_counted_and_the_batch_goes_on() -> None:
    # 40 and 20 are held; 32 beside the free 30 is over 92, 32 in its place is not.
    found = outcome([training(30), training(32)], 92)
    assert found == Replay(2, 76 * MIB, 92 * MIB, 1, None)


def test_what_lies_there_beside_the_weights_counts() -> None:
    found = outcome([training(30)], None, other_blocks=[8 * MIB, 3, 0])
    # 8 MiB go into a segment of 20, whose other 12 the gradient shares; 3 bytes are 512 of 2 MiB.
    assert found == Replay(1, 82 * MIB + 512, 92 * MIB, 0, None)


def test_weights_that_do_not_fit_fail_before_any_batch() -> None:
    found = outcome([training(1)], 39)
    assert found.batches == 0
    assert found.failure == "batch 1: 41,943,040 bytes more than 0 in use of 40,894,464"


def test_expandable_segments_reserve_what_growing_batches_need_and_no_more() -> None:
    growing = [training(nodes) for nodes in (30, 34, 38, 42)]
    # Each batch is larger than the block that the last one left.
    plain, expandable = (
        outcome(growing, None, expandable_segments=expandable) for expandable in (False, True)
    )
    assert plain.peak_allocated_bytes == expandable.peak_allocated_bytes == 86 * MIB
    # 40 + 30 + 20 + 34 + 38 + 42 in segments. In pages of 20: 40, 40 for the first batch and its
    # gradient, 40 for the second, which the gradient keeps from growing; after it there is room.
    assert plain.peak_reserved_bytes == 204 * MIB
    assert expandable.peak_reserved_bytes == 120 * MIB


SHAPES = st.builds(Shape, st.integers(1, 400), st.integers(0, 800), st.integers(1, 9))
BATCHES = st.lists(st.builds(PlannedBatch, SHAPES, st.booleans()), min_size=1, max_size=8)


@given(BATCHES, st.booleans())
def test_a_real_programs_peak_is_its_planes_and_the_rounding(
    batches: list[PlannedBatch], expandable: bool
) -> None:
    programs = programs_of(spec_of("gat", "small"))
    found = replay(programs, batches, None, expandable_segments=expandable)
    costs = (programs.validation_cost(), programs.training_cost())
    shapes = [(costs[batch.training], batch.shape) for batch in batches]
    peak = max(
        int(cost.peak_bytes(shape.nodes, shape.edges, shape.graphs)) for cost, shape in shapes
    )
    # All blocks are of the small pool, which cuts to 512 bytes. The first step of all lacks the
    # gradients of one before.
    live = max(most_live(each) for each in (programs.training, programs.validation))
    blocks = live + len(programs.resident_blocks) + len(programs.gradient_blocks)
    assert (found.failure, found.retries) == (None, 0)
    assert found.peak_allocated_bytes <= peak + 512 * blocks
    assert found.peak_allocated_bytes >= peak - sum(programs.gradient_blocks)
    assert found.peak_reserved_bytes >= found.peak_allocated_bytes


def most_live(step: StepProgram) -> int:
    """Most blocks that are in use at once."""
    carried = sum(change == -2 for _, change in step.order)
    return carried + int(np.cumsum([1 if change > 0 else -1 for _, change in step.order]).max())


@given(st.lists(SHAPES, min_size=2, max_size=6), st.booleans())
def test_just_as_much_as_was_reserved_is_enough(shapes: list[Shape], expandable: bool) -> None:
    programs = programs_of(spec_of("gat", "small"))
    free = replay(programs, steps(shapes), None, expandable_segments=expandable)
    again = replay(
        programs, steps(shapes), free.peak_reserved_bytes, expandable_segments=expandable
    )
    assert again == free


def test_a_batch_of_one_graph_rounds_its_blocks_up() -> None:
    assert [rounded(each) for each in (0, 1, 512, 513)] == [0, 512, 512, 1024]
    tiny = program([[3, 0, 0, 0], [0, 0, 0, 5]], [(0, +1), (1, +1), (0, -1), (1, -1)])
    made = StepPrograms(tiny, VALIDATION, resident_blocks=(), gradient_blocks=())
    assert replay(made, steps([Shape(1, 0, 1)]), None) == Replay(1, 1024, 2 * MIB, 0, None)
