"""Ctrl-C is never lost, and ends a watch where it reads."""

from __future__ import annotations

import os
import signal
import threading
from io import BytesIO

import pytest

from kdgat.ops.interrupt import Interrupt


def interrupt_me() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_one_that_comes_while_it_works_ends_the_next_reading() -> None:
    with Interrupt() as interrupt:
        source = interrupt.source(BytesIO(b"messages"))
        assert source.read1(4) == b"mess"
        interrupt_me()
        assert interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            source.read1(4)


def test_one_that_comes_while_it_waits_ends_the_waiting() -> None:
    read, write = os.pipe()
    with os.fdopen(read, "rb") as pipe, Interrupt() as interrupt:
        source = interrupt.source(pipe)
        alarm = threading.Timer(0.2, interrupt_me)
        alarm.start()
        with pytest.raises(KeyboardInterrupt):
            source.read1(4)
        alarm.join()
    os.close(write)


def test_one_that_is_lost_in_a_finalizer_is_not_lost() -> None:
    class Finalized:
        def __del__(self) -> None:
            interrupt_me()

    with Interrupt() as interrupt:
        del (found := [Finalized()])[0]
        assert not found
        with pytest.raises(KeyboardInterrupt):
            interrupt.source(BytesIO(b"messages")).read1(4)


def test_a_second_one_does_not_wait() -> None:
    with Interrupt():
        interrupt_me()
        with pytest.raises(KeyboardInterrupt):
            interrupt_me()


def test_afterwards_the_signal_is_pythons_again() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_in_another_thread_nothing_is_taken() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def watch() -> None:
        with Interrupt() as interrupt:
            seen.append(signal.getsignal(signal.SIGINT))
            seen.append(interrupt.source(BytesIO(b"messages")).read1(4))

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert seen == [before, b"mess"]
