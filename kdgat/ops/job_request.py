"""What a job asks of its cluster: from a researcher's words and the cluster's description."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from kdgat.configs.training import ResourcesConfig
from kdgat.errors import ConfigError
from kdgat.ledger.jobs import JobRequest
from kdgat.slurm.cluster import Cluster, Partition, partition_for
from kdgat.slurm.spelling import parse_time, slurm_name

if TYPE_CHECKING:
    from kdgat.ops.memory import PlannedMemory
    from kdgat.workspace import Workspace

_CORES = 4
"""Cores of a task where nobody says: batches are mapped from disk, and a GPU computes."""
_LEAST_TASK_MB = 3072
"""Memory of a task where nobody says: Python and torch take 1 GiB, a dataset's pages the rest."""
_UNKNOWN_CORE_MB = 4096
"""Memory that is asked for a core where the cluster's default is unknown."""


@dataclass(frozen=True)
class SubmitRequest:
    """What a researcher asks to be submitted; None leaves a thing to the cluster's description."""

    overrides: tuple[str, ...]
    """Hydra overrides, such as `dataset=hcrl_sa model=gat size=large`."""
    cluster: str
    multirun: bool = False
    """Every combination of the overrides' values, as one job array."""
    pipeline: bool = False
    """Every stage: large, then small distilled from it, each judged."""
    evaluate: bool = False
    """Judge each trained run as well."""
    time: str | None = None
    """Time limit, as `parse_time` reads it."""
    gpus: int | None = None
    """GPUs on all nodes together."""
    nodes: int | None = None
    cores: int | None = None
    """Cores of each task; a task is a process with a GPU of its own, if there is one."""
    memory_gb: float | None = None
    """Memory of each node, in 10^9 bytes."""
    partition: str | None = None
    account: str | None = None
    throttle: int | None = None
    """Most runs of a sweep that go on at once."""
    max_restarts: int | None = None
    """How often a job that met its time limit goes on by itself."""
    fresh: bool = False
    """Train anew even if the same experiment is done or broken off."""
    preflight: bool = False
    """Ask the scheduler whether it would take the jobs, and when it would start them."""

    def resource_overrides(self) -> tuple[str, ...]:
        """The overrides that `nodes` and `gpus` stand for.

        Raises:
            ConfigError: the GPUs can't be spread evenly over the nodes.
        """
        found = [] if self.nodes is None else [f"resources.nodes={self.nodes}"]
        if self.gpus is not None:
            nodes = self.nodes or 1
            if self.gpus % nodes:
                raise ConfigError(
                    f"{self.gpus} GPUs can't be spread evenly over {nodes} nodes",
                    hint=f"use a multiple: --gpus {max(1, self.gpus // nodes) * nodes}",
                )
            found.append(f"resources.devices={max(1, self.gpus // nodes)}")
        return tuple(found)


@dataclass(frozen=True)
class Placed:
    """Where a job goes, and what it asks there."""

    partition: Partition
    request: JobRequest


def training_job(cluster: Cluster, asked: SubmitRequest, resources: ResourcesConfig) -> Placed:
    """What a training asks for.

    Raises:
        ConfigError: a limit of the partition is exceeded, or a name or a time can't be read.
    """
    nodes, tasks = resources.nodes, resources.devices
    gpus = asked.gpus
    if gpus is None:
        gpus = nodes * tasks if _wants_gpu(cluster, asked, resources) else 0
    place = partition_for(cluster, asked.partition, gpus, nodes=nodes)
    cores = asked.cores or max(1, min(_CORES, (place.cores_per_node or _CORES) // tasks))
    time_s = _time_limit_s(cluster, place, asked)
    on_scheduler = cluster.scheduler == "slurm"
    account = asked.account or cluster.account
    request = JobRequest(
        partition=place.name if on_scheduler else None,
        account=slurm_name("account", account) if account and on_scheduler else None,
        time_limit_s=time_s,
        nodes=nodes,
        tasks_per_node=tasks,
        cores_per_task=cores,
        memory_mb=_memory_mb(place, asked, tasks, cores) if on_scheduler else None,
        gpu=place.gpu if gpus else None,
        gres=place.gres if gpus else None,
        gpus_per_node=gpus // nodes if on_scheduler else 0,
        throttle=asked.throttle,
        max_restarts=cluster.max_restarts if asked.max_restarts is None else asked.max_restarts,
        signal_lead_s=min(cluster.signal_lead_s, time_s // 2),
    )
    _check(cluster, asked, request, gpus)
    return Placed(place, request)


def evaluation_job(cluster: Cluster, asked: SubmitRequest, training: Placed) -> Placed:
    """What judging a run asks for that was trained so: one task of its kind."""
    request = training.request
    share = asked.memory_gb is None and request.memory_mb is not None
    one = replace(
        request,
        nodes=1,
        tasks_per_node=1,
        gpus_per_node=min(1, request.gpus_per_node),
        memory_mb=-(-(request.memory_mb or 0) // request.tasks_per_node)
        if share
        else request.memory_mb,
        # What was judged so far is not kept: another turn would begin anew.
        max_restarts=0,
    )
    _check(cluster, asked, one, one.gpus_per_node)
    return Placed(training.partition, one)


def planned_memory(
    ws: Workspace, overrides: tuple[str, ...], placed: Placed
) -> tuple[PlannedMemory | None, tuple[str, ...]]:
    """The plan of a run's memory on the partition's nodes, and why there is none.

    Raises:
        MemoryPlanError: the run does not fit.
    """
    request = placed.request
    if request.gpus_per_node and request.gpu is None:
        told = (
            f"the memory of the GPUs of '{placed.partition.name}' is unknown: planned on the node"
        )
        return None, (told,)
    memory_gib = None
    if not request.gpus_per_node:
        if request.memory_mb is None:
            return None, ("memory is planned when the run begins",)
        memory_gib = request.memory_mb / request.tasks_per_node / 1024
    from kdgat.ops.memory import memory_plan

    (plan,) = memory_plan(
        ws,
        overrides=overrides,
        gpu_name=request.gpu or "cpu",
        memory_gib=memory_gib,
        ranks=request.nodes * request.tasks_per_node,
    )
    return plan, ()


def _wants_gpu(cluster: Cluster, asked: SubmitRequest, resources: ResourcesConfig) -> bool:
    if resources.accelerator == "cpu" or cluster.scheduler == "none":
        return False
    if asked.partition is not None:
        named = cluster.partitions.get(asked.partition)
        return named is not None and named.gpus_per_node > 0
    return cluster.partition_gpu is not None


def _time_limit_s(cluster: Cluster, place: Partition, asked: SubmitRequest) -> int:
    if asked.time is not None:
        return parse_time(asked.time)
    limits = (cluster.time_limit_s, place.max_time_s)
    return min(limit for limit in limits if limit is not None)


def _memory_mb(place: Partition, asked: SubmitRequest, tasks: int, cores: int) -> int:
    if asked.memory_gb is not None:
        if not asked.memory_gb > 0:
            raise ConfigError(
                f"--memory-gb is {asked.memory_gb:g}, and must be above 0",
                hint="give each node's memory in GB, for example --memory-gb 16",
            )
        return math.ceil(asked.memory_gb * 1e9 / 2**20)
    own = (place.memory_mb_per_core or _UNKNOWN_CORE_MB) * cores
    wanted = max(own, _LEAST_TASK_MB) * tasks
    return min(wanted, place.memory_mb_per_node or wanted)


def _check(cluster: Cluster, asked: SubmitRequest, request: JobRequest, gpus: int) -> None:
    """Hold a request to its partition's limits."""
    partition_for(
        cluster,
        asked.partition,
        gpus,
        nodes=request.nodes,
        time_limit_s=request.time_limit_s,
        cores_per_node=request.tasks_per_node * request.cores_per_task,
        memory_mb=request.memory_mb,
    )
    if cluster.scheduler == "none" and request.nodes > 1:
        raise ConfigError(
            f"{request.nodes} nodes are asked for, and '{cluster.name}' is one machine",
            hint="leave out --nodes and resources.nodes",
        )
