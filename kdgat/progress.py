"""How long work says where it stands, without knowing who listens."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """Called with what is being done, how much is done and how much there is to do."""

    def __call__(self, what: str, done: int, total: int) -> None: ...


def quiet(what: str, done: int, total: int) -> None:
    """Listen to nothing."""


def numbered(progress: Progress, place: str) -> Progress:
    """A listener that says with each thing which of several pieces of work it belongs to."""

    def listen(what: str, done: int, total: int) -> None:
        progress(f"{place}, {what}", done, total)

    return listen
