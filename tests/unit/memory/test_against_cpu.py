"""The planner against the real CPU allocator, at sizes that were never probed.

The real steps run in the product's own order, with torch.profiler noting every allocation.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise, product
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from kdgat.configs.model import SIZES, Kind, Size
from kdgat.configs.run import RunConfig
from kdgat.configs.training import DistillationConfig
from kdgat.data.batches import BatchLoader, GraphBatch, collate
from kdgat.data.packing import PeakCost
from kdgat.data.store import GraphStore
from kdgat.memory.affine import PROBES, Shape
from kdgat.memory.spec import StepSpec
from kdgat.memory.steps import _Stepper
from kdgat.memory.trace import Recorder
from kdgat.models.layers import recompute_attention
from kdgat.models.table import build_model
from kdgat.training.distillation import Answers, CachedAnswers
from kdgat.training.fit import fit
from kdgat.training.optimizer import build_optimizer
from kdgat.training.tasks import Objective, task_of
from kdgat.training.terms import by_node, kept_columns
from tests.unit.memory.runs import (
    FEATURES,
    GRAPH_KINDS,
    programs_of,
    random_store,
    spec_of,
    with_training,
)

TOLERANCE = 0.01
NEW_SHAPES = (Shape(3207, 6013, 101), Shape(2111, 2503, 19))
CASES = [
    (kind, size, precision, teacher, checkpointing)
    for kind, size, precision, teacher, checkpointing in product(
        GRAPH_KINDS, SIZES, ("32", "bf16"), (False, True), (False, True)
    )
    if not (teacher and size == "large")
]


def name_of(case: tuple[str, str, str, bool, bool]) -> str:
    kind, size, precision, teacher, checkpointing = case
    flags = ("distilled",) * teacher + ("checkpointed",) * checkpointing
    return "-".join((kind, size, precision, *flags))


class Unrecorded:
    """In the recorder's place where nothing is recorded."""

    phase = ""

    def step(self) -> AbstractContextManager[None]:
        return nullcontext()


class RealStepper(_Stepper):
    """The product's steps on graphs that are there."""

    def _batch(self, store: GraphStore, shape: Shape) -> GraphBatch:
        return collate(store, torch.arange(shape.graphs), rows=(shape.nodes, shape.edges))


def teacher_of(spec: StepSpec) -> nn.Module | None:
    if spec.teacher is None:
        return None
    return build_model(spec.teacher, *spec.features).requires_grad_(False)


def real_stepper(
    spec: StepSpec, teacher: nn.Module | None, answers: CachedAnswers | None
) -> RealStepper:
    config = spec.config
    model = build_model(config.model, *spec.features)
    if config.resources.gradient_checkpointing:
        recompute_attention(model)
    objective = Objective(task_of(config.model), config.distillation, teacher, answers)
    objective = objective.prepared(model, config.seed)
    trained = [*model.parameters(), *objective.projections.parameters()]
    optimizer = build_optimizer(trained, config.training, foreach=False)
    return RealStepper(spec, model, objective, optimizer, cast(Recorder, Unrecorded()))


def answers_of(spec: StepSpec) -> CachedAnswers | None:
    """Kept answers to stores of as many rows as any of the shapes has."""
    if not spec.cached or spec.teacher is None:
        return None
    columns = kept_columns(spec.config.distillation, spec.teacher, spec.features[0])
    rows = max(each.nodes for each in NEW_SHAPES)
    found = {name: torch.randn(rows, each.width) for name, each in columns.items()}
    # One node after the other; which ones are taken changes no allocation.
    pointers = torch.arange(rows + 1) if by_node(columns) else None
    answers = Answers(found, pointers)
    return CachedAnswers(answers, answers)


def peaks(run: Callable[[], object]) -> list[int]:
    """Most bytes in use between each `mark` and the next, of what was taken since `run` began."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    assert profiler.profiler is not None
    assert profiler.profiler.kineto_results is not None
    events = profiler.profiler.kineto_results.events()
    marks = sorted(event.start_ns() for event in events if event.name() == "mark")
    changes = sorted(
        (event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"
    )
    in_use = np.cumsum([nbytes for _, nbytes in changes])
    places = np.searchsorted([time for time, _ in changes], marks)
    return [int(in_use[before - 1 : end].max()) for before, end in pairwise(places)]


def mark() -> None:
    with record_function("mark"):
        pass


def bytes_of(cost: PeakCost, shape: Shape) -> int:
    return int(cost.peak_bytes(shape.nodes, shape.edges, shape.graphs))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_both_steps_take_what_was_foreseen_at_sizes_that_were_never_probed(
    case: tuple[Kind, Size, str, bool, bool],
) -> None:
    kind, size, precision, teacher, checkpointing = case
    check(spec_of(kind, size, precision=precision, teacher=teacher, checkpointing=checkpointing))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["32", "bf16"])
@pytest.mark.parametrize("kind", GRAPH_KINDS)
def test_steps_with_a_teachers_kept_answers_take_what_was_foreseen(
    kind: Kind, precision: str
) -> None:
    check(spec_of(kind, "small", precision=precision, teacher=True, cached=True))


@pytest.mark.slow
@pytest.mark.parametrize(("feature", "attention"), [(0.5, 0.0), (0.0, 2.0), (0.5, 2.0)])
@pytest.mark.parametrize("kind", ["gat", "vgae"])
def test_steps_that_look_into_the_layers_take_what_was_foreseen(
    kind: Kind, feature: float, attention: float
) -> None:
    weights = DistillationConfig(feature_weight=feature, attention_weight=attention)
    check(spec_of(kind, "small", teacher=True, distillation=weights))


def check(spec: StepSpec) -> None:
    """Hold the peaks of real steps against the planner's."""
    assert not set(NEW_SHAPES) & set(PROBES)
    stores = [random_store(shape, seed) for seed, shape in enumerate(NEW_SHAPES)]

    # What is kept lies on the host beside the graphs, and so does the teacher that gave it.
    answers = answers_of(spec)
    silent = teacher_of(spec) if spec.cached else None

    def run() -> None:
        stepper = real_stepper(spec, silent or teacher_of(spec), answers)
        # From the first step on there are gradients and the optimiser's state.
        stepper.train(stores[0], NEW_SHAPES[0])
        mark()
        for store, shape in zip(stores, NEW_SHAPES, strict=True):
            stepper.train(store, shape)
            mark()
        # As Lightning does before it validates.
        stepper.optimizer.zero_grad()
        for store, shape in zip(stores, NEW_SHAPES, strict=True):
            stepper.validate(store, shape)
            mark()

    programs = programs_of(spec)
    costs = (programs.training_cost(), programs.validation_cost())
    foreseen = [bytes_of(cost, shape) for cost in costs for shape in NEW_SHAPES]
    assert peaks(run) == pytest.approx(foreseen, rel=TOLERANCE)


@pytest.mark.parametrize("kind", GRAPH_KINDS)
def test_the_steps_of_a_real_trainer_take_what_was_foreseen(kind: Kind, tmp_path: Path) -> None:
    spec = with_training(
        spec_of(kind), max_epochs=2, max_graphs=40, min_steps_per_epoch=0, patience_epochs=9
    )
    config = spec.config
    stores = (random_store(Shape(6007, 11003, 200)), random_store(Shape(1009, 1803, 40), seed=1))

    def tick(what: str, done: int, total: int) -> None:
        mark()

    def run() -> None:
        model = build_model(config.model, *FEATURES)
        objective = Objective(task_of(config.model), config.distillation)
        fit(model, objective, stores, config, tmp_path, None, lambda *_: mark(), tick)

    measured = peaks(run)
    shapes = trainer_shapes(stores[0], config)
    steps = len(shapes) // 2
    assert steps == 5
    programs = programs_of(spec)
    foreseen = [bytes_of(programs.training_cost(), shape) for shape in shapes]
    # Marks end each step and each validation, so there is none before the first step of all.
    first, validation, opening = measured[: steps - 1], measured[steps - 1], measured[steps]
    assert first == pytest.approx(foreseen[1:steps], rel=TOLERANCE)
    assert measured[steps + 1 : 2 * steps] == pytest.approx(foreseen[steps + 1 :], rel=TOLERANCE)
    # The first step after a validation finds no gradients, which are counted all the same.
    gradients = sum(programs.gradient_blocks)
    assert foreseen[steps] - gradients <= opening * (1 + TOLERANCE) <= foreseen[steps] * 1.02
    expected = bytes_of(programs.validation_cost(), Shape(1009, 1803, 40))
    # Between the last step's mark and validation the gradients are still there.
    assert expected <= validation * (1 + TOLERANCE) <= (expected + gradients) * 1.02


def trainer_shapes(store: GraphStore, config: RunConfig) -> list[Shape]:
    """Sizes of the training batches, in order."""
    loader = BatchLoader(store, config.training.max_graphs, seed=config.seed)
    shapes = []
    for epoch in range(config.training.max_epochs):
        loader.set_epoch(epoch)
        shapes += [Shape(len(b.x), len(b.edge_attr), b.num_graphs) for b in loader]
    return shapes
