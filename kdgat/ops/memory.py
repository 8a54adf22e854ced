"""Operations on memory: plan a run's batches, explain what takes the memory."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from kdgat.configs.resources import GPUS, Gpu, gpu
from kdgat.configs.run import RunConfig, json_digest
from kdgat.errors import ConfigError
from kdgat.memory.affine import Shape
from kdgat.memory.planned import Spread
from kdgat.memory.programs import code_hash, keep
from kdgat.memory.replay import live_blocks
from kdgat.memory.run import RunPlan
from kdgat.memory.spec import StepPrograms, StepSpec
from kdgat.ops.memory_job import MemoryJob, memory_job
from kdgat.workspace import Workspace

_TRACED = {
    "cuda": "fake CPU tensors, with CUDA's optimiser and autocast, replayed through a simulation "
    "of CUDA's caching allocator",
    "cpu": "fake CPU tensors",
}
_LARGEST = 10


@dataclass(frozen=True)
class PlannedMemory:
    """What a run will take on one type of device, and the batches it will be trained in."""

    name: str
    gpu: str
    total_bytes: int
    context_bytes: int
    margin: float
    capacity_bytes: int
    budget_bytes: int
    limited_by: str
    steps_per_epoch: int
    graphs_per_batch: Spread
    peak_allocated_bytes: int
    peak_reserved_bytes: int
    headroom_bytes: int
    fill: float
    resident_bytes: int
    graphs_on_device: bool
    replayed_batches: int
    assumed: tuple[str, ...]
    warnings: tuple[str, ...]
    traced_as: str
    cached: bool
    seconds: float


@dataclass(frozen=True)
class LargeBlock:
    """Blocks of one origin that are in use at the peak."""

    nbytes: int
    share: float
    count: int
    module: str
    operator: str
    phase: str


@dataclass(frozen=True)
class Remedy:
    """A change of the config, and the peak with it for the same batch."""

    override: str
    peak_bytes: int
    saved: float


@dataclass(frozen=True)
class ExplainedMemory:
    """What is in use at the peak of the largest planned step."""

    name: str
    gpu: str
    nodes: int
    edges: int
    graphs: int
    peak_bytes: int
    resident_bytes: int
    largest: tuple[LargeBlock, ...]
    remedies: tuple[Remedy, ...]
    assumed: tuple[str, ...]


def memory_plan(
    ws: Workspace,
    *,
    overrides: Sequence[str] = (),
    gpu_name: str | None = None,
    memory_gib: float | None = None,
    ranks: int = 1,
    expandable_segments: bool = False,
) -> tuple[PlannedMemory, ...]:
    """Plan a run's batches for one type of GPU, or for every one in the catalogue.

    No GPU is needed, and none of the batches' memory.

    Args:
        ws: the workspace.
        overrides: Hydra overrides, such as `dataset=hcrl_sa model=gat size=small`.
        gpu_name: a GPU of the catalogue, or `cpu`; None plans for all of them.
        memory_gib: memory of the device, where it is not the catalogue's.
        ranks: GPUs that share an epoch.
        expandable_segments: whether the job sets PyTorch's allocator so.

    Raises:
        ConfigError: an override is wrong, the GPU is unknown, or no stage trains that model.
        DataError: the prepared graphs can't be read, or there are none.
        MemoryPlanError: the device is too small, or a step's memory can't be foreseen.
    """
    cards = tuple(GPUS.values()) if gpu_name is None else (gpu(gpu_name),)
    total = _total(memory_gib)
    plans = []
    # If these very words were planned before, the answer is probably in the cache.
    asked = ws.memory / "asked" / json_digest([*overrides, gpu_name, code_hash()])
    started = time.monotonic()
    before = asked.exists()
    with memory_job(ws, overrides, early=not before) as job:
        for card in cards:
            planned = job.plan(
                card, total_bytes=total, ranks=ranks, expandable_segments=expandable_segments
            )
            plans.append(_shown(job, card, planned, time.monotonic() - started))
            started = time.monotonic()
    if not before:
        keep(asked, {})
    return tuple(plans)


def memory_explain(
    ws: Workspace, *, overrides: Sequence[str] = (), gpu_name: str = "v100-16gb"
) -> ExplainedMemory:
    """What is in use at the peak of the largest planned training step, and what would lower it.

    Raises:
        As `memory_plan`.
    """
    card = gpu(gpu_name)
    with memory_job(ws, overrides, early=False) as job:
        planned = job.plan(card)
        programs = job.programs(planned.spec)
        shape = planned.plan.largest
        peak = _peak(programs, shape)
        remedies = []
        for override, spec in _changes(planned.spec, card):
            lower = _peak(job.programs(spec), shape)
            remedies.append(Remedy(override, lower, 1 - lower / peak))
    return ExplainedMemory(
        name=job.name,
        gpu=card.name,
        nodes=shape.nodes,
        edges=shape.edges,
        graphs=shape.graphs,
        peak_bytes=peak,
        resident_bytes=programs.resident_bytes,
        largest=_largest(programs, shape, peak),
        remedies=tuple(sorted(remedies, key=lambda each: each.peak_bytes)),
        assumed=(*job.assumed, *planned.assumed),
    )


def _shown(job: MemoryJob, card: Gpu, planned: RunPlan, seconds: float) -> PlannedMemory:
    plan, device = planned.plan, planned.device
    return PlannedMemory(
        name=job.name,
        gpu=card.name,
        total_bytes=device.total_bytes,
        context_bytes=device.context_bytes,
        margin=device.margin,
        capacity_bytes=plan.capacity_bytes,
        budget_bytes=plan.budget_bytes,
        limited_by=plan.limited_by,
        steps_per_epoch=plan.steps_per_epoch,
        graphs_per_batch=plan.graphs_per_batch,
        peak_allocated_bytes=plan.peak_allocated_bytes,
        peak_reserved_bytes=plan.peak_reserved_bytes,
        headroom_bytes=plan.headroom_bytes,
        fill=plan.fill,
        resident_bytes=plan.resident_bytes,
        graphs_on_device=planned.resident,
        replayed_batches=plan.replayed_batches,
        assumed=(*job.assumed, *planned.assumed),
        warnings=plan.warnings,
        traced_as=_TRACED[planned.spec.device],
        cached=planned.cached,
        seconds=seconds,
    )


def _largest(programs: StepPrograms, shape: Shape, peak: int) -> tuple[LargeBlock, ...]:
    """The blocks at the peak, those of one operator in one module as one."""
    groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
    for block, nbytes in live_blocks(programs.training, shape):
        origin = programs.training.blocks[block]
        groups[origin.module, origin.operator, origin.phase].append(nbytes)
    groups["", "weights and optimiser state", "resident"] = list(programs.resident_blocks)
    ranked = sorted(groups.items(), key=lambda item: -sum(item[1]))[:_LARGEST]
    return tuple(
        LargeBlock(sum(sizes), sum(sizes) / peak, len(sizes), module, operator, phase)
        for (module, operator, phase), sizes in ranked
    )


def _changes(spec: StepSpec, card: Gpu) -> list[tuple[str, StepSpec]]:
    """Changes of a config that may lower its peak, with the steps they make."""
    config, changes = spec.config, []

    def changed(override: str, **parts: object) -> None:
        changes.append((override, _with(spec, config.model_copy(update=parts))))

    if not config.resources.gradient_checkpointing:
        resources = config.resources.model_copy(update={"gradient_checkpointing": True})
        changed("resources.gradient_checkpointing=true", resources=resources)
    if config.training.precision == "32":
        half = next((each for each in ("bf16", "fp16") if each in card.precisions), None)
        if half is not None:
            training = config.training.model_copy(update={"precision": half})
            changed(f"training.precision={half}", training=training)
    hidden = getattr(config.model, "hidden", 1)
    if hidden > 1:
        model = config.model.model_copy(update={"hidden": hidden // 2})
        changed(f"model.hidden={hidden // 2}", model=model)
    return changes


def _with(spec: StepSpec, config: RunConfig) -> StepSpec:
    return StepSpec(config, spec.features, spec.device, spec.teacher, spec.resident)


def _peak(programs: StepPrograms, shape: Shape) -> int:
    return int(programs.training_cost().peak_bytes(shape.nodes, shape.edges, shape.graphs))


def _total(memory_gib: float | None) -> int | None:
    if memory_gib is None:
        return None
    if not memory_gib > 0:
        raise ConfigError(
            f"--memory-gib is {memory_gib:g}, and must be above 0",
            hint="give the device's memory in GiB, for example --memory-gib 15.7",
        )
    return int(memory_gib * 2**30)
