"""The text of job scripts: whole against goldens, and inert whatever it is given.

Goldens are written anew by `python tests/unit/slurm/test_script.py`; read the difference.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.configs.training import ResourcesConfig
from kdgat.errors import ConfigError, KdgatError, SlurmError
from kdgat.ledger.jobs import Job, JobRequest, JobTask
from kdgat.ops.job_request import SubmitRequest, training_job
from kdgat.slurm.cluster import Cluster, cluster_from
from kdgat.slurm.script import dependency_options, render

ROOT = Path(__file__).parents[3]
TEMPLATE = (ROOT / "slurm" / "job.sh.in").read_text(encoding="utf-8")
CLUSTERS = sorted((ROOT / "slurm" / "clusters").glob("*.toml"))
GOLDENS = ROOT / "tests" / "golden" / "slurm"
PITZER = cluster_from(ROOT / "slurm" / "clusters" / "pitzer.toml")
LOCAL = cluster_from(ROOT / "slurm" / "clusters" / "local.toml")
ONE = JobTask("20261121-074455-123f9a2")
REQUEST = JobRequest("gpu", "PAS3209", 3600)


def job(*tasks: JobTask, request: JobRequest = REQUEST, cluster: str = "pitzer") -> Job:
    return Job(
        job_id="20261121-080000-456abcd",
        cluster=cluster,
        created_at="2026-11-21T08:00:00.000+00:00",
        tasks=tasks or (ONE,),
        request=request,
        array=len(tasks) > 1,
    )


def rendered(
    of: Job,
    cluster: Cluster = PITZER,
    *,
    python: str = "/users/me/kdgat/.venv/bin/python",
    code: str = "/fs/scratch/me/kdgat/snapshots/0a1b/code",
    home: str = "/fs/scratch/me/kdgat",
    template: str = TEMPLATE,
) -> str:
    return render(of, cluster, python=python, code=Path(code), home=Path(home), template=template)


def typical(path: Path) -> str:
    """The job of a cluster's golden: a sweep, trained by two processes where there are nodes."""
    cluster = cluster_from(path)
    one = cluster.scheduler == "none"
    asked = SubmitRequest((), cluster.name, throttle=2)
    placed = training_job(cluster, asked, ResourcesConfig(devices=1 if one else 2))
    tasks = (ONE, JobTask("20261121-074455-123f9a3"), JobTask("20261121-074455-123f9a4"))
    return rendered(job(*tasks, request=placed.request, cluster=cluster.name), cluster)


def options(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH --") for line in script.splitlines() if "#SBATCH" in line]


def reads_as_bash(script: str) -> bool:
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    return done.returncode == 0 and done.stderr == ""


@pytest.mark.parametrize("path", CLUSTERS, ids=lambda path: path.stem)
def test_the_script_of_each_cluster_is_the_golden_one(path: Path) -> None:
    script = typical(path)
    assert script == (GOLDENS / f"{path.stem}.sh").read_text(encoding="utf-8")
    assert reads_as_bash(script)


def test_there_is_no_golden_without_a_cluster() -> None:
    assert {each.stem for each in GOLDENS.iterdir()} == {each.stem for each in CLUSTERS}


def test_every_option_stands_before_the_first_command() -> None:
    lines = rendered(job()).splitlines()
    first = next(number for number, line in enumerate(lines) if line and line[0] != "#")
    assert max(number for number, line in enumerate(lines) if "#SBATCH" in line) < first


def test_a_single_run_is_no_array_and_several_are() -> None:
    single = options(rendered(job()))
    assert "output=job.out" in single
    assert not [option for option in single if option.startswith("array")]
    many = [replace(ONE, run_id=f"r{number}") for number in range(12)]
    several = options(rendered(job(*many, request=replace(REQUEST, throttle=3))))
    assert "array=0-11%3" in several
    assert "output=task-%a.out" in several


def test_the_signal_goes_to_the_steps_and_the_output_is_added_to() -> None:
    found = options(rendered(job(request=replace(REQUEST, signal_lead_s=120))))
    assert "signal=USR1@120" in found
    assert {"open-mode=append", "requeue", "time=01:00:00"} <= set(found)


def test_gpus_are_asked_for_by_the_clusters_name_of_their_type_if_it_has_one() -> None:
    two = replace(REQUEST, gpus_per_node=2)
    assert "gpus-per-node=2" in options(rendered(job(request=two)))
    named = options(rendered(job(request=replace(two, gres="v100"))))
    assert "gpus-per-node=v100:2" in named


def test_no_path_stands_in_an_option() -> None:
    assert not [option for option in options(rendered(job())) if "/" in option]


def test_a_machine_without_a_scheduler_gets_neither_options_nor_srun() -> None:
    script = rendered(job(cluster="local"), LOCAL)
    assert options(script) == []
    assert "srun" not in script
    assert "scontrol" not in script


def test_the_ids_of_needed_jobs_are_told_on_the_command_line() -> None:
    assert dependency_options(()) == ()
    assert dependency_options((), corresponding=True) == ()
    assert dependency_options(("7",), corresponding=True)[0] == "--dependency=aftercorr:7"
    assert dependency_options(("12", "13_4")) == (
        "--dependency=afterok:12:13_4",
        "--kill-on-invalid-dep=yes",
    )


@pytest.mark.parametrize("field", ["partition", "account", "gres"])
@pytest.mark.parametrize("text", ["a b", "x\n#SBATCH --wrap=ls", "$(ls)", "`ls`", "", "ä", "a;b"])
def test_a_name_that_could_be_more_than_a_name_is_refused(field: str, text: str) -> None:
    request = replace(REQUEST, gpus_per_node=1, **{field: text})
    with pytest.raises(ConfigError, match="letters, digits"):
        rendered(job(request=request))


@given(account=st.text(max_size=30))
def test_whatever_the_account_is_one_option_comes_of_it_or_an_error(account: str) -> None:
    try:
        script = rendered(job(request=replace(REQUEST, account=account)))
    except ConfigError:
        return
    assert f"#SBATCH --account={account}\n" in script
    assert len(options(script)) == len(options(rendered(job())))


@given(name=st.text(min_size=1, max_size=40))
@settings(max_examples=60)
def test_whatever_the_folders_are_called_the_script_says_them_or_an_error(name: str) -> None:
    try:
        script = rendered(job(), home=f"/h/{name}", code=f"/c/{name}", python=f"/p/{name}")
    except SlurmError:
        return
    # What the settings do, by bash itself.
    lines = script.splitlines()
    begin = next(number for number, line in enumerate(lines) if line.startswith("python="))
    code = "\n".join([*lines[begin : begin + 3], 'printf "%s|%s" "$python" "$KDGAT_HOME"'])
    done = subprocess.run(["bash", "-euc", code], capture_output=True, check=True)
    assert done.stdout.decode() == f"/p/{name}|{Path(f'/h/{name}')}"
    assert reads_as_bash(script)
    assert len(options(script)) == len(options(rendered(job())))


def test_a_value_that_looks_like_a_place_of_the_template_is_left_as_it_is() -> None:
    assert "/h/@WORK@" in rendered(job(), home="/h/@WORK@")


@pytest.mark.parametrize("path", ["/a\nb", "/a\x00b", "/a\x1bb"])
def test_a_path_that_no_script_can_hold_is_refused(path: str) -> None:
    with pytest.raises(SlurmError, match="can't stand in a job's script"):
        rendered(job(), home=path)


@pytest.mark.parametrize("home", ["/h/%j", "/h/a\\b"])
def test_a_home_that_slurm_would_read_a_pattern_in_is_refused(home: str) -> None:
    with pytest.raises(SlurmError, match="output can't be written below"):
        rendered(job(), home=home)
    assert home in rendered(job(cluster="local"), LOCAL, home=home)


def test_code_that_no_search_path_can_hold_is_refused() -> None:
    with pytest.raises(SlurmError, match="colon"):
        rendered(job(), code="/a:b/code")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (TEMPLATE.replace("@WORK@", ""), "@WORK@ 0 times"),
        (TEMPLATE + "@SETTINGS@", "@SETTINGS@ 2 times"),
        (TEMPLATE + "\n#SBATCH --qos=high\n", "#SBATCH line of its own"),
    ],
)
def test_a_template_that_lost_a_place_or_has_options_is_refused(template: str, words: str) -> None:
    with pytest.raises(SlurmError, match=re.escape(words)):
        rendered(job(), template=template)


def test_the_clusters_own_lines_come_before_kdgats_settings() -> None:
    cluster = PITZER.model_copy(update={"preamble": "export PYTHONPATH=/site", "modules": ("a/1",)})
    script = rendered(job(), cluster)
    places = [script.index(each) for each in ("load_modules a/1", "/site", "export KDGAT_HOME")]
    assert places == sorted(places)


def test_errors_are_sentences_with_a_next_step() -> None:
    with pytest.raises(KdgatError) as error:
        rendered(job(request=replace(REQUEST, account="no such")))
    assert error.value.hint


if __name__ == "__main__":
    GOLDENS.mkdir(parents=True, exist_ok=True)
    for each in CLUSTERS:
        (GOLDENS / f"{each.stem}.sh").write_text(typical(each), encoding="utf-8")
