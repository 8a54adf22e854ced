"""The caching allocator: sizes worked out by hand, and what no sequence of requests may break."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.memory.allocator import Block, CachingAllocator, OutOfMemory, rounded

MIB = 1 << 20
SIZES = st.one_of(
    st.sampled_from([0, 1, 512, 513, MIB, MIB + 1, 10 * MIB - 1, 10 * MIB, 19 * MIB, 41 * MIB]),
    st.integers(0, 3 * MIB),
    st.integers(0, 70 * MIB),
)
# A request, or the position (of those in use) of what to give back, or a release of the cache.
POSITIONS = st.integers(-40, -1)
OTHERS = st.one_of(POSITIONS, POSITIONS.map(lambda n: None if n == -40 else n))
EVENTS = st.lists(st.one_of(SIZES, OTHERS), min_size=20, max_size=150)
CAPACITIES = st.one_of(st.none(), st.integers(0, 200 * MIB))


def allocate(allocator: CachingAllocator, nbytes: int) -> Block:
    block = allocator.malloc(nbytes)
    assert block is not None
    return block


def sizes(allocator: CachingAllocator) -> list[list[int]]:
    """The blocks of each segment in MiB, those in use negative."""
    return [
        [-size // MIB if used else size // MIB for _, size, used in segment.blocks]
        for segment in allocator.segments()
    ]


def replay(allocator: CachingAllocator, events: list[int | None]) -> Iterator[list[Block]]:
    """What is in use after each event."""
    live: list[Block] = []
    for event in events:
        if event is None:
            allocator.empty_cache()
        elif event >= 0:
            try:
                block = allocator.malloc(event)
            except OutOfMemory:
                block = None
            live += [] if block is None else [block]
        elif live:
            allocator.free(live.pop(event % len(live)))
        yield live


@pytest.mark.parametrize(
    ("nbytes", "allocated", "reserved"),
    [
        (1, 512, 2 * MIB),  # at least 512 bytes, from a 2 MiB segment
        (513, 1024, 2 * MIB),
        (MIB, MIB, 2 * MIB),  # the largest of the small pool
        (MIB + 1, MIB + 512, 20 * MIB),  # the smallest of the large one
        (10 * MIB - 512, 10 * MIB - 512, 20 * MIB),
        # 10 MiB - 1 is rounded to 10 MiB first, which is no longer below 10 MiB.
        (10 * MIB - 1, 10 * MIB, 10 * MIB),
        (10 * MIB, 10 * MIB, 10 * MIB),
        # 12 MiB reserved and 1 MiB - 512 left over, too little to split: the block counts whole.
        (11 * MIB + 1, 12 * MIB, 12 * MIB),
    ],
)
def test_a_first_request_takes_this_much(nbytes: int, allocated: int, reserved: int) -> None:
    allocator = CachingAllocator()
    assert allocate(allocator, nbytes).size == allocated
    assert (allocator.allocated_bytes, allocator.reserved_bytes) == (allocated, reserved)


def test_nothing_is_allocated_for_zero_bytes() -> None:
    allocator = CachingAllocator(0)
    block = allocator.malloc(0)
    allocator.free(block)
    assert block is None
    assert allocator.segments() == []
    assert [rounded(nbytes) for nbytes in (0, 1, 512, 513)] == [0, 512, 512, 1024]


@pytest.mark.parametrize(("left", "split"), [(MIB, False), (MIB + 512, True)])
def test_a_large_block_is_split_only_if_more_than_a_mebibyte_is_left(
    left: int, split: bool
) -> None:
    allocator = CachingAllocator()
    size = 20 * MIB - left
    allocator.free(allocate(allocator, 20 * MIB))
    assert allocate(allocator, size).size == (size if split else 20 * MIB)
    assert len(allocator.segments()[0].blocks) == (2 if split else 1)


def test_a_small_block_is_split_down_to_512_bytes() -> None:
    allocator = CachingAllocator()
    blocks = [allocate(allocator, MIB), allocate(allocator, MIB - 512), allocate(allocator, 1)]
    assert [block.size for block in blocks] == [MIB, MIB - 512, 512]
    assert allocator.reserved_bytes == 2 * MIB


def test_the_smallest_block_that_fits_is_taken_and_the_lowest_among_equals() -> None:
    allocator = CachingAllocator()
    blocks = [allocate(allocator, size * MIB) for size in (40, 14, 30, 14, 12)]
    for block in reversed(blocks):
        allocator.free(block)
    allocate(allocator, 13 * MIB)
    assert sizes(allocator) == [[40], [-14], [30], [14], [12]]
    for _ in range(2):
        allocate(allocator, 13 * MIB)
    assert sizes(allocator) == [[40], [-14], [-13, 17], [-14], [12]]


def test_a_freed_block_merges_with_free_neighbours_on_both_sides() -> None:
    allocator = CachingAllocator()
    blocks = [allocate(allocator, 4 * MIB) for _ in range(5)]
    assert sizes(allocator) == [[-4, -4, -4, -4, -4]]
    seen = []
    for position in (0, 2, 4, 1, 3):
        allocator.free(blocks[position])
        seen += sizes(allocator)
    assert seen == [[4, -4, -4, -4, -4], [4, -4, 4, -4, -4], [4, -4, 4, -4, 4], [12, -4, 4], [20]]


def test_shapes_that_grow_leave_segments_behind_that_nothing_fits_in() -> None:
    allocator = CachingAllocator()
    for size in (20, 22, 24, 22):
        allocator.free(allocate(allocator, size * MIB))
    # 24 is the most in use at once, but 20 + 22 + 24 stays reserved; the second 22 fits again.
    assert (allocator.peak_allocated_bytes, allocator.reserved_bytes) == (24 * MIB, 66 * MIB)
    assert allocator.peak_reserved_bytes == 66 * MIB
    allocator.empty_cache()
    allocator.reset_peaks()
    assert (allocator.peak_allocated_bytes, allocator.peak_reserved_bytes) == (0, 0)


def test_the_cache_is_released_before_a_request_fails() -> None:
    allocator = CachingAllocator(50 * MIB)
    for size in (20, 22):
        allocator.free(allocate(allocator, size * MIB))
    small = allocate(allocator, 1)
    # 20 + 22 + 2 + 24 > 50: the two free segments go, the small one is in use and stays.
    allocate(allocator, 24 * MIB)
    assert (allocator.reserved_bytes, allocator.retries) == (26 * MIB, 1)
    assert allocator.peak_reserved_bytes == 44 * MIB
    assert allocator.allocated_bytes == 24 * MIB + small.size


@pytest.mark.parametrize("expandable", [False, True])
def test_nothing_fits_in_no_memory(expandable: bool) -> None:
    with pytest.raises(OutOfMemory):
        CachingAllocator(0, expandable_segments=expandable).malloc(1)


def test_a_request_that_fails_changes_nothing_but_the_cache() -> None:
    allocator = CachingAllocator(50 * MIB)
    allocator.free(allocate(allocator, 14 * MIB))
    allocate(allocator, 4 * MIB)  # splits the free 14
    allocator.free(allocate(allocator, 30 * MIB))
    with pytest.raises(OutOfMemory) as caught:
        allocator.malloc(40 * MIB - 1)
    # The 30 is given back; 14 + 40 is still more than 50.
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.requested_bytes, error.capacity_bytes) == (40 * MIB, 50 * MIB)
    assert (error.allocated_bytes, error.reserved_bytes) == (4 * MIB, 14 * MIB)
    assert (allocator.allocated_bytes, allocator.reserved_bytes) == (4 * MIB, 14 * MIB)
    assert (sizes(allocator), allocator.retries) == ([[-4, 10]], 1)
    allocate(allocator, 36 * MIB)
    assert allocator.reserved_bytes == 50 * MIB


def test_a_block_freed_twice_is_a_mistake_of_ours() -> None:
    allocator = CachingAllocator()
    first, second = allocate(allocator, 1), allocate(allocator, 1)
    for block in (first, second):
        allocator.free(block)
    for block in (first, second):  # the second is merged away by now
        with pytest.raises(AssertionError, match="freed twice"):
            allocator.free(block)


def test_an_expandable_segment_maps_only_the_pages_that_it_lacks() -> None:
    allocator = CachingAllocator(expandable_segments=True)
    # 30 MiB need two pages of 20; 25 more take the free 10 and one page; then 5 are left.
    blocks = [allocate(allocator, size * MIB) for size in (30, 25)]
    assert (allocator.reserved_bytes, sizes(allocator)) == (60 * MIB, [[-30, -25, 5]])
    # Freed, they serve a 70 in place with one page more.
    for block in blocks:
        allocator.free(block)
    allocate(allocator, 70 * MIB)
    assert (allocator.reserved_bytes, sizes(allocator)) == (80 * MIB, [[-70, 10]])
    allocate(allocator, 1)  # the small pool has pages of 2 MiB
    assert (allocator.allocated_bytes, allocator.reserved_bytes) == (70 * MIB + 512, 82 * MIB)
    allocate(allocator, 10 * MIB - 512)  # of the last 10: split, however little is left
    assert (allocator.allocated_bytes, allocator.reserved_bytes) == (80 * MIB, 82 * MIB)


def test_an_expandable_segment_gives_whole_free_pages_back_and_fills_the_gap_again() -> None:
    allocator = CachingAllocator(expandable_segments=True)
    blocks = [allocate(allocator, size * MIB) for size in (30, 40, 30)]
    allocator.free(blocks[1])
    allocator.empty_cache()
    # 30 to 70 is free; of the pages at 20, 40, 60 only that at 40 is free as a whole.
    assert [segment.size for segment in allocator.segments()] == [40 * MIB, 40 * MIB]
    assert sizes(allocator) == [[-30, 10], [10, -30]]
    allocate(allocator, 35 * MIB)
    assert (allocator.reserved_bytes, sizes(allocator)) == (100 * MIB, [[-30, -35, 5, -30]])


def test_an_expandable_block_counts_with_what_it_can_expand_to() -> None:
    allocator = CachingAllocator(expandable_segments=True)
    blocks = [allocate(allocator, size * MIB) for size in (12, 2, 41)]
    allocator.free(blocks[0])
    # The last 5 fits 4 better than the first 12, but it can grow without end: the 12 is taken.
    assert sizes(allocator) == [[12, -2, -41, 5]]
    allocate(allocator, 4 * MIB)
    assert sizes(allocator) == [[-4, 8, -2, -41, 5]]


def test_pages_mapped_for_a_request_that_fails_are_given_back() -> None:
    allocator = CachingAllocator(90 * MIB, expandable_segments=True)
    blocks = [allocate(allocator, 20 * MIB) for _ in range(3)]
    allocator.free(blocks[1])
    allocator.empty_cache()
    allocator.free(blocks[2])
    allocator.reset_peaks()
    # In use at 0, nothing at 20, free at 40. A 70 maps the page at 20 (60 reserved) and then lacks
    # 30 of which two pages are too many (100); released, it lacks four of which none fits (100).
    with pytest.raises(OutOfMemory):
        allocator.malloc(70 * MIB)
    assert (allocator.peak_reserved_bytes, allocator.retries) == (60 * MIB, 1)
    assert (allocator.reserved_bytes, sizes(allocator)) == (20 * MIB, [[-20]])


@settings(max_examples=60, deadline=None)
@given(EVENTS, CAPACITIES, st.booleans())
def test_blocks_fill_their_segments_and_the_counts_agree_with_them(
    events: list[int | None], capacity: int | None, expandable: bool
) -> None:
    allocator = CachingAllocator(capacity, expandable_segments=expandable)
    for live in replay(allocator, events):
        segments = allocator.segments()
        end = 0
        for segment in segments:
            assert segment.address >= end
            end = segment.address + segment.size
            position = 0
            for offset, size, _ in segment.blocks:
                assert (offset, size % 512) == (position, 0)
                position += size
            assert position == segment.size
        in_use = {
            (segment.address + offset, size)
            for segment in segments
            for offset, size, used in segment.blocks
            if used
        }
        assert in_use == {(block.address, block.size) for block in live}
        assert len(in_use) == len(live)
        assert allocator.allocated_bytes == sum(block.size for block in live)
        assert allocator.reserved_bytes == sum(segment.size for segment in segments)
        assert capacity is None or allocator.reserved_bytes <= capacity
        assert allocator.peak_allocated_bytes >= allocator.allocated_bytes
        assert allocator.peak_reserved_bytes >= allocator.reserved_bytes


@settings(max_examples=60, deadline=None)
@given(EVENTS, CAPACITIES, st.booleans())
def test_freeing_everything_and_the_cache_leaves_nothing(
    events: list[int | None], capacity: int | None, expandable: bool
) -> None:
    allocator = CachingAllocator(capacity, expandable_segments=expandable)
    for block in list(replay(allocator, events))[-1]:
        allocator.free(block)
    assert allocator.allocated_bytes == 0
    assert all(len(segment.blocks) == 1 for segment in allocator.segments())
    allocator.empty_cache()
    assert (allocator.reserved_bytes, allocator.segments()) == (0, [])


@settings(max_examples=60, deadline=None)
@given(EVENTS, CAPACITIES, st.booleans())
def test_the_same_requests_have_the_same_peaks(
    events: list[int | None], capacity: int | None, expandable: bool
) -> None:
    found = []
    for _ in range(2):
        allocator = CachingAllocator(capacity, expandable_segments=expandable)
        assert len(list(replay(allocator, events))) == len(events)
        found.append((allocator.peak_allocated_bytes, allocator.peak_reserved_bytes))
    assert found[0] == found[1]
