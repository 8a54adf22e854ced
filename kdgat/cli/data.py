"""`kdgat data ...`: simulate, ingest, prepare, list, describe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdgat.cli.options import AsJson, DatasetName, Overrides
from kdgat.cli.output import percent, print_json, print_table, progress_bar, say
from kdgat.workspace import Workspace

app = typer.Typer(help="Simulate, ingest, prepare and look at captures.", no_args_is_help=True)

Force = Annotated[bool, typer.Option("--force", help="Do it again even if nothing changed.")]


@app.command()
def simulate(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Fields of the simulation, such as seed=3 capture_s=60."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; by default the workspace's own.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write simulated raw captures, in the format of the public sets.

    Example: kdgat data simulate seed=3 capture_s=60
    """
    from kdgat.ops.simulation import simulate_data

    with progress_bar() as listen:
        result = simulate_data(
            Workspace.find(), overrides=overrides or (), out=out, progress=listen
        )
    if as_json:
        return print_json(result)
    print_table(
        f"simulated {result.rows:,} messages in {result.files} captures",
        ("folder", "messages"),
        result.folders.items(),
    )
    return say(f"in {result.folder}", "next: kdgat data ingest simulated")


@app.command()
def ingest(
    dataset: DatasetName,
    raw: Annotated[
        Path | None,
        typer.Option(help="Folder of raw captures, with train_* and test_* folders, or one file."),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(help="can_train_and_test, car_hacking, candump or crysys."),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Read raw captures into the workspace, validated; oddities are counted and shown.

    Example: kdgat data ingest hcrl_sa --raw ~/can-train-and-test/hcrl-sa
    """
    from kdgat.ops.data import ingest_data

    with progress_bar() as listen:
        summary = ingest_data(
            Workspace.find(), dataset, raw=raw, format=format, force=force, progress=listen
        )
    if as_json:
        return print_json(summary)
    say(
        f"{summary.name} ({summary.provenance}): {summary.captures} captures, "
        f"{summary.rows:,} messages, {summary.attack_rows:,} of them attack"
    )
    if summary.repeats:
        say(f"{summary.repeats} captures repeat another one and are not used twice")
    if summary.oddities:
        rows = ((each.kind, each.count, each.where, each.example) for each in summary.oddities)
        print_table("kept, and odd", ("what", "count", "first", "example"), rows)
    for path in summary.ignored:
        say(f"not read: {path}")
    return say(f"next: kdgat data prepare dataset={summary.name}")


@app.command()
def prepare(overrides: Overrides = None, force: Force = False, as_json: AsJson = False) -> None:
    """Make the graphs that training needs: windows, features, split, scaling.

    Example: kdgat data prepare dataset=hcrl_sa data.window_messages=50
    """
    from kdgat.ops.data import prepare_data

    with progress_bar() as listen:
        summary = prepare_data(
            Workspace.find(), overrides=overrides or (), force=force, progress=listen
        )
    if as_json:
        return print_json(summary)
    columns = (
        "capture", "training", "attacks", "validation", "attacks", "embargoed", "repeats", "tail",
    )  # fmt: skip
    rows = (
        (
            each.key, each.train, each.train_attacks, each.validation, each.validation_attacks,
            each.embargoed, each.repeats, each.tail_messages,
        )
        for each in summary.captures
    )  # fmt: skip
    print_table(f"{summary.dataset}: windows", columns, rows)
    done = "made" if summary.made else "were there already"
    return say(
        f"{summary.train_graphs:,} training and {summary.validation_graphs:,} validation graphs "
        f"{done}, in {summary.folder}",
        f"next: kdgat train dataset={summary.dataset} model=gat size=large",
    )


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """List the datasets that can be named, and which are here.

    Example: kdgat data list
    """
    from kdgat.ops.data import list_datasets

    found = list_datasets(Workspace.find())
    if as_json:
        return print_json(found)
    rows = (
        (each.name, each.provenance, each.ingested, each.captures, each.rows,
         percent(each.attack_share))
        for each in found
    )  # fmt: skip
    columns = ("dataset", "provenance", "ingested", "captures", "messages", "attack")
    print_table("datasets", columns, rows)
    return say(*(f"broken: {each.problem}" for each in found if each.problem))


@app.command()
def describe(dataset: DatasetName, as_json: AsJson = False) -> None:
    """Show rows, ids, rates, label balance and oddities of each capture, and draw them.

    Example: kdgat data describe hcrl_sa
    """
    from kdgat.ops.describe import describe_dataset

    with progress_bar() as listen:
        result = describe_dataset(Workspace.find(), dataset, progress=listen)
    if as_json:
        return print_json(result)
    summary = result.summary
    rows = (
        (each.key, each.attack_type, each.rows, each.ids, f"{each.duration_s:.1f}",
         round(each.rate_per_s), percent(each.attack_share),
         f"{each.busiest_id} ({percent(each.busiest_share)})",
         sum(each.oddities.values()))
        for each in result.captures
    )  # fmt: skip
    columns = (
        "capture", "type", "messages", "ids", "seconds", "per second", "attack", "busiest id",
        "oddities",
    )  # fmt: skip
    print_table(f"{summary.name} ({summary.provenance})", columns, rows)
    for each in summary.oddities:
        say(f"odd: {each.count} x {each.kind}, first at {each.where}: {each.example}")
    repeats = [each for each in result.captures if each.duplicate_of]
    for each in repeats:
        say(f"repeat: {each.key} is {each.duplicate_of} again")
    if summary.citation:
        say(f"cite: {summary.citation}")
    return say(f"plot: {result.plot}")
