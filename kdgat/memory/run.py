"""A run's plan: its graphs, its steps and a device brought together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from kdgat.configs.model import ModelConfig
from kdgat.configs.resources import Gpu
from kdgat.configs.run import RunConfig, json_digest
from kdgat.data.sizes import GraphSizes
from kdgat.memory.calibration import Calibration
from kdgat.memory.host import HOST_PROCESS_BYTES, host_memory_bytes
from kdgat.memory.plan import plan_memory
from kdgat.memory.planned import Device, MemoryPlan, Workload
from kdgat.memory.programs import Probe, code_hash, keep
from kdgat.memory.spec import StepSpec
from kdgat.training.curriculum import Curriculum
from kdgat.training.terms import MOST_KEPT_BYTES, by_node, kept_blocks, kept_columns

RESIDENT_SHARE = 0.3
"""Share of a GPU's memory that graphs may take; the rest is the step's."""


@dataclass(frozen=True, eq=False)
class RunPlan:
    """A plan, and what it rests on."""

    plan: MemoryPlan
    spec: StepSpec
    device: Device
    resident: bool
    """Whether the graphs lie on the GPU."""
    cached: bool
    """Whether the steps' programs were known already."""
    assumed: tuple[str, ...]


def plan_run(
    config: RunConfig,
    sizes: tuple[GraphSizes, GraphSizes],
    features: tuple[int, int],
    gpu: Gpu,
    probe: Callable[[StepSpec], Probe],
    plans: Path,
    *,
    teacher: ModelConfig | None = None,
    total_bytes: int | None = None,
    calibration: Calibration | None = None,
    ranks: int = 1,
    expandable_segments: bool = False,
    curriculum: Curriculum | None = None,
) -> RunPlan:
    """Plan a run's batches on one type of device.

    Args:
        config: the run's config.
        sizes: of the training and of the validation graphs.
        features: of a node and of an edge.
        gpu: an entry of the catalogue.
        probe: gives the programs of the run's steps.
        plans: folder of plans made before; one is made again where anything differs.
        teacher: model of the teacher, for a distilled student.
        total_bytes: the device's memory, where it is known better than by the catalogue.
        calibration: what was measured on that type of GPU.
        ranks: processes that share an epoch's batches, one a GPU.
        expandable_segments: whether the job sets PyTorch's allocator so.
        curriculum: which training graphs each epoch takes, where it does not take all.

    Raises:
        ConfigError, DataError, MemoryPlanError: as `plan_memory`; or a step can't be traced.
    """
    on_host = gpu.compute_capability is None
    total = total_bytes or (host_memory_bytes() if on_host else gpu.total_bytes)
    context, assumed = _context(gpu, calibration)
    device = Device(
        gpu,
        total,
        context,
        margin=config.resources.memory_margin_share,
        correction=1.0 if calibration is None else max(1.0, calibration.allocated_ratio),
        ranks=ranks,
        expandable_segments=expandable_segments,
    )
    blocks = tuple(block for each in sizes for block in each.store_blocks(features))
    room = RESIDENT_SHARE * total
    resident = on_host or sum(blocks) < room
    answers = _answer_blocks(config, sizes, features, teacher, resident)
    cached = bool(answers) and (on_host or sum((*blocks, *answers) if resident else answers) < room)
    where = "cpu" if on_host else "cuda"
    spec = StepSpec(config, features, where, teacher, resident, cached)
    probed = probe(spec)
    # On a host the graphs are mapped from disk, which the system may take back.
    work = Workload(
        sizes[0].nodes,
        sizes[0].edges,
        sizes[1].nodes,
        sizes[1].edges,
        store_blocks=(
            () if on_host else (*(blocks if resident else ()), *(answers if cached else ()))
        ),
        curriculum=curriculum,
    )
    path = plans / f"{_plan_key(spec, work, device)}.json"
    plan = _known(path, probed)
    if plan is None:
        plan = plan_memory(probed.programs, work, device, config.training, config.seed)
        keep(path, plan.to_json())
    return RunPlan(plan, spec, device, resident and not on_host, probed.cached, assumed)


def _answer_blocks(
    config: RunConfig,
    sizes: tuple[GraphSizes, GraphSizes],
    features: tuple[int, int],
    teacher: ModelConfig | None,
    resident: bool,
) -> tuple[int, ...]:
    """Bytes of a teacher's answers to all graphs; none where it is asked about every batch.

    Answers for each node need the store's own pointers beside them, and as much room as the graphs.
    """
    if teacher is None:
        return ()
    columns = kept_columns(config.distillation, teacher, features[0])
    blocks = [
        block for each in sizes for block in kept_blocks(columns, len(each), int(each.nodes.sum()))
    ]
    fits = sum(blocks) <= MOST_KEPT_BYTES and (resident or not by_node(columns))
    return tuple(blocks) if fits else ()


def _plan_key(spec: StepSpec, work: Workload, device: Device) -> str:
    """All that a plan depends on."""
    sizes = (work.train_nodes, work.train_edges, work.validation_nodes, work.validation_edges)
    hashes = [hashlib.sha256(each.tobytes()).hexdigest() for each in sizes]
    training, seed = spec.config.training.model_dump(mode="json"), spec.config.seed
    taken = None if work.curriculum is None else work.curriculum.digest()
    graphs = [hashes, work.store_blocks, taken]
    return json_digest([spec.key(), training, seed, graphs, asdict(device), code_hash()])


def _known(path: Path, probe: Probe) -> MemoryPlan | None:
    """A plan made before; a file that can't be read is made again."""
    try:
        return MemoryPlan.from_json(json.loads(path.read_bytes()), probe.programs)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _context(gpu: Gpu, calibration: Calibration | None) -> tuple[int, tuple[str, ...]]:
    """Bytes that a process takes outside the allocator, and what of it is assumed."""
    if gpu.compute_capability is None:
        return HOST_PROCESS_BYTES, (f"{_mib(HOST_PROCESS_BYTES)} for the process itself",)
    if calibration is not None and calibration.context_bytes is not None:
        return calibration.context_bytes, ()
    assumed = f"CUDA context of {_mib(gpu.context_bytes)}, until `kdgat memory calibrate`"
    return gpu.context_bytes, (assumed,)


def _mib(nbytes: int) -> str:
    return f"{nbytes / 2**20:,.0f} MiB"
