"""PyTorch's CUDA caching allocator in plain Python, to replay a step's allocations without a GPU.

Follows `c10/cuda/CUDACachingAllocator.cpp` of PyTorch at commit 001074d2 (the sizes are the same in
`c10/core/AllocatorConfig.h` of 2.15.0) with its default settings and one stream: no graph capture,
no garbage collection, `max_split_size` unlimited. All sizes are bytes.

Simplified:

- A new segment lies above all earlier ones. The driver may reuse addresses, which decides only
  between free blocks of equal size.
- Every byte up to the capacity can be reserved, whatever the driver rounds. With expandable
  segments it runs out as pages are mapped; `set_per_process_memory_fraction` refuses earlier.
- An expandable segment spans 9/8 of the capacity, rounded up to whole pages (practically without
  end when unlimited). The real one spans 9/8 of the device, so a little more.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

MIN_BLOCK_BYTES = 512
SMALL_BYTES = 1 << 20
"""Largest request served from the small pool."""
SMALL_SEGMENT_BYTES = 2 << 20
MIN_LARGE_BYTES = 10 << 20
"""Smallest request that gets a segment of its own size."""
LARGE_SEGMENT_BYTES = 20 << 20
ROUND_LARGE_BYTES = 2 << 20
_ADDRESS_BITS = 80
_ENDLESS_BYTES = 1 << 46


class OutOfMemory(Exception):
    """A request, rounded, that does not fit, not even after the cache was released."""

    def __init__(self, requested: int, allocated: int, reserved: int, capacity: int | None) -> None:
        super().__init__(requested, allocated, reserved, capacity)
        self.requested_bytes, self.allocated_bytes = requested, allocated
        self.reserved_bytes, self.capacity_bytes = reserved, capacity


class Block:
    """A stretch of a segment, and the handle of an allocation; only its size is of use outside."""

    __slots__ = ("address", "free", "mapped", "next", "pool", "prev", "size")

    def __init__(self, pool: _Pool, address: int, size: int) -> None:
        self.pool, self.address, self.size = pool, address, size
        self.free = False
        """In the pool's lists. False while in use, and for address space without memory."""
        self.mapped = True
        self.prev: Block | None = None
        self.next: Block | None = None


class Segment(NamedTuple):
    """Reserved memory without a gap, and its blocks as (offset, size, in use), in order."""

    address: int
    size: int
    blocks: list[tuple[int, int, bool]]


class _Pool:
    """Free blocks by (size, address), and the address space that has no memory yet.

    A key is both numbers in one int, which compares faster than a tuple; `blocks` runs parallel.
    """

    __slots__ = ("blocks", "keys", "page", "split_from", "unmapped")

    def __init__(self, page: int, split_from: int) -> None:
        self.page, self.split_from = page, split_from
        self.keys: list[int] = []
        self.blocks: list[Block] = []
        self.unmapped: dict[int, Block] = {}

    def insert(self, block: Block) -> None:
        position = bisect_left(self.keys, key := block.size << _ADDRESS_BITS | block.address)
        self.keys.insert(position, key)
        self.blocks.insert(position, block)
        block.free = True

    def remove(self, block: Block) -> None:
        position = bisect_left(self.keys, block.size << _ADDRESS_BITS | block.address)
        del self.keys[position], self.blocks[position]
        block.free = False


class CachingAllocator:
    """The allocator of one device of which `capacity_bytes` may be reserved (None: any number).

    `allocated_bytes` and `reserved_bytes` are what `torch.cuda.memory_allocated` and
    `memory_reserved` report, `retries` is their `num_alloc_retries`. A block counts whole: a
    request for 19.5 MiB that gets an unsplit 20 MiB adds 20 MiB.
    """

    def __init__(
        self, capacity_bytes: int | None = None, *, expandable_segments: bool = False
    ) -> None:
        self.capacity_bytes = capacity_bytes
        self.allocated_bytes = self.reserved_bytes = self.retries = 0
        self.peak_allocated_bytes = self.peak_reserved_bytes = 0
        self._expandable = expandable_segments
        self._heads: dict[int, Block] = {}
        """The first block of each segment by address; a block stays first for its whole life."""
        self._next_address = 0
        # Sizes are multiples of 512, so this is "more than 1 MiB".
        large_split = MIN_BLOCK_BYTES if expandable_segments else SMALL_BYTES + MIN_BLOCK_BYTES
        self._small = _Pool(SMALL_SEGMENT_BYTES, MIN_BLOCK_BYTES)
        self._large = _Pool(LARGE_SEGMENT_BYTES, large_split)

    def malloc(self, nbytes: int) -> Block | None:
        """Allocate, or give None for zero bytes.

        Raises:
            OutOfMemory: No room. The cache has been released; nothing else has changed.
        """
        if not nbytes:
            return None
        size = (nbytes + 511) & -512
        pool = self._small if size <= SMALL_BYTES else self._large
        keys = pool.keys
        position = bisect_left(keys, size << _ADDRESS_BITS)
        if position < len(keys):
            if self._expandable:
                position = _least_expandable(pool.blocks, position)
            del keys[position]
            block = pool.blocks.pop(position)
            block.free = False
        else:
            block = self._reserve(pool, size)
        if block.size - size >= pool.split_from:
            pool.insert(_cut(block, size))
        self.allocated_bytes += block.size
        if self.allocated_bytes > self.peak_allocated_bytes:
            self.peak_allocated_bytes = self.allocated_bytes
        return block

    def free(self, block: Block | None) -> None:
        """Take back what `malloc` gave; the handle is void from then on."""
        if block is not None:
            assert not block.free, "freed twice"
            self.allocated_bytes -= block.size
            _settle(block)

    def empty_cache(self) -> None:
        """Give wholly free segments, or with expandable segments wholly free pages, back."""
        for pool in (self._large, self._small):
            for block in list(pool.blocks):
                if self._expandable:
                    self._unmap(block)
                elif block.prev is None and block.next is None:
                    pool.remove(block)
                    del self._heads[block.address]
                    self.reserved_bytes -= block.size

    def reset_peaks(self) -> None:
        """Let both peaks start again from what is held now."""
        self.peak_allocated_bytes = self.allocated_bytes
        self.peak_reserved_bytes = self.reserved_bytes

    def segments(self) -> list[Segment]:
        """What is reserved, by address, as `torch.cuda.memory_snapshot` cuts it; for tests."""
        found: list[Segment] = []
        for head in self._heads.values():
            for mapped, run in groupby(_chain(head), key=lambda block: block.mapped):
                if mapped:
                    blocks = list(run)
                    first, last = blocks[0].address, blocks[-1]
                    view = [(block.address - first, block.size, not block.free) for block in blocks]
                    found.append(Segment(first, last.address + last.size - first, view))
        return found

    def _reserve(self, pool: _Pool, size: int) -> Block:
        """A block of new memory, in no list; the cache is released if that is what it takes."""
        reserve = self._extend if self._expandable else self._new_segment
        block = reserve(pool, size)
        if block is None:
            self.empty_cache()
            self.retries += 1
            block = reserve(pool, size)
            if block is None:
                held = self.allocated_bytes, self.reserved_bytes, self.capacity_bytes
                raise OutOfMemory(size, *held)
        return block

    def _count(self, size: int) -> bool:
        """Whether that much more can be reserved; if so it now counts as reserved."""
        reserved = self.reserved_bytes + size
        if self.capacity_bytes is not None and reserved > self.capacity_bytes:
            return False
        self.reserved_bytes = reserved
        self.peak_reserved_bytes = max(self.peak_reserved_bytes, reserved)
        return True

    def _new_segment(self, pool: _Pool, size: int) -> Block | None:
        """`alloc_block`: a segment of its own."""
        size = pool.page if size < MIN_LARGE_BYTES else _round_up(size, ROUND_LARGE_BYTES)
        return self._head(pool, size) if self._count(size) else None

    def _head(self, pool: _Pool, size: int) -> Block:
        """The only block of a segment above all others, at a multiple of the large page."""
        block = self._heads[self._next_address] = Block(pool, self._next_address, size)
        self._next_address += _round_up(size, LARGE_SEGMENT_BYTES)
        return block

    def _extend(self, pool: _Pool, size: int) -> Block | None:
        """`try_allocate_expandable_block`: fill free memory up with the pages that it lacks.

        Pages mapped before the device was full stay mapped, free, until the cache is released.
        """
        found: Block | None = self._room(pool, size)
        if not found.mapped:
            found = self._map(found, min(found.size, size))
        while found is not None and found.size < size:
            rest = found.next
            assert rest is not None, "a room without room"
            found = self._map(rest, min(rest.size, size - found.size))
        if found is not None:
            pool.remove(found)
        return found

    def _room(self, pool: _Pool, size: int) -> Block:
        """`find_expandable_block`: the lowest address with so much space, not in use."""
        for _, block in sorted(pool.unmapped.items()):
            if block.prev is not None and block.prev.free:
                block = block.prev
            if _has_room(block, size):
                return block
        capacity = self.capacity_bytes
        span = _ENDLESS_BYTES if capacity is None else capacity + capacity // 8
        block = self._head(pool, _round_up(max(1, span), pool.page))
        block.mapped = False
        pool.unmapped[block.address] = block
        return block

    def _map(self, block: Block, size: int) -> Block | None:
        """`map_block`: memory for the first pages; gives the free block that they are now in."""
        pool = block.pool
        size = _round_up(size, pool.page)
        if not self._count(size):
            return None
        del pool.unmapped[block.address]
        if size < block.size:
            rest = _cut(block, size)
            rest.mapped = False
            pool.unmapped[rest.address] = rest
        block.mapped = True
        return _settle(block)

    def _unmap(self, block: Block) -> None:
        """`unmap_block`: give the whole pages of a free block back; what is left stays free."""
        pool = block.pool
        start = _round_up(block.address, pool.page)
        end = (block.address + block.size) // pool.page * pool.page
        if start >= end:
            return
        pool.remove(block)
        if start > block.address:
            front, block = block, _cut(block, start - block.address)
            pool.insert(front)
        if block.size > end - start:
            pool.insert(_cut(block, end - start))
        self.reserved_bytes -= block.size
        block.mapped = False
        if block.prev is not None and not block.prev.mapped:
            block = block.prev
            _absorb_next(block)
        if block.next is not None and not block.next.mapped:
            del pool.unmapped[block.next.address]
            _absorb_next(block)
        pool.unmapped[block.address] = block
        if block.prev is None and block.next is None:
            del pool.unmapped[block.address], self._heads[block.address]


def rounded(nbytes: int) -> int:
    """The bytes a request takes: a multiple of 512, and none for none."""
    return (nbytes + 511) & -512


def _round_up(size: int, step: int) -> int:
    return -(-size // step) * step


def _least_expandable(blocks: list[Block], position: int) -> int:
    """Where `get_free_block` ends up: a block counts with the space that it could expand to."""
    best = _expandable_bytes(blocks[position])
    last = len(blocks) - 1
    while position < last and (following := _expandable_bytes(blocks[position + 1])) < best:
        position, best = position + 1, following
    return position


def _expandable_bytes(block: Block) -> int:
    after = block.next
    return block.size if after is None or after.mapped else block.size + after.size


def _chain(block: Block | None) -> Iterator[Block]:
    while block is not None:
        yield block
        block = block.next


def _has_room(start: Block, size: int) -> bool:
    for block in _chain(start):
        if size <= 0 or (block.mapped and not block.free):
            break
        size -= block.size
    return size <= 0


def _cut(block: Block, size: int) -> Block:
    """Shorten a block to a size; gives the rest, which is in no list."""
    rest = Block(block.pool, block.address + size, block.size - size)
    rest.prev, rest.next = block, block.next
    if rest.next is not None:
        rest.next.prev = rest
    block.next, block.size = rest, size
    return rest


def _absorb_next(block: Block) -> None:
    gone = block.next
    assert gone is not None, "nothing to absorb"
    block.size += gone.size
    block.next = gone.next
    if block.next is not None:
        block.next.prev = block
    gone.free = True  # so that a handle to it cannot be freed again


def _settle(block: Block) -> Block:
    """`free_block`: put a block in its pool, merged with free neighbours; gives what it became."""
    pool = block.pool
    before, after = block.prev, block.next
    if after is not None and after.free:
        pool.remove(after)
        _absorb_next(block)
    if before is not None and before.free:
        pool.remove(before)
        _absorb_next(before)
        block = before
    pool.insert(block)
    return block
