"""Traces of real steps: what is carried over, where blocks come from, and what tracing costs."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import cast

import pytest
from torch._subclasses.fake_tensor import FakeTensorMode

from kdgat.configs.model import Kind, Size, VgaeConfig, model_preset
from kdgat.memory.affine import PROBES, Shape
from kdgat.memory.spec import StepPrograms, StepSpec
from kdgat.memory.steps import StepTraces, trace_steps
from kdgat.memory.trace import Trace
from kdgat.models.table import build_model
from tests.unit.memory.runs import FEATURES, KINDS, programs_of, spec_of

SHAPES = (Shape(311, 604, 11), Shape(200, 517, 7))
GIB = 1 << 30
HUGE = """
import json
from pathlib import Path
from kdgat.memory.affine import Shape
from kdgat.memory.steps import trace_steps
from tests.unit.memory.runs import spec_of

def peak_bytes():
    # getrusage would count the parent's memory at the fork.
    (line,) = (each for each in Path("/proc/self/status").open() if each.startswith("VmHWM"))
    return int(line.split()[1]) * 1024

def asked_bytes(kind, shape):
    (trace,) = trace_steps(spec_of(kind, "large"), [shape]).training
    return sum(each.nbytes for each in trace.allocations)

LARGE = ("gat", "vgae")
for kind in LARGE:
    asked_bytes(kind, Shape(640, 1207, 20))
before = peak_bytes()
asked = [asked_bytes(kind, Shape(5_000_000, 9_000_000, 150_000)) for kind in LARGE]
print(json.dumps({"asked": asked, "before": before, "after": peak_bytes()}))
"""


def traces_of(spec: StepSpec) -> StepTraces:
    return trace_steps(spec, SHAPES)


def weights_of(kind: Kind, size: Size) -> list[int]:
    """Bytes of each parameter of a preset."""
    with FakeTensorMode():
        model = build_model(spec_of(kind, size).config.model, *FEATURES)
        return [each.nbytes for each in model.parameters()]


def projection_of(kind: Kind) -> list[int]:
    """Bytes of what maps a small student's latents to the large teacher's."""
    if kind != "vgae":
        return []
    small, large = (cast(VgaeConfig, model_preset(kind, size)) for size in ("small", "large"))
    return [4 * small.latent * large.latent, 4 * large.latent]


def changes(trace: Trace) -> dict[int, list[int]]:
    """What happens to each block number, in order."""
    found: dict[int, list[int]] = {}
    for block, change in trace.order:
        found.setdefault(block, []).append(change)
    return found


@pytest.mark.parametrize("teacher", [False, True], ids=["alone", "distilled"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_all_that_is_carried_to_the_next_step(kind: Kind, teacher: bool) -> None:
    spec = spec_of(kind, "small", teacher=teacher)
    traces = traces_of(spec)
    weights = [*weights_of(kind, "small"), *(projection_of(kind) if teacher else ())]
    assert Counter(traces.gradient_blocks) == Counter(weights)
    for trace in traces.training:
        carried = [block for block, change in trace.order if change == -2]
        # Attention's two maps have the halves of one block for their gradients.
        assert sum(trace.allocations[block].nbytes for block in carried) == sum(weights)
        assert {trace.allocations[block].phase for block in carried} == {"backward"}
        # Their own gradients stay; every other block comes and goes within the step.
        for block, seen in changes(trace).items():
            assert sorted(seen) == ([-2, +1] if block in carried else [-1, +1])


@pytest.mark.parametrize("kind", KINDS)
def test_old_gradients_go_between_the_loss_and_the_backward_pass(kind: Kind) -> None:
    (trace, _) = traces_of(spec_of(kind)).training
    places = [i for i, (_, change) in enumerate(trace.order) if change == -2]
    before = [trace.order[i][0] for i in range(places[0]) if trace.order[i][1] > 0]
    after = [block for block, change in trace.order[places[-1] :] if change > 0]
    assert {trace.allocations[block].phase for block in before} == {"batch", "forward"}
    assert trace.allocations[after[0]].phase == "backward"


@pytest.mark.parametrize("kind", KINDS)
def test_validation_carries_and_leaves_nothing(kind: Kind) -> None:
    traces = traces_of(spec_of(kind))
    for trace in traces.validation:
        assert all(seen == [+1, -1] for seen in changes(trace).values())
        assert {each.phase for each in trace.allocations} == {"batch", "validation"}


@pytest.mark.parametrize("kind", KINDS)
def test_what_stays_is_two_moments_a_weight_and_the_teacher(kind: Kind) -> None:
    alone, distilled, cached = (
        spec_of(kind, "small", **given)
        for given in ({}, {"teacher": True}, {"teacher": True, "cached": True})
    )
    resident = programs_of(alone).resident_bytes
    # AdamW counts each parameter's steps in a scalar of its own.
    counters = 4 * len(programs_of(alone).gradient_blocks)
    assert resident == 3 * sum(weights_of(kind, "small")) + counters
    # A projection to the teacher's widths is trained like the student, and has moments too.
    projected = sum(3 * nbytes + 4 for nbytes in projection_of(kind))
    teacher = sum(weights_of(kind, "large"))
    assert programs_of(distilled).resident_bytes == resident + projected + teacher
    assert programs_of(cached).resident_bytes == resident + projected


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_with_kept_answers_asks_no_teacher_and_takes_no_more(kind: Kind) -> None:
    asked = spec_of(kind, "small", teacher=True)
    kept = spec_of(kind, "small", teacher=True, cached=True)
    assert asked.key() != kept.key()
    for trace in (*traces_of(kept).training, *traces_of(kept).validation):
        assert not any(each.module.startswith("teacher") for each in trace.allocations)
    for shape in SHAPES:
        counts = (shape.nodes, shape.edges, shape.graphs)
        for cost in (StepPrograms.training_cost, StepPrograms.validation_cost):
            most = cost(programs_of(asked)).peak_bytes(*counts)
            assert cost(programs_of(kept)).peak_bytes(*counts) <= most


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_named_by_the_models_modules_and_the_teachers_are_told_apart(
    kind: Kind,
) -> None:
    spec = spec_of(kind, "small", teacher=True)
    assert spec.teacher is not None
    student, teacher = (
        {name for name, _ in build_model(each, *FEATURES).named_modules()}
        for each in (spec.config.model, spec.teacher)
    )
    known = student | {"projections.latent"} | {f"teacher.{name}".rstrip(".") for name in teacher}
    traces = traces_of(spec)
    for trace in (*traces.training, *traces.validation):
        names = {each.module for each in trace.allocations}
        assert names <= known
        assert {name.partition(".")[0] for name in names} > {"", "teacher"}
        assert len(names - {""}) > 5
    by_phase: dict[str, set[str]] = {}
    for each in traces.training[0].allocations:
        by_phase.setdefault(each.phase, set()).add(each.module)
    assert any(name.startswith("teacher") for name in by_phase["forward"])
    # A teacher is never trained, so its modules have no backward pass.
    assert not any(name.startswith("teacher") for name in by_phase["backward"])
    assert by_phase["backward"] & (student - {""})
    assert by_phase["batch"] == by_phase["clip"] == {""}
    # The fused optimiser works in place, once its moments are there.
    assert "optimizer" not in by_phase


def test_the_same_spec_traced_twice_is_the_same() -> None:
    spec = spec_of("vgae", "small", teacher=True, checkpointing=True)
    assert trace_steps(spec, PROBES[:2]) == trace_steps(spec, PROBES[:2])


def test_steps_of_hundreds_of_gigabytes_are_traced_in_the_memory_of_small_ones() -> None:
    command = [sys.executable, "-W", "ignore", "-c", HUGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert min(said["asked"]) > 80 * GIB
    assert said["after"] - said["before"] < 16 << 20
    assert said["after"] < 1.5 * GIB
