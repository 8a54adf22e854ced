"""What is known of a cluster, and what a job may ask of it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgat.errors import ConfigError
from kdgat.ledger.jobs import JobRequest
from kdgat.slurm.cluster import (
    Cluster,
    cluster_names,
    cost,
    load_cluster,
    parse_time,
    partition_for,
    show_time,
    slurm_name,
)
from kdgat.workspace import Workspace

TOY = """
accounts = ["PAS1"]
partition_gpu = "gpu"
partition_cpu = "cpu"

[partitions.gpu]
max_time = "2-00:00:00"
nodes = 4
max_nodes = 2
cores_per_node = 40
memory_mb_per_node = 371712
memory_mb_per_core = 9000
gpus_per_node = 2
gpu = "V100 16GB"
gres = "v100"

[partitions.cpu]
max_time = "1h"

[partitions.free]
charged = false
"""


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "slurm" / "clusters").mkdir(parents=True)
    (tmp_path / "slurm" / "clusters" / "toy.toml").write_text(TOY)
    return Workspace(root=tmp_path, home=tmp_path / ".kdgat")


@pytest.fixture
def toy(ws: Workspace) -> Cluster:
    return load_cluster(ws, "toy")


def write(ws: Workspace, text: str) -> None:
    (ws.clusters / "toy.toml").write_text(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("30:00", 1800),
        ("1:30:00", 5400),
        ("04:00:00", 14400),
        ("7-00:00:00", 604800),
        ("1-12", 129600),
        ("1-2:30", 95400),
        ("90m", 5400),
        ("90 min", 5400),
        ("1h30m", 5400),
        ("1 h 30", 5400),
        ("2d", 172800),
        ("1d12h", 129600),
        ("45s", 45),
    ],
)
def test_a_time_is_read_as_slurm_and_as_people_write_it(text: str, seconds: int) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "00:00",
        "x",
        "-1",
        "1:2:3:4",
        "1h2h",
        "1-",
        "99999999",
        "१",
        "1.5h",
        "$(id)",
        "1\n;2",
    ],
)
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_time(text)
    assert "1h30m" in caught.value.hint


@given(st.integers(min_value=1, max_value=400 * 86400))
def test_a_time_that_is_shown_is_read_again(seconds: int) -> None:
    assert parse_time(show_time(seconds)) == seconds


@given(st.text())
def test_any_text_is_a_time_or_a_config_error(text: str) -> None:
    with suppress(ConfigError):
        assert parse_time(text) > 0


@given(st.text())
def test_a_name_for_an_sbatch_line_has_harmless_letters_only(text: str) -> None:
    try:
        kept = slurm_name("account", text)
    except ConfigError:
        return
    assert kept == text != ""
    assert not set(text) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")


@pytest.mark.parametrize("text", ["a;b", "$(id)", "a\n#SBATCH -p x", "a\n", "", "a b", "ä"])
def test_a_hostile_name_is_named_in_the_error(text: str) -> None:
    with pytest.raises(ConfigError, match="account"):
        slurm_name("account", text)


def test_every_cluster_that_comes_with_kdgat_is_whole_and_says_its_sources(ws: Workspace) -> None:
    assert {"ascend", "cardinal", "local", "pitzer"} <= set(cluster_names(ws))
    for name in set(cluster_names(ws)) - {"toy"}:
        cluster = load_cluster(ws, name)
        assert cluster.source or cluster.scheduler == "none"
        assert all(url.startswith("https://") for url in cluster.source)
        partition_for(cluster, None, 0 if cluster.partition_gpu is None else 1)


def test_the_workspace_hides_a_cluster_that_comes_with_kdgat(ws: Workspace) -> None:
    (ws.clusters / "pitzer.toml").write_text(TOY)
    assert set(load_cluster(ws, "pitzer").partitions) == {"gpu", "cpu", "free"}


def test_a_description_is_normalised(toy: Cluster) -> None:
    gpu = toy.partitions["gpu"]
    assert (gpu.name, gpu.gpu, gpu.max_time_s, gpu.most_nodes) == ("gpu", "v100-16gb", 172800, 2)
    assert toy.partitions["cpu"].max_time == "01:00:00"
    assert (toy.account, toy.time_limit_s, toy.signal_lead_s, toy.max_restarts) == (
        "PAS1",
        14400,
        180,
        3,
    )


def test_an_unknown_cluster_is_met_with_the_nearest(ws: Workspace) -> None:
    with pytest.raises(ConfigError) as caught:
        load_cluster(ws, "pitser")
    assert "did you mean 'pitzer'?" in caught.value.hint


@pytest.mark.parametrize("name", ["../toy", "/etc/passwd", "toy.toml", "", "."])
def test_a_path_is_no_cluster(ws: Workspace, name: str) -> None:
    with pytest.raises(ConfigError, match="is not described"):
        load_cluster(ws, name)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("nodes = 4", "nodes = 0"), ("partitions.gpu.nodes", "0")),
        (("nodes = 4", "nodes = true"), ("partitions.gpu.nodes", "True")),
        (("nodes = 4", "nods = 4"), ("partitions.gpu.nods", "did you mean 'nodes'")),
        (('"v100"', '"v100;x"'), ("partitions.gpu.gres", "v100;x")),
        (('"V100 16GB"', '"v100"'), ("partitions.gpu.gpu", "v100-16gb, v100-32gb")),
        (('"2-00:00:00"', '"two days"'), ("partitions.gpu.max_time", "two days")),
        (("gpus_per_node = 2", ""), ("partitions.gpu", "gpus_per_node")),
        (('["PAS1"]', '["PAS1\\n"]'), ("accounts.0", "PAS1")),
        (('_gpu = "gpu"', '_gpu = "gpus"'), ("partition_gpu", "gpus")),
        (('_gpu = "gpu"', '_gpu = "cpu"'), ("partition_gpu", "no GPU")),
        (("[partitions.gpu]", '[partitions."g pu"]'), ("g pu",)),
        (('accounts = ["PAS1"]', 'preamble = """\n #SBATCH -p x"""'), ("preamble", "#SBATCH")),
        (('accounts = ["PAS1"]', 'modules = ["python; rm"]'), ("modules.0", "python; rm")),
        (('accounts = ["PAS1"]', 'name = "other"'), ("name", "other")),
        (('accounts = ["PAS1"]', "accounts ="), ("TOML",)),
    ],
)
def test_a_wrong_file_is_told_by_file_key_and_value(
    ws: Workspace, change: tuple[str, str], words: tuple[str, ...]
) -> None:
    write(ws, TOY.replace(*change, 1))
    with pytest.raises(ConfigError) as caught:
        load_cluster(ws, "toy")
    said = f"{caught.value.problem} {caught.value.hint}"
    missing = [word for word in ("slurm/clusters/toy.toml", *words) if word not in said]
    assert not missing, said


def test_the_default_partition_is_by_gpus(toy: Cluster) -> None:
    assert partition_for(toy, None, 0).name == "cpu"
    assert partition_for(toy, None, 2).name == "gpu"
    assert partition_for(toy, "free", 0).name == "free"
    assert partition_for(toy, None, 4, nodes=2).name == "gpu"


def test_no_default_partition_is_said_with_the_choice(ws: Workspace) -> None:
    write(ws, TOY.replace('partition_cpu = "cpu"', ""))
    with pytest.raises(ConfigError) as caught:
        partition_for(load_cluster(ws, "toy"), None, 0)
    assert "cpu, free, gpu" in caught.value.hint


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"name": "gpuu"}, ("gpuu", "did you mean 'gpu'")),
        ({"gpus": 3}, ("3 GPUs on 1 node ", "2 a node", "--nodes 2")),
        ({"name": "cpu", "gpus": 1}, ("none", "--partition gpu")),
        ({"gpus": 1, "nodes": 3}, ("3 nodes", "has 2", "--nodes")),
        ({"gpus": 1, "cores_per_node": 41}, ("41 cores", "has 40", "--cores")),
        ({"gpus": 1, "memory_mb": 371713}, ("371,713", "371,712", "--memory-gb")),
        ({"gpus": 1, "time_limit_s": 172801}, ("2-00:00:01", "allows 2-00:00:00", "--time")),
    ],
)
def test_an_exceeded_limit_is_named(
    toy: Cluster, asked: dict[str, int], words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        partition_for(toy, **asked)  # type: ignore[arg-type]
    said = f"{caught.value.problem} {caught.value.hint}"
    assert not [word for word in words if word not in said], said


def test_what_is_unknown_is_not_checked(toy: Cluster) -> None:
    partition_for(toy, "free", nodes=999, cores_per_node=999, memory_mb=10**9, time_limit_s=10**9)


def test_this_machine_has_the_gpus_it_has(ws: Workspace) -> None:
    assert partition_for(load_cluster(ws, "local"), None, 8).name == "local"


def test_memory_beyond_what_comes_with_the_cores_is_charged_as_cores(toy: Cluster) -> None:
    asked = JobRequest(
        "gpu", "PAS1", 7200, nodes=2, tasks_per_node=2, cores_per_task=2, memory_mb=36000,
        gpus_per_node=2,
    )  # fmt: skip
    gpu = toy.partitions["gpu"]
    found = cost(toy, gpu, asked)
    assert (found.charged_cores, found.core_hours, found.gpu_hours) == (8, 16.0, 8.0)
    more = cost(toy, gpu, JobRequest("gpu", "PAS1", 3600, cores_per_task=4, memory_mb=36001))
    assert (more.charged_cores, more.core_hours, more.gpu_hours) == (5, 5.0, 0.0)


def test_nothing_is_charged_where_hours_are_free(toy: Cluster, ws: Workspace) -> None:
    asked = JobRequest("free", None, 3600, cores_per_task=4)
    assert cost(toy, toy.partitions["free"], asked).core_hours == 0
    local = load_cluster(ws, "local")
    assert cost(local, local.partitions["local"], asked).core_hours == 0
