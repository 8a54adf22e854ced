"""Names of entities to ids: stable from file to file, and never one for two in a capture.

A name's id is its hash, cut to the 29 bits of a long arbitration id, so that the same host or
sensor has the same id wherever it is read, and no list has to be kept. Of two names of one capture
that hash alike, the later one in the alphabet takes the next free id. Ids are names: no feature is
made of their size.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from jaxtyping import UInt32

from kdgat.data.messages import EXTENDED_ID_MAX


def entity_ids(names: Sequence[str]) -> tuple[dict[str, int], tuple[str, ...]]:
    """An id for each different name, and the names whose own id was taken."""
    taken: dict[int, str] = {}
    moved = []
    for name in sorted(set(names)):
        own = hashed(name)
        number = own
        while number in taken:
            number = number + 1 & EXTENDED_ID_MAX
        taken[number] = name
        if number != own:
            moved.append(name)
    return {name: number for number, name in taken.items()}, tuple(moved)


def hashed(name: str) -> int:
    """29 bits of a name's hash, the same on every machine."""
    digest = blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") & EXTENDED_ID_MAX


def as_array(ids: Sequence[int]) -> UInt32[np.ndarray, "ids"]:
    """Ids as messages hold them."""
    return np.array(ids, dtype=np.uint32)
