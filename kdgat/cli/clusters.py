"""`kdgat clusters ...`: list, show, import and check."""

from __future__ import annotations

from typing import Annotated

import typer

from kdgat.cli.options import AsJson
from kdgat.cli.output import print_json, print_table, say
from kdgat.workspace import Workspace

app = typer.Typer(help="Describe clusters, and compare them with the real ones.",
                  no_args_is_help=True)  # fmt: skip


def complete_cluster(incomplete: str) -> list[str]:
    """Names of described clusters that fit what was typed so far."""
    from kdgat.errors import WorkspaceError
    from kdgat.slurm.cluster import cluster_names

    try:
        names = cluster_names(Workspace.find())
    except WorkspaceError:
        # Half a line is typed: an error in the middle of it would help nobody.
        return []
    return [name for name in names if name.startswith(incomplete)]


ClusterName = Annotated[
    str, typer.Argument(help="Name of the cluster.", autocompletion=complete_cluster)
]
MaybeName = Annotated[
    str | None,
    typer.Argument(
        help="Name of its file; without, the cluster's own.", autocompletion=complete_cluster
    ),
]


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """List the clusters that jobs can be given to.

    Example: kdgat clusters list
    """
    from kdgat.ops.clusters import list_clusters

    found = list_clusters(Workspace.find())
    if as_json:
        return print_json(found)
    rows = (
        (one.name, one.title, one.scheduler, one.accounts, one.partitions, one.gpus or None,
         one.assumed)
        for one in found.items
    )  # fmt: skip
    columns = ("cluster", "title", "scheduler", "accounts", "partitions", "GPUs", "assumed")
    print_table(f"{len(found.items)} clusters", columns, rows)
    return say(*(f"broken: {problem}" for problem in found.broken))


@app.command()
def show(name: ClusterName, as_json: AsJson = False) -> None:
    """Show what is known of one cluster: partitions, limits, GPUs, accounts, and what is assumed.

    Example: kdgat clusters show pitzer
    """
    from kdgat.ops.clusters import show_cluster

    found = show_cluster(Workspace.find(), name=name)
    if as_json:
        return print_json(found)
    cluster = found.cluster
    facts = {
        "title": cluster["title"] or None,
        "scheduler": cluster["scheduler"],
        "accounts": cluster["accounts"] or None,
        "modules": cluster["modules"] or None,
        "preamble": f"{len(cluster['preamble'].splitlines())} lines",
        "partition with GPUs": cluster["partition_gpu"],
        "partition without": cluster["partition_cpu"],
        "time limit": cluster["time_limit"],
        "told to save before it": f"{cluster['signal_lead_s']} s",
        "restarts": cluster["max_restarts"],
        "longest array": cluster["max_array"],
    }
    print_table(f"cluster {found.name}", ("what", "value"), facts.items())
    partitions = list(cluster["partitions"].values())
    rows = (
        (one["name"], one["max_time"], one["nodes"], one["cores_per_node"],
         one["memory_mb_per_node"], one["memory_mb_per_core"], _gpus(one),
         "yes" if one["charged"] else "no")
        for one in partitions
    )  # fmt: skip
    columns = ("partition", "time limit", "nodes", "cores", "MB a node", "MB a core", "GPUs",
               "charged")  # fmt: skip
    print_table("partitions", columns, rows)
    say(*(f"{one['name']}: {one['note']}" for one in partitions if one["note"]))
    say(*(f"assumed: {each}" for each in cluster["assumed"]))
    return say(*(f"source: {each}" for each in cluster["source"]))


@app.command(name="import")
def import_(
    name: MaybeName = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the file or its changes, and write nothing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Change a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Describe the cluster you are on, from its own Slurm; keeps what you wrote by hand.

    Example: kdgat clusters import --dry-run
    """
    from kdgat.ops.clusters import import_cluster

    done = import_cluster(Workspace.find(), name=name, force=force, dry_run=dry_run)
    if as_json:
        return print_json(done)
    if dry_run:
        return say((done.diff or done.text).rstrip("\n"))
    say(f"{done.file} is written" if done.written else f"{done.file} is as Slurm says already")
    return say(*(f"assumed: {each}" for each in done.assumed))


@app.command()
def check(name: MaybeName = None, as_json: AsJson = False) -> None:
    """Compare a cluster's file with its Slurm; exits with 1 where they differ.

    Example: kdgat clusters check pitzer
    """
    from kdgat.ops.clusters import check_cluster

    found = check_cluster(Workspace.find(), name=name)
    if as_json:
        print_json(found)
    else:
        _print_check(found.name, found.live_name, [vars(each) for each in found.differences])
    if found.differences:
        raise typer.Exit(1)


def _print_check(name: str, live_name: str, differences: list[dict[str, str | None]]) -> None:
    if live_name != name:
        say(f"the Slurm here calls its cluster '{live_name}'")
    if not differences:
        return say(f"{name} is as its file says")
    rows = [(each["key"], each["file"], each["live"]) for each in differences]
    title = f"{len(rows)} difference{'s' * (len(rows) > 1)} of {name}"
    print_table(title, ("what", "in the file", "in Slurm"), rows)
    return say(f"`kdgat clusters import {name} --force` brings the file up to date")


def _gpus(partition: dict[str, object]) -> str | None:
    if not partition["gpus_per_node"]:
        return None
    kind = partition["gpu"] or partition["gres"] or "unknown"
    return f"{partition['gpus_per_node']} x {kind}"
