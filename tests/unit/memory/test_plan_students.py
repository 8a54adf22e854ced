"""Plans of students and of curricula: is a teacher asked, and which windows an epoch has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdgat.configs.model import Kind, model_preset
from kdgat.configs.resources import gpu
from kdgat.configs.training import DistillationConfig, TrainingConfig
from kdgat.data.batches import BatchLoader
from kdgat.data.sizes import GraphSizes
from kdgat.memory.affine import Shape
from kdgat.memory.plan import _Planner
from kdgat.memory.planned import Device, Workload
from kdgat.memory.programs import Probe
from kdgat.memory.run import RunPlan, plan_run
from kdgat.memory.spec import StepPrograms
from kdgat.training.curriculum import Curriculum
from kdgat.training.terms import MOST_KEPT_BYTES
from tests.unit.memory.runs import FEATURES, MIB, program, random_store, random_work, spec_of

BATCH = program([[1000, 100, 10, 0]], [(0, +1), (0, -1)])
MADE = StepPrograms(BATCH, BATCH, resident_blocks=(), gradient_blocks=())
STORE = random_store(Shape(3200, 5700, 100))


def planned(
    folder: Path, kind: Kind, card: str = "v100-16gb", copies: int = 1, **weights: Any
) -> RunPlan:
    """A student's plan on so many copies of the graphs."""
    spec = spec_of(kind, "small", distillation=DistillationConfig(teacher="t", **weights))
    nodes, edges = (
        np.tile(np.diff(each.numpy()), copies) for each in (STORE.node_ptr, STORE.edge_ptr)
    )
    sizes = GraphSizes(nodes, edges)
    return plan_run(
        spec.config,
        (sizes, sizes),
        FEATURES,
        gpu(card),
        lambda _: Probe(MADE, cached=True),
        folder,
        teacher=model_preset(kind, "large"),
    )


@pytest.mark.parametrize("card", ["v100-16gb", "cpu"])
@pytest.mark.parametrize("kind", ["gat", "vgae"])
def test_a_teacher_is_asked_only_where_a_term_looks_into_its_layers(
    kind: Kind, card: str, tmp_path: Path
) -> None:
    assert planned(tmp_path, kind, card).spec.cached
    assert not planned(tmp_path, kind, card, alpha=0.0).spec.cached
    assert not planned(tmp_path, kind, card, feature_weight=0.1).spec.cached
    assert not planned(tmp_path, kind, card, attention_weight=0.1).spec.cached


def test_kept_answers_lie_on_the_gpu_beside_the_graphs_and_are_counted(tmp_path: Path) -> None:
    asked = planned(tmp_path, "gat", feature_weight=0.1).plan
    gat, vgae = (planned(tmp_path, kind).plan for kind in ("gat", "vgae"))
    assert gat.resident_bytes - asked.resident_bytes == 2 * 100 * 2 * 4
    # Rebuilt nodes, latents of 32 and the pointers to both stores' nodes.
    expected = 2 * (3200 * (FEATURES[0] + 32) * 4 + 8 * 101)
    assert vgae.resident_bytes - asked.resident_bytes == expected


def test_answers_too_large_to_keep_are_asked_for(tmp_path: Path) -> None:
    copies = MOST_KEPT_BYTES // (2 * 3200 * (FEATURES[0] + 32) * 4) + 1
    assert not planned(tmp_path, "vgae", copies=copies).spec.cached
    assert planned(tmp_path, "gat", copies=copies).spec.cached


def test_every_epoch_that_is_planned_is_the_one_that_the_loader_makes() -> None:
    rng = np.random.default_rng(1)
    order = Curriculum(np.arange(20), 20 + rng.permutation(80), 0.3, 4)
    nodes, edges = (np.diff(each.numpy()) for each in (STORE.node_ptr, STORE.edge_ptr))
    work = Workload(nodes, edges, nodes, edges, curriculum=order)
    config = TrainingConfig(max_epochs=6, max_graphs=30, min_steps_per_epoch=5)
    card = gpu("v100-16gb")
    room = Device(card, card.context_bytes + 64 * MIB, card.context_bytes)
    planner = _Planner(MADE, work, room, config, seed=9)
    limits = planner.limits(400_000)
    steps = []
    for epoch in range(6):
        loader = BatchLoader(
            STORE, 30, seed=9, limit=limits.train, min_steps=5, chosen=order.chosen
        )
        loader.set_epoch(epoch)
        plan = planner.epoch(epoch, limits)
        expected = [plan.batch(i) for i in range(len(plan))]
        found = [batch.index for batch in loader]
        assert all(
            torch.equal(one, torch.from_numpy(other))
            for one, other in zip(found, expected, strict=True)
        )
        steps.append(len(expected))
    assert steps[0] < steps[4] == steps[planner.fullest]
    # Whatever the plan says of an epoch, it says of one that takes all.
    assert planner.verified(*planner.budget()).graphs_per_batch.most == 20


def test_a_plan_is_made_again_for_another_curriculum() -> None:
    easy, hard = (Curriculum(np.arange(5), np.arange(5, 40)[::way], 0.3, 4) for way in (1, -1))
    assert easy.digest() != hard.digest()
    assert easy.digest() == Curriculum(np.arange(5), np.arange(5, 40), 0.3, 4).digest()
    assert easy.digest() != Curriculum(np.arange(5), np.arange(5, 40), 0.4, 4).digest()
    assert random_work(10).curriculum is None
