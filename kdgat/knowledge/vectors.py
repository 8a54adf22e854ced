"""Vectors of texts: the model where it is installed, and its work spread over the cores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from kdgat.knowledge.minilm import NAME, MiniLM, weights_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from threadpoolctl import ThreadpoolController

LIMIT_TOKENS = 72
_MOST_THREADS = 4
_ONE_PIECE = 3
_COMMON = 14_000
_ASKED = 256
"""Questions whose vectors are kept."""
_PART = 64
"""Texts that a thread takes at a time."""


class Encoder:
    """Texts to vectors, as bytes of 384 float32."""

    name = f"{NAME}-{LIMIT_TOKENS}"

    def __init__(self, model: MiniLM) -> None:
        self._model = model
        # The next page of an answer asks the same once more.
        self.question = lru_cache(maxsize=_ASKED)(self._question)
        """The vector of a question, which nobody may change."""

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """One vector a text."""
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        parts = [order[at : at + _PART] for at in range(0, len(order), _PART)]
        vectors: list[bytes] = [b""] * len(texts)
        with one_thread(), ThreadPoolExecutor(_threads()) as threads:
            work = (threads.submit(self._some, [texts[n] for n in part]) for part in parts)
            for part, done in zip(parts, list(work), strict=True):
                for number, vector in zip(part, done.result(), strict=True):
                    vectors[number] = vector.tobytes()
        return vectors

    def _question(self, text: str) -> NDArray[np.float32]:
        with one_thread():
            vector = self._model.encode([text], limit=LIMIT_TOKENS)[0]
        vector.setflags(write=False)
        return vector

    def is_rare(self, word: str) -> bool:
        """Whether English seldom has a word: its vocabulary goes from common to rare."""
        numbers = self._model.words.encode(word, 8)
        return len(numbers) > _ONE_PIECE or numbers[1] > _COMMON

    def _some(self, texts: list[str]) -> NDArray[np.float32]:
        return self._model.encode(texts, limit=LIMIT_TOKENS)


def one_thread() -> AbstractContextManager[object]:
    """NumPy's own threads off: on shared cores they wait for each other, seven times as long."""
    return _controller().limit(limits=1)


@cache
def _controller() -> ThreadpoolController:
    import numpy as np
    from threadpoolctl import ThreadpoolController

    # It knows what is loaded when it is made.
    del np
    return ThreadpoolController()


def _threads() -> int:
    return max(1, min(_MOST_THREADS, len(os.sched_getaffinity(0))))


@cache
def encoder() -> Encoder | None:
    """The encoder of this process; None where the weights are not installed."""
    folder = weights_folder()
    return Encoder(MiniLM(folder)) if folder else None
