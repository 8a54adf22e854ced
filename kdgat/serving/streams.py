"""Named streams of messages, each with a detector of its own that remembers its vehicle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from kdgat.errors import RunError

if TYPE_CHECKING:
    from kdgat.stages.detect import Detector

MOST = 100
IDLE_S = 1800.0


class TooMany(Exception):
    """As many streams are open as there may be, and all were asked lately."""


@dataclass
class _Stream:
    detector: Detector
    used_s: float
    lock: Lock = field(default_factory=Lock)
    """Requests to one stream take turns, in the order they come."""


class Streams:
    """Streams by name; those that nobody asks for half an hour are forgotten when room is needed.

    Args:
        made: makes a detector that has seen nothing.
        most: streams at once.
        idle_s: seconds without a request after which one may be forgotten.
    """

    def __init__(
        self, made: Callable[[], Detector], most: int = MOST, idle_s: float = IDLE_S
    ) -> None:
        self._made, self._most, self._idle_s = made, most, idle_s
        self._open: dict[str, _Stream] = {}
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def turn(self, name: str) -> Iterator[Detector]:
        """A stream's detector, for this caller alone; the stream begins with the first turn.

        A stream that an error leaves with some of its messages, or without any, is closed.

        Raises:
            TooMany: there is no room for another.
        """
        stream = self._stream(name)
        with stream.lock:
            before = stream.detector.seen
            try:
                yield stream.detector
            except BaseException:
                if stream.detector.seen != before or not before:
                    self._drop(name, stream)
                raise
            stream.used_s = time.monotonic()

    def close(self, name: str) -> int:
        """Forget a stream; returns how many messages it took.

        Raises:
            RunError: there is none of that name.
        """
        with self._lock:
            stream = self._open.pop(name, None)
        if stream is None:
            raise RunError(f"no stream '{name}' is open", hint="it begins with its first messages")
        with stream.lock:
            return stream.detector.seen

    def _drop(self, name: str, stream: _Stream) -> None:
        with self._lock:
            if self._open.get(name) is stream:
                del self._open[name]

    def _stream(self, name: str) -> _Stream:
        with self._lock:
            now_s = time.monotonic()
            if name not in self._open:
                self._make_room(now_s)
                self._open[name] = _Stream(self._made(), now_s)
            stream = self._open[name]
            stream.used_s = now_s
            return stream

    def _make_room(self, now_s: float) -> None:
        if len(self._open) < self._most:
            return
        name = min(self._open, key=lambda each: self._open[each].used_s)
        if now_s - self._open[name].used_s < self._idle_s:
            raise TooMany
        del self._open[name]
