"""Planes through traces: recovered to the byte, or refused with the block that has none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from kdgat.configs.model import VgaeConfig
from kdgat.errors import MemoryPlanError
from kdgat.memory.affine import PROBES, Shape, StepProgram, fit_step
from kdgat.memory.replay import live_blocks, peak_bytes
from kdgat.memory.spec import StepSpec
from kdgat.memory.steps import fit_traces, trace_model
from kdgat.memory.trace import Allocation, Trace
from kdgat.models.vgae import VariationalGraphAutoencoder
from tests.unit.memory.runs import FEATURES, program, programs_of, spec_of

PLANES = st.lists(
    st.tuples(
        st.integers(-100, 10**5),
        st.integers(-100, 10**5),
        st.integers(-100, 10**5),
        st.integers(0, 10**9),
    ),
    min_size=1,
    max_size=30,
)
Order = tuple[tuple[int, int], ...]


@st.composite
def programs(draw: st.DrawFn) -> StepProgram:
    """Blocks that come in their order and go at any later moment, or only in the next step."""
    planes = draw(PLANES)
    order: list[tuple[int, int]] = []
    held: list[int] = []
    for block in range(len(planes)):
        order.append((block, +1))
        held.append(block)
        while held and draw(st.booleans()):
            order.append((held.pop(draw(st.integers(0, len(held) - 1))), -1))
    for block in held:
        order.insert(draw(st.integers(0, len(order))), (block, -2))
    return program(planes, order)


def trace_of(step: StepProgram, shape: Shape) -> Trace:
    """The trace of which the program is the fit."""
    allocations = tuple(
        Allocation(int(nbytes), block.operator, block.module, block.phase)
        for nbytes, block in zip(step.sizes(shape), step.blocks, strict=True)
    )
    return Trace(allocations, step.order)


def in_use(step: StepProgram, shape: Shape) -> list[int]:
    """Bytes in use after each block is taken, one block at a time."""
    sizes = step.sizes(shape).tolist()
    held = {(block, "before"): sizes[block] for block, change in step.order if change == -2}
    seen = []
    for block, change in step.order:
        if change > 0:
            held[block, "now"] = sizes[block]
            seen.append(sum(held.values()))
        else:
            del held[block, "now" if change == -1 else "before"]
    return seen


@given(programs())
def test_planes_of_whole_numbers_are_recovered_exactly(step: StepProgram) -> None:
    fitted = fit_step([trace_of(step, shape) for shape in PROBES], PROBES)
    assert fitted.planes.tolist() == step.planes.tolist()
    assert (fitted.blocks, fitted.order) == (step.blocks, step.order)


@given(programs(), st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**5))
def test_live_planes_are_what_a_replay_by_hand_has_in_use(
    step: StepProgram, nodes: int, edges: int, graphs: int
) -> None:
    shape = Shape(nodes, edges, graphs)
    expected = in_use(step, shape)
    assert (step.live_planes() @ [nodes, edges, graphs, 1]).tolist() == expected
    assert peak_bytes(step, np.array([[nodes, edges, graphs]])).tolist() == [max(expected)]


def test_live_planes_of_three_blocks() -> None:
    # c is left by the step before, until a is taken; then b comes beside a, and c once a is gone.
    step = program(
        [[8, 0, 0, 0], [0, 4, 0, 16], [0, 0, 2, 100]],
        [(0, +1), (2, -2), (1, +1), (0, -1), (2, +1), (1, -1)],
    )
    assert step.live_planes().tolist() == [[8, 0, 2, 100], [8, 4, 0, 16], [0, 4, 2, 116]]
    # In use are 80 + 110, 80 + 136, at last 136 + 110.
    assert in_use(step, Shape(10, 30, 5)) == [190, 216, 246]
    assert live_blocks(step, Shape(10, 30, 5)) == [(1, 136), (2, 110)]
    # With few edges 80 + 110 is the most, c being the one of the step before.
    assert live_blocks(step, Shape(10, 0, 5)) == [(2, 110), (0, 80)]


@pytest.mark.parametrize("phase", ["training", "validation"])
def test_a_real_steps_largest_blocks_are_its_peak(phase: str) -> None:
    step = getattr(programs_of(spec_of("vgae", "large")), phase)
    shape = Shape(3207, 6013, 101)
    blocks = live_blocks(step, shape)
    assert [nbytes for _, nbytes in blocks] == sorted((n for _, n in blocks), reverse=True)
    assert sum(nbytes for _, nbytes in blocks) == max(in_use(step, shape))


@pytest.mark.parametrize("off", [1, -1, 64])
def test_a_single_byte_off_the_plane_is_refused(off: int) -> None:
    step = program([[8, 0, 0, 0], [0, 4, 0, 16]], [(0, +1), (1, +1), (0, -1), (1, -1)])
    traces = [trace_of(step, shape) for shape in PROBES]
    first, second = traces[3].allocations
    traces[3] = Trace((first, Allocation(second.nbytes + off, "b", "", "forward")), step.order)
    with pytest.raises(MemoryPlanError, match=r"the block of b in the forward phase takes"):
        fit_step(traces, PROBES)


@pytest.mark.parametrize(
    ("order", "operators"),
    [
        (((0, +1), (1, +1), (1, -1), (0, -1)), "ab"),  # given back the other way round
        (((0, +1), (1, +1), (0, -1), (1, -2)), "ab"),  # kept for the next step
        (((0, +1), (0, -1)), "a"),  # left out
        (((0, +1), (1, +1), (0, -1), (1, -1), (2, +1), (2, -1)), "abc"),  # one more
        (((0, +1), (1, +1), (0, -1), (1, -1)), "ac"),  # another operator's
    ],
)
def test_another_order_is_refused(order: Order, operators: str) -> None:
    step = program([[8, 0, 0, 0], [0, 4, 0, 16]], [(0, +1), (1, +1), (0, -1), (1, -1)])
    traces = [trace_of(step, shape) for shape in PROBES]
    traces[4] = Trace(tuple(Allocation(8, each, "", "forward") for each in operators), order)
    with pytest.raises(MemoryPlanError, match="at another moment for 1201 nodes, 2719 edges"):
        fit_step(traces, PROBES)


class AllPairs(nn.Module):
    """A logit for each pair of nodes, as Kipf and Welling's decoder has."""

    def forward(self, z: Tensor) -> Tensor:
        return z @ z.T


class DenseAutoencoder(VariationalGraphAutoencoder):
    """Looks the asked pairs up among all pairs."""

    def __init__(self) -> None:
        super().__init__(VgaeConfig(), *FEATURES)
        self.all_pairs = AllPairs()

    def decode_edges(self, z: Tensor, edge_index: Tensor) -> Tensor:
        return self.all_pairs(z)[edge_index[0], edge_index[1]]


class Branching(VariationalGraphAutoencoder):
    """Decodes one of the batches twice."""

    def __init__(self) -> None:
        super().__init__(VgaeConfig(), *FEATURES)

    def decode_nodes(self, z: Tensor) -> Tensor:
        decoded = super().decode_nodes(z)
        return decoded + super().decode_nodes(z) if len(z) == 1201 else decoded


def refusal(spec: StepSpec, make: Callable[[], nn.Module], shapes: Sequence[Shape]) -> str:
    with FakeTensorMode():
        traces = trace_model(spec, make(), shapes)
    with pytest.raises(MemoryPlanError) as caught:
        fit_traces(traces, shapes)
    assert caught.value.hint.startswith("score sampled pairs rather than all pairs of nodes")
    return caught.value.problem


def test_a_decoder_of_all_pairs_is_refused_by_operator_and_module() -> None:
    problem = refusal(spec_of("vgae", "large"), DenseAutoencoder, PROBES)
    assert problem.startswith("memory can't be planned: the block of aten.mm.default")
    assert "in module 'all_pairs' takes" in problem
    assert "off any plane over nodes, edges and graphs" in problem
    assert "\n" not in problem


def test_a_step_that_branches_on_the_batch_is_refused() -> None:
    problem = refusal(spec_of("vgae", "large"), Branching, PROBES)
    assert "at another moment for 1201 nodes, 2719 edges and 61 graphs" in problem


def test_the_probes_lie_on_no_common_plane() -> None:
    design = np.array([[each.nodes, each.edges, each.graphs, 1] for each in PROBES])
    assert len(PROBES) >= 5
    assert np.linalg.matrix_rank(design) == 4


def test_tracing_leaves_torchs_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    programs_of.__wrapped__(spec_of("gat", "small"))
    assert torch.equal(torch.rand(3), expected)
