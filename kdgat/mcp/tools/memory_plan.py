"""The tool `memory_plan`: whether a run fits a GPU, and in which batches."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from kdgat.configs.resources import GIB, MIB
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.memory import ExplainedMemory, PlannedMemory

_USUAL = "v100-16gb"
"""The GPU that is explained where none is named, as by the command."""
_BLOCKS = 6

Overrides = Annotated[
    list[str], Field(description="such as dataset=hcrl_sa model=gat size=large", max_length=40)
]


@dataclass(frozen=True)
class PlanOnGpu:
    """One type of device; memory in GiB (2^30 bytes)."""

    gpu: str
    capacity_gib: float
    peak_gib: float
    headroom_gib: float
    graphs_per_batch: int
    steps_per_epoch: int
    fill: float
    limited_by: str


@dataclass(frozen=True)
class MemoryAnswer:
    """Plans by device; `at_peak` and `remedies` where an explanation was asked for."""

    name: str
    items: tuple[PlanOnGpu, ...]
    total: int
    next_cursor: str | None
    truncated: bool
    hint: str
    at_peak: tuple[str, ...]
    remedies: tuple[str, ...]
    assumed: tuple[str, ...]
    warnings: tuple[str, ...]
    cached: bool

    def summary(self) -> str:
        """The peaks, device by device."""
        peaks = ", ".join(
            f"{each.gpu} {each.peak_gib:g} of {each.capacity_gib:g} GiB" for each in self.items
        )
        guess = " (assumes things, see `assumed`)" if self.assumed else ""
        return f"{self.name} at its peak: {peaks or 'see at_peak'}{guess}"


def memory_plan(
    ws: Workspace,
    *,
    overrides: Overrides = [],  # noqa: B006 nobody changes it
    gpu: Annotated[
        str, Field(description="such as v100-16gb, or cpu; empty: all known", max_length=40)
    ] = "",
    memory_gib: Annotated[
        float | None, Field(gt=0, description="of the device, if not the usual")
    ] = None,
    ranks: Annotated[int, Field(ge=1, le=64, description="GPUs that share an epoch")] = 1,
    explain: Annotated[bool, Field(description="what takes it, what lowers it")] = False,
) -> MemoryAnswer:
    """A run's peak GPU memory and its batches, foreseen without a GPU.

    Use when choosing a GPU or model size, or after an out-of-memory error (explain=true).
    Not when the run is about to be submitted: plan_job tells this and the cost.
    """
    from kdgat.ops.memory import memory_explain
    from kdgat.ops.memory import memory_plan as foresee

    card = gpu or (_USUAL if explain else None)
    plans = foresee(ws, overrides=overrides, gpu_name=card, memory_gib=memory_gib, ranks=ranks)
    why = memory_explain(ws, overrides=overrides, gpu_name=card or _USUAL) if explain else None
    return MemoryAnswer(
        name=plans[0].name,
        items=tuple(map(_on_gpu, plans)),
        total=len(plans),
        next_cursor=None,
        truncated=False,
        hint="" if explain else "explain=true tells what takes the memory, and what lowers it",
        at_peak=_at_peak(why) if why else (),
        remedies=_remedies(why) if why else (),
        assumed=_each_once(plan.assumed for plan in plans),
        warnings=_each_once(plan.warnings for plan in plans),
        cached=all(plan.cached for plan in plans),
    )


def _on_gpu(plan: PlannedMemory) -> PlanOnGpu:
    return PlanOnGpu(
        gpu=plan.gpu,
        capacity_gib=_gib(plan.capacity_bytes),
        peak_gib=_gib(plan.peak_reserved_bytes),
        headroom_gib=_gib(plan.headroom_bytes),
        graphs_per_batch=plan.graphs_per_batch.median,
        steps_per_epoch=plan.steps_per_epoch,
        fill=round(plan.fill, 3),
        limited_by=plan.limited_by,
    )


def _at_peak(why: ExplainedMemory) -> tuple[str, ...]:
    return tuple(
        f"{each.nbytes / MIB:,.1f} MiB ({each.share:.0%}) in {each.count} blocks: "
        + " ".join(filter(None, (each.module, each.operator, each.phase)))
        for each in why.largest[:_BLOCKS]
    )


def _remedies(why: ExplainedMemory) -> tuple[str, ...]:
    return tuple(
        f"{each.override}: {_gib(each.peak_bytes):g} GiB, {each.saved:.0%} less"
        for each in why.remedies
    )


def _each_once(told: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(sentence for each in told for sentence in each))


def _gib(nbytes: float) -> float:
    return round(nbytes / GIB, 3)
