"""What `kdgat submit` and `kdgat plan` take, and their completion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.job_request import SubmitRequest


def complete_cluster(incomplete: str) -> list[str]:
    """Names of clusters that fit what was typed so far."""
    from kdgat.errors import WorkspaceError
    from kdgat.slurm.cluster import cluster_names

    try:
        return [name for name in cluster_names(Workspace.find()) if name.startswith(incomplete)]
    except WorkspaceError:
        # Half a line is typed: an error in the middle of it would help nobody.
        return []


def complete_plan(incomplete: str) -> list[str]:
    """Ids of kept plans that fit what was typed so far, newest first."""
    from kdgat.errors import WorkspaceError
    from kdgat.ledger.plans import plan_ids

    try:
        ids = plan_ids(Workspace.find().agent / "plans")
    except WorkspaceError:
        return []
    return [plan_id for plan_id in ids if plan_id.startswith(incomplete)]


def asked_for(options: dict[str, Any]) -> SubmitRequest:
    """What a command's arguments ask for; it has one for each field, and may have others."""
    from dataclasses import fields

    from kdgat.ops.job_request import SubmitRequest

    given = {each.name: options[each.name] for each in fields(SubmitRequest)}
    return SubmitRequest(**{**given, "overrides": tuple(given["overrides"] or ())})


ClusterName = Annotated[
    str, typer.Option(help="Where to: a file of slurm/clusters.", autocompletion=complete_cluster)
]
Multirun = Annotated[
    bool, typer.Option("--multirun", "-m", help="Every combination of values, as one array.")
]
Pipeline = Annotated[
    bool, typer.Option("--pipeline", help="VGAE and GAT: large, then the student, each judged.")
]
Evaluate = Annotated[
    bool, typer.Option("--evaluate", help="Judge what was trained, in a job after it.")
]
Time = Annotated[str | None, typer.Option(help="Time limit, such as 4:00:00 or 90m.")]
Gpus = Annotated[int | None, typer.Option(min=0, help="GPUs on all nodes together.")]
Nodes = Annotated[int | None, typer.Option(min=1, help="Nodes that share a training.")]
Cores = Annotated[int | None, typer.Option(min=1, help="Cores for each GPU.")]
MemoryGb = Annotated[float | None, typer.Option(help="Memory of each node, in GB.")]
PartitionName = Annotated[str | None, typer.Option(help="Partition; see clusters show.")]
Account = Annotated[str | None, typer.Option(help="What the jobs are charged to.")]
Throttle = Annotated[
    int | None, typer.Option(min=1, help="Most runs of a sweep that go on at once.")
]
MaxRestarts = Annotated[
    int | None, typer.Option(min=0, help="Turns after the first, each up to the time limit.")
]
Preflight = Annotated[
    bool, typer.Option("--preflight", help="Ask first whether it would be taken, and when.")
]
