"""Labels under seal: while windows are scored, nobody may read which are attacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SEALED: ContextVar[bool] = ContextVar("labels_sealed", default=False)


@contextmanager
def labels_sealed() -> Iterator[None]:
    """Within it, reading a label is a mistake of ours that ends the evaluation."""
    token = _SEALED.set(True)
    try:
        yield
    finally:
        _SEALED.reset(token)


def need_unsealed(what: str) -> None:
    """To be called by whatever hands out labels.

    Raises:
        RuntimeError: they are under seal.
    """
    if _SEALED.get():
        raise RuntimeError(f"{what} was asked for while windows are scored")
