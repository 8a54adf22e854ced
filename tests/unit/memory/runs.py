"""What tests of the planner share: specs of steps, random ragged graphs, and replayed batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from kdgat.configs.model import Kind, Size, model_preset
from kdgat.configs.run import RunConfig
from kdgat.configs.training import DistillationConfig, ResourcesConfig, TrainingConfig
from kdgat.data.packing import BatchLimits, EpochBatches, epoch_order, pack, plan_epoch
from kdgat.data.store import GraphStore
from kdgat.memory.affine import Block, Shape, StepProgram
from kdgat.memory.planned import Workload
from kdgat.memory.replay import PlannedBatch
from kdgat.memory.spec import Device, StepPrograms, StepSpec
from kdgat.memory.steps import step_programs

FEATURES = (27, 3)
GRAPH_KINDS: tuple[Kind, ...] = ("gat", "vgae")
KINDS: tuple[Kind, ...] = (*GRAPH_KINDS, "mlp")
"""Models that gradients train in batches of graphs, and so are planned for. A step of an mlp is so
small that workspaces, which are left out, are more than a hundredth of it."""
MIB = 1 << 20


def spec_of(
    kind: Kind = "gat",
    size: Size = "small",
    *,
    precision: str = "32",
    teacher: bool = False,
    checkpointing: bool = False,
    device: Device = "cpu",
    cached: bool = False,
    distillation: DistillationConfig | None = None,
) -> StepSpec:
    """The steps of a preset, perhaps with the large one as its teacher or with its answers."""
    config = RunConfig(
        model=model_preset(kind, size),
        size=size,
        training=TrainingConfig.model_validate({"precision": precision}),
        resources=ResourcesConfig(accelerator="cpu", gradient_checkpointing=checkpointing),
        distillation=distillation or DistillationConfig(),
    )
    master = model_preset(kind, "large") if teacher else None
    return StepSpec(config, FEATURES, device, master, cached=cached)


@cache
def programs_of(spec: StepSpec) -> StepPrograms:
    """The programs of a spec, traced once for all tests."""
    return step_programs(spec)


def with_training(spec: StepSpec, **fields: object) -> StepSpec:
    """The same steps with other fields of the training config."""
    training = spec.config.training.model_copy(update=fields)
    return replace(spec, config=spec.config.model_copy(update={"training": training}))


def random_store(shape: Shape, seed: int = 0) -> GraphStore:
    """Ragged graphs of these sums, edges sorted by destination, then source, as real ones are."""
    rng = np.random.default_rng(seed)
    node_ptr, edge_ptr = _pointers(rng, shape.nodes, shape), _pointers(rng, shape.edges, shape)
    graph = np.repeat(np.arange(shape.graphs), np.diff(edge_ptr))
    source, target = (rng.random((2, shape.edges)) * np.diff(node_ptr)[graph]).astype(np.int32)
    order = np.lexsort((source, target, graph))
    return GraphStore(
        x=torch.from_numpy(rng.standard_normal((shape.nodes, FEATURES[0]), dtype=np.float32)),
        edge_index=torch.from_numpy(np.stack((source, target))[:, order]),
        edge_attr=torch.from_numpy(rng.random((shape.edges, FEATURES[1]), dtype=np.float32)),
        node_ptr=torch.from_numpy(node_ptr),
        edge_ptr=torch.from_numpy(edge_ptr),
        start_s=torch.arange(shape.graphs, dtype=torch.float64),
        end_s=torch.arange(shape.graphs, dtype=torch.float64) + 1,
        capture=torch.zeros(shape.graphs, dtype=torch.int32),
        reference=torch.zeros(shape.graphs, dtype=torch.int8),
        captures=(),
        window_messages=100,
        attack_messages=torch.from_numpy(rng.integers(0, 2, shape.graphs)),
    )


def _pointers(rng: np.random.Generator, rows: int, shape: Shape) -> np.ndarray:
    """At least one row a graph, otherwise anything."""
    cuts = 1 + rng.choice(rows - 1, shape.graphs - 1, replace=False)
    return np.concatenate(([0], np.sort(cuts), [rows])).astype(np.int64)


def random_work(graphs: int, seed: int = 0, store_blocks: tuple[int, ...] = ()) -> Workload:
    """Windows like real ones of 100 messages: 20 to 50 ids, and floods of a few; 2 in 10 validate.

    `edges` are at most the 99 pairs of consecutive messages.
    """
    rng = np.random.default_rng(seed)
    usual = rng.integers(20, 51, graphs)
    nodes = np.where(rng.random(graphs) < 0.1, rng.integers(2, 9, graphs), usual)
    edges = np.minimum(99, (nodes * rng.uniform(1.2, 2.2, graphs)).astype(np.int64))
    train = graphs * 8 // 10
    return Workload(nodes[:train], edges[:train], nodes[train:], edges[train:], store_blocks)


def training_epoch(
    work: Workload, limits: BatchLimits, config: TrainingConfig, seed: int, number: int
) -> EpochBatches:
    """The training batches of one epoch, as the run's loader makes them."""
    return plan_epoch(
        work.train_nodes,
        work.train_edges,
        epoch_order(seed, number, len(work.train_nodes)),
        limit=limits.train,
        max_graphs=config.max_graphs,
        min_steps=config.min_steps_per_epoch,
    )


def run_batches(
    work: Workload,
    limits: BatchLimits,
    config: TrainingConfig,
    seed: int,
    epochs: int,
    first: int = 0,
) -> list[PlannedBatch]:
    """All batches of some of a run's epochs, in order, validation after each epoch."""
    checks = validation_batches(work, limits, config)
    batches = []
    for number in range(first, first + epochs):
        epoch = training_epoch(work, limits, config, seed, number)
        batches += planned(epoch, work.train_nodes, work.train_edges, training=True) + checks
    return batches


def validation_batches(
    work: Workload, limits: BatchLimits, config: TrainingConfig
) -> list[PlannedBatch]:
    """The batches of one validation, in order."""
    nodes, edges = work.validation_nodes, work.validation_edges
    order = np.arange(len(nodes))
    starts = pack(nodes, edges, order, limits.validation, config.max_graphs)
    return planned(EpochBatches(order, starts), nodes, edges, training=False)


def planned(
    epoch: EpochBatches, nodes: np.ndarray, edges: np.ndarray, *, training: bool
) -> list[PlannedBatch]:
    """Sizes of an epoch's batches."""
    columns = (epoch.sums(nodes), epoch.sums(edges), np.diff(epoch.starts))
    rows = zip(*(each.tolist() for each in columns), strict=True)
    return [PlannedBatch(Shape(*row), training) for row in rows]


def steps(shapes: Sequence[Shape]) -> list[PlannedBatch]:
    """Optimisation steps of these sizes."""
    return [PlannedBatch(shape, training=True) for shape in shapes]


def program(planes: Sequence[Sequence[int]], order: Sequence[tuple[int, int]]) -> StepProgram:
    """A program made by hand; its blocks are called a, b, c and so on."""
    blocks = tuple(Block(chr(ord("a") + i), "", "forward") for i in range(len(planes)))
    return StepProgram(np.array(planes, dtype=np.int64).reshape(-1, 4), blocks, tuple(order))
