"""What kdgat knows of a cluster (`slurm/clusters/<name>.toml`), and what a job may ask of it.

Slurm's MB are MiB, here as there. A number that nobody knows is None, and is then not checked: the
scheduler has the last word.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from kdgat.configs.schema import Config
from kdgat.errors import ConfigError, StorageError, did_you_mean
from kdgat.ledger.jobs import JobRequest
from kdgat.slurm.spelling import (
    Count,
    GpuName,
    Module,
    Name,
    TimeLimit,
    parse_time,
    show_time,
    slurm_name,
)
from kdgat.workspace import Workspace

__all__ = [
    "Cluster",
    "Cost",
    "Partition",
    "cluster_from",
    "cluster_names",
    "cost",
    "load_cluster",
    "parse_time",
    "partition_for",
    "show_time",
    "slurm_name",
]


class Partition(Config):
    """One queue of a cluster, and the nodes behind it."""

    name: Name
    """As in `--partition`; in the file, the table's name."""
    max_time: TimeLimit | None = None
    """Longest time limit; None for none or unknown."""
    nodes: Count | None = None
    """Nodes in it."""
    max_nodes: Count | None = None
    """Most nodes a job may have, where that is fewer."""
    cores_per_node: Count | None = None
    """Cores that jobs may have of a node; the most, where nodes differ."""
    memory_mb_per_node: Count | None = None
    """Memory that jobs may have of a node, in MiB; the most, where nodes differ."""
    memory_mb_per_core: Count | None = None
    """Memory that comes with a core by default, in MiB; more is charged as more cores."""
    gpus_per_node: int = Field(default=0, ge=0)
    """GPUs in a node."""
    gpu: GpuName | None = None
    """The GPU's name in the catalogue, such as v100-16gb."""
    gres: Name | None = None
    """The cluster's name of the GPU's type, such as v100; None asks for a GPU of any type."""
    charged: bool = True
    """Whether its hours are taken from the allocation."""
    note: str = ""
    """What a person should know before choosing it."""

    @model_validator(mode="after")
    def _gpu_is_there(self) -> Partition:
        if (self.gpu or self.gres) and not self.gpus_per_node:
            raise ValueError("it names a type of GPU: gpus_per_node must say how many a node has")
        return self

    @property
    def max_time_s(self) -> int | None:
        """Longest time limit in seconds."""
        return None if self.max_time is None else parse_time(self.max_time)

    @property
    def most_nodes(self) -> int | None:
        """Most nodes that one job can get."""
        known = [count for count in (self.nodes, self.max_nodes) if count is not None]
        return min(known, default=None)


class Cluster(Config):
    """A cluster, or this machine (`scheduler = "none"`)."""

    name: Name
    """The file's name."""
    title: str = ""
    """One line for a person."""
    source: tuple[str, ...] = ()
    """Where the facts were read."""
    scheduler: Literal["slurm", "none"] = "slurm"
    """`none` runs jobs here, in the foreground."""
    accounts: tuple[Name, ...] = ()
    """What jobs may be charged to; the first is the default."""
    modules: tuple[Module, ...] = ()
    """Given to `module load` before anything else."""
    preamble: str = ""
    """Shell lines that a job runs after them; written by hand, and run as they are."""
    partition_gpu: str | None = None
    """Default of jobs with GPUs."""
    partition_cpu: str | None = None
    """Default of jobs without."""
    time_limit: TimeLimit = "04:00:00"
    """Default time limit."""
    signal_lead_s: int = Field(default=180, ge=1)
    """Seconds before the time limit at which a job is told to save and stop."""
    max_restarts: int = Field(default=3, ge=0)
    """How often a job that met its time limit goes on by itself."""
    max_array: Count | None = None
    """Most tasks of an array."""
    assumed: tuple[str, ...] = ()
    """What nobody verified."""
    partitions: dict[str, Partition] = Field(min_length=1)
    """Queues by name."""

    @model_validator(mode="before")
    @classmethod
    def _partitions_know_their_names(cls, values: Any) -> Any:
        tables = values.get("partitions") if isinstance(values, dict) else None
        if not isinstance(tables, dict):
            return values
        named = {
            key: {**table, "name": key} if isinstance(table, dict) else table
            for key, table in tables.items()
        }
        return {**values, "partitions": named}

    @field_validator("preamble")
    @classmethod
    def _no_options(cls, value: str) -> str:
        if re.search(r"^\s*#SBATCH", value, re.MULTILINE):
            raise ValueError("an #SBATCH line there is ignored by Slurm: kdgat writes those")
        if "\0" in value:
            raise ValueError("a shell can't read NUL")
        return value

    @model_validator(mode="after")
    def _defaults_exist(self) -> Cluster:
        for field in ("partition_gpu", "partition_cpu"):
            name = getattr(self, field)
            if name is not None and name not in self.partitions:
                raise ValueError(f"{field} is '{name}', which is none of its partitions")
        if self.partition_gpu and not self.partitions[self.partition_gpu].gpus_per_node:
            raise ValueError(f"partition_gpu is '{self.partition_gpu}', which has no GPU")
        return self

    @property
    def time_limit_s(self) -> int:
        """Default time limit in seconds."""
        return parse_time(self.time_limit)

    @property
    def account(self) -> str | None:
        """The default account."""
        return self.accounts[0] if self.accounts else None


@dataclass(frozen=True)
class Cost:
    """What one job takes when it uses its whole time limit."""

    core_hours: float
    """Charged core-hours; 0 where the partition is free."""
    gpu_hours: float
    """GPU-hours that are held, charged or not."""
    charged_cores: int
    """Cores on all nodes that are charged; more than asked for where the memory is."""


def load_cluster(ws: Workspace, name: str) -> Cluster:
    """The description of one cluster: the workspace's, or else the one that comes with kdgat.

    Raises:
        ConfigError: there is none of that name, or it is wrong: file, key, value and next step.
    """
    known = _files(ws)
    if name not in known:
        raise ConfigError(
            f"cluster '{name}' is not described in '{ws.show(ws.clusters)}'",
            hint=did_you_mean(name, known)
            + " (`kdgat clusters import` on a cluster's login node describes it)",
        )
    return cluster_from(known[name], shown=ws.show(known[name]))


def cluster_names(ws: Workspace) -> tuple[str, ...]:
    """Every cluster that is described, by name."""
    return tuple(sorted(_files(ws)))


def cluster_from(path: Path, *, shown: str = "") -> Cluster:
    """The description in one file.

    Raises:
        ConfigError: the file is no TOML, or a key of it is wrong.
        StorageError: it can't be read.
    """
    shown = shown or str(path)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"'{shown}' is not valid TOML: {error}", hint="mend that line") from error
    except OSError as error:
        raise StorageError(f"can't read '{shown}': {error}", hint="mend its permissions") from error
    if values.get("name", path.stem) != path.stem:
        raise ConfigError(
            f"'{shown}': name is {values['name']!r}, and a cluster has its file's name",
            hint=f"leave it out, or name the file '{values['name']}.toml'",
        )
    try:
        return Cluster.model_validate({**values, "name": path.stem})
    except ValidationError as error:
        raise _first_fault(error, shown) from error


def partition_for(
    cluster: Cluster,
    name: str | None = None,
    gpus: int = 0,
    *,
    nodes: int = 1,
    time_limit_s: int | None = None,
    cores_per_node: int | None = None,
    memory_mb: int | None = None,
) -> Partition:
    """The partition of a job, when it can ever run there.

    Args:
        cluster: the cluster.
        name: the partition that was asked for; None takes the cluster's default.
        gpus: GPUs on all nodes together.
        nodes: nodes.
        time_limit_s: time limit in seconds.
        cores_per_node: cores on each node.
        memory_mb: memory on each node, in MiB.

    Raises:
        ConfigError: there is no such partition, or one of its limits is exceeded.
    """
    partition = _chosen(cluster, name, gpus)
    where = f"partition '{partition.name}' of {cluster.name}"
    if cluster.scheduler == "slurm" and -(-gpus // nodes) > partition.gpus_per_node:
        _too_many_gpus(cluster, partition, gpus, nodes)
    limits = (
        ("nodes", nodes, partition.most_nodes, "--nodes"),
        ("cores a node", cores_per_node, partition.cores_per_node, "--cores"),
        ("MB of memory a node", memory_mb, partition.memory_mb_per_node, "--memory-gb"),
    )
    for what, asked, most, option in limits:
        if asked is not None and most is not None and asked > most:
            raise ConfigError(
                f"{asked:,} {what} are asked for, and {where} has {most:,}",
                hint=f"lower {option}, or choose another --partition "
                f"(`kdgat clusters show {cluster.name}`)",
            )
    most_s = partition.max_time_s
    if time_limit_s is not None and most_s is not None and time_limit_s > most_s:
        raise ConfigError(
            f"a time limit of {show_time(time_limit_s)} is asked for, "
            f"and {where} allows {show_time(most_s)}",
            hint=f"lower --time to at most {show_time(most_s)}: "
            "a job that meets its limit saves, and goes on in a new turn",
        )
    return partition


def cost(cluster: Cluster, partition: Partition, request: JobRequest) -> Cost:
    """What one task of a job costs at its time limit.

    Memory beyond what comes with the cores is charged as the cores it would come with:
    https://www.osc.edu/resources/technical_support/supercomputers/pitzer/batch_limit_rules
    """
    hours = request.time_limit_s / 3600
    cores = request.tasks_per_node * request.cores_per_task
    if partition.memory_mb_per_core and request.memory_mb:
        cores = max(cores, -(-request.memory_mb // partition.memory_mb_per_core))
    charged = cores * request.nodes
    if not partition.charged or cluster.scheduler == "none":
        charged = 0
    gpu_hours = request.gpus_per_node * request.nodes * hours
    return Cost(core_hours=charged * hours, gpu_hours=gpu_hours, charged_cores=charged)


def _files(ws: Workspace) -> dict[str, Path]:
    """Every description by name; the workspace's hides one that comes with kdgat."""
    shipped = Path(__file__).parents[2] / "slurm" / "clusters"
    return {path.stem: path for folder in (shipped, ws.clusters) for path in folder.glob("*.toml")}


def _chosen(cluster: Cluster, name: str | None, gpus: int) -> Partition:
    if name is not None:
        if name not in cluster.partitions:
            hint = did_you_mean(name, cluster.partitions)
            raise ConfigError(f"{cluster.name} has no partition '{name}'", hint=hint)
        return cluster.partitions[name]
    # Without a scheduler there is one place, and the machine itself knows its GPUs.
    of_gpus = cluster.partition_gpu if cluster.scheduler == "slurm" else cluster.partition_cpu
    default = of_gpus if gpus else cluster.partition_cpu
    if default is None:
        kind = "jobs with GPUs" if gpus else "jobs without GPUs"
        field = "partition_gpu" if gpus else "partition_cpu"
        raise ConfigError(
            f"{cluster.name} names no partition for {kind}",
            hint=f"add --partition, or {field} to its file; "
            f"it has: {', '.join(sorted(cluster.partitions))}",
        )
    return cluster.partitions[default]


def _too_many_gpus(cluster: Cluster, partition: Partition, gpus: int, nodes: int) -> None:
    each = -(-gpus // nodes)
    fitting = [one.name for one in cluster.partitions.values() if one.gpus_per_node >= each]
    spread = -(-gpus // partition.gpus_per_node) if partition.gpus_per_node else 0
    hints = [f"--nodes {spread}"] if spread else []
    hints += [f"--partition {' or '.join(fitting)}"] if fitting else []
    has = f"{partition.gpus_per_node} a node" if partition.gpus_per_node else "none"
    raise ConfigError(
        f"{gpus} GPUs on {nodes} node{'s' * (nodes > 1)} are asked for, "
        f"and partition '{partition.name}' of {cluster.name} has {has}",
        hint=f"use {', or '.join(hints)}" if hints else "leave out --gpus",
    )


def _first_fault(error: ValidationError, shown: str) -> ConfigError:
    """The first fault of a file as one sentence."""
    fault = error.errors()[0]
    key = ".".join(str(part) for part in fault["loc"])
    given = fault["input"]
    value = f" = {given!r}" if isinstance(given, str | int | float | bool) else ""
    said = fault["msg"].removeprefix("Value error, ")
    more = error.error_count() - 1
    if fault["type"] == "extra_forbidden":
        fields = Partition.model_fields if key.startswith("partitions.") else Cluster.model_fields
        hint = did_you_mean(key.rpartition(".")[2], fields)
        return ConfigError(f"'{shown}': there is no key {key}", hint=hint)
    return ConfigError(
        f"'{shown}': {key}{value}: {said}" if key else f"'{shown}': {said}",
        hint="mend it in the file" + (f" ({more} more after it)" if more else ""),
    )
