"""Packing: each graph once, no batch over budget, none smaller than it must be."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kdgat.data.packing import ByteLimit, EpochBatches, PeakCost, pack, plan_epoch
from kdgat.errors import DataError


@dataclass(frozen=True)
class Case:
    """Graphs in some order and a limit that each of them alone keeps."""

    nodes: np.ndarray
    edges: np.ndarray
    order: np.ndarray
    limit: ByteLimit

    def needs(self, plan: EpochBatches, cost: PeakCost) -> list[int]:
        """Bytes of each batch, added up graph by graph."""
        return [self.need(plan.batch(i), cost) for i in range(len(plan))]

    def need(self, graphs: np.ndarray, cost: PeakCost) -> int:
        nodes, edges = int(self.nodes[graphs].sum()), int(self.edges[graphs].sum())
        return max(
            int(n) * nodes + int(e) * edges + int(g) * len(graphs) + int(c)
            for n, e, g, c in cost.planes
        )


@st.composite
def cases(draw: st.DrawFn, lowest_slope: int = -3) -> Case:
    count = draw(st.integers(1, 60))
    sizes = st.lists(st.integers(0, 30), min_size=count, max_size=count).map(np.array)
    nodes, edges = draw(sizes), draw(sizes)
    slope, constant = st.integers(lowest_slope, 20), st.integers(-50, 200)
    planes = st.lists(st.tuples(slope, slope, slope, constant), min_size=1, max_size=4)
    cost = PeakCost(np.array(draw(planes)))
    alone = int(cost.rising().peak_bytes(nodes, edges, 1).max())
    budget = alone + draw(st.sampled_from((0, 0, 100, 1000, 10**6)))
    order = np.array(draw(st.permutations(range(count))))
    return Case(nodes, edges, order, ByteLimit(cost, budget))


def planned(case: Case, max_graphs: int, min_steps: int = 0, ranks: int = 1) -> EpochBatches:
    return plan_epoch(
        case.nodes,
        case.edges,
        case.order,
        limit=case.limit,
        max_graphs=max_graphs,
        min_steps=min_steps,
        ranks=ranks,
    )


@given(cases(), st.integers(1, 70), st.integers(0, 80))
def test_each_graph_comes_once_in_order_and_no_batch_is_over_a_limit(
    case: Case, max_graphs: int, min_steps: int
) -> None:
    plan = planned(case, max_graphs, min_steps)
    batches = [plan.batch(i) for i in range(len(plan))]
    assert np.concatenate(batches).tolist() == case.order.tolist()
    assert all(0 < len(batch) <= max_graphs for batch in batches)
    assert max(case.needs(plan, case.limit.cost)) <= case.limit.budget_bytes
    assert len(plan) >= min(min_steps, len(case.order))


@given(cases(), st.integers(1, 70))
def test_a_batch_is_closed_only_when_the_next_graph_does_not_fit(
    case: Case, max_graphs: int
) -> None:
    starts = pack(case.nodes, case.edges, case.order, case.limit, max_graphs)
    for start, end in pairwise(starts[:-1]):
        one_more = case.order[start : end + 1]
        over = case.need(one_more, case.limit.cost.rising()) > case.limit.budget_bytes
        assert over or end - start == max_graphs


@given(cases(), st.integers(1, 70), st.integers(0, 80), st.integers(2, 5))
def test_ranks_share_the_graphs_in_as_many_batches_each(
    case: Case, max_graphs: int, min_steps: int, ranks: int
) -> None:
    assume(len(case.order) >= ranks)
    try:
        plan = planned(case, max_graphs, min_steps, ranks)
    except DataError:
        # Just when batches of one graph are too many by some, and no two of them fit together.
        alone = len(planned(case, max_graphs, min_steps * ranks))
        assert alone % ranks != 0
        assert alone + ranks - alone % ranks > len(case.order)
        return
    assert len(plan) % ranks == 0
    shares = [[plan.batch(i) for i in range(rank, len(plan), ranks)] for rank in range(ranks)]
    assert len({len(share) for share in shares}) == 1
    together = np.concatenate([batch for share in shares for batch in share])
    assert sorted(together.tolist()) == list(range(len(case.order)))
    assert max(case.needs(plan, case.limit.cost)) <= case.limit.budget_bytes
    assert np.diff(plan.starts).max() <= max_graphs


@given(st.integers(2, 200), st.integers(2, 30), st.integers(0, 60), st.integers(2, 8))
def test_without_a_byte_limit_ranks_can_always_share_and_take_the_fewest_steps_asked_for(
    count: int, max_graphs: int, min_steps: int, ranks: int
) -> None:
    assume(count >= 2 * ranks)
    sizes = np.ones(count, dtype=np.int64)
    plan = plan_epoch(
        sizes,
        sizes,
        np.arange(count),
        limit=None,
        max_graphs=max_graphs,
        min_steps=min_steps,
        ranks=ranks,
    )
    assert len(plan) % ranks == 0
    assert len(plan) // ranks >= min(min_steps, count // ranks)
    assert np.diff(plan.starts).min() >= 1
    assert plan.starts[[0, -1]].tolist() == [0, count]


@given(cases(), st.integers(1, 70))
def test_without_a_binding_limit_batches_are_plain_chunks(case: Case, max_graphs: int) -> None:
    free = ByteLimit(case.limit.cost, 10**12)
    chunks = [*range(0, len(case.order), max_graphs), len(case.order)]
    for limit in (None, free):
        assert pack(case.nodes, case.edges, case.order, limit, max_graphs).tolist() == chunks


@given(cases(), st.integers(1, 70), st.integers(0, 80), st.integers(1, 4))
def test_the_same_graphs_are_packed_the_same(
    case: Case, max_graphs: int, min_steps: int, ranks: int
) -> None:
    def starts() -> list[int] | str:
        try:
            return planned(case, max_graphs, min_steps, ranks).starts.tolist()
        except DataError as error:
            return error.problem

    assert starts() == starts()


@given(cases())
def test_a_cost_is_its_highest_plane_and_rising_it_never_falls(case: Case) -> None:
    cost, plan = case.limit.cost, planned(case, 7)
    nodes, edges, graphs = plan.sums(case.nodes), plan.sums(case.edges), np.diff(plan.starts)
    assert cost.peak_bytes(nodes, edges, graphs).tolist() == case.needs(plan, cost)
    first = cost.peak_bytes(int(nodes[0]), int(edges[0]), int(graphs[0]))
    assert int(first) == case.needs(plan, cost)[0]
    assert (cost.rising().peak_bytes(nodes, edges, graphs) >= case.needs(plan, cost)).all()
    assert (cost.rising().planes[:, :3] >= 0).all()


@given(cases(lowest_slope=1))
def test_a_graph_that_alone_is_over_the_budget_is_named(case: Case) -> None:
    need = case.limit.cost.peak_bytes(case.nodes, case.edges, 1)
    tight = ByteLimit(case.limit.cost, int(need.max()) - 1)
    with pytest.raises(DataError, match=r"^graph \d+ \(\d+ nodes, \d+ edges\) alone needs") as said:
        pack(case.nodes, case.edges, case.order, tight, 4)
    named = int(said.value.problem.split()[1])
    assert need[named] == need.max()
    assert said.value.problem == (
        f"graph {named} ({case.nodes[named]} nodes, {case.edges[named]} edges) alone needs "
        f"{need.max()} bytes, and the budget is {need.max() - 1} bytes"
    )
    assert "data.window_messages" in said.value.hint


def test_the_largest_batches_are_halved_for_the_ranks() -> None:
    sizes = np.ones(10, dtype=np.int64)
    plan = plan_epoch(sizes, sizes, np.arange(10), limit=None, max_graphs=16, ranks=4)
    assert plan.starts.tolist() == [0, 2, 4, 8, 10]


def test_single_graphs_that_are_too_many_are_joined_for_the_ranks() -> None:
    sizes = np.ones(7, dtype=np.int64)
    plan = plan_epoch(sizes, sizes, np.arange(7), limit=None, max_graphs=4, min_steps=50, ranks=2)
    assert plan.starts.tolist() == [0, 2, 3, 4, 5, 6, 7]


def test_single_graphs_that_can_not_be_joined_are_not_shared() -> None:
    sizes = np.ones(7, dtype=np.int64)
    with pytest.raises(DataError, match=r"^7 batches of one graph or two can't be shared evenly"):
        plan_epoch(sizes, sizes, np.arange(7), limit=None, max_graphs=1, ranks=2)


def test_fewer_graphs_than_ranks_are_refused() -> None:
    sizes = np.ones(3, dtype=np.int64)
    with pytest.raises(DataError, match=r"^3 graphs can't be shared by 4 processes$"):
        plan_epoch(sizes, sizes, np.arange(3), limit=None, max_graphs=8, ranks=4)


def test_no_graph_makes_no_batch() -> None:
    none = np.zeros(0, dtype=np.int64)
    limit = ByteLimit(PeakCost(np.array([[1, 1, 1, 1]])), 10)
    for each in (None, limit):
        assert len(plan_epoch(none, none, none, limit=each, max_graphs=8, min_steps=5)) == 0
