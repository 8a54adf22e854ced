"""Write a GraphStore piece by piece, so that not all of its graphs are in memory at once.

Nodes and edges go to disk as they come, and are scaled on their way from there into the store's
files. What there is one of for each graph (45 bytes) is kept in memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int8, Int32, Int64, Shaped

from kdgat.data.graphs import Graphs
from kdgat.data.measured import UNPROFILED
from kdgat.data.row_file import RowFile
from kdgat.data.scaling import Scaler
from kdgat.data.store import LABELS, STORE_VERSION, CaptureLabel
from kdgat.ledger.files import atomic_path, write_json

_BLOCK_GRAPHS = 1_024
"""Graphs whose rows are read back at once."""
_POINTERS = {"nodes": "node_ptr", "edges": "edge_ptr"}


class StoreWriter:
    """A store to come; `writing_store` makes one."""

    def __init__(self, folder: Path) -> None:
        self.scaler: Scaler | None = None
        """What scales the features at the end; None leaves them as they were added."""
        self._folder = folder
        self._x, self._edge_index, self._edge_attr = (
            RowFile(folder / f"{name}.rows") for name in ("x", "edge_index", "edge_attr")
        )
        self._graphs: dict[str, list[Shaped[np.ndarray, "graphs"]]] = {}

    def __len__(self) -> int:
        return sum(len(each) for each in self._graphs.get("capture", ()))

    def add(
        self,
        graphs: Graphs,
        capture: Int32[np.ndarray, "graphs"],
        attack_messages: Int64[np.ndarray, "graphs"] | None,
        reference: Int8[np.ndarray, "graphs"] | None = None,
    ) -> None:
        """Put graphs behind those that are there.

        Without `attack_messages` the store is blind until `save_labels`; without `reference` no
        window is measured against anything.
        """
        if reference is None:
            reference = np.full(len(graphs), UNPROFILED, dtype=np.int8)
        self._x.add(graphs.x)
        self._edge_index.add(graphs.edge_index.T)
        self._edge_attr.add(graphs.edge_attr)
        each = {
            "nodes": np.diff(graphs.node_ptr),
            "edges": np.diff(graphs.edge_ptr),
            "start_s": graphs.start_s,
            "end_s": graphs.end_s,
            "capture": capture,
            "reference": reference,
        }
        if attack_messages is not None:
            each[LABELS] = attack_messages
        for name, array in each.items():
            self._graphs.setdefault(name, []).append(np.asarray(array))

    def nodes_of(
        self, chosen: Bool[np.ndarray, "graphs"]
    ) -> Iterator[Float32[np.ndarray, "nodes features"]]:
        """The node features of some of the graphs as they were added, a block at a time."""
        return _of(self._x, self.each("nodes"), chosen)

    def edges_of(
        self, chosen: Bool[np.ndarray, "graphs"]
    ) -> Iterator[Float32[np.ndarray, "edges edge_features"]]:
        """The edge features of some of the graphs as they were added, a block at a time."""
        return _of(self._edge_attr, self.each("edges"), chosen)

    def each(self, name: str) -> Shaped[np.ndarray, "graphs"]:
        """What there is one of for each graph: its `nodes`, `edges`, `attack_messages`, ..."""
        return np.concatenate(self._graphs[name])

    def finish(self, captures: Sequence[CaptureLabel], window_messages: int) -> None:
        """Make the store's files; nothing can be added after it."""
        folder, scaler = self._folder, self.scaler
        nodes, edges = _block_sums(self.each("nodes")), _block_sums(self.each("edges"))
        self._x.save(folder / "x.npy", nodes, scaler and scaler.nodes)
        self._edge_index.save(folder / "edge_index.npy", edges, turned=True)
        self._edge_attr.save(folder / "edge_attr.npy", edges, scaler and scaler.edges)
        for name in self._graphs:
            if name in _POINTERS:
                pointer = np.concatenate(([0], np.cumsum(self.each(name))))
                np.save(folder / f"{_POINTERS[name]}.npy", pointer)
            else:
                np.save(folder / f"{name}.npy", self.each(name))
        summary = {
            "version": STORE_VERSION,
            "graphs": len(self),
            "nodes": self._x.rows,
            "edges": self._edge_attr.rows,
            "window_messages": window_messages,
            "captures": [asdict(label) for label in captures],
        }
        write_json(folder / "store.json", summary)

    def close(self) -> None:
        """Remove what was kept aside."""
        for rows in (self._x, self._edge_index, self._edge_attr):
            rows.close()


@contextmanager
def writing_store(
    folder: Path, captures: Sequence[CaptureLabel], window_messages: int
) -> Iterator[StoreWriter]:
    """A store to add graphs to, at least once; it is there, whole, when the block ends well.

    Raises:
        StorageError: the file system refused; nothing is left of it.
    """
    with atomic_path(folder) as aside:
        aside.mkdir()
        with closing(StoreWriter(aside)) as store:
            yield store
            store.finish(captures, window_messages)


def save_store(
    folder: Path,
    graphs: Graphs,
    capture: Int32[np.ndarray, "graphs"],
    captures: Sequence[CaptureLabel],
    attack_messages: Int64[np.ndarray, "graphs"] | None,
    window_messages: int,
    reference: Int8[np.ndarray, "graphs"] | None = None,
) -> None:
    """Write a store of graphs that are in memory, whole or not at all."""
    with writing_store(folder, captures, window_messages) as store:
        store.add(graphs, capture, attack_messages, reference)


def _of(
    rows: RowFile, sizes: Int64[np.ndarray, "graphs"], chosen: Bool[np.ndarray, "graphs"]
) -> Iterator[Float32[np.ndarray, "rows features"]]:
    for number, block in enumerate(rows.blocks(_block_sums(sizes))):
        graphs = slice(number * _BLOCK_GRAPHS, (number + 1) * _BLOCK_GRAPHS)
        yield block[np.repeat(chosen[graphs], sizes[graphs])]


def _block_sums(sizes: Int64[np.ndarray, "graphs"]) -> list[int]:
    """Rows of each block of graphs."""
    return np.add.reduceat(sizes, np.arange(0, len(sizes), _BLOCK_GRAPHS)).tolist()
