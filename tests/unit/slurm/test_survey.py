"""A cluster as Slurm describes it: recorded from a real 22.05."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from typing import Any

import pytest

from kdgat.errors import SlurmError
from kdgat.slurm.cluster import Cluster
from kdgat.slurm.queue import records, settings
from kdgat.slurm.survey import Difference, differences, merged, survey, to_toml

# scontrol show config, some of its lines
CONFIG = """Configuration data as of 2026-11-21T14:50:13
AccountingStorageEnforce = associations,limits,qos,safe
ClusterName             = pitzer
DefMemPerCPU            = 200
MaxArraySize            = 1001
PriorityFlags           = 
SchedulerParameters     = bf_interval=2,sched_interval=2,batch_sched_delay=0,defer_batch
SLURM_VERSION           = 22.05.8

Slurmctld(primary) at vm is UP
"""  # noqa: W291
# scontrol show partition -o
PARTITIONS = """PartitionName=cpu AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES QoS=N/A DefaultTime=00:10:00 DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO MaxNodes=UNLIMITED MaxTime=4-00:00:00 MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED Nodes=pitzer[01-02] PriorityJobFactor=1 PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO OverTimeLimit=NONE PreemptMode=OFF State=UP TotalCPUs=8 TotalNodes=2 SelectTypeParameters=NONE JobDefaults=(null) DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED TRES=cpu=8,mem=8000M,node=2,billing=8,gres/gpu=4
PartitionName=gpu AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=NO QoS=N/A DefaultTime=00:10:00 DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO MaxNodes=UNLIMITED MaxTime=7-00:00:00 MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED Nodes=pitzer[01-02] PriorityJobFactor=1 PriorityTier=1 RootOnly=NO ReqResv=NO OverSubscribe=NO OverTimeLimit=NONE PreemptMode=OFF State=UP TotalCPUs=8 TotalNodes=2 SelectTypeParameters=NONE JobDefaults=(null) DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED TRES=cpu=8,mem=8000M,node=2,billing=8,gres/gpu=4
PartitionName=debug AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=NO QoS=N/A DefaultTime=00:05:00 DisableRootJobs=NO ExclusiveUser=NO GraceTime=0 Hidden=NO MaxNodes=UNLIMITED MaxTime=01:00:00 MinNodes=0 LLN=NO MaxCPUsPerNode=UNLIMITED Nodes=pitzer01 PriorityJobFactor=1 PriorityTier=2 RootOnly=NO ReqResv=NO OverSubscribe=NO OverTimeLimit=NONE PreemptMode=OFF State=UP TotalCPUs=4 TotalNodes=1 SelectTypeParameters=NONE JobDefaults=(null) DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED TRES=cpu=4,mem=4000M,node=1,billing=4,gres/gpu=2
"""  # noqa: E501
# scontrol show node -o
NODES = """NodeName=pitzer01 Arch=x86_64 CoresPerSocket=1  CPUAlloc=0 CPUEfctv=4 CPUTot=4 CPULoad=1.89 AvailableFeatures=(null) ActiveFeatures=(null) Gres=gpu:v100:2 NodeAddr=127.0.0.1 NodeHostName=vm Port=16819 Version=22.05.8 OS=Linux 6.18.44-fc-v657 #1 SMP PREEMPT_DYNAMIC @0  RealMemory=4000 AllocMem=0 FreeMem=20598 Sockets=4 Boards=1 State=IDLE ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A Partitions=cpu,gpu,debug  BootTime=2026-11-21T11:12:12 SlurmdStartTime=2026-11-21T14:43:48 LastBusyTime=2026-11-21T14:43:48 CfgTRES=cpu=4,mem=4000M,billing=4,gres/gpu=2 AllocTRES= CapWatts=n/a CurrentWatts=0 AveWatts=0 ExtSensorsJoules=n/s ExtSensorsWatts=0 ExtSensorsTemp=n/s
NodeName=pitzer02 Arch=x86_64 CoresPerSocket=1  CPUAlloc=0 CPUEfctv=4 CPUTot=4 CPULoad=1.89 AvailableFeatures=(null) ActiveFeatures=(null) Gres=gpu:v100:2 NodeAddr=127.0.0.1 NodeHostName=vm Port=16820 Version=22.05.8 OS=Linux 6.18.44-fc-v657 #1 SMP PREEMPT_DYNAMIC @0  RealMemory=4000 AllocMem=0 FreeMem=20598 Sockets=4 Boards=1 State=IDLE ThreadsPerCore=1 TmpDisk=0 Weight=1 Owner=N/A MCS_label=N/A Partitions=cpu,gpu  BootTime=2026-11-21T11:12:12 SlurmdStartTime=2026-11-21T14:43:48 LastBusyTime=2026-11-21T14:43:48 CfgTRES=cpu=4,mem=4000M,billing=4,gres/gpu=2 AllocTRES= CapWatts=n/a CurrentWatts=0 AveWatts=0 ExtSensorsJoules=n/s ExtSensorsWatts=0 ExtSensorsTemp=n/s
"""  # noqa: E501


@dataclass(frozen=True)
class Recorded:
    """Answers as a real client gives them, from recorded text."""

    config: str = CONFIG
    partitions: str = PARTITIONS
    node_lines: str = NODES
    accounts: tuple[str, ...] = ("pas3209",)

    def show_config(self) -> dict[str, str]:
        return settings(self.config)

    def show_partitions(self) -> list[dict[str, str]]:
        return records(self.partitions)

    def nodes(self) -> list[dict[str, str]]:
        return records(self.node_lines)

    def associations(self) -> list[str]:
        return list(self.accounts)


def written(cluster: Cluster) -> dict[str, Any]:
    return tomllib.loads(to_toml(cluster))


def test_a_real_slurm_is_described() -> None:
    found = survey(Recorded())
    node = {
        "cores_per_node": 4,
        "memory_mb_per_node": 4000,
        "memory_mb_per_core": 200,
        "gpus_per_node": 2,
        "gres": "v100",
    }
    told = written(found)
    assert told["partitions"] == {
        "cpu": {"max_time": "4-00:00:00", "nodes": 2, **node},
        "gpu": {"max_time": "7-00:00:00", "nodes": 2, **node},
        "debug": {"max_time": "01:00:00", "nodes": 1, **node},
    }
    assert (found.name, found.accounts, found.max_array) == ("pitzer", ("pas3209",), 1001)
    assert (found.partition_gpu, found.partition_cpu) == ("gpu", "cpu")


def test_a_size_of_gpu_that_slurm_does_not_say_is_left_open_and_said() -> None:
    found = survey(Recorded())
    assert found.partitions["gpu"].gpu is None
    assert any("gpu: which GPU" in each and "'v100'" in each for each in found.assumed)


@pytest.mark.parametrize(
    ("gres", "count", "kind", "gpu"),
    [
        ("gpu:v100:2(S:0-1),pfsdir:1", 2, "v100", None),
        ("gpu:v100-32g:2", 2, "v100-32g", "v100-32gb"),
        ("gpu:nvidia_a100_80gb_pcie:4", 4, "nvidia_a100_80gb_pcie", "a100-80gb"),
        ("gpu:a100-sxm4-40gb:8", 8, "a100-sxm4-40gb", "a100-40gb"),
        ("gpu:a100_1g.10gb:7", 7, "a100_1g.10gb", None),
        ("gpu:h200:1", 1, "h200", "h200-141gb"),
        ("gpu:rtx6000:1", 1, "rtx6000", None),
        ("gpu:3", 3, None, None),
        ("vis:1,gpu:v100:1,gpu:a100:1", 2, None, None),
        ("(null)", 0, None, None),
    ],
)
def test_gpus_are_read_from_the_nodes(
    gres: str, count: int, kind: str | None, gpu: str | None
) -> None:
    found = survey(Recorded(node_lines=NODES.replace("gpu:v100:2", gres))).partitions["gpu"]
    assert (found.gpus_per_node, found.gres, found.gpu) == (count, kind, gpu)


def test_nodes_that_differ_give_the_most_and_a_note() -> None:
    lines = NODES.replace("CPUEfctv=4", "CPUEfctv=8", 1).replace(
        "RealMemory=4000", "RealMemory=9000", 1
    )
    found = survey(Recorded(node_lines=lines)).partitions["gpu"]
    assert (found.cores_per_node, found.memory_mb_per_node) == (8, 9000)
    assert "4 or 8 cores" in found.note
    assert "4,000 to 9,000 MB" in found.note


def test_limits_of_the_partition_come_before_those_of_nodes_and_cluster() -> None:
    rows = (
        PARTITIONS.replace("MaxCPUsPerNode=UNLIMITED", "MaxCPUsPerNode=3")
        .replace("MaxNodes=UNLIMITED", "MaxNodes=1")
        .replace(
            "DefMemPerNode=UNLIMITED MaxMemPerNode=UNLIMITED", "DefMemPerCPU=500 MaxMemPerNode=3500"
        )
        .replace("MaxTime=7-00:00:00", "MaxTime=UNLIMITED")
    )
    config = CONFIG.replace("defer_batch", "max_array_tasks=50")
    cluster = survey(Recorded(partitions=rows, config=config))
    found = cluster.partitions["gpu"]
    assert (found.cores_per_node, found.most_nodes) == (3, 1)
    assert (found.memory_mb_per_node, found.memory_mb_per_core) == (3500, 500)
    assert (found.max_time, cluster.max_array) == (None, 50)


def test_partitions_of_others_are_left_out() -> None:
    head, cpu = PARTITIONS.split("PartitionName=gpu", 1)
    rows = head.replace("AllowAccounts=ALL", "AllowAccounts=pas1,pas2") + "PartitionName=gpu" + cpu
    found = survey(Recorded(partitions=rows))
    assert set(found.partitions) == {"gpu", "debug"}
    assert "cpu" in survey(Recorded(partitions=rows, accounts=("PAS2",))).partitions
    with pytest.raises(SlurmError, match="pas3209"):
        survey(Recorded(partitions=PARTITIONS.replace("RootOnly=NO", "RootOnly=YES")))


def test_a_merge_keeps_what_was_written_by_hand() -> None:
    live = survey(Recorded())
    mine = live.model_dump() | {
        "name": "mine",
        "accounts": ("PAS1",),
        "modules": ("python/3.12",),
        "preamble": "ulimit -c 0",
        "partition_cpu": "debug",
        "time_limit": "1h",
        "source": ("https://example.org",),
        "partitions": {
            "gpu": {"gpus_per_node": 4, "gpu": "v100-16gb", "gres": "v100", "charged": False},
            "gone": {},
        },
        "partition_gpu": "gpu",
    }
    mine["partitions"]["debug"] = {}
    file = Cluster.model_validate(mine)
    found = merged(file, live)
    kept = ("name", "accounts", "modules", "preamble", "partition_cpu", "time_limit")
    assert [getattr(found, name) for name in kept] == [getattr(file, name) for name in kept]
    gpu = found.partitions["gpu"]
    assert (gpu.gpus_per_node, gpu.gpu, gpu.charged) == (2, "v100-16gb", False)
    assert set(found.partitions) == set(live.partitions)
    assert found.source == ("https://example.org", "scontrol and sacctmgr on the cluster")
    assert differences(found, replace_accounts(live, "pas1")) == ()


def replace_accounts(cluster: Cluster, *accounts: str) -> Cluster:
    return cluster.model_copy(update={"accounts": accounts})


def test_differences_name_the_key_and_both_values() -> None:
    live = survey(Recorded())
    shorter = replace(Recorded(), partitions=PARTITIONS.replace("7-00:00:00", "2-00:00:00"))
    assert differences(live, survey(shorter)) == (
        Difference("partitions.gpu.max_time", "7-00:00:00", "2-00:00:00"),
    )
    fewer = replace(Recorded(), partitions=PARTITIONS.splitlines(True)[0], accounts=("pas1",))
    assert set(differences(live, survey(fewer))) == {
        Difference("accounts", "pas3209", None),
        Difference("partitions.gpu", "gpu", None),
        Difference("partitions.debug", "debug", None),
    }
    assert differences(live, live) == ()


def test_the_file_gives_the_cluster_back_and_keeps_comments() -> None:
    live = survey(Recorded()).model_copy(update={"preamble": "a\nb 'c' \"d\"\n"})
    text = to_toml(live)
    assert Cluster.model_validate({**tomllib.loads(text), "name": "pitzer"}) == live
    assert to_toml(live, over=text) == text
    commented = text.replace("max_array = 1001", "max_array = 7  # why seven")
    assert "max_array = 1001  # why seven" in to_toml(live, over=commented)
