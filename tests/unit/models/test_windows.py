"""Pooled windows against a plain loop over graphs."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from kdgat.data.batches import GraphBatch
from kdgat.models.windows import WindowFeatures, window_width
from tests.unit.models.bus import Bus, everything, features_of, flooded


@pytest.fixture(scope="module")
def batch() -> GraphBatch:
    return everything(Bus().store(flooded(2, 9)))


def _plain(batch: GraphBatch, graph: int) -> list[float]:
    nodes = [
        row for row, g in zip(batch.x.tolist(), batch.graph.tolist(), strict=True) if g == graph
    ]
    owners = batch.edge_graph.tolist()
    edges = [row for row, g in zip(batch.edge_attr.tolist(), owners, strict=True) if g == graph]
    columns, edge_columns = list(zip(*nodes, strict=True)), list(zip(*edges, strict=True))
    return [
        *(sum(column) / len(column) for column in columns),
        *map(max, columns),
        *map(min, columns),
        math.log1p(len(nodes)),
        *(sum(column) / len(column) for column in edge_columns),
        *map(max, edge_columns),
        math.log1p(len(edges)),
    ]


def test_pooled_values_are_those_of_a_plain_loop(batch: GraphBatch) -> None:
    pooled = WindowFeatures()(batch)
    plain = torch.tensor([_plain(batch, graph) for graph in range(batch.num_graphs)])
    torch.testing.assert_close(pooled, plain, rtol=1e-5, atol=1e-5)


def test_the_width_is_known_beforehand(batch: GraphBatch) -> None:
    store = Bus().store(flooded(2, 9))
    assert WindowFeatures()(batch).shape == (9, window_width(*features_of(store)))


def test_a_graph_without_edges_has_zeros_for_them(batch: GraphBatch) -> None:
    kept = batch.edge_graph != 4
    bare = replace(
        batch,
        edge_index=batch.edge_index[:, kept],
        edge_attr=batch.edge_attr[kept],
        edge_graph=batch.edge_graph[kept],
    )
    pooled, whole = WindowFeatures()(bare), WindowFeatures()(batch)
    width = 2 * batch.edge_attr.shape[1] + 1
    assert pooled[4, -width:].tolist() == [0.0] * width
    others = torch.arange(9) != 4
    torch.testing.assert_close(pooled[others], whole[others])
    torch.testing.assert_close(pooled[4, :-width], whole[4, :-width])
