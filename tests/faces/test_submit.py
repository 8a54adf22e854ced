"""`kdgat submit` as a researcher meets it: what it prints, and what it costs to ask."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import click
import pytest
import typer
from typer.testing import CliRunner

from kdgat.cli.output import print_error
from kdgat.cli.submit import complete_cluster, submit
from kdgat.errors import KdgatError
from tests.faces.conftest import Command, Said, Tiny

Process = Callable[..., subprocess.CompletedProcess[str]]
HERE = """
accounts = ["PAS3209"]
partition_gpu = "gpu"
partition_cpu = "cpu"
time_limit = "01:00:00"
[partitions.gpu]
nodes = 2
cores_per_node = 8
memory_mb_per_core = 1000
gpus_per_node = 2
gpu = "v100-16gb"
gres = "v100"
[partitions.cpu]
cores_per_node = 8
memory_mb_per_core = 1000
"""
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(submit)


def call(*arguments: object) -> Said:
    """`kdgat submit` in this process."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            typer.main.get_command(app).main([*map(str, arguments)], standalone_mode=False)
        except click.exceptions.Exit as error:
            code = error.exit_code
        except KdgatError as error:
            print_error(error)
            code = 2
    return Said(code, out.getvalue(), err.getvalue())


@pytest.fixture
def tiny(prepared: Tiny) -> Tiny:
    """A prepared workspace with a cluster."""
    folder = prepared.root / "slurm" / "clusters"
    folder.mkdir(parents=True)
    (folder / "here.toml").write_text(HERE)
    return prepared


def test_the_help_has_an_example() -> None:
    said = CliRunner().invoke(app, ["--help"]).output
    assert re.search(r"Examples?:\s+kdgat submit", said)
    assert "--json" in said


def test_clusters_complete(tiny: Tiny) -> None:
    assert "here" in complete_cluster("h")
    assert {"pitzer", "local"} <= set(complete_cluster(""))


def test_a_dry_run_says_what_would_be_submitted_and_writes_no_job(
    tiny: Tiny, tiny_config: tuple[str, ...], process: Process
) -> None:
    words = (*tiny_config, "--cluster", "here", "--evaluate", "--dry-run")
    said = call(*words)
    assert said.code == 0
    assert "would be submitted to here" in said.out
    assert re.search(r"1 +train +1 +gpu +1 x 1 v100-16gb +01:00:00", said.out)
    assert "CUDA context" in said.out
    assert tiny.runs() == set()
    assert not (tiny.home / "jobs").exists()
    # Once more, now that the memory plan is in the cache: without torch.
    code = (
        "import sys\nfrom tests.faces.test_submit import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print('torch' in sys.modules, 'duckdb' in sys.modules, file=sys.stderr)"
    )
    repository = str(Path(__file__).parents[2])
    done = process("-c", code, *words, "--json", environ={"PYTHONPATH": repository})
    assert done.stderr.splitlines()[-1] == "False False"
    train, judge = json.loads(done.stdout)["jobs"]
    assert train["memory"]["cached"]
    assert judge["job"]["needs"] == [train["job"]["job_id"]]
    assert train["script"].startswith("#!/bin/bash\n#SBATCH")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--cluster", "heer"), ("'heer'", "did you mean 'here'?")),
        (("--cluster", "here", "--time", "soon"), ("'soon'", "1h30m")),
        (("--cluster", "here", "--gpus", 3), ("--nodes 2",)),
        (("--cluster", "here", "model=gta"), ("did you mean 'gat'?",)),
        (("--cluster", "here", "seed=1,2"), ("several values",)),
    ],
)
def test_a_mistake_is_two_lines(
    tiny: Tiny, words: tuple[object, ...], told: tuple[str, ...]
) -> None:
    call(*words).mistake(*told)
    assert tiny.runs() == set()


def test_away_from_the_cluster_the_next_step_is_told(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    git = shutil.which("git")
    assert git
    (tmp_path / "git").symlink_to(git)
    monkeypatch.setenv("PATH", str(tmp_path))
    call("--cluster", "here").mistake("'sbatch' is not on PATH", "--cluster local")
    assert tiny.runs() == set()


@pytest.mark.slow
def test_the_whole_job_is_done_here_and_the_frozen_code_repeats_it(
    tiny: Tiny, tiny_config: tuple[str, ...], kdgat: Command
) -> None:
    words = (*tiny_config, "--cluster", "local", "--pipeline", "--json")
    report = call(*words).json
    assert report["failed"] == []
    assert [job["state"] for job in report["jobs"]] == ["ended"] * 4
    runs = {run["work"]: run["run_id"] for run in report["runs"]}
    shown = kdgat("runs", "show", runs["evaluate"], "--json").json
    assert "completed" in json.dumps(shown)
    assert {run["outcome"] for run in call(*words).json["runs"]} == {"done"}
    again = kdgat("replay", report["runs"][0]["run_id"], "--snapshot", "--json").json
    assert again["identical"]
    assert again["again"]["run_id"] in tiny.runs()
