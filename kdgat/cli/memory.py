"""`kdgat memory ...`: plan, explain, calibrate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson, Overrides
from kdgat.cli.output import percent, print_json, print_table, say
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.memory import PlannedMemory

app = typer.Typer(help="Foresee a run's memory.", no_args_is_help=True)


def complete_gpu(incomplete: str) -> list[str]:
    """Names of GPUs that fit what was typed so far."""
    from kdgat.configs.resources import GPUS

    return [name for name in GPUS if name.startswith(incomplete)]


GpuName = Annotated[
    str | None,
    typer.Option("--gpu", help="A GPU of the catalogue, or cpu.", autocompletion=complete_gpu),
]


@app.command()
def plan(
    overrides: Overrides = None,
    gpu: GpuName = None,
    memory_gib: Annotated[
        float | None, typer.Option(help="The device's memory, where it is not the catalogue's.")
    ] = None,
    ranks: Annotated[int, typer.Option(min=1, help="GPUs that share an epoch.")] = 1,
    expandable_segments: Annotated[
        bool, typer.Option("--expandable-segments", help="Plan for PyTorch's allocator set so.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Foresee a run's batches and its memory; needs no GPU. Without --gpu, on every known one.

    Examples:
        kdgat memory plan dataset=hcrl_sa model=gat size=large --gpu v100-16gb
        kdgat memory plan dataset=hcrl_sa model=gat training.max_graphs=100000
    """
    from kdgat.ops.memory import memory_plan

    plans = memory_plan(
        Workspace.find(),
        overrides=overrides or (),
        gpu_name=gpu,
        memory_gib=memory_gib,
        ranks=ranks,
        expandable_segments=expandable_segments,
    )
    if as_json:
        return print_json(plans if gpu is None else plans[0])
    return _print_one(plans[0]) if gpu else _print_all(plans)


@app.command()
def explain(overrides: Overrides = None, gpu: GpuName = None, as_json: AsJson = False) -> None:
    """Show what takes the memory at the peak of a step, and what would lower it.

    Example: kdgat memory explain dataset=hcrl_sa model=gat --gpu v100-16gb
    """
    from kdgat.ops.memory import memory_explain

    found = memory_explain(Workspace.find(), overrides=overrides or (), gpu_name=gpu or "v100-16gb")
    if as_json:
        return print_json(found)
    rows = (
        (_size(each.nbytes), percent(each.share), each.count, each.module or "-", each.operator,
         each.phase)
        for each in found.largest
    )  # fmt: skip
    print_table(
        f"{found.name} on {found.gpu}: {_size(found.peak_bytes)} at the peak of a step of "
        f"{found.graphs:,} graphs, {found.nodes:,} nodes, {found.edges:,} edges",
        ("in use", "share", "blocks", "module", "made by", "phase"),
        rows,
    )
    rows = ((each.override, _size(each.peak_bytes), percent(each.saved)) for each in found.remedies)
    print_table("what would lower it", ("override", "peak", "saved"), rows)
    return say(*(f"assumed: {each}" for each in found.assumed))


@app.command()
def calibrate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Report, and change nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the runs' measured memory with the predicted, and let later plans use it.

    Example: kdgat memory calibrate --dry-run
    """
    from kdgat.ops.calibration import memory_calibrate

    report = memory_calibrate(Workspace.find(), dry_run=dry_run)
    if as_json:
        return print_json(report)
    if not report.items:
        return say(
            "no run on a GPU has recorded its memory yet; every training run on one does",
        )
    rows = (
        (each.gpu, each.runs, f"{each.allocated_ratio:.3f}", each.reserved_ratio,
         "-" if each.context_bytes is None else _size(each.context_bytes), each.torch)
        for each in report.items
    )  # fmt: skip
    columns = ("GPU", "runs", "measured / predicted", "reserved", "context", "torch")
    print_table("calibration (the largest of all runs)", columns, rows)
    return say("nothing written" if dry_run else f"written to {report.file}")


def _print_one(plan: PlannedMemory) -> None:
    graphs = plan.graphs_per_batch
    facts = {
        "memory": _size(plan.total_bytes),
        "context": _size(plan.context_bytes),
        "margin": percent(plan.margin),
        "budget of a step": _size(plan.budget_bytes),
        "batches are limited by": plan.limited_by,
        "steps an epoch": plan.steps_per_epoch,
        "graphs a batch": f"{graphs.least:,} to {graphs.most:,}, median {graphs.median:,}",
        "peak allocated": _size(plan.peak_allocated_bytes),
        "peak reserved": _size(plan.peak_reserved_bytes),
        "headroom": _size(plan.headroom_bytes),
        "fill of the budget": percent(plan.fill),
        "weights, state, graphs": _size(plan.resident_bytes),
        "graphs on the device": plan.graphs_on_device,
        "replayed batches": plan.replayed_batches,
        "traced as": plan.traced_as,
        "time": f"{plan.seconds:.1f} s" + (" (steps from the cache)" if plan.cached else ""),
    }
    print_table(f"memory of {plan.name} on {plan.gpu}", ("what", "value"), facts.items())
    say(*(f"assumed: {each}" for each in plan.assumed))
    say(*(f"warning: {each}" for each in plan.warnings))


def _print_all(plans: tuple[PlannedMemory, ...]) -> None:
    rows = (
        (plan.gpu, _size(plan.capacity_bytes), _size(plan.peak_allocated_bytes),
         _size(plan.peak_reserved_bytes), percent(plan.fill), plan.graphs_per_batch.median,
         plan.steps_per_epoch, plan.limited_by)
        for plan in plans
    )  # fmt: skip
    columns = ("GPU", "capacity", "allocated", "reserved", "fill", "graphs a batch",
               "steps an epoch", "limited by")  # fmt: skip
    print_table(f"memory of {plans[0].name}", columns, rows)
    for what, of in (("warning", "warnings"), ("assumed", "assumed")):
        said: dict[str, list[str]] = {}
        for plan in plans:
            for each in getattr(plan, of):
                said.setdefault(each, []).append(plan.gpu)
        for each, gpus in said.items():
            where = "" if len(gpus) == len(plans) else f" ({', '.join(gpus)})"
            say(f"{what}: {each}{where}")


def _size(nbytes: float) -> str:
    """Bytes as a person reads them."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(nbytes) >= size:
            return f"{nbytes / size:.2f} {unit}"
    return f"{nbytes:.0f} B"
