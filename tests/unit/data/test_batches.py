"""Batches: what PyTorch Geometric would make, each graph once an epoch, and in a known order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch_geometric.data import Batch, Data

from kdgat.configs.data import DataConfig
from kdgat.data.batches import BatchLoader, GraphBatch, collate, subset
from kdgat.data.graphs import build_graphs
from kdgat.data.packing import ByteLimit, PeakCost
from kdgat.data.store import CaptureLabel, GraphStore
from kdgat.data.windows import Messages
from kdgat.errors import DataError

GRAPHS = 23


def made(*, labels: bool = True) -> GraphStore:
    rng = np.random.default_rng(0)
    count = 12 * GRAPHS
    messages = Messages(
        time_s=np.arange(count) / 1000,
        # Graphs of one node up to nine.
        arbitration_id=(rng.random(count) * np.repeat(np.arange(GRAPHS) % 9 + 1, 12)).astype("u4"),
        dlc=np.full(count, 8, np.uint8),
        payload=rng.integers(0, 2**64, count, dtype=np.uint64),
    )
    graphs = build_graphs(messages, np.arange(0, count, 12), DataConfig(window_messages=12))
    return GraphStore(
        **{name: torch.from_numpy(array) for name, array in vars(graphs).items()},
        capture=torch.arange(GRAPHS, dtype=torch.int32) % 2,
        reference=(torch.arange(GRAPHS) % 3).to(torch.int8),
        captures=(CaptureLabel("a", "", ""), CaptureLabel("b", "dos", "kia")),
        window_messages=12,
        attack_messages=torch.arange(GRAPHS) % 3 if labels else None,
    )


STORE = made()
EDGE_COST = PeakCost(np.array([[1, 10, 0, 5], [30, 1, 2, 0]]))
TIGHT = ByteLimit(EDGE_COST, 400)
"""Binds: some three to thirty graphs fit."""
PICKS = st.lists(st.integers(0, GRAPHS - 1), min_size=1, max_size=40).map(torch.tensor)


def data_of(store: GraphStore, i: int) -> Data:
    """One graph of a store as PyTorch Geometric holds it."""
    nodes = slice(int(store.node_ptr[i]), int(store.node_ptr[i + 1]))
    edges = slice(int(store.edge_ptr[i]), int(store.edge_ptr[i + 1]))
    return Data(
        x=store.x[nodes],
        edge_index=store.edge_index[:, edges].long(),
        edge_attr=store.edge_attr[edges],
        y=store.y[i : i + 1],
    )


def assert_same(one: GraphBatch, other: GraphBatch) -> None:
    for name in ("x", "edge_index", "edge_attr", "graph", "edge_graph", "y", "reference"):
        assert torch.equal(getattr(one, name), getattr(other, name)), name


@settings(deadline=None)
@given(PICKS)
def test_a_batch_is_to_the_last_bit_what_pytorch_geometric_makes(index: Tensor) -> None:
    batch = collate(STORE, index)
    expected = Batch.from_data_list([data_of(STORE, i) for i in index.tolist()])
    assert torch.equal(batch.x, expected.x)
    assert torch.equal(batch.edge_index, expected.edge_index)
    assert torch.equal(batch.edge_attr, expected.edge_attr)
    assert torch.equal(batch.graph, expected.batch)
    assert torch.equal(batch.edge_graph, expected.batch[expected.edge_index[0]])
    assert batch.y is not None
    assert torch.equal(batch.y, expected.y)
    assert batch.edge_index.dtype == expected.edge_index.dtype
    assert batch.num_graphs == expected.num_graphs
    assert torch.equal(batch.index, index)


@settings(deadline=None)
@given(PICKS)
def test_rows_that_the_caller_knows_change_nothing_and_no_value_is_read(index: Tensor) -> None:
    known = collate(STORE, index)
    rows = len(known.x), len(known.edge_attr)
    assert_same(collate(STORE, index, rows), known)
    with FakeTensorMode() as fake:
        like = {
            name: fake.from_tensor(value) if isinstance(value, Tensor) else value
            for name, value in vars(STORE).items()
        }
        batch = collate(GraphStore(**like), fake.from_tensor(index), rows=rows)
    for name in ("x", "edge_index", "edge_attr", "graph", "edge_graph", "y", "reference"):
        assert getattr(batch, name).shape == getattr(known, name).shape, name
        assert getattr(batch, name).dtype == getattr(known, name).dtype, name


def test_a_batch_has_labels_just_when_its_store_has() -> None:
    index = torch.tensor([1, 2, 3])
    assert collate(made(labels=False), index).y is None
    assert collate(STORE, index).y is not None


@settings(deadline=None)
@given(st.integers(1, 30), st.none() | st.integers(0, 2**31), st.integers(0, 1000))
def test_each_graph_comes_once_an_epoch_and_len_is_exact(
    size: int, seed: int | None, epoch: int
) -> None:
    loader = BatchLoader(STORE, size, seed=seed)
    loader.set_epoch(epoch)
    batches = list(loader)
    assert len(batches) == len(loader)
    assert sorted(torch.cat([batch.index for batch in batches]).tolist()) == list(range(GRAPHS))
    assert all(batch.num_graphs == size for batch in batches[:-1])


@settings(deadline=None)
@given(
    st.integers(1, 30), st.none() | st.integers(0, 2**31), st.integers(0, 1000), st.integers(1, 4)
)
def test_under_a_byte_limit_each_graph_comes_once_over_all_ranks(
    size: int, seed: int | None, epoch: int, ranks: int
) -> None:
    loaders = [
        BatchLoader(STORE, size, seed=seed, limit=TIGHT, min_steps=3, rank=rank, ranks=ranks)
        for rank in range(ranks)
    ]
    seen, lengths = [], set()
    for loader in loaders:
        loader.set_epoch(epoch)
        try:
            batches = list(loader)
        except DataError as error:
            if size < 3 and "can't be shared evenly" in error.problem:
                return
            raise
        lengths |= {len(batches), len(loader)}
        seen += [batch.index for batch in batches]
        for batch in batches:
            peak = EDGE_COST.peak_bytes(len(batch.x), len(batch.edge_attr), batch.num_graphs)
            assert peak <= TIGHT.budget_bytes
            assert_same(batch, collate(STORE, batch.index))
    assert sorted(torch.cat(seen).tolist()) == list(range(GRAPHS))
    assert len(lengths) == 1
    assert lengths.pop() >= 3


def test_without_a_binding_limit_batches_are_chunks_of_the_permutation() -> None:
    loader = BatchLoader(STORE, 4, seed=7, limit=ByteLimit(EDGE_COST, 10**9))
    loader.set_epoch(5)
    order = torch.from_numpy(np.random.default_rng((7, 5)).permutation(GRAPHS))
    assert [batch.index.tolist() for batch in loader] == [
        chunk.tolist() for chunk in order.split(4)
    ]


def test_the_batches_under_a_limit_are_the_epochs_own() -> None:
    def batches(epoch: int) -> list[list[int]]:
        loader = BatchLoader(STORE, 16, seed=3, limit=TIGHT)
        loader.set_epoch(epoch)
        return [batch.index.tolist() for batch in loader]

    assert batches(2) == batches(2)
    assert batches(2) != batches(3)


def test_a_chosen_epoch_is_planned_anew_and_once() -> None:
    loader = BatchLoader(STORE, 16, seed=3, limit=TIGHT)
    first = loader.plan()
    assert loader.plan() is first
    loader.set_epoch(1)
    assert loader.plan().order.tolist() == loader.order().tolist() != first.order.tolist()


def test_without_a_seed_graphs_come_in_their_order() -> None:
    loader = BatchLoader(STORE, 10)
    assert [batch.index.tolist() for batch in loader] == [
        list(range(10)), list(range(10, 20)), list(range(20, 23)),
    ]  # fmt: skip


def test_an_empty_store_has_no_batches() -> None:
    empty = BatchLoader(subset(STORE, torch.tensor([], dtype=torch.long)), 4)
    assert len(list(empty)) == len(empty) == 0


def order(seed: int, epoch: int) -> list[int]:
    loader = BatchLoader(made(), 4, seed=seed)
    loader.set_epoch(epoch)
    return loader.order().tolist()


def test_the_order_depends_on_the_seed_and_the_epoch_alone() -> None:
    torch.manual_seed(1)
    first = order(7, 3)
    torch.manual_seed(2)
    assert order(7, 3) == first
    orders = {tuple(order(seed, epoch)) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_drawing_an_order_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    order(0, 0)
    assert torch.equal(torch.rand(1), expected)


@settings(deadline=None)
@given(PICKS)
def test_a_subset_holds_the_picked_graphs_in_their_order(index: Tensor) -> None:
    part = subset(STORE, index)
    assert len(part) == len(index)
    assert_same(collate(part, torch.arange(len(part))), collate(STORE, index))
    for name in ("start_s", "end_s", "capture", "attack_messages"):
        assert torch.equal(getattr(part, name), getattr(STORE, name)[index]), name
    assert part.captures == STORE.captures


def test_a_subset_shares_no_memory_with_its_store() -> None:
    store = made()
    part = subset(store, torch.arange(GRAPHS))
    store.x.zero_()
    assert torch.equal(part.x, STORE.x)


@pytest.mark.parametrize("labels", [True, False])
def test_a_batch_moves_with_all_it_has(labels: bool) -> None:
    batch = collate(made(labels=labels), torch.tensor([0, 4]))
    moved = batch.to("meta")
    assert (moved.y is None) is not labels
    assert {moved.x.device.type, moved.graph.device.type, moved.index.device.type} == {"meta"}
