"""How large a store's graphs are, read without torch: what a memory plan needs to know of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from kdgat.errors import DataError

_GRAPH_BYTES = (8, 8, 8, 8, 4, 8)
"""Bytes a graph in node_ptr, edge_ptr, start_s, end_s, capture and attack_messages."""


@dataclass(frozen=True, eq=False)
class GraphSizes:
    """Nodes and edges of each graph of a store."""

    nodes: Int64[np.ndarray, "graphs"]
    edges: Int64[np.ndarray, "graphs"]

    def __len__(self) -> int:
        return len(self.nodes)

    def store_blocks(self, features: tuple[int, int]) -> tuple[int, ...]:
        """Bytes of each tensor of a store of these graphs.

        `features` are those of a node and of an edge, of four bytes each; the ends of an edge have
        four bytes too.
        """
        nodes, edges = int(self.nodes.sum()), int(self.edges.sum())
        rows = (4 * features[0] * nodes, 8 * edges, 4 * features[1] * edges)
        return (*rows, *(each * (len(self) + 1) for each in _GRAPH_BYTES))


def read_sizes(folder: Path, *, benign_only: bool) -> GraphSizes:
    """Sizes of the graphs of a store on disk.

    Args:
        folder: where `save_store` wrote it, with labels.
        benign_only: leave out windows with an attack message.

    Raises:
        DataError: the folder is missing or damaged.
    """
    try:
        names = ("node_ptr", "edge_ptr", "attack_messages")
        nodes, edges, attacks = (np.load(folder / f"{name}.npy") for name in names)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"graphs in '{folder}' can't be read: {error}",
            hint=f"delete '{folder}'; the same command makes it again",
        ) from error
    sizes = GraphSizes(np.diff(nodes), np.diff(edges))
    if not benign_only:
        return sizes
    benign = attacks == 0
    return GraphSizes(sizes.nodes[benign], sizes.edges[benign])
