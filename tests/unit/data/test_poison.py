"""A poisoned prefix: everything that was there, and attack traffic among it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from kdgat.data.poison import poisoned
from kdgat.data.windows import Messages


def benign(count: int = 1000) -> Messages:
    """Ten ids in turn, each with a payload of its own, one message a millisecond."""
    place = np.arange(count)
    return Messages(
        time_s=5.0 + place / 1000,
        arbitration_id=(0x100 + place % 10).astype(np.uint32),
        dlc=np.full(count, 4, np.uint8),
        payload=(place % 10).astype(np.uint64) << np.uint64(32),
    )


def rows(messages: Messages) -> list[tuple[float, int, int, int]]:
    columns = (messages.time_s, messages.arbitration_id, messages.dlc, messages.payload)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def test_nothing_is_taken_away_and_the_order_is_kept() -> None:
    messages = benign()
    found = rows(poisoned(messages, 0))
    added = Counter(found) - Counter(rows(messages))
    assert added.total() == len(found) - 1000 == 60 + 30 + 30
    assert [row for row in found if row not in added] == rows(messages)
    assert [row[0] for row in found] == sorted(row[0] for row in found)


def test_what_is_added_is_a_flood_random_ids_and_an_id_of_the_vehicles_own() -> None:
    messages = benign()
    added = list((Counter(rows(poisoned(messages, 0))) - Counter(rows(messages))).elements())
    flood = [row for row in added if row[1] == 0]
    assert len(flood) >= 60
    burst = np.array([row[0] for row in flood if row[3] == 0])
    assert burst.min() >= 5.0 + 0.4 * 0.999
    assert burst.max() <= 5.0 + 0.6 * 0.999
    own = Counter(row[1] for row in added if 0x100 <= row[1] < 0x10A)
    assert max(own.values()) >= 30
    assert len({row[1] for row in added}) > 20
    assert all(row[1] < 0x800 and row[2] == 8 for row in added)


def test_the_same_seed_adds_the_same_and_another_seed_something_else() -> None:
    assert rows(poisoned(benign(), 7)) == rows(poisoned(benign(), 7))
    assert rows(poisoned(benign(), 7)) != rows(poisoned(benign(), 8))


def test_the_messages_given_are_left_as_they_were() -> None:
    messages = benign()
    poisoned(messages, 0)
    assert rows(messages) == rows(benign())


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_shortest_prefix_can_be_poisoned(count: int) -> None:
    assert len(poisoned(benign(count), 0)) == (count + 3 if count else 0)
