"""The bus: how long a frame takes, and who sends first when several are due.

When the bus is busy and when it is idle does not depend on who goes first. So the busy periods of
a capture are found first, and are then arbitrated side by side, one frame of each at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8, UInt16

Span = tuple[float, float]
"""Begin and end of a piece of a capture, in seconds from the capture's begin."""

BITS_PER_S = 500_000
"""Speed of a high-speed CAN bus (ISO 11898-2), as in most cars."""

# ISO 11898-1: a base frame without data has 44 bits and is followed by 3 bits of silence. Its
# first 34 bits and the data are stuffed, at worst with one bit in four. The share is fitted to
# the Kia Soul of HCRL's survival analysis set, whose frames of 8 bytes follow each other in 242 us.
_BARE_BITS = 47
_STUFFED_BITS = 34
_STUFFING = 0.25
_MOST_LOAD = 0.97
_TOLERANCE_S = 1e-8
_NOBODY = np.uint16(0xFFFF)


@dataclass(frozen=True)
class Traffic:
    """Frames that want the bus: one entry of each array is one frame.

    `due_s` is when the frame is handed to the controller, in seconds from the capture's begin;
    `payload` holds zeros after the first `dlc` bytes; `attack` marks the attacker's own frames.
    `turn` says the how-manieth of its id a legitimate frame is.
    """

    due_s: Float[np.ndarray, " messages"]
    arbitration_id: UInt16[np.ndarray, " messages"]
    dlc: UInt8[np.ndarray, " messages"]
    payload: UInt8[np.ndarray, "messages 8"]
    attack: Bool[np.ndarray, " messages"]
    turn: Int[np.ndarray, " messages"]

    def __len__(self) -> int:
        return len(self.due_s)

    def select(self, rows: Int[np.ndarray, " selected"] | Bool[np.ndarray, " messages"]) -> Traffic:
        """The frames at `rows`, in that order."""
        return Traffic(
            due_s=self.due_s[rows],
            arbitration_id=self.arbitration_id[rows],
            dlc=self.dlc[rows],
            payload=self.payload[rows],
            attack=self.attack[rows],
            turn=self.turn[rows],
        )

    def within(self, span: Span) -> Bool[np.ndarray, " messages"]:
        """Which frames are due in `span`, its end excluded."""
        return (self.due_s >= span[0]) & (self.due_s < span[1])


def join(parts: list[Traffic]) -> Traffic:
    """The frames of all `parts`, which are at least one."""
    return Traffic(
        due_s=np.concatenate([part.due_s for part in parts]),
        arbitration_id=np.concatenate([part.arbitration_id for part in parts]),
        dlc=np.concatenate([part.dlc for part in parts]),
        payload=np.concatenate([part.payload for part in parts]),
        attack=np.concatenate([part.attack for part in parts]),
        turn=np.concatenate([part.turn for part in parts]),
    )


def starve(traffic: Traffic, spans: list[Span]) -> Traffic:
    """`traffic` without what a crowded bus never lets through: the highest ids in `spans`.

    A controller keeps one frame an id and overwrites it when the next is due, so under a flood
    the frames that lose every arbitration are lost, and no queue grows.
    """
    keep = np.ones(len(traffic), dtype=bool)
    for span in spans:
        rows = np.flatnonzero(traffic.within(span))
        rows = rows[np.argsort(traffic.arbitration_id[rows], kind="stable")]
        dlc = traffic.dlc[rows].astype(np.int64)
        busy_s = np.cumsum(_BARE_BITS + 8 * dlc + _STUFFING * _most_stuffing(dlc)) / BITS_PER_S
        keep[rows[busy_s > _MOST_LOAD * (span[1] - span[0])]] = False
    return traffic.select(keep)


def send(
    traffic: Traffic, rng: np.random.Generator
) -> tuple[Traffic, Float[np.ndarray, " messages"]]:
    """The frames in the order in which they pass the bus, and when each has passed.

    No two overlap, and of the frames that wait for the bus the one with the lowest id goes first.
    Times are in seconds from the capture's begin, at the frame's last bit, where a logger takes
    them.
    """
    traffic = traffic.select(np.argsort(traffic.due_s, kind="stable"))
    length_s = frame_lengths(traffic.dlc, rng)
    order = _arbitrate(traffic, length_s)
    traffic, length_s = traffic.select(order), length_s[order]
    return traffic, _begins(traffic.due_s, length_s) + length_s


def frame_lengths(
    dlc: UInt8[np.ndarray, " messages"], rng: np.random.Generator
) -> Float[np.ndarray, " messages"]:
    """Seconds on the bus, with the silence after the frame and a random number of stuff bits."""
    bytes_ = dlc.astype(np.int64)
    return (_BARE_BITS + 8 * bytes_ + rng.binomial(_most_stuffing(bytes_), _STUFFING)) / BITS_PER_S


def _most_stuffing(dlc: Int[np.ndarray, " messages"]) -> Int[np.ndarray, " messages"]:
    return (_STUFFED_BITS + 8 * dlc - 1) // 4


def _arbitrate(
    traffic: Traffic, length_s: Float[np.ndarray, " messages"]
) -> Int[np.ndarray, " messages"]:
    """The order in which frames pass that are sorted by due time."""
    waits = _begins(traffic.due_s, length_s) > traffic.due_s + _TOLERANCE_S
    first = np.flatnonzero(~waits)
    size = np.diff(np.append(first, len(traffic)))
    order = np.arange(len(traffic))
    # Periods of about the same size share a table, so that it is half full at least.
    shelf = np.ceil(np.log2(size)).astype(np.int64)
    for level in np.unique(shelf[size > 1]):
        mine = (shelf == level) & (size > 1)
        column = np.arange(2**level)
        there = column < size[mine, None]
        rows = np.where(there, first[mine, None] + column, 0)
        due_s = np.where(there, traffic.due_s[rows], np.inf)
        turns = _take_turns(due_s, traffic.arbitration_id[rows], length_s[rows])
        order[rows[there]] = (first[mine, None] + turns)[there]
    return order


def _take_turns(
    due_s: Float[np.ndarray, "periods frames"],
    ids: UInt16[np.ndarray, "periods frames"],
    length_s: Float[np.ndarray, "periods frames"],
) -> Int[np.ndarray, "periods frames"]:
    """Which frame (by its column) each period sends first, second, ...; `due_s` is used up."""
    period = np.arange(len(due_s))
    now_s = due_s[:, 0].copy()
    turns = np.zeros(due_s.shape, dtype=np.int64)
    for turn in range(due_s.shape[1]):
        rank = np.where(due_s <= now_s[:, None] + _TOLERANCE_S, ids, _NOBODY)
        turns[:, turn] = rank.argmin(axis=1)
        now_s += length_s[period, turns[:, turn]]
        due_s[period, turns[:, turn]] = np.inf
    return turns


def _begins(
    due_s: Float[np.ndarray, " messages"], length_s: Float[np.ndarray, " messages"]
) -> Float[np.ndarray, " messages"]:
    """When each frame begins, if they go in this order: due, and the one before it has ended."""
    before_s = np.cumsum(length_s) - length_s
    return before_s + np.maximum.accumulate(due_s - before_s)
