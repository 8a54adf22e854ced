"""GraphStore: all graphs of a split as flat tensors, memory-mapped on disk.

Labels lie in a file of their own and are read only when asked for, so that an evaluation can score
windows before it may know which are attacks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np
import torch
from jaxtyping import Float32, Float64, Int8, Int32, Int64
from torch import Tensor

from kdgat.data.graphs import Graphs
from kdgat.data.measured import UNPROFILED
from kdgat.data.sealing import need_unsealed
from kdgat.errors import DataError
from kdgat.ledger.files import atomic_path, write_json

STORE_VERSION = 2
_ARRAYS = {
    "x": torch.float32,
    "edge_index": torch.int32,
    "edge_attr": torch.float32,
    "node_ptr": torch.int64,
    "edge_ptr": torch.int64,
    "start_s": torch.float64,
    "end_s": torch.float64,
    "capture": torch.int32,
    "reference": torch.int8,
}
_LABELS = "attack_messages"


@dataclass(frozen=True)
class CaptureLabel:
    """What a capture of a store is called."""

    key: str
    attack_type: str
    vehicle: str


@dataclass(frozen=True)
class GraphStore:
    """Graph i has nodes node_ptr[i]:node_ptr[i+1] and edges edge_ptr[i]:edge_ptr[i+1].

    `edge_index` counts nodes within their graph. `capture` is a position in `captures`; times are
    seconds on that capture's own clock. `reference` says what a window is measured against
    (`kdgat.data.measured`). `attack_messages` is None until labels are read.
    """

    x: Float32[Tensor, "nodes features"]
    edge_index: Int32[Tensor, "2 edges"]
    edge_attr: Float32[Tensor, "edges edge_features"]
    node_ptr: Int64[Tensor, "pointers"]
    edge_ptr: Int64[Tensor, "pointers"]
    start_s: Float64[Tensor, "graphs"]
    end_s: Float64[Tensor, "graphs"]
    capture: Int32[Tensor, "graphs"]
    reference: Int8[Tensor, "graphs"]
    captures: tuple[CaptureLabel, ...]
    window_messages: int
    attack_messages: Int64[Tensor, "graphs"] | None = None

    def __len__(self) -> int:
        return len(self.node_ptr) - 1

    @property
    def y(self) -> Int64[Tensor, "graphs"]:
        """1 where a window holds an attack message.

        Raises:
            RuntimeError: the store was opened without its labels.
        """
        if self.attack_messages is None:
            raise RuntimeError("this store was opened without its labels")
        return (self.attack_messages > 0).long()

    @property
    def nbytes(self) -> int:
        """Bytes of all its tensors but the labels."""
        return sum(getattr(self, name).nbytes for name in _ARRAYS)

    def to(self, device: torch.device) -> GraphStore:
        """The same store resident on a device."""
        moved = {name: getattr(self, name).to(device) for name in _ARRAYS}
        if self.attack_messages is not None:
            moved[_LABELS] = self.attack_messages.to(device)
        return GraphStore(captures=self.captures, window_messages=self.window_messages, **moved)


def save_store(
    folder: Path,
    graphs: Graphs,
    capture: Int32[np.ndarray, "graphs"],
    captures: Sequence[CaptureLabel],
    attack_messages: Int64[np.ndarray, "graphs"] | None,
    window_messages: int,
    reference: Int8[np.ndarray, "graphs"] | None = None,
) -> None:
    """Write a store, whole or not at all; without labels it is blind until `save_labels`.

    Without `reference` no window is measured against anything.
    """
    if reference is None:
        reference = np.full(len(graphs), UNPROFILED, dtype=np.int8)
    arrays = {**vars(graphs), "capture": capture, "reference": reference}
    if attack_messages is not None:
        arrays[_LABELS] = attack_messages
    with atomic_path(folder) as aside:
        aside.mkdir()
        for name, array in arrays.items():
            np.save(aside / f"{name}.npy", array)
        summary = {
            "version": STORE_VERSION,
            "graphs": len(graphs),
            "nodes": len(graphs.x),
            "edges": graphs.edge_index.shape[1],
            "window_messages": window_messages,
            "captures": [asdict(label) for label in captures],
        }
        write_json(aside / "store.json", summary)


def save_labels(folder: Path, attack_messages: Int64[np.ndarray, "graphs"]) -> None:
    """Write the attack messages of each graph beside a blind store."""
    with atomic_path(folder / f"{_LABELS}.npy") as aside, aside.open("wb") as file:
        np.save(file, attack_messages)


def open_store(folder: Path, *, labels: bool) -> GraphStore:
    """Open a store, memory-mapped.

    Args:
        folder: where `save_store` wrote it.
        labels: whether to read which windows are attacks.

    Raises:
        RuntimeError: labels are asked for while they are under seal.
        DataError: the folder is missing, of another version or damaged.
    """
    if labels:
        need_unsealed(f"the labels of '{folder}'")
    try:
        summary = json.loads((folder / "store.json").read_bytes())
        if summary["version"] != STORE_VERSION:
            raise ValueError(f"version {summary['version']} where {STORE_VERSION} is expected")
        names = (*_ARRAYS, _LABELS) if labels else _ARRAYS
        tensors = {name: _mapped(folder / f"{name}.npy") for name in names}
        _check(tensors, summary)
        captures = tuple(CaptureLabel(**label) for label in summary["captures"])
        window = int(summary["window_messages"])
    except FileNotFoundError as error:
        raise DataError(
            f"graphs '{error.filename}' are missing",
            hint=f"delete '{folder}'; the same command makes it again",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"graphs in '{folder}' can't be read: {error}",
            hint=f"delete '{folder}'; the same command makes it again",
        ) from error
    return GraphStore(captures=captures, window_messages=window, **tensors)


def _mapped(path: Path) -> Tensor:
    try:
        # Copy-on-write: torch wants a writable array, and nothing here writes to it.
        array = np.lib.format.open_memmap(path, mode="c")
    except TokenError as error:
        # From a damaged header, which numpy reads as Python.
        raise ValueError(f"{path.name} has no readable header") from error
    return torch.from_numpy(array)


def _check(tensors: Mapping[str, Tensor], summary: Mapping[str, int]) -> None:
    graphs, nodes, edges = summary["graphs"], summary["nodes"], summary["edges"]
    rows = {"x": nodes, "edge_attr": edges, "node_ptr": graphs + 1, "edge_ptr": graphs + 1}
    for name, tensor in tensors.items():
        found = tensor.shape[1] if name == "edge_index" else len(tensor)
        expected = edges if name == "edge_index" else rows.get(name, graphs)
        if found != expected:
            raise ValueError(f"{name} has {found} rows where {expected} are expected")
        dtype = _ARRAYS.get(name, torch.int64)
        if tensor.dtype != dtype:
            raise ValueError(f"{name} is {tensor.dtype} where {dtype} is expected")
    for name, end in (("node_ptr", nodes), ("edge_ptr", edges)):
        if tensors[name][-1] != end:
            raise ValueError(f"{name} ends at {tensors[name][-1]} where {end} is expected")
