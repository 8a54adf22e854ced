"""Ctrl-C that ends a watch where it waits, and never where it works.

A KeyboardInterrupt can be lost: Python drops what is raised while an object is finalised, and an
engine in C may take the signal for itself. So the signal is written down, and raised where the
watch reads its input.
"""

from __future__ import annotations

import signal
import threading
from contextlib import AbstractContextManager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdgat.data.log_stream import Source


class Interrupt(AbstractContextManager["Interrupt"]):
    """Takes SIGINT while it is open; in another thread than the first it takes nothing."""

    def __init__(self) -> None:
        self.asked = False
        self._waiting = False

    def __enter__(self) -> Interrupt:
        self._mine = threading.current_thread() is threading.main_thread()
        if self._mine:
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        if self._mine:
            signal.signal(signal.SIGINT, self._before)

    def source(self, source: Source) -> Source:
        """A source whose reading the signal ends."""
        return _Interruptible(source, self)

    def read1(self, source: Source, size: int) -> bytes:
        """Some bytes, or KeyboardInterrupt where the signal came meanwhile or earlier."""
        self._waiting = True
        try:
            if self.asked:
                raise KeyboardInterrupt
            return source.read1(size)
        finally:
            self._waiting = False

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        again, self.asked = self.asked, True
        # Who asks a second time does not want to wait for the work's end.
        if self._waiting or again:
            raise KeyboardInterrupt


class _Interruptible:
    def __init__(self, source: Source, interrupt: Interrupt) -> None:
        self._source, self._interrupt = source, interrupt

    def read1(self, size: int = -1, /) -> bytes:
        return self._interrupt.read1(self._source, size)
