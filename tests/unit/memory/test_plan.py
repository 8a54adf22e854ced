"""Plans: the largest budget that fits, what limits it, and what is refused."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.configs.resources import gpu
from kdgat.configs.training import TrainingConfig
from kdgat.data.packing import BatchLimits
from kdgat.errors import ConfigError, DataError, KdgatError, MemoryPlanError
from kdgat.memory.affine import Shape
from kdgat.memory.plan import plan_memory
from kdgat.memory.planned import Device, MemoryPlan, Spread, Workload, limits_of
from kdgat.memory.replay import Replay, replay
from kdgat.memory.spec import StepPrograms
from tests.unit.memory.runs import (
    MIB,
    program,
    programs_of,
    random_work,
    run_batches,
    spec_of,
    training_epoch,
)

SEED = 7
MANY = TrainingConfig(max_graphs=1_000_000, min_steps_per_epoch=0)
V100 = gpu("v100-16gb")
WORKSPACES = 2 * V100.workspace_bytes
# 1 MiB a node and nothing else, in a training step as while validating.
BATCH = program([[MIB, 0, 0, 0]], [(0, +1), (0, -1)])
MADE = StepPrograms(BATCH, BATCH, resident_blocks=(), gradient_blocks=())


def device(capacity_bytes: int, name: str = "v100-16gb", **more: Any) -> Device:
    """A device that leaves so much to the allocator, if it is given no margin."""
    card = gpu(name)
    return Device(card, capacity_bytes + card.context_bytes, card.context_bytes, **more)


def windows(train: list[int], validation: list[int], **more: Any) -> Workload:
    """Graphs of so many nodes, without edges."""
    nodes, others = np.array(train, dtype=np.int64), np.array(validation, dtype=np.int64)
    return Workload(nodes, nodes * 0, others, others * 0, **more)


def made_plan(work: Workload, at_hand: Device, **training: Any) -> MemoryPlan:
    config = TrainingConfig(**{"max_graphs": 1_000_000, "min_steps_per_epoch": 0, **training})
    return plan_memory(MADE, work, at_hand, config, SEED)


@cache
def real_programs() -> StepPrograms:
    return programs_of(spec_of("gat", "large", device="cuda"))


@cache
def real_work() -> Workload:
    return random_work(64_000)


@cache
def real_plan(capacity_mib: int = 256, expandable: bool = False) -> MemoryPlan:
    """A plan of which memory is the limit, in more than a hundred batches an epoch."""
    at_hand = device(capacity_mib * MIB, expandable_segments=expandable)
    return plan_memory(real_programs(), real_work(), at_hand, MANY, SEED)


def replayed(
    plan: MemoryPlan, budget_bytes: int, epochs: int, *, expandable: bool, first: int = 0
) -> Replay:
    """The batches that a budget makes, at the plan's capacity."""
    limits = limits_of(real_programs(), budget_bytes)
    return replay(
        real_programs(),
        run_batches(real_work(), limits, MANY, SEED, epochs, first),
        plan.capacity_bytes,
        other_blocks=(V100.workspace_bytes,) * 2,
        expandable_segments=expandable,
    )


@pytest.mark.parametrize("expandable", [False, True], ids=["segments", "expandable"])
def test_no_batch_of_five_hundred_fails_and_they_fill_the_budget(expandable: bool) -> None:
    plan = real_plan(expandable=expandable)
    assert plan.limited_by == "memory"
    epochs = 5
    assert plan.steps_per_epoch * epochs >= 500
    found = replayed(plan, plan.budget_bytes, epochs, expandable=expandable)
    assert found.failure is None
    assert found.batches >= 600
    assert found.peak_reserved_bytes <= plan.capacity_bytes
    for number in range(epochs):
        epoch = training_epoch(real_work(), plan.limits, MANY, SEED, number)
        # Each graph once.
        assert np.array_equal(np.sort(epoch.order), np.arange(len(real_work().train_nodes)))
        assert (epoch.starts[0], epoch.starts[-1]) == (0, len(epoch.order))
        nodes, edges = (
            epoch.sums(sizes) for sizes in (real_work().train_nodes, real_work().train_edges)
        )
        cost = real_programs().training_cost().peak_bytes(nodes, edges, np.diff(epoch.starts))
        assert cost.max() <= plan.budget_bytes
        assert cost.mean() >= 0.97 * plan.budget_bytes
        if number == 0:
            assert plan.fill == pytest.approx(cost.mean() / plan.budget_bytes)
            assert plan.steps_per_epoch == len(epoch)


@pytest.mark.parametrize("expandable", [False, True], ids=["segments", "expandable"])
def test_a_budget_three_percent_larger_fails(expandable: bool) -> None:
    plan = real_plan(expandable=expandable)
    found = replayed(plan, int(plan.budget_bytes * 1.03), 5, expandable=expandable)
    assert found.failure is not None


def test_a_run_resumed_in_any_epoch_fits_too() -> None:
    # A run that goes on from a checkpoint has an empty allocator.
    plan = real_plan()
    found = [
        replayed(plan, plan.budget_bytes, 2, expandable=False, first=epoch).failure
        for epoch in range(1, 11)
    ]
    assert found == [None] * 10


def test_expandable_segments_leave_more_for_batches() -> None:
    # No law of the allocator, but so it is for the sizes tried.
    for capacity_mib in (256, 384, 768):
        plain, expandable = (real_plan(capacity_mib, expandable=each) for each in (False, True))
        assert expandable.budget_bytes > plain.budget_bytes
        assert expandable.steps_per_epoch < plain.steps_per_epoch


def test_a_plan_says_what_the_run_takes() -> None:
    plan = real_plan()
    capacity = 256 * MIB
    assert (plan.gpu, plan.capacity_bytes) == ("v100-16gb", capacity)
    assert plan.replayed_batches >= 500
    assert plan.budget_bytes <= plan.peak_allocated_bytes - WORKSPACES + MIB
    assert plan.peak_allocated_bytes <= plan.peak_reserved_bytes <= capacity
    assert plan.headroom_bytes == capacity - plan.peak_allocated_bytes
    assert plan.resident_bytes == real_programs().resident_bytes + WORKSPACES
    largest = plan.largest
    cost = real_programs().training_cost()
    peak = int(cost.peak_bytes(largest.nodes, largest.edges, largest.graphs))
    assert 0.99 * plan.budget_bytes <= peak <= plan.budget_bytes
    again = MemoryPlan.from_json(plan.to_json(), real_programs())
    assert again.to_json() == plan.to_json()
    assert again.limits.train is not None
    assert again.limits.train.budget_bytes == plan.budget_bytes


def test_a_plan_worked_out_by_hand() -> None:
    # Graphs of 5 nodes are 5 MiB each, so a batch of k is one block of 5 * k MiB. Of 100 MiB the
    # two workspaces take 8.125 MiB each, which share a segment of 20; 80 are left, for batches of
    # 16 graphs. From 10 MiB on a block is a segment of its own, of which one is cached.
    plan = made_plan(windows([5] * 64, [5] * 3), device(100 * MIB))
    assert plan.limited_by == "memory"
    assert plan.graphs_per_batch == Spread(16, 16, 16)
    assert (plan.steps_per_epoch, plan.largest) == (4, Shape(80, 0, 16))
    assert 80 * MIB <= plan.budget_bytes < 85 * MIB
    assert plan.peak_allocated_bytes == 80 * MIB + WORKSPACES
    assert plan.peak_reserved_bytes == 100 * MIB
    # The last batch of each epoch is as large as all others, but the validation's is not.
    assert plan.fill == pytest.approx(80 * MIB / plan.budget_bytes)


@pytest.mark.parametrize(
    ("training", "limited_by", "steps", "most"),
    [
        ({}, "the number of graphs", 1, 64),
        ({"max_graphs": 64}, "training.max_graphs", 1, 64),
        ({"max_graphs": 10}, "training.max_graphs", 7, 10),
        ({"min_steps_per_epoch": 20}, "training.min_steps_per_epoch", 22, 3),
        ({"max_graphs": 2, "min_steps_per_epoch": 20}, "training.max_graphs", 32, 2),
    ],
)
def test_what_limits_batches_where_there_is_room_for_all(
    training: dict[str, int], limited_by: str, steps: int, most: int
) -> None:
    plan = made_plan(windows([5] * 64, [5]), device(4000 * MIB), **training)
    assert (plan.limited_by, plan.steps_per_epoch) == (limited_by, steps)
    assert plan.graphs_per_batch.most == most
    # All that the weights, graphs and workspaces leave.
    assert plan.budget_bytes == 4000 * MIB - WORKSPACES


def test_few_steps_and_an_emulated_precision_are_warned_of() -> None:
    many, few = windows([5] * 50, [5]), windows([5] * 49, [5])
    v100, a100, host = (device(4000 * MIB, name) for name in ("v100-16gb", "a100-40gb", "cpu"))
    one = {"max_graphs": 1}
    assert made_plan(many, v100, **one).warnings == ()
    (warning,) = made_plan(few, v100, **one).warnings
    assert warning.startswith("49 steps an epoch: raise training.min_steps_per_epoch")
    (warning,) = made_plan(many, v100, precision="bf16", **one).warnings
    assert warning == (
        "NVIDIA V100 16 GB does not compute in bf16 natively: training.precision=fp16 is faster "
        "there"
    )
    assert made_plan(many, a100, precision="bf16", **one).warnings == ()
    (warning,) = made_plan(many, host, precision="fp16", **one).warnings
    assert "training.precision=bf16" in warning


def test_a_cache_given_back_is_warned_of() -> None:
    plan = real_plan()
    assert plan.retries > 0
    assert any("back its cache" in each and str(plan.retries) in each for each in plan.warnings)


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_share_an_epoch(ranks: int) -> None:
    work, at_hand = windows([5] * 64, [5] * 12), device(100 * MIB, ranks=ranks)
    plan = made_plan(work, at_hand)
    # Batches of 16, four of them: two for each of two. For three, two would be halved, and blocks
    # of 40 and of 80 MiB would take each other's place all the time: so six batches of 12 at most.
    assert plan.steps_per_epoch == 2
    assert plan.graphs_per_batch == (Spread(16, 16, 16) if ranks == 2 else Spread(4, 12, 12))


def test_every_ranks_batches_are_replayed() -> None:
    # Of the six batches those of 16 graphs are the second's and the third's.
    work = windows([5] * 64, [5] * 12)
    plan = made_plan(work, device(200 * MIB, ranks=3), max_graphs=48)
    assert plan.graphs_per_batch == Spread(8, 8, 16)
    assert plan.peak_allocated_bytes == 80 * MIB + WORKSPACES


def test_too_few_graphs_for_all_ranks_are_refused() -> None:
    for train, validation in (([5], [5] * 4), ([5] * 4, [5])):
        with pytest.raises(DataError, match="1 graphs can't be shared by 2 processes"):
            made_plan(windows(train, validation), device(100 * MIB, ranks=2))


def test_a_host_counts_what_is_in_use_and_keeps_nothing_back() -> None:
    # 82 MiB are room for 16 graphs of 5; nothing is rounded to segments, nothing is a workspace.
    plan = made_plan(windows([5] * 64, [5] * 3), device(82 * MIB, "cpu"))
    assert plan.gpu == "cpu"
    assert plan.graphs_per_batch == Spread(16, 16, 16)
    assert plan.peak_allocated_bytes == plan.peak_reserved_bytes == 80 * MIB
    assert (plan.resident_bytes, plan.retries) == (0, 0)
    assert plan.headroom_bytes == 2 * MIB
    assert plan.budget_bytes >= 0.995 * 82 * MIB


def test_resident_graphs_are_taken_off_the_budget() -> None:
    work = windows([5] * 64, [5] * 3, store_blocks=(20 * MIB, 10 * MIB))
    plan = made_plan(work, device(130 * MIB))
    assert plan.graphs_per_batch.most == 16
    assert plan.resident_bytes == 30 * MIB + WORKSPACES


@given(st.floats(0, 0.9), st.floats(1, 1.5))
def test_margin_and_correction_shrink_the_capacity(margin: float, correction: float) -> None:
    whole = device(1000 * MIB)
    total, context = whole.total_bytes, whole.context_bytes
    less = Device(V100, total, context, margin=margin, correction=correction)
    assert whole.capacity_bytes == 1000 * MIB
    assert less.capacity_bytes <= whole.capacity_bytes
    left = less.capacity_bytes * correction + context
    assert left == pytest.approx(total * (1 - margin), abs=2)


def test_a_margin_or_a_correction_makes_batches_smaller() -> None:
    work, total = windows([5] * 64, [5] * 3), 100 * MIB + V100.context_bytes
    plain = made_plan(work, Device(V100, total, V100.context_bytes))
    # A twentieth of 740 MiB is 37, which leaves 63: 20 for the workspaces, and 43.
    margin = made_plan(work, Device(V100, total, V100.context_bytes, margin=0.05))
    # 100 / 1.25 = 80: 60 beside the workspaces.
    correction = made_plan(work, Device(V100, total, V100.context_bytes, correction=1.25))
    most = [each.graphs_per_batch.most for each in (plain, margin, correction)]
    assert most == [16, 8, 12]


@pytest.mark.parametrize(
    ("work", "at_hand", "error", "problem"),
    [
        (([5], [5]), device(100 * MIB, margin=-0.01), ConfigError, "margin is -0.01, and must be"),
        (([5], [5]), device(100 * MIB, margin=1.0), ConfigError, "margin is 1, and must be"),
        (([], [5]), device(100 * MIB), DataError, "there is no training graph to plan for"),
        (([5], []), device(100 * MIB), DataError, "there is no validation graph to plan for"),
        (
            ([5, 90], [5]),
            device(100 * MIB),
            MemoryPlanError,
            "a single graph (90 nodes, 0 edges) needs 0.09 GiB with the weights, and NVIDIA V100 "
            "16 GB has 0.08 GiB for it",
        ),
        (
            ([5], [5]),
            Device(V100, 600 * MIB, 640 * MIB),
            MemoryPlanError,
            "NVIDIA V100 16 GB has 0.59 GiB, of which the context takes 0.62 GiB and the margin "
            "0%: nothing is left",
        ),
        (
            ([5], [5]),
            Device(V100, 700 * MIB, 640 * MIB, margin=0.1),
            MemoryPlanError,
            "the margin 10%: nothing is left",
        ),
    ],
)
def test_what_can_not_be_planned_is_refused_with_the_next_step(
    work: tuple[list[int], list[int]], at_hand: Device, error: type[KdgatError], problem: str
) -> None:
    with pytest.raises(error) as caught:
        made_plan(windows(*work), at_hand)
    assert problem in caught.value.problem
    assert caught.value.hint


def test_a_validation_graph_too_large_for_the_device_is_refused() -> None:
    with pytest.raises(MemoryPlanError, match=r"a single graph"):
        made_plan(windows([5], [90]), device(100 * MIB))


def test_a_graph_that_fits_but_for_the_segments_is_refused() -> None:
    # Of 26 MiB the workspaces hold a segment of 20, so that a graph of 5 gets none of its own; and
    # in theirs are 3.75 MiB left.
    with pytest.raises(MemoryPlanError, match="a single graph"):
        made_plan(windows([5] * 64, [5] * 3), device(26 * MIB))


@settings(max_examples=30)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=60),
    st.lists(st.integers(1, 40), min_size=1, max_size=20),
    st.integers(80, 600),
    st.booleans(),
    st.integers(0, 10**6),
)
def test_whatever_the_graphs_a_plan_fits_or_is_refused(
    train: list[int], validation: list[int], capacity_mib: int, expandable: bool, seed: int
) -> None:
    work = windows(train, validation)
    at_hand = device(capacity_mib * MIB, expandable_segments=expandable)
    config = TrainingConfig(max_graphs=50, min_steps_per_epoch=2)

    def replayed(limits: BatchLimits, first: int, most: int) -> Replay:
        return replay(
            MADE,
            run_batches(work, limits, config, seed, config.max_epochs - first, first)[:most],
            at_hand.capacity_bytes,
            other_blocks=(V100.workspace_bytes,) * 2,
            expandable_segments=expandable,
        )

    try:
        plan = plan_memory(MADE, work, at_hand, config, seed)
    except MemoryPlanError:
        # Then even the smallest batches that the largest graph leaves fail, or make the allocator
        # give back its cache all the time, from the start or from where a resumed run begins.
        costs = (MADE.training_cost(), MADE.validation_cost())
        graphs = zip(costs, (max(train), max(validation)), strict=True)
        least = max(int(cost.rising().peak_bytes(size, 0, 1)) for cost, size in graphs)
        found = [replayed(limits_of(MADE, least), first, 500) for first in (0, 3, 6, 9)]
        retries, batches = sum(f.retries for f in found), sum(f.batches for f in found)
        assert any(f.failure for f in found) or retries > 1 + 0.01 * batches
        return
    found = replayed(plan.limits, 0, plan.replayed_batches)
    assert found.failure is None
    assert plan.peak_reserved_bytes <= at_hand.capacity_bytes
    assert 0 < plan.fill <= 1
    assert plan_memory(MADE, work, at_hand, config, seed).to_json() == plan.to_json()
