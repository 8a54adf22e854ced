"""A cluster as its own Slurm describes it, and how that differs from the file about it.

What Slurm can't say (which size of V100 `gpu:v100` is, whether a partition is free of charge, which
modules a job needs) is kept from the file, or named in `assumed`.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from kdgat.configs.resources import gpu as catalogue_gpu
from kdgat.errors import ConfigError, SlurmError
from kdgat.slurm.cluster import Cluster, Partition
from kdgat.slurm.spelling import parse_time, show_time

_NOT_FOR_WORK = ("debug", "backfill", "interactive", "test")
_ALWAYS_WRITTEN = ("time_limit", "signal_lead_s", "max_restarts")
_BY_HAND = ("title", "modules", "preamble", "partition_gpu", "partition_cpu", *_ALWAYS_WRITTEN)
_LONG = 60
"""Arrays that take more letters get a line for each item."""


class Client(Protocol):
    """What a survey asks of Slurm; rows are by Slurm's own keys."""

    def show_config(self) -> dict[str, str]:
        """`scontrol show config`."""
        ...

    def show_partitions(self) -> list[dict[str, str]]:
        """`scontrol show partition -o`."""
        ...

    def nodes(self) -> list[dict[str, str]]:
        """`scontrol show node -o`."""
        ...

    def associations(self) -> list[str]:
        """The accounts that the user may charge, as `sacctmgr` names them."""
        ...


@dataclass(frozen=True)
class Difference:
    """One fact that the file and Slurm tell differently; None where one of them is silent."""

    key: str
    file: str | None
    live: str | None

    def __str__(self) -> str:
        return f"{self.key}: {self.file or 'absent'} in the file, {self.live or 'absent'} in Slurm"


def survey(client: Client) -> Cluster:
    """The cluster that `client` talks to.

    Partitions that the user can't submit to (for root, or for other accounts) are left out.

    Raises:
        SlurmError: Slurm does not answer, or shows no partition that the user may use.
    """
    config, accounts = client.show_config(), tuple(dict.fromkeys(client.associations()))
    nodes = client.nodes()
    shown = [row for row in client.show_partitions() if _usable(row, accounts)]
    if not shown:
        raise SlurmError(
            f"Slurm shows no partition that accounts {', '.join(accounts) or '(none)'} may use",
            hint="ask `sinfo`, and `sacctmgr show assoc user=$USER` for your accounts",
        )
    partitions = {
        row["PartitionName"]: _partition(row, config, _nodes_of(row["PartitionName"], nodes))
        for row in shown
    }
    version = config.get("SLURM_VERSION", "of an unknown version")
    return Cluster(
        name=config.get("ClusterName", "cluster"),
        title=f"{config.get('ClusterName', 'cluster')}, Slurm {version}",
        source=("scontrol and sacctmgr on the cluster",),
        accounts=accounts,
        partition_gpu=_best(one for one in partitions.values() if one.gpus_per_node),
        partition_cpu=_default_partition(shown, partitions),
        max_array=_max_array(config),
        assumed=_assumed(partitions, accounts),
        partitions=partitions,
    )


def merged(file: Cluster, live: Cluster) -> Cluster:
    """The live facts, with everything of the file that Slurm can't say."""
    kept: dict[str, Any] = {name: getattr(file, name) for name in _BY_HAND}
    for name in ("partition_gpu", "partition_cpu"):
        if kept[name] not in live.partitions:
            kept[name] = getattr(live, name)
    default = kept["partition_gpu"]
    if default and not live.partitions[default].gpus_per_node:
        kept["partition_gpu"] = live.partition_gpu
    partitions = {
        name: _merged_partition(file.partitions.get(name), one)
        for name, one in live.partitions.items()
    }
    open_gpus = _open_gpus(live.partitions)
    # A choice that the survey made stays an assumption until a person takes the line out.
    choices = [each for each in live.assumed if each not in open_gpus and each in file.assumed]
    values = live.model_dump() | kept
    values |= {
        "name": file.name,
        "accounts": file.accounts or live.accounts,
        "source": tuple(dict.fromkeys((*file.source, *live.source))),
        "assumed": (*_open_gpus(partitions), *choices),
        "partitions": {name: one.model_dump() for name, one in partitions.items()},
    }
    return Cluster.model_validate(values)


def differences(file: Cluster, live: Cluster) -> tuple[Difference, ...]:
    """What the file tells differently; what is a person's choice, or unknown to Slurm, is not."""
    found = []
    if file.max_array != live.max_array:
        found.append(_difference("max_array", file.max_array, live.max_array))
    known = {account.lower() for account in live.accounts}
    found += [
        Difference("accounts", account, None)
        for account in file.accounts
        if known and account.lower() not in known
    ]
    for name in sorted({*file.partitions, *live.partitions}):
        ours, theirs = file.partitions.get(name), live.partitions.get(name)
        if ours is None or theirs is None:
            found.append(_difference(f"partitions.{name}", ours and name, theirs and name))
            continue
        after = _merged_partition(ours, theirs)
        found += [
            _difference(f"partitions.{name}.{key}", getattr(ours, key), getattr(after, key))
            for key in Partition.model_fields
            if key != "note" and getattr(ours, key) != getattr(after, key)
        ]
    return tuple(found)


def to_toml(cluster: Cluster, *, over: str = "") -> str:
    """The file's text; `over` is the text it replaces, whose comments and order are kept."""
    import tomlkit

    if over:
        document = tomlkit.parse(over)
        _update(document, target := _plain(cluster, shown=document))
        text = tomlkit.dumps(document)
        if tomlkit.parse(text).unwrap() == target:
            return text
    target = _plain(cluster, shown=_ALWAYS_WRITTEN)
    document = tomlkit.document()
    document.add(tomlkit.comment("Written by `kdgat clusters import`; edit it freely."))
    document.add(tomlkit.nl())
    _update(document, target)
    return tomlkit.dumps(document)


def _usable(row: Mapping[str, str], accounts: tuple[str, ...]) -> bool:
    if row.get("RootOnly") == "YES":
        return False
    mine = {account.lower() for account in accounts}
    allowed, denied = row.get("AllowAccounts", "ALL"), row.get("DenyAccounts", "")
    if allowed != "ALL":
        return bool(mine & set(allowed.lower().split(",")))
    return not mine or not mine <= set(denied.lower().split(","))


def _nodes_of(partition: str, nodes: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return [node for node in nodes if partition in node.get("Partitions", "").split(",")]


def _partition(
    row: Mapping[str, str], config: Mapping[str, str], nodes: list[dict[str, str]]
) -> Partition:
    cores = sorted({_number(node, "CPUEfctv", "CPUTot") or 0 for node in nodes})
    memory = sorted(
        {
            (_number(node, "RealMemory") or 0) - (_number(node, "MemSpecLimit") or 0)
            for node in nodes
        }
    )
    found = [_gpus(node.get("Gres", "")) for node in nodes]
    types = sorted({kind for each in found for kind in each})
    gres = types[0] if len(types) == 1 and types[0] else None
    return Partition(
        name=row["PartitionName"],
        max_time=_time(row.get("MaxTime", "UNLIMITED")),
        nodes=len(nodes) or _number(row, "TotalNodes") or None,
        max_nodes=_number(row, "MaxNodes") or None,
        cores_per_node=_least(cores[-1] if cores else None, _number(row, "MaxCPUsPerNode")),
        memory_mb_per_node=_least(memory[-1] if memory else None, _number(row, "MaxMemPerNode")),
        memory_mb_per_core=_number(row, "DefMemPerCPU") or _number(config, "DefMemPerCPU") or None,
        gpus_per_node=max((sum(each.values()) for each in found), default=0),
        gpu=_catalogue_name(gres),
        gres=gres,
        note=_note(row, cores, memory, types),
    )


def _note(row: Mapping[str, str], cores: list[int], memory: list[int], types: list[str]) -> str:
    """What one number a field can't say."""
    said = []
    if len(cores) > 1:
        said.append(f"Its nodes have {_or(cores)} cores.")
    if len(memory) > 1:
        said.append(f"Its nodes have {memory[0]:,} to {memory[-1]:,} MB.")
    if len(types) > 1:
        said.append(f"Its GPUs are {_or(kind or 'of no named type' for kind in types)}.")
    if row.get("State", "UP") != "UP":
        said.append(f"It was {row['State'].lower()} when it was surveyed.")
    return " ".join(said)


def _gpus(gres: str) -> dict[str, int]:
    """GPUs of a node by type, from `gpu:v100:2(S:0-1),pfsdir:1`; type "" where none is named."""
    found: dict[str, int] = {}
    for item in re.sub(r"\([^)]*\)", "", gres).split(","):
        kind, *rest = item.split(":")
        if kind != "gpu" or not rest or not rest[-1].isdigit():
            continue
        name = rest[0] if len(rest) > 1 else ""
        found[name] = found.get(name, 0) + int(rest[-1])
    return found


def _catalogue_name(gres: str | None) -> str | None:
    """The catalogue's name of `v100-32g` or `nvidia_h100_80gb_hbm3`; None where it isn't plain."""
    family = re.search(r"(?<![a-z0-9])[avh]\d00(?![a-z0-9])", (gres or "").lower())
    if family is None:
        return None
    size = re.search(r"(?<![a-z0-9.])(\d+)gb?(?![a-z0-9.])", (gres or "").lower())
    try:
        return catalogue_gpu(f"{family[0]}-{size[1]}gb" if size else family[0]).name
    except ConfigError:
        return None


def _default_partition(
    rows: Iterable[Mapping[str, str]], partitions: Mapping[str, Partition]
) -> str | None:
    """Slurm's default, unless it is kept for GPUs by its name; else the best without GPUs."""
    for row in rows:
        if row.get("Default") == "YES" and "gpu" not in row["PartitionName"]:
            return row["PartitionName"]
    return _best(one for one in partitions.values() if not one.gpus_per_node)


def _best(candidates: Iterable[Partition]) -> str | None:
    """The partition for everyday work: by its name, then its time limit and its size."""

    def rank(one: Partition) -> tuple[object, ...]:
        special = any(word in one.name for word in _NOT_FOR_WORK)
        longest = one.max_time_s or float("inf")
        kept_for_gpus = "gpu" in one.name and one.gpus_per_node > 0
        return (
            special,
            not kept_for_gpus,
            one.name != "gpu",
            -longest,
            -(one.nodes or 0),
            one.name,
        )

    ranked = sorted(candidates, key=rank)
    return ranked[0].name if ranked else None


def _max_array(config: Mapping[str, str]) -> int | None:
    """Indices go from 0 to MaxArraySize - 1; the scheduler's parameters may allow fewer tasks."""
    most = _number(config, "MaxArraySize")
    fewer = re.search(r"max_array_tasks=(\d+)", config.get("SchedulerParameters", ""))
    return _least(most, int(fewer[1]) if fewer else None)


def _assumed(partitions: Mapping[str, Partition], accounts: tuple[str, ...]) -> tuple[str, ...]:
    said = list(_open_gpus(partitions))
    said.append("partition_gpu and partition_cpu were chosen by names and limits")
    if len(accounts) > 1:
        said.append(f"the default account is the first that sacctmgr names, {accounts[0]}")
    return tuple(said)


def _open_gpus(partitions: Mapping[str, Partition]) -> tuple[str, ...]:
    return tuple(
        f"{one.name}: which GPU of the catalogue '{one.gres or 'gpu'}' is; set gpu in the file"
        for one in partitions.values()
        if one.gpus_per_node and one.gpu is None
    )


def _merged_partition(ours: Partition | None, live: Partition) -> Partition:
    """Live facts; the GPU's size, the price and the note stay where Slurm does not contradict."""
    if ours is None:
        return live
    changes: dict[str, Any] = {"charged": ours.charged, "note": ours.note or live.note}
    same_gpus = live.gpus_per_node and ours.gres in (live.gres, None)
    if live.gpu is None and same_gpus:
        changes["gpu"] = ours.gpu
    return live.model_copy(update=changes)


def _difference(key: str, file: object, live: object) -> Difference:
    return Difference(key, None if file is None else str(file), None if live is None else str(live))


def _plain(cluster: Cluster, *, shown: Container[str]) -> dict[str, Any]:
    """What the file holds: no defaults but those of the keys in `shown`."""
    everything = cluster.model_dump(mode="json", exclude={"name", "partitions"}, exclude_none=True)
    changed = cluster.model_dump(exclude_defaults=True)
    values = {key: value for key, value in everything.items() if key in changed or key in shown}
    values["partitions"] = {
        name: one.model_dump(mode="json", exclude_defaults=True, exclude={"name"})
        for name, one in cluster.partitions.items()
    }
    return values


def _update(table: Any, target: Mapping[str, Any]) -> None:
    """Bring a tomlkit table to `target`, touching only what differs."""
    import tomlkit

    for key in [key for key in table if key not in target]:
        del table[key]
    for key, value in target.items():
        if isinstance(value, Mapping):
            if not isinstance(table.get(key), Mapping):
                table[key] = tomlkit.table(is_super_table=key == "partitions")
            _update(table[key], value)
        elif key not in table or table[key] != value:
            table[key] = _item(value)


def _item(value: Any) -> Any:
    import tomlkit

    if isinstance(value, list):
        array = tomlkit.array()
        array.extend(value)
        return array.multiline(sum(map(len, value)) > _LONG)
    if isinstance(value, str) and "\n" in value:
        return tomlkit.string(value, multiline=True)
    return value


def _time(text: str) -> str | None:
    """A time limit, None where there is none."""
    return None if text in ("UNLIMITED", "NONE", "INFINITE") else show_time(parse_time(text))


def _number(row: Mapping[str, str], *keys: str) -> int | None:
    """The first of `keys` that has a number; UNLIMITED and N/A are none."""
    for key in keys:
        if row.get(key, "").isdigit():
            return int(row[key])
    return None


def _least(*values: int | None) -> int | None:
    """The smallest of those that are known; 0 stands for unknown."""
    return min((value for value in values if value), default=None)


def _or(values: Iterable[object]) -> str:
    return " or ".join(map(str, values))
