"""`kdgat plan`: look at a submission, and keep it to be submitted later as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdgat.cli.options import AsJson, Fresh, Overrides
from kdgat.cli.output import print_json, say
from kdgat.cli.submit import print_plan
from kdgat.cli.submit_options import (
    Account,
    ClusterName,
    Cores,
    Evaluate,
    Gpus,
    MaxRestarts,
    MemoryGb,
    Multirun,
    Nodes,
    PartitionName,
    Pipeline,
    Preflight,
    Throttle,
    Time,
    asked_for,
)
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ledger.plans import Price


def plan(
    cluster: ClusterName,
    overrides: Overrides = None,
    multirun: Multirun = False,
    pipeline: Pipeline = False,
    evaluate: Evaluate = False,
    time: Time = None,
    gpus: Gpus = None,
    nodes: Nodes = None,
    cores: Cores = None,
    memory_gb: MemoryGb = None,
    partition: PartitionName = None,
    account: Account = None,
    throttle: Throttle = None,
    max_restarts: MaxRestarts = None,
    fresh: Fresh = False,
    preflight: Preflight = False,
    as_json: AsJson = False,
) -> None:
    """Plan a submission: what it would do and cost, kept for a day as `kdgat submit --plan ID`.

    Takes what `kdgat submit` takes, and submits nothing.

    Example: kdgat plan dataset=hcrl_sa model=gat --cluster pitzer --time 2:00:00
    """
    from kdgat.ops.plans import plan_job

    kept = plan_job(Workspace.find(), asked_for(locals()))
    if as_json:
        return print_json(kept)
    print_plan(kept.plan)
    if kept.plan.jobs:
        say("new runs and jobs get other ids when they are submitted")
        restarts = f"; with every restart {_price(kept.most)}" if kept.most != kept.price else ""
        say(f"price: {_price(kept.price)}{restarts}")
    until = kept.expires_at[:16].replace("T", " ")
    return say(f"plan {kept.plan_id} holds until {until} UTC, while what it rests on is the same",
               f"next: kdgat submit --plan {kept.plan_id}")  # fmt: skip


def _price(price: Price) -> str:
    return f"{price.core_hours:,.1f} core-hours and {price.gpu_hours:,.1f} GPU-hours"
