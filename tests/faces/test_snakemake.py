"""`kdgat pipeline --snakemake`, and Snakemake itself on what it wrote."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faces.conftest import WINDOWS, Command, Tiny

QUICK = (
    *WINDOWS, "training.max_epochs=1", "training.min_steps_per_epoch=0", "resources.threads=1",
    "evaluation.resamples=10", "evaluation.prefix_sweep_s=[2.0]", "evaluation.poisoned=false",
)  # fmt: skip
Process = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def snakemake(process: Process, monkeypatch: pytest.MonkeyPatch) -> Process:
    """`snakemake ARGUMENTS`, whose rules find this project's `kdgat`."""
    pytest.importorskip("snakemake", reason="the extra `snakemake` is not installed")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return process("-m", "snakemake", *arguments)

    return run


def digests(tiny: Tiny) -> dict[str, str]:
    """Of every run of the ledger, its experiment's digest."""
    paths = tiny.home.glob("runs/*/*/*/run.json")
    return {path.parent.name: json.loads(path.read_text())["digest"] for path in paths}


@pytest.mark.usefixtures("prepared")
class TestOfTheCommand:
    def test_it_says_what_it_wrote_and_what_comes_next(self, kdgat: Command) -> None:
        said = kdgat("pipeline", *QUICK, "--snakemake", "flow")
        assert said.code == 0
        assert "written: 12 files in flow, 12 steps of simulated" in said.out
        assert "next: snakemake -s flow/Snakefile -n" in said.out
        assert Path("flow/rules/classifier.smk").is_file()

    def test_a_dry_run_prints_the_files_and_writes_none(self, kdgat: Command) -> None:
        said = kdgat("pipeline", *QUICK, "--snakemake", "flow", "--dry-run")
        assert "--- flow/Snakefile" in said.out
        assert "rule fusion:" in said.out
        assert "would write: 12 files" in said.out
        plan = kdgat("pipeline", *QUICK, "--snakemake", "flow", "--dry-run", "--json").json
        assert len(plan["files"]) == 12
        assert not plan["written"]
        assert not Path("flow").exists()

    def test_a_mistake_is_two_lines(self, kdgat: Command) -> None:
        Path("flow").mkdir()
        Path("flow/mine.txt").write_text("mine")
        kdgat("pipeline", "--snakemake", "flow").mistake("'mine.txt'", "new folder")
        kdgat("pipeline", "--snakemake", "new", "--cluster", "nowhere").mistake("'nowhere'")
        kdgat("pipeline", "model.hidden=4", "--snakemake", "new").mistake("one kind of model")
        kdgat("pipeline", "--cluster", "pitzer").mistake("--snakemake")
        assert not Path("new").exists()


@pytest.mark.slow
def test_snakemake_and_the_pipeline_make_the_same_runs(
    prepared: Tiny, kdgat: Command, snakemake: Process
) -> None:
    for folder in ("flow", "flows/again"):
        assert kdgat("pipeline", *QUICK, "--snakemake", folder).code == 0
    planned = snakemake("-s", "flow/Snakefile", "-n", "--quiet", "rules")
    assert planned.returncode == 0, planned.stderr
    assert not prepared.runs()

    done = snakemake("-s", "flow/Snakefile", "--cores", 1)
    assert done.returncode == 0, done.stdout + done.stderr
    plan = kdgat("pipeline", *QUICK, "--dry-run", "--json").json
    assert {each["state"] for each in plan["steps"]} == {"done"}
    made = digests(prepared)
    assert set(made) == {each["run_id"] for each in plan["steps"]}
    names = {path.name for path in Path("flow").glob("benchmarks/*/*.tsv")}
    assert "simulated-fusion-small-kd-42.tsv" in names
    assert "<html" in Path("flow/done/report.html").read_text().lower()
    assert not list(Path("flow").rglob("*.partial"))

    again = snakemake("-s", "flow/Snakefile", "-n")
    assert "Nothing to be done" in again.stdout + again.stderr
    # The other way round: to a workflow without markers, runs that are in the ledger are done.
    one = "done/evaluation/simulated-fusion-large-42.json"
    other = snakemake("-s", "flows/again/Snakefile", "--cores", 1, one)
    assert other.returncode == 0, other.stdout + other.stderr
    assert json.loads(Path("flows/again", one).read_text())["outcome"] == "already done"
    assert digests(prepared) == made


@pytest.mark.slow
def test_a_step_that_fails_leaves_no_marker_and_its_log_says_why(
    prepared: Tiny, kdgat: Command, snakemake: Process
) -> None:
    assert kdgat("pipeline", *QUICK, "--snakemake", "flow").code == 0
    shutil.rmtree(prepared.data)
    done = snakemake("-s", "flow/Snakefile", "--cores", 1)
    assert done.returncode == 1
    assert "kdgat data" in Path("flow/logs/graphs.log").read_text()
    assert not Path("flow/done/graphs.json").exists()


@pytest.mark.slow
def test_the_slurm_profile_is_one_that_snakemake_takes(
    prepared: Tiny, kdgat: Command, snakemake: Process
) -> None:
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="the extra is not installed")
    folder = prepared.root / "slurm" / "clusters"
    folder.mkdir(parents=True)
    (folder / "here.toml").write_text(
        'accounts = ["PAS3209"]\npartition_gpu = "gpu"\npartition_cpu = "cpu"\n'
        '[partitions.gpu]\ngpus_per_node = 2\ngres = "v100"\n[partitions.cpu]\n'
    )
    assert kdgat("pipeline", *QUICK, "--snakemake", "flow", "--cluster", "here").code == 0
    done = snakemake("-s", "flow/Snakefile", "-n", "--profile", "flow/profiles/slurm")
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "slurm_partition=gpu" in said
    assert "gres=gpu:v100:1" in said
    assert "slurm_account=PAS3209" in said
