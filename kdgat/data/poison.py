"""Attack traffic put among benign messages, to see what a poisoned prefix does to `adapted`.

Nothing of a test capture's labels is needed for it, and only the messages that the profile is made
from are changed, never one that is scored.
"""

from __future__ import annotations

import numpy as np

from kdgat.data.windows import Messages

_FLOOD_SHARE, _RANDOM_SHARE, _SPOOF_SHARE = 0.06, 0.03, 0.03
"""Messages that are added of each kind, as shares of what is there."""
_STANDARD_IDS = 0x800
_HIGHEST_PRIORITY = 0


def poisoned(messages: Messages, seed: int) -> Messages:
    """The messages with a flood, random ids, and a spoofed id of the vehicle's own among them.

    The flood is of the id with the highest priority, within a fifth of the time; the others are
    spread evenly. Deterministic for a seed.
    """
    count = len(messages)
    if not count:
        return messages
    draw = np.random.default_rng(seed)
    begin, span = float(messages.time_s[0]), float(np.ptp(messages.time_s))
    flood, random, spoof = (
        max(1, int(count * share)) for share in (_FLOOD_SHARE, _RANDOM_SHARE, _SPOOF_SHARE)
    )
    ids = np.unique(messages.arbitration_id)
    time_s = np.concatenate(
        (
            begin + span * (0.4 + 0.2 * np.sort(draw.random(flood))),
            begin + span * np.sort(draw.random(random)),
            begin + span * np.sort(draw.random(spoof)),
        )
    )
    arbitration_id = np.concatenate(
        (
            np.full(flood, _HIGHEST_PRIORITY),
            draw.integers(0, _STANDARD_IDS, random),
            np.full(spoof, draw.choice(ids)),
        )
    ).astype(np.uint32)
    payload = np.concatenate(
        (
            np.zeros(flood, np.uint64),
            draw.integers(0, 2**64, random, dtype=np.uint64),
            np.full(spoof, draw.integers(0, 2**64, dtype=np.uint64)),
        )
    )
    dlc = np.full(len(time_s), 8, np.uint8)
    order = np.argsort(np.concatenate((messages.time_s, time_s)), kind="stable")
    return Messages(
        np.concatenate((messages.time_s, time_s))[order],
        np.concatenate((messages.arbitration_id, arbitration_id))[order],
        np.concatenate((messages.dlc, dlc))[order],
        np.concatenate((messages.payload, payload))[order],
    )
