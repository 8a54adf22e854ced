"""Operations on a cluster's use: how full it is, and what a job used of what it asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from kdgat.errors import RunError, SlurmError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.jobs import JobFolder
from kdgat.ops.jobs import given_run
from kdgat.slurm.client import Slurm
from kdgat.slurm.efficiency import advice
from kdgat.slurm.efficiency import efficiency as used_of
from kdgat.slurm.poll import moment
from kdgat.slurm.queue import FINAL, QueueRow
from kdgat.workspace import Workspace

_AWAY = re.compile(r"DOWN|DRAIN|FAIL|MAINT|NOT_RESPONDING|POWER|REBOOT|RESERVED|UNKNOWN|\*|~|#|!")


@dataclass(frozen=True)
class PartitionLoad:
    """How full a partition is. A node of several partitions counts in each."""

    name: str
    time_limit: str
    nodes: int
    idle: int
    mixed: int
    allocated: int
    away: int
    """Down, drained, reserved or asleep."""
    cores: int
    cores_free: int
    gpus: int
    gpus_free: int
    gpu_types: tuple[str, ...]


@dataclass(frozen=True)
class QueueReport:
    """A cluster's load, and what its user has in the queue."""

    cluster: str
    partitions: tuple[PartitionLoad, ...]
    jobs: tuple[QueueRow, ...]
    """The user's jobs that wait or work, kdgat's and others."""


@dataclass(frozen=True)
class EfficiencyReport:
    """What a run's job used of what it asked for, in its last try."""

    run_id: str
    scheduler_id: str
    state: str
    elapsed_s: int | None
    time_limit_s: int | None
    time_share: float | None
    cores: int | None
    cpu_s: float | None
    cpu_share: float | None
    asked_memory_bytes: int | None
    used_memory_bytes: int | None
    memory_share: float | None
    gpu_budget_bytes: int | None
    """What the run was planned to fit into."""
    gpu_planned_bytes: int | None
    gpu_measured_bytes: int | None
    attempts: int
    advice: tuple[str, ...]


def queue(
    ws: Workspace,  # noqa: ARG001 every operation takes the workspace
    *,
    cluster: str | None = None,
    client: Slurm | None = None,
) -> QueueReport:
    """How full the cluster of this machine is.

    Args:
        ws: the workspace.
        cluster: the cluster that is meant; an error where this machine is another one's.
        client: the scheduler; default: this machine's.

    Raises:
        SlurmError: the scheduler does not answer, is not here, or is another cluster's.
    """
    client = client or Slurm()
    here = client.cluster_name()
    if cluster and cluster.lower() != here.lower():
        raise SlurmError(
            f"this machine's scheduler is that of '{here}', not of '{cluster}'",
            hint=f"log in to a login node of '{cluster}'",
        )
    nodes = client.nodes()
    partitions = tuple(_load(each, nodes) for each in client.show_partitions())
    mine = tuple(row for row in client.squeue() if row.state not in FINAL)
    return QueueReport(here, partitions, mine)


def efficiency(ws: Workspace, run: str, *, client: Slurm | None = None) -> EfficiencyReport:
    """What a run's job used of what it asked for, and what to ask for next time.

    Raises:
        RunError: there is no such run, or it was not given to a scheduler.
        SlurmError: the accounting does not answer, or does not know the job.
    """
    folder = given_run(ws, run)
    record = folder.record()
    if record.job is None:
        raise RunError(
            f"run '{record.run_id}' was not given to a scheduler, so nobody kept an account of it",
            hint=f"`kdgat runs show {record.run_id}` tells how long it took, and its figures",
        )
    job = JobFolder(ws.jobs / record.job).record()
    task_id = job.scheduler_task(job.task_of(record.run_id))
    rows = []
    if task_id is not None:
        since = moment(job.created_at) - timedelta(hours=1)
        told = (client or Slurm()).sacct([task_id], since, steps=True)
        rows = [row for row in told if row.id == task_id]
    used = used_of(rows, job.request)
    if task_id is None or used is None:
        raise SlurmError(
            f"the accounting knows nothing of run '{record.run_id}' (job {task_id or 'not taken'})",
            hint="a job that ended seconds ago is not in it yet; try again in a minute",
        )
    plan, measured = _gpu_memory(folder) if job.request.gpus_per_node else ({}, {})
    return EfficiencyReport(
        run_id=record.run_id,
        scheduler_id=task_id,
        state=used.state,
        elapsed_s=used.elapsed_s,
        time_limit_s=used.time_limit_s,
        time_share=used.time_share,
        cores=used.cores,
        cpu_s=used.cpu_s,
        cpu_share=used.cpu_share,
        asked_memory_bytes=used.asked_memory_bytes,
        used_memory_bytes=used.used_memory_bytes,
        memory_share=used.memory_share,
        gpu_budget_bytes=_whole(plan, "budget_bytes"),
        gpu_planned_bytes=_whole(plan, "peak_reserved_bytes"),
        gpu_measured_bytes=_whole(measured, "measured_reserved_bytes"),
        attempts=record.attempts,
        advice=advice(used),
    )


def _load(partition: Mapping[str, str], nodes: Iterable[Mapping[str, str]]) -> PartitionLoad:
    name = partition.get("PartitionName", "")
    own = [node for node in nodes if name in node.get("Partitions", "").split(",")]
    here = [node for node in own if not _AWAY.search(node.get("State", ""))]
    states = [node.get("State", "").partition("+")[0] for node in here]
    cores, gpus = sum(_number(node, "CPUTot") for node in here), sum(map(_gpus, here))
    return PartitionLoad(
        name=name,
        time_limit=partition.get("MaxTime", ""),
        nodes=len(own),
        idle=states.count("IDLE"),
        mixed=states.count("MIXED"),
        allocated=len(states) - states.count("IDLE") - states.count("MIXED"),
        away=len(own) - len(here),
        cores=cores,
        cores_free=cores - sum(_number(node, "CPUAlloc") for node in here),
        gpus=gpus,
        gpus_free=gpus - sum(_tres(node, "AllocTRES") or 0 for node in here),
        gpu_types=tuple(sorted({kind for node in own for kind in _gpu_types(node)})),
    )


def _gpus(node: Mapping[str, str]) -> int:
    """GPUs of a node: as the scheduler counts them, or as they are listed where it does not."""
    counted = _tres(node, "CfgTRES")
    if counted is not None:
        return counted
    return sum(int(n) for n in re.findall(r"gpu(?::[A-Za-z][^:,()]*)?:(\d+)", node.get("Gres", "")))


def _gpu_types(node: Mapping[str, str]) -> list[str]:
    return re.findall(r"gpu:([A-Za-z][^:,()]*):\d+", node.get("Gres", ""))


def _tres(node: Mapping[str, str], key: str) -> int | None:
    found = re.search(r"gres/gpu=(\d+)", node.get(key, ""))
    return int(found[1]) if found else None


def _number(node: Mapping[str, str], key: str) -> int:
    text = node.get(key, "")
    return int(text) if text.isdigit() else 0


def _gpu_memory(folder: RunFolder) -> tuple[dict[str, object], dict[str, object]]:
    """The plan and the measurement that a training run keeps; empty for one that has none."""
    try:
        kept = json.loads((folder.artifacts / "memory.json").read_bytes())
        return kept["plan"], kept.get("measured") or {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}, {}


def _whole(values: Mapping[str, object], key: str) -> int | None:
    value = values.get(key)
    return int(value) if isinstance(value, int | float) else None
