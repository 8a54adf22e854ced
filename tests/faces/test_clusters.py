"""`kdgat clusters` as a user meets it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from kdgat.cli import clusters
from kdgat.cli.output import print_error
from kdgat.errors import KdgatError

CONFIG = "ClusterName = toy\nMaxArraySize = 1001\nSLURM_VERSION = 22.05.8\n"
PARTITION = "PartitionName=gpu Default=YES MaxTime=2-00:00:00 TotalNodes=1 State=UP\n"
NODE = "NodeName=n1 CPUTot=4 RealMemory=4000 Gres=gpu:v100:2 Partitions=gpu\n"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(empty: Any) -> Run:
    """`kdgat clusters ARGUMENTS`: code, standard output, standard error."""

    def call(*arguments: str) -> tuple[int, str, str]:
        out, err, code = io.StringIO(), io.StringIO(), 0
        with redirect_stdout(out), redirect_stderr(err):
            try:
                clusters.app(list(arguments))
            except SystemExit as error:
                code = int(error.code or 0)
            except KdgatError as error:
                print_error(error)
                code = 2
        return code, out.getvalue(), err.getvalue()

    return call


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands that say what a small cluster's Slurm would; the folder of what they say."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "config").write_text(CONFIG)
    (folder / "partition").write_text(PARTITION)
    (folder / "node").write_text(NODE)
    (folder / "accounts").write_text("pas3209\n")
    for name, script in (
        ("scontrol", f'cat "{folder}/$2"'),
        ("sacctmgr", f'cat "{folder}/accounts"'),
    ):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


@pytest.fixture
def file(empty: Any) -> Path:
    return empty.root / "slurm" / "clusters" / "toy.toml"


def test_clusters_are_listed_and_a_broken_file_hides_none(run: Run, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text("[partitions.x]\nnodes = 0\n")
    code, out, _ = run("list", "--json")
    told = json.loads(out)
    assert code == 0
    assert {"pitzer", "local"} <= {one["name"] for one in told["items"]}
    assert "toy.toml" in told["broken"][0]
    assert "broken: 'slurm/clusters/toy.toml'" in run("list")[1]


def test_a_cluster_is_shown_with_what_is_assumed(run: Run) -> None:
    code, out, _ = run("show", "pitzer")
    assert code == 0
    assert "v100-16gb" in out
    assert "assumed: " in out
    assert json.loads(run("show", "pitzer", "--json")[1])["cluster"]["partition_gpu"] == "gpu"


def test_an_unknown_cluster_is_a_mistake_of_two_lines(run: Run) -> None:
    code, out, err = run("show", "pitser")
    assert (code, out) == (2, "")
    assert "did you mean 'pitzer'" in err


def test_a_dry_run_prints_the_file_and_writes_nothing(run: Run, slurm: Path, file: Path) -> None:
    code, out, _ = run("import", "--dry-run")
    assert code == 0
    assert "[partitions.gpu]" in out
    assert not file.exists()


def test_an_import_is_checked_shown_and_done_once(run: Run, slurm: Path, file: Path) -> None:
    assert "is written" in run("import")[1]
    before = file.read_bytes()
    assert "already" in run("import")[1]
    assert file.read_bytes() == before
    assert run("check")[0] == 0
    assert run("show", "toy")[0] == 0


def test_a_file_that_differs_is_changed_with_force_only(run: Run, slurm: Path, file: Path) -> None:
    run("import")
    kept = "# mine\nmodules = ['python/3.12']\n"
    file.write_text(kept + file.read_text())
    (slurm / "partition").write_text(PARTITION.replace("2-00", "3-00"))
    before = file.read_bytes()

    code, out, err = run("import")
    assert (code, out) == (2, "")
    assert "partitions.gpu.max_time: 2-00:00:00 in the file, 3-00:00:00 in Slurm" in err
    assert '+max_time = "3-00:00:00"' in run("import", "--dry-run")[1]
    assert file.read_bytes() == before

    code, out, _ = run("check", "--json")
    assert code == 1
    assert [each["key"] for each in json.loads(out)["differences"]] == ["partitions.gpu.max_time"]
    assert "1 difference of toy" in run("check", "toy")[1]

    assert run("import", "--force")[0] == 0
    assert file.read_text().startswith(kept)
    assert run("check")[0] == 0


def test_without_slurm_it_says_so(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for command in ("import", "check"):
        code, out, err = run(command)
        assert (code, out) == (2, "")
        assert "is not on PATH" in err


def test_a_hostile_file_name_is_refused(run: Run, slurm: Path, file: Path) -> None:
    code, _, err = run("import", "../../etc/x")
    assert code == 2
    assert "may hold only letters" in err
    assert not file.parent.exists()


def test_the_local_machine_is_neither_checked_nor_overwritten(
    run: Run, slurm: Path, file: Path
) -> None:
    assert "no scheduler" in run("check", "local")[2]
    file.parent.mkdir(parents=True)
    (file.parent / "local.toml").write_text('scheduler = "none"\n[partitions.local]\n')
    assert "without a scheduler" in run("import", "local", "--force")[2]


def test_nothing_heavy_is_imported(process: Callable[..., Any], empty: Any) -> None:
    heavy = ("torch", "polars", "numpy", "duckdb", "tomlkit")
    code = (
        "import sys; import kdgat.ops.clusters, kdgat.cli.clusters; "
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert process("-c", code).stdout.strip() == "[]", sys.version
