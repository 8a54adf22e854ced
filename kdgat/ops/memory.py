"""Operations on memory: plan a run's batches, explain what takes the memory, calibrate."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kdgat.configs.data import DataConfig
from kdgat.configs.model import ModelConfig, model_preset
from kdgat.configs.resources import GPUS, Gpu, gpu
from kdgat.configs.run import RunConfig, json_digest
from kdgat.data.captures import load_manifest
from kdgat.data.features import EDGE_FEATURE_NAMES, feature_names
from kdgat.data.sizes import GraphSizes, read_sizes
from kdgat.errors import ConfigError, DataError, RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.scan import LATEST, find_run, readable, run_folders
from kdgat.ledger.states import State
from kdgat.memory.affine import Shape
from kdgat.memory.calibration import Calibration, load_calibrations, save_calibrations
from kdgat.memory.plan import Spread
from kdgat.memory.programs import Prober, code_hash, keep
from kdgat.memory.replay import live_blocks
from kdgat.memory.run import RunPlan, plan_run
from kdgat.memory.spec import StepPrograms, StepSpec
from kdgat.ops.config import compose_config
from kdgat.runs.registry import resolve_model
from kdgat.stages.table import graphs_key, stage_of
from kdgat.workspace import Workspace

_TRACED = {
    "cuda": "fake CPU tensors, with CUDA's optimiser and autocast, replayed through a simulation "
    "of CUDA's caching allocator",
    "cpu": "fake CPU tensors",
}
_ASSUMED_WINDOWS = 60_000
_ASSUMED_NODES, _ASSUMED_EDGES, _ASSUMED_SPREAD = 0.32, 0.57, 0.2
"""Nodes and edges a message of the window, and their relative spread, as in hcrl_sa's captures."""
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


@dataclass(frozen=True)
class CalibrationReport:
    """Measured against predicted, by GPU type."""

    items: tuple[Calibration, ...]
    runs: int
    """Runs on a GPU that recorded a measurement."""
    file: str


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
    with Prober(ws.memory / "programs") as prober:
        # Composing the config takes a second; torch is imported meanwhile, unless these very
        # words were planned before and the answer is probably in the cache.
        asked = ws.memory / "asked" / json_digest([*overrides, gpu_name, code_hash()])
        if not asked.exists():
            prober.start()
        started = time.monotonic()
        config, job = _job(ws, overrides)
        calibrations = load_calibrations(ws.memory / "calibration.json")
        for card in cards:
            planned = plan_run(
                config,
                job.sizes,
                job.features,
                card,
                prober.programs,
                ws.memory / "plans",
                teacher=job.teacher,
                total_bytes=total,
                calibration=calibrations.get(card.name),
                ranks=ranks,
                expandable_segments=expandable_segments,
            )
            plans.append(_shown(config, card, planned, job, time.monotonic() - started))
            started = time.monotonic()
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
    with Prober(ws.memory / "programs") as prober:
        config, job = _job(ws, overrides)
        calibration = load_calibrations(ws.memory / "calibration.json").get(card.name)
        planned = plan_run(
            config,
            job.sizes,
            job.features,
            card,
            prober.programs,
            ws.memory / "plans",
            teacher=job.teacher,
            calibration=calibration,
        )
        programs = prober.programs(planned.spec).programs
        shape = planned.plan.largest
        peak = _peak(programs, shape)
        remedies = []
        for override, spec in _changes(planned.spec, card):
            lower = _peak(prober.programs(spec).programs, shape)
            remedies.append(Remedy(override, lower, 1 - lower / peak))
    return ExplainedMemory(
        name=_name(config),
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


def memory_calibrate(ws: Workspace, *, dry_run: bool = False) -> CalibrationReport:
    """Compare what runs on GPUs measured with what was predicted, and let plans use it.

    Args:
        ws: the workspace.
        dry_run: report, and leave the calibration as it is.
    """
    by_gpu: dict[str, list[dict[str, float]]] = defaultdict(list)
    versions: dict[str, str] = {}
    for folder, record in readable(run_folders(ws.runs)):
        kept = _measured(folder) if record.state is State.COMPLETED else None
        if kept is not None:
            card, figures = kept
            by_gpu[card].append(figures)
            # Runs come newest first.
            versions.setdefault(card, record.environment["packages"]["torch"])
    records = {card: _calibration(card, rows, versions[card]) for card, rows in by_gpu.items()}
    path = ws.memory / "calibration.json"
    if records and not dry_run:
        save_calibrations(path, {**load_calibrations(path), **records})
    runs = sum(map(len, by_gpu.values()))
    return CalibrationReport(tuple(records.values()), runs, ws.show(path))


@dataclass(frozen=True, eq=False)
class _Job:
    """What a plan needs of a run beside its config."""

    sizes: tuple[GraphSizes, GraphSizes]
    features: tuple[int, int]
    teacher: ModelConfig | None
    assumed: tuple[str, ...]


def _job(ws: Workspace, overrides: Sequence[str]) -> tuple[RunConfig, _Job]:
    config = compose_config(ws, overrides)
    sizes, assumed = _run_sizes(ws, config)
    teacher, note = _teacher_model(ws, config)
    features = (len(feature_names(config.data.features)), len(EDGE_FEATURE_NAMES))
    return config, _Job(sizes, features, teacher, (*assumed, *note))


def _run_sizes(
    ws: Workspace, config: RunConfig
) -> tuple[tuple[GraphSizes, GraphSizes], tuple[str, ...]]:
    """Sizes of the run's graphs, and what of them is assumed."""
    benign_only = stage_of(config.model).benign_only
    folder = ws.dataset(config.dataset.name)
    try:
        manifest = load_manifest(folder)
    except DataError:
        # Not ingested yet: a plan can still be made, and says what it rests on.
        train = _ASSUMED_WINDOWS
        what = f"'{config.dataset.name}' is not ingested: {train:,} training windows"
    else:
        graphs = folder / "graphs" / graphs_key(manifest, config.data)
        if (graphs / "prepare.json").exists():
            train, validation = (
                read_sizes(graphs / side, benign_only=benign_only)
                for side in ("train", "validation")
            )
            return (train, validation), ()
        rows = sum(record.rows for record in manifest.of_role("train"))
        share = 1 - config.data.validation_fraction
        train = max(1, int(rows / config.data.training_stride_messages * share))
        what = f"'{config.dataset.name}' is not prepared: {train:,} training windows"
    fraction = config.data.validation_fraction
    validation = max(1, int(train * fraction / (1 - fraction)))
    sizes = (_assumed(train, config.data), _assumed(validation, config.data))
    told = f"{what}, of {sizes[0].nodes.mean():.0f} nodes and {sizes[0].edges.mean():.0f} edges"
    return sizes, (told,)


def _assumed(windows: int, config: DataConfig) -> GraphSizes:
    """Sizes such as windows of real traffic have."""
    random = np.random.default_rng(windows)

    def drawn(share: float) -> np.ndarray:
        typical = share * config.window_messages
        values = random.normal(typical, _ASSUMED_SPREAD * typical, windows)
        return values.round().clip(1, config.window_messages - 1).astype(np.int64)

    return GraphSizes(drawn(_ASSUMED_NODES), drawn(_ASSUMED_EDGES))


def _teacher_model(ws: Workspace, config: RunConfig) -> tuple[ModelConfig | None, tuple[str, ...]]:
    """The teacher's model, and what of it is assumed."""
    wanted = config.distillation.teacher
    if wanted is None:
        return None, ()
    kind = config.model.kind
    try:
        folder = find_run(
            ws.runs,
            resolve_model(ws, wanted),
            lambda record: (
                (record.dataset, record.model, record.size, record.subject)
                == (config.dataset.name, kind, "large", None)
            ),
        )
    except RunError:
        if wanted != LATEST:
            raise
        return model_preset(kind, "large"), (f"the teacher is a large {kind} as preset",)
    values = folder.config()
    return RunConfig.model_validate(values).model, ()


def _shown(
    config: RunConfig, card: Gpu, planned: RunPlan, job: _Job, seconds: float
) -> PlannedMemory:
    plan, device = planned.plan, planned.device
    return PlannedMemory(
        name=_name(config),
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


def _measured(folder: RunFolder) -> tuple[str, dict[str, float]] | None:
    """The GPU a run was trained on and its figures in bytes, if it measured them."""
    try:
        kept = json.loads((folder.artifacts / "memory.json").read_bytes())
        figures = {name: float(value) for name, value in kept["measured"].items() if value}
        known = "measured_allocated_bytes" in figures
        return (str(kept["plan"]["gpu"]), figures) if known else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Trained before plans were kept, or broken off: nothing to compare.
        return None


def _calibration(card: str, rows: list[dict[str, float]], torch: str) -> Calibration:
    def largest(measured: str, predicted: str) -> float | None:
        ratios = [row[measured] / row[predicted] for row in rows if row.get(predicted)]
        return max(ratios, default=None)

    contexts = [row["measured_context_bytes"] for row in rows if "measured_context_bytes" in row]
    return Calibration(
        gpu=card,
        runs=len(rows),
        context_bytes=int(max(contexts)) if contexts else None,
        allocated_ratio=largest("measured_allocated_bytes", "predicted_allocated_bytes") or 1.0,
        reserved_ratio=largest("measured_reserved_bytes", "predicted_reserved_bytes"),
        torch=torch,
    )


def _total(memory_gib: float | None) -> int | None:
    if memory_gib is None:
        return None
    if not memory_gib > 0:
        raise ConfigError(
            f"--memory-gib is {memory_gib:g}, and must be above 0",
            hint="give the device's memory in GiB, for example --memory-gib 15.7",
        )
    return int(memory_gib * 2**30)


def _name(config: RunConfig) -> str:
    return f"{config.dataset.name}-{config.model.kind}-{config.size}"
