"""Named streams: who goes on with which detector, and how many there may be."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Thread
from typing import Any

import pytest

from kdgat.errors import DataError, RunError
from kdgat.serving.streams import Streams, TooMany


@dataclass
class Counting:
    """Counts what it takes, as a detector does; slowly enough to be caught in the middle."""

    seen: int = 0

    def take(self, count: int) -> None:
        for _ in range(count):
            self.seen += 1


def streams(most: int = 2, idle_s: float = 60.0) -> Streams:
    made: Any = Counting
    return Streams(made, most, idle_s)


def test_a_name_goes_on_with_its_own_detector() -> None:
    some = streams()
    for name, count in (("a", 3), ("b", 5), ("a", 4)):
        with some.turn(name) as detector:
            detector.take(count)  # pyright: ignore[reportArgumentType]
    assert (some.close("a"), some.close("b")) == (7, 5)
    assert len(some) == 0


def test_requests_to_one_stream_take_turns() -> None:
    some = streams()

    def ask() -> None:
        for _ in range(50):
            with some.turn("a") as detector:
                detector.take(100)  # pyright: ignore[reportArgumentType]

    threads = [Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert some.close("a") == 8 * 50 * 100


def test_there_are_no_more_than_may_be() -> None:
    some = streams(most=1)
    with some.turn("a"):
        pass
    with pytest.raises(TooMany), some.turn("b"):
        pass
    some.close("a")
    with some.turn("b"):
        pass


def test_one_that_nobody_asks_makes_room() -> None:
    some = streams(most=1, idle_s=0.0)
    for name in ("a", "b"):
        with some.turn(name):
            pass
    with pytest.raises(RunError, match="no stream 'a'"):
        some.close("a")


@pytest.mark.parametrize(("taken", "open_after"), [(0, 1), (2, 0)])
def test_an_error_in_the_middle_of_messages_closes_a_stream(taken: int, open_after: int) -> None:
    some = streams()
    with some.turn("a") as detector:
        detector.take(1)  # pyright: ignore[reportArgumentType]

    def fail() -> None:
        with some.turn("a") as detector:
            detector.take(taken)  # pyright: ignore[reportArgumentType]
            raise DataError("the clock stands still", hint="mend it")

    with pytest.raises(DataError):
        fail()
    assert len(some) == open_after


def test_an_error_at_its_first_message_leaves_no_stream() -> None:
    some = streams()
    with pytest.raises(DataError), some.turn("a"):
        raise DataError("no profile yet", hint="send the prefix")
    assert len(some) == 0
