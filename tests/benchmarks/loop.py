"""CSV to graphs the usual way: pandas, and a Python loop over windows, nodes and edges.

The baseline of every speed figure. It makes the very arrays that `kdgat.data.graphs` makes, with
what a careful researcher would write: whole columns converted at once, dictionaries for grouping,
numpy on the messages of a node, nothing computed twice. It takes one window at a time; that is what
kdgat does otherwise.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kdgat.configs.data import FeatureGroup
from kdgat.data.graphs import Graphs

FEATURES: tuple[FeatureGroup, ...] = ("bytes", "entropy", "rate", "timing")
"""The groups of node features that the loop makes."""


@dataclass(frozen=True)
class LoopCapture:
    """A capture's columns; `data` is padded with zeros to eight bytes a message."""

    time_s: np.ndarray
    arbitration_id: list[int]
    dlc: np.ndarray
    data: np.ndarray
    attack: np.ndarray

    def __len__(self) -> int:
        return len(self.arbitration_id)


@dataclass(frozen=True)
class LoopGraph:
    """One window as a graph."""

    x: np.ndarray
    edge_index: np.ndarray
    edge_attr: np.ndarray
    start_s: float
    end_s: float


def read_csv(path: Path, rows: int | None = None) -> LoopCapture:
    """A can-train-and-test CSV, or its first `rows`."""
    text = {"arbitration_id": str, "data_field": str}
    frame = pd.read_csv(path, dtype=text, keep_default_na=False, nrows=rows)
    payload = frame["data_field"]
    padded = "".join(payload.str.pad(16, side="right", fillchar="0"))
    return LoopCapture(
        time_s=frame["timestamp"].to_numpy(),
        arbitration_id=[int(text, 16) for text in frame["arbitration_id"]],
        dlc=(payload.str.len() // 2).to_numpy(),
        data=np.frombuffer(bytes.fromhex(padded), dtype=np.uint8).reshape(-1, 8),
        attack=frame["attack"].to_numpy() == 1,
    )


def build_graphs(capture: LoopCapture, window: int, stride: int) -> Graphs:
    """Every window of a capture as a graph, with its `FEATURES`."""
    graphs = [
        window_graph(capture, first, window)
        for first in range(0, len(capture) - window + 1, stride)
    ]
    nodes = [len(graph.x) for graph in graphs]
    edges = [len(graph.edge_attr) for graph in graphs]
    return Graphs(
        x=np.concatenate([graph.x for graph in graphs]),
        edge_index=np.concatenate([graph.edge_index for graph in graphs], axis=1),
        edge_attr=np.concatenate([graph.edge_attr for graph in graphs]),
        node_ptr=np.cumsum([0, *nodes]),
        edge_ptr=np.cumsum([0, *edges]),
        start_s=np.array([graph.start_s for graph in graphs]),
        end_s=np.array([graph.end_s for graph in graphs]),
    )


def window_graph(capture: LoopCapture, first: int, window: int) -> LoopGraph:
    """The graph of the messages `first` to `first + window`, the last left out."""
    part = slice(first, first + window)
    ids = capture.arbitration_id[part]
    time_s, dlc, data = capture.time_s[part], capture.dlc[part], capture.data[part]
    duration_s = max(float(time_s[-1] - time_s[0]), 0.0)

    rows: dict[int, list[int]] = defaultdict(list)
    for row, arbitration_id in enumerate(ids):
        rows[arbitration_id].append(row)
    node_of = {arbitration_id: node for node, arbitration_id in enumerate(sorted(rows))}

    bits = np.unpackbits(data, axis=1)
    entropy = np.array([byte_entropy(data[row, : dlc[row]].tobytes()) for row in range(window)])
    x = np.stack(
        [
            node_features(
                time_s[rows[arbitration_id]],
                dlc[rows[arbitration_id]],
                data[rows[arbitration_id]],
                bits[rows[arbitration_id]],
                entropy[rows[arbitration_id]],
                window,
                duration_s,
            )
            for arbitration_id in node_of
        ]
    )
    edge_index, edge_attr = edges([node_of[arbitration_id] for arbitration_id in ids], time_s)
    return LoopGraph(x, edge_index, edge_attr, float(time_s[0]), float(time_s[-1]))


def node_features(
    time_s: np.ndarray,
    dlc: np.ndarray,
    data: np.ndarray,
    bits: np.ndarray,
    entropy: np.ndarray,
    window: int,
    duration_s: float,
) -> np.ndarray:
    """Features of one node from its messages, which keep their order."""
    count = len(time_s)
    size_bits = np.maximum(dlc, 1) * 8
    if count > 1:
        flips = (bits[1:] ^ bits[:-1]).sum(axis=1)
        changed = (flips / size_bits[1:]).mean()
        repeated = (flips == 0).mean()
        gaps_ms = np.maximum(np.diff(time_s), 0) * 1000
        interval, deviation, least = gaps_ms.mean(), gaps_ms.std(), gaps_ms.min()
    else:
        changed = repeated = deviation = 0.0
        interval = least = duration_s * 1000
    scalars = (
        dlc.mean() / 8,
        entropy.mean(),
        (bits.sum(axis=1) / size_bits).mean(),
        changed,
        repeated,
        math.log1p(count),
        count / window,
        math.log1p(count / max(duration_s, 1e-4)),
        math.log1p(interval),
        math.log1p(deviation),
        math.log1p(least),
    )
    return np.concatenate(
        (data.mean(axis=0) / 255, data.std(axis=0) / 255, scalars), dtype=np.float32
    )


def byte_entropy(payload: bytes) -> float:
    """Shannon entropy of a payload's byte values, in bits."""
    size = len(payload)
    return -sum(n / size * math.log2(n / size) for n in Counter(payload).values())


def edges(nodes: list[int], time_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Edges between consecutive messages, sorted by destination, then source."""
    gaps: dict[tuple[int, int], list[float]] = defaultdict(list)
    gap_ms = (np.maximum(np.diff(time_s), 0) * 1000).tolist()
    for source, destination, gap in zip(nodes[:-1], nodes[1:], gap_ms, strict=True):
        gaps[destination, source].append(gap)
    found = sorted(gaps.items())
    index = np.array([(source, destination) for (destination, source), _ in found], np.int32)
    attributes = [
        (math.log1p(len(gap)), math.log1p(sum(gap) / len(gap)), math.log1p(min(gap)))
        for _, gap in found
    ]
    return index.T, np.array(attributes, dtype=np.float32)
