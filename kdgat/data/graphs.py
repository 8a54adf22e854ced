"""Windows to graphs: a node is an arbitration id, an edge two ids one after the other.

Nothing loops over windows or messages. Sorting one integer key a message, which holds window, node
and place at once, puts each node's messages together; the same again does it for edges. A capture
is taken in chunks of whole windows, so memory does not grow with its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, UInt32

from kdgat.configs.data import DataConfig
from kdgat.data.features import (
    EDGE_FEATURE_NAMES,
    Segments,
    byte_features,
    edge_features,
    entropy_features,
    feature_names,
    id_features,
    profile_features,
    rate_features,
    shape_features,
    timing_features,
)
from kdgat.data.messages import EXTENDED_ID_MAX
from kdgat.data.profiles import Departures, VehicleProfile, departures
from kdgat.data.windows import Messages

_CHUNK_MESSAGES = 200_000
"""Messages taken at once. Below 2^18, so that a graph (2^16, as a window has at least 4 messages),
an arbitration id and a row fit in the 63 bits that `_grouped` sorts."""
_ID_BITS = EXTENDED_ID_MAX.bit_length()


@dataclass(frozen=True)
class Graphs:
    """Graphs of one or more captures as flat arrays; graph i has nodes node_ptr[i]:node_ptr[i+1].

    `edge_index` holds source and destination, counted within the graph; edges are sorted by
    destination. `start_s` and `end_s` are the times of the window's first and last message, on the
    capture's own clock.
    """

    x: Float32[np.ndarray, "nodes features"]
    edge_index: Int32[np.ndarray, "2 edges"]
    edge_attr: Float32[np.ndarray, "edges edge_features"]
    node_ptr: Int64[np.ndarray, "pointers"]
    edge_ptr: Int64[np.ndarray, "pointers"]
    start_s: Float64[np.ndarray, "graphs"]
    end_s: Float64[np.ndarray, "graphs"]

    def __len__(self) -> int:
        return len(self.node_ptr) - 1


NO_IDS = np.zeros(0, dtype=np.uint32)
"""The vocabulary of `lookup_unk` where no id is known."""


def build_graphs(
    messages: Messages,
    starts: Int64[np.ndarray, "graphs"],
    config: DataConfig,
    profile: VehicleProfile | None = None,
    vocabulary: UInt32[np.ndarray, "ids"] = NO_IDS,
) -> Graphs:
    """The windows of one capture that begin at `starts`, as graphs with unscaled features.

    Args:
        messages: the capture.
        starts: the first message of each window.
        config: windows and features.
        profile: what the `profile` features are measured against.
        vocabulary: ids that `lookup_unk` knows, sorted.
    """
    measured = profile is not None and "profile" in config.features and len(starts) > 0
    against = departures(messages, profile) if measured and profile is not None else None
    step = max(1, _CHUNK_MESSAGES // config.window_messages)
    chunks = [
        _chunk(messages, starts[first : first + step], config, against, vocabulary)
        for first in range(0, len(starts), step)
    ]
    return concatenate(chunks, config, vocabulary)


def picked(graphs: Graphs, order: Int64[np.ndarray, "picked"]) -> Graphs:
    """The graphs at `order`, in that order."""
    nodes, node_ptr = _rows(graphs.node_ptr, order)
    edges, edge_ptr = _rows(graphs.edge_ptr, order)
    return Graphs(
        x=graphs.x[nodes],
        edge_index=graphs.edge_index[:, edges],
        edge_attr=graphs.edge_attr[edges],
        node_ptr=node_ptr,
        edge_ptr=edge_ptr,
        start_s=graphs.start_s[order],
        end_s=graphs.end_s[order],
    )


def _rows(
    pointer: Int64[np.ndarray, "pointers"], order: Int64[np.ndarray, "picked"]
) -> tuple[Int64[np.ndarray, "rows"], Int64[np.ndarray, "picked_pointers"]]:
    """The rows of some graphs, and where each graph's begin among them."""
    size = pointer[order + 1] - pointer[order]
    begin = np.concatenate(([0], np.cumsum(size)))
    rows = np.arange(begin[-1]) + np.repeat(pointer[order] - begin[:-1], size)
    return rows, begin


def concatenate(
    parts: Sequence[Graphs], config: DataConfig, vocabulary: UInt32[np.ndarray, "ids"] = NO_IDS
) -> Graphs:
    """Several sets of graphs as one, in their order."""
    if not parts:
        return _no_graphs(config, vocabulary)
    return Graphs(
        x=np.concatenate([part.x for part in parts]),
        edge_index=np.concatenate([part.edge_index for part in parts], axis=1),
        edge_attr=np.concatenate([part.edge_attr for part in parts]),
        node_ptr=_joined_ptr([part.node_ptr for part in parts]),
        edge_ptr=_joined_ptr([part.edge_ptr for part in parts]),
        start_s=np.concatenate([part.start_s for part in parts]),
        end_s=np.concatenate([part.end_s for part in parts]),
    )


def _chunk(
    messages: Messages,
    starts: Int64[np.ndarray, "graphs"],
    config: DataConfig,
    against: Departures | None,
    vocabulary: UInt32[np.ndarray, "ids"],
) -> Graphs:
    """The graphs of some consecutive windows."""
    window, graphs = config.window_messages, len(starts)
    place = np.arange(window)
    taken = (starts[:, None] + place).ravel()
    time_s, ids = messages.time_s[taken], messages.arbitration_id[taken]
    start_s, end_s = time_s[::window], time_s[window - 1 :: window]

    home = np.repeat(np.arange(graphs), window)
    group, order = _grouped(home << _ID_BITS | ids)
    nodes = Segments(np.flatnonzero(np.diff(group, prepend=-1)), len(group))
    node_graph = group[nodes.firsts] >> _ID_BITS
    node_ptr = np.searchsorted(node_graph, np.arange(graphs + 1))

    local = np.empty(len(taken), dtype=np.int64)
    local[order] = np.repeat(np.arange(len(nodes.firsts)) - node_ptr[node_graph], nodes.sizes)
    # A clock that steps back may end a short window before it began.
    duration_s = np.maximum(end_s - start_s, 0)[node_graph]
    spot = _Spot(taken[order], order % window, nodes, node_ptr, duration_s)
    x = _node_features(messages, spot, config, against, vocabulary)
    edge_index, edge_attr, edge_ptr = _edges(local.reshape(graphs, window), time_s)
    return Graphs(x, edge_index, edge_attr, node_ptr, edge_ptr, start_s.copy(), end_s.copy())


@dataclass(frozen=True)
class _Spot:
    """Messages sorted by node: their rows in the capture, their places in their windows."""

    rows: Int64[np.ndarray, "messages"]
    place: Int64[np.ndarray, "messages"]
    nodes: Segments
    node_ptr: Int64[np.ndarray, "pointers"]
    duration_s: Float64[np.ndarray, "nodes"]


def _node_features(
    messages: Messages,
    spot: _Spot,
    config: DataConfig,
    against: Departures | None,
    vocabulary: UInt32[np.ndarray, "ids"],
) -> Float32[np.ndarray, "nodes features"]:
    """Features of each node from its messages."""
    rows, nodes, duration_s = spot.rows, spot.nodes, spot.duration_s
    payload, dlc, time_s = messages.payload[rows], messages.dlc[rows], messages.time_s[rows]
    columns: list[Float32[np.ndarray, "nodes"]] = []
    for group in config.features:
        match group:
            case "bytes":
                columns += byte_features(nodes, payload, dlc)
            case "entropy":
                columns += entropy_features(nodes, payload, dlc)
            case "rate":
                columns += rate_features(nodes, config.window_messages, duration_s)
            case "timing":
                columns += timing_features(nodes, time_s, duration_s)
            case "shape":
                columns += shape_features(
                    nodes, spot.node_ptr, time_s, duration_s, spot.place, payload, dlc
                )
            case "profile":
                columns += profile_features(nodes, rows, time_s, duration_s, against)
    ids = messages.arbitration_id[rows[nodes.firsts]]
    columns += id_features(ids, config.id_encoding, config.id_hash_bits, vocabulary)
    return np.stack(columns, axis=1)


def _edges(
    local: Int64[np.ndarray, "graphs window"], time_s: Float64[np.ndarray, "messages"]
) -> tuple[
    Int32[np.ndarray, "2 edges"],
    Float32[np.ndarray, "edges edge_features"],
    Int64[np.ndarray, "pointers"],
]:
    """Edges between consecutive messages of each window, sorted by destination, then source."""
    graphs, window = local.shape
    home = np.repeat(np.arange(graphs), window - 1)
    pair = local[:, 1:].ravel() * window + local[:, :-1].ravel()
    group, order = _grouped(home * window * window + pair)
    edges = Segments(np.flatnonzero(np.diff(group, prepend=-1)), len(group))
    gaps = np.maximum(np.diff(time_s.reshape(graphs, window), axis=1), 0).ravel() * 1000
    key = group[edges.firsts]
    pair = key % (window * window)
    edge_index = np.stack((pair % window, pair // window)).astype(np.int32)
    edge_attr = edge_features(edges, gaps[order].astype(np.float32))
    edge_ptr = np.searchsorted(key, np.arange(graphs + 1) * window * window)
    return edge_index, edge_attr, edge_ptr


def _grouped(
    key: Int64[np.ndarray, "rows"],
) -> tuple[Int64[np.ndarray, "rows"], Int64[np.ndarray, "rows"]]:
    """Keys in order, and the rows they came from, which keep their order within a key.

    Key and row are packed into one integer and sorted at once: numpy sorts plain integers with
    vector instructions, faster than it finds an order (`argsort`), a stable one most of all.
    """
    row_bits = len(key).bit_length()
    packed = key << row_bits | np.arange(len(key))
    packed.sort()
    return packed >> row_bits, packed & ((1 << row_bits) - 1)


def _joined_ptr(pointers: Sequence[Int64[np.ndarray, "_"]]) -> Int64[np.ndarray, "pointers"]:
    """Pointers of parts laid one behind the other."""
    sizes = [np.diff(pointer) for pointer in pointers]
    return np.concatenate(([0], np.cumsum(np.concatenate(sizes))))


def node_feature_count(config: DataConfig, vocabulary: UInt32[np.ndarray, "ids"] = NO_IDS) -> int:
    """Columns of `x`."""
    ids = {"none": 0, "hash": config.id_hash_bits, "lookup_unk": len(vocabulary) + 1}
    return len(feature_names(config.features)) + ids[config.id_encoding]


def _no_graphs(config: DataConfig, vocabulary: UInt32[np.ndarray, "ids"]) -> Graphs:
    zero, none = np.zeros(1, dtype=np.int64), np.zeros(0)
    return Graphs(
        x=np.zeros((0, node_feature_count(config, vocabulary)), dtype=np.float32),
        edge_index=np.zeros((2, 0), dtype=np.int32),
        edge_attr=np.zeros((0, len(EDGE_FEATURE_NAMES)), dtype=np.float32),
        node_ptr=zero,
        edge_ptr=zero,
        start_s=none,
        end_s=none,
    )
