"""`kdgat bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson, Overrides
from kdgat.cli.output import print_json, print_table, progress_bar, say
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.bench import BenchReport


def bench(
    overrides: Overrides = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer graphs and rounds: a first impression.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare the speed with PyTorch Geometric's usual way, on this machine and this data.

    Both ways take turns; a ratio of 3 says that the usual way takes three times as long.

    Examples:
        kdgat bench dataset=hcrl_sa
        kdgat bench --quick dataset=simulated training.max_graphs=512
    """
    from kdgat.ops.bench import bench as run

    with progress_bar() as listen:
        report = run(Workspace.find(), overrides=overrides or (), quick=quick, progress=listen)
    return print_json(report) if as_json else _print(report)


def _print(report: BenchReport) -> None:
    rows = (
        (
            each.what,
            each.usual,
            f"{each.ratio:.1f}x",
            f"{each.low:.1f} to {each.high:.1f}",
            "-" if each.goal is None else f"{each.goal:g}x",
        )
        for each in report.comparisons
    )
    print_table(
        f"Times as fast as the usual way ({report.dataset}, {report.graphs:,} graphs of "
        f"{report.nodes_per_graph:.0f} nodes and {report.edges_per_graph:.0f} edges)",
        ("what", "usual way", "ratio", "rounds", "goal"),
        rows,
    )
    named = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    say(
        f"medians of {report.rounds} rounds in turns, epochs of {report.batch_graphs} graphs a "
        f"step, on {report.device}; {named}"
    )
