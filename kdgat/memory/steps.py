"""The steps of a run on fake tensors: training and validation as the trainer makes them.

The order of things is Lightning's: batch, forward and loss under autocast, then old gradients are
dropped, backward, clipping and the optimiser's step. A test compares it with a real trainer's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from kdgat.data.batches import GraphBatch, collate
from kdgat.data.store import GraphStore
from kdgat.memory.affine import PROBES, Shape, fit_step
from kdgat.memory.kernels import CudaAutocast
from kdgat.memory.spec import StepPrograms, StepSpec
from kdgat.memory.trace import Recorder, Trace
from kdgat.models.layers import recompute_attention
from kdgat.models.segments import standing_for
from kdgat.models.table import build_model
from kdgat.training.distillation import Answers, CachedAnswers
from kdgat.training.optimizer import build_optimizer
from kdgat.training.tasks import Objective, task_of
from kdgat.training.terms import by_node, kept_columns

_HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
_STORED_GRAPHS = 7
"""Graphs of the fake store that batches are taken from; its size changes no allocation."""


@dataclass(frozen=True)
class StepTraces:
    """Traces of a run's steps, one a shape, and what stays from step to step."""

    training: tuple[Trace, ...]
    validation: tuple[Trace, ...]
    resident_blocks: tuple[int, ...]
    """Bytes of the weights, of the teacher's and of the optimiser's state, block by block."""
    gradient_blocks: tuple[int, ...]
    """Bytes of the gradients, which a step leaves to the next and which validation drops."""


def step_programs(spec: StepSpec) -> StepPrograms:
    """Trace a run's steps at a few shapes, and fit them.

    Raises:
        MemoryPlanError: the memory of a step is no plane over nodes, edges and graphs.
    """
    # The weights' initial values are drawn from torch's generator, fake or not.
    with torch.random.fork_rng(devices=()):
        return fit_traces(trace_steps(spec, PROBES), PROBES)


def fit_traces(traces: StepTraces, shapes: Sequence[Shape]) -> StepPrograms:
    """The programs of which the traces are instances, exactly.

    Raises:
        MemoryPlanError: there are none.
    """
    return StepPrograms(
        fit_step(traces.training, shapes),
        fit_step(traces.validation, shapes),
        traces.resident_blocks,
        traces.gradient_blocks,
    )


def trace_steps(spec: StepSpec, shapes: Sequence[Shape]) -> StepTraces:
    """Trace a training and a validation step of each shape."""
    with FakeTensorMode(), standing_for(spec.device):
        return trace_model(spec, build_model(spec.config.model, *spec.features), shapes)


def trace_model(spec: StepSpec, model: nn.Module, shapes: Sequence[Shape]) -> StepTraces:
    """`trace_steps` of a model at hand, whose parameters are fake tensors.

    Must be called under the FakeTensorMode that made them.
    """
    teacher = None
    if spec.teacher is not None:
        teacher = build_model(spec.teacher, *spec.features).requires_grad_(False)
    if spec.config.resources.gradient_checkpointing:
        recompute_attention(model)
    foreach = spec.device == "cuda"
    objective = Objective(
        task_of(spec.config.model), spec.config.distillation, teacher, _fake_answers(spec)
    ).prepared(model, spec.config.seed)
    maps = objective.projections
    optimizer = build_optimizer(
        [*model.parameters(), *maps.parameters()], spec.config.training, foreach=foreach
    )
    recorder = Recorder(spec.device, _names(model, teacher, maps))
    # A teacher whose answers are kept stays on the host.
    parts = (model, maps, None if spec.cached else teacher)
    weights = [each for part in parts if part is not None for each in part.parameters()]
    recorder.know(weights)
    stepper = _Stepper(spec, model, objective, optimizer, recorder)
    with recorder:
        store = _fake_store(spec.features)
        stepper.train(store, shapes[-1])
        resident = [each.nbytes for each in weights]
        resident += [
            state.nbytes
            for values in optimizer.state.values()
            for state in values.values()
            if isinstance(state, Tensor)
        ]
        training = []
        for shape in shapes:
            stepper.train(store, shape)
            training.append(recorder.trace())
        validation = []
        for shape in shapes:
            stepper.validate(store, shape)
            validation.append(recorder.trace())
    trained = (*model.parameters(), *maps.parameters())
    gradients = [each.grad.nbytes for each in trained if each.grad is not None]
    return StepTraces(tuple(training), tuple(validation), tuple(resident), tuple(gradients))


class _Stepper:
    """Makes the steps of one run, each recorded."""

    def __init__(
        self,
        spec: StepSpec,
        model: nn.Module,
        objective: Objective,
        optimizer: torch.optim.Optimizer,
        recorder: Recorder,
    ) -> None:
        self.spec = spec
        self.model = model
        self.objective = objective
        self.optimizer = optimizer
        self.recorder = recorder

    def train(self, store: GraphStore, shape: Shape) -> None:
        """One optimisation step."""
        recorder, model, spec = self.recorder, self.model, self.spec
        model.train()
        with recorder.step():
            recorder.phase = "batch"
            batch = self._batch(store, shape)
            recorder.phase = "forward"
            with self._autocast():
                loss = self.objective(model, batch)["loss"]
            self.optimizer.zero_grad()
            recorder.phase = "backward"
            loss.backward()
            recorder.phase = "clip"
            limit, foreach = spec.config.training.gradient_clip_norm, spec.device == "cuda"
            trained = (*model.parameters(), *self.objective.projections.parameters())
            nn.utils.clip_grad_norm_(trained, limit, foreach=foreach)
            recorder.phase = "optimizer"
            self.optimizer.step()
            del batch, loss

    def validate(self, store: GraphStore, shape: Shape) -> None:
        """One step without gradients."""
        self.model.eval()
        with self.recorder.step(), torch.no_grad():
            self.recorder.phase = "batch"
            batch = self._batch(store, shape)
            self.recorder.phase = "validation"
            with self._autocast():
                self.objective(self.model, batch, "val")
            del batch

    def _batch(self, store: GraphStore, shape: Shape) -> GraphBatch:
        index = torch.empty(shape.graphs, dtype=torch.long)
        if self.spec.resident:
            return collate(store, index, rows=(shape.nodes, shape.edges))
        nodes, edges = shape.nodes, shape.edges
        return GraphBatch(
            x=torch.empty(nodes, store.x.shape[1]),
            edge_index=torch.empty(2, edges, dtype=torch.long),
            edge_attr=torch.empty(edges, store.edge_attr.shape[1]),
            graph=torch.empty(nodes, dtype=torch.long),
            edge_graph=torch.empty(edges, dtype=torch.long),
            index=index,
            y=torch.empty(shape.graphs, dtype=torch.long),
            reference=torch.empty(shape.graphs, dtype=torch.int8),
        )

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        half = _HALF.get(self.spec.config.training.precision)
        with ExitStack() as stack:
            if half is not None:
                stack.enter_context(torch.autocast("cpu", half))
                if self.spec.device == "cuda":
                    stack.enter_context(CudaAutocast())
            yield


def _names(
    model: nn.Module, teacher: nn.Module | None, maps: nn.ModuleDict
) -> dict[nn.Module, str]:
    """Each module's name; a teacher's and the projections' are told from the student's."""
    names = {module: name for name, module in model.named_modules()}
    names |= {module: f"projections.{name}" for name, module in maps.items()}
    if teacher is not None:
        names |= {module: f"teacher.{name}".rstrip(".") for name, module in teacher.named_modules()}
    return names


def _fake_answers(spec: StepSpec) -> CachedAnswers | None:
    """A teacher's kept answers to the graphs of the fake store, of both splits."""
    if not spec.cached or spec.teacher is None:
        return None
    columns = kept_columns(spec.config.distillation, spec.teacher, spec.features[0])
    found = {name: torch.empty(_STORED_GRAPHS, each.width) for name, each in columns.items()}
    pointers = torch.empty(_STORED_GRAPHS + 1, dtype=torch.long) if by_node(columns) else None
    answers = Answers(found, pointers)
    return CachedAnswers(answers, answers)


def _fake_store(features: tuple[int, int]) -> GraphStore:
    graphs = _STORED_GRAPHS
    return GraphStore(
        x=torch.empty(graphs, features[0]),
        edge_index=torch.empty(2, graphs, dtype=torch.int32),
        edge_attr=torch.empty(graphs, features[1]),
        node_ptr=torch.empty(graphs + 1, dtype=torch.long),
        edge_ptr=torch.empty(graphs + 1, dtype=torch.long),
        start_s=torch.empty(graphs, dtype=torch.float64),
        end_s=torch.empty(graphs, dtype=torch.float64),
        capture=torch.empty(graphs, dtype=torch.int32),
        reference=torch.empty(graphs, dtype=torch.int8),
        captures=(),
        window_messages=1,
        attack_messages=torch.empty(graphs, dtype=torch.long),
    )
