"""`kdgat plan` and `kdgat submit --plan`, and work that outlives whoever asked for it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kdgat.cli.submit_options import complete_plan
from kdgat.errors import SlurmError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.jobs import Job, JobFolder
from kdgat.ledger.states import State
from kdgat.ledger.workers import worker_of
from kdgat.ops.cancel import cancel
from kdgat.ops.job_request import SubmitRequest
from kdgat.ops.plans import PlannedSubmission, plan_job, submit_plan
from kdgat.workspace import Workspace
from tests.faces.conftest import Command, Tiny

CHECKOUT = Path(__file__).parents[2]
IDS = re.compile(r"\d{8}-\d{6}-[0-9a-f]{7}")
LONG = ("training.max_epochs=5000", "training.patience_epochs=5000")
_SUBMIT = (
    "import sys; from kdgat.ops.plans import submit_plan; from kdgat.workspace import Workspace;"
    "submit_plan(Workspace.find(), sys.argv[1], by='agent', detached=True)"
)
"""A server that submits a plan and ends."""


def workspace(tiny: Tiny) -> Workspace:
    return Workspace(tiny.root, tiny.home)


def until(condition: Callable[[], bool], limit_s: float = 180) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def folder(tiny: Tiny, run_id: str) -> RunFolder:
    return RunFolder(tiny.run(run_id))


def job_of(tiny: Tiny, done: PlannedSubmission, number: int = 0) -> Job:
    return JobFolder(tiny.home / "jobs" / done.jobs[number].job_id).record()


def worker(tiny: Tiny, done: PlannedSubmission) -> int:
    """The process that does the work."""
    found = worker_of(tiny.home / "jobs" / done.jobs[0].job_id)
    assert found is not None
    return found.pid


def ends(pid: int) -> None:
    """Wait until a process, which is not ours to wait for, is gone."""
    until(lambda: not Path(f"/proc/{pid}").exists())


def detached(tiny: Tiny, *overrides: str, evaluate: bool = False) -> PlannedSubmission:
    """Plan a training and have a process of its own do it."""
    ws = workspace(tiny)
    asked = SubmitRequest(overrides, "local", evaluate=evaluate)
    return submit_plan(ws, plan_job(ws, asked).plan_id, by="agent", detached=True)


def test_a_plan_is_what_a_dry_run_says_with_an_id_and_a_price(
    prepared: Tiny, kdgat: Command, tiny_config: tuple[str, ...]
) -> None:
    words = (*tiny_config, "--cluster", "local", "--evaluate")
    foreseen = kdgat("submit", *words, "--dry-run", "--json").json
    planned = kdgat("plan", *words, "--json").json
    scripts = [[IDS.sub("ID", job["script"]) for job in plan["jobs"]]
               for plan in (foreseen, planned["plan"])]  # fmt: skip
    assert scripts[0] == scripts[1]
    assert planned["price"] == {"jobs": 2, "core_hours": 0.0, "gpu_hours": 0.0}
    assert prepared.runs() == set()
    said = kdgat("plan", *words)
    assert re.search(r"next: kdgat submit --plan plan-\d{8}-\d{6}-[0-9a-f]{7}\n$", said.out)
    assert "would be submitted to local" in said.out
    assert len(complete_plan("plan-2")) == 2
    assert planned["plan_id"] in complete_plan(planned["plan_id"][:-1])


def test_a_price_of_a_cluster_is_told_with_its_restarts(
    prepared: Tiny, kdgat: Command, tiny_config: tuple[str, ...]
) -> None:
    clusters = prepared.root / "slurm" / "clusters"
    clusters.mkdir(parents=True)
    (clusters / "here.toml").write_text(
        'partition_gpu = "gpu"\npartition_cpu = "gpu"\ntime_limit = "01:00:00"\n'
        '[partitions.gpu]\ngpus_per_node = 2\nmemory_mb_per_core = 1000\ngres = "v100"\n'
    )
    said = kdgat("plan", *tiny_config, "--cluster", "here")
    assert said.code == 0, said.err
    assert "price: 4.0 core-hours and 1.0 GPU-hours; with every restart 16.0" in said.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--plan", "../x"), ("'../x' is no id of a plan", "kdgat plan")),
        (("--plan", "plan-20261121-074455-123f9a2"), ("no plan 'plan-2026", "plan again")),
        (("--plan", "plan-20261121-074455-123f9a2", "seed=1"), ("'seed=1' is given beside",)),
        (("--plan", "plan-20261121-074455-123f9a2", "--time", "1h"), ("'--time' is given beside",)),
        (("--plan", "plan-20261121-074455-123f9a2", "--dry-run"), ("'--dry-run' is given beside",)),
        (("--plan", "plan-20261121-074455-123f9a2", "--cluster", "local"), ("'--cluster' is",)),
        (("--plan", "plan-20261121-074455-123f9a2", "--gpus", "0"), ("'--gpus' is",)),
        (("seed=1",), ("nothing says where to submit to", "--cluster")),
    ],
)
def test_a_mistake_is_two_lines(
    empty: Tiny, kdgat: Command, words: tuple[str, ...], told: tuple[str, ...]
) -> None:
    kdgat("submit", *words).mistake(*told)


def test_a_plan_is_done_here_in_the_foreground_once(
    prepared: Tiny, kdgat: Command, tiny_config: tuple[str, ...]
) -> None:
    plan_id = kdgat("plan", *tiny_config, "--cluster", "local", "--json").json["plan_id"]
    done = kdgat("submit", "--plan", plan_id, "--json").json
    assert (done["given"], done["runs"][0]["state"], done["failed"]) == (True, "completed", [])
    again = kdgat("submit", "--plan", plan_id)
    assert again.code == 0
    assert "it was submitted before, and is not again" in again.out
    assert done["jobs"][0]["job_id"] in again.out
    assert prepared.runs() == {done["runs"][0]["run_id"]}
    # What is done already needs no job.
    more = kdgat("plan", *tiny_config, "--cluster", "local", "--json").json["plan_id"]
    assert kdgat("submit", "--plan", more, "--json").json["jobs"] == []


def test_work_outlives_the_server_that_asked_for_it_and_is_watched_by_the_usual_commands(
    prepared: Tiny, kdgat: Command, tiny_config: tuple[str, ...]
) -> None:
    ws = workspace(prepared)
    plan_id = plan_job(ws, SubmitRequest(tiny_config, "local", evaluate=True)).plan_id
    environ = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    subprocess.run([sys.executable, "-c", _SUBMIT, plan_id], env=environ, check=True, timeout=120)
    # The server is gone, its work is not.
    done = submit_plan(ws, plan_id, by="agent", detached=True)
    assert not done.given
    train, judge = (run.run_id for run in done.runs)
    pid = worker(prepared, done)
    assert os.getsid(pid) != os.getsid(0)
    shown = {item["run_id"]: item for item in kdgat("status", "--json").json["items"]}
    assert {train, judge} <= shown.keys()
    until(lambda: folder(prepared, judge).current().state not in (State.PLANNED, State.RUNNING))
    assert [folder(prepared, run).record().state for run in (train, judge)] == [State.COMPLETED] * 2
    ends(pid)
    assert "epoch 2" in kdgat("logs", train).out
    assert [job.state for job in submit_plan(ws, plan_id, by="agent").jobs] == ["ended", "ended"]


def test_cancelling_ends_the_one_that_works_and_what_waits_for_it(
    prepared: Tiny, kdgat: Command, tiny_config: tuple[str, ...]
) -> None:
    done = detached(prepared, *tiny_config, *LONG, evaluate=True)
    train, judge = (run.run_id for run in done.runs)
    until(lambda: len(folder(prepared, train).metrics()) > 0)
    would = kdgat("cancel", train, "--dry-run", "--json").json
    assert [item["state"] for item in would["items"]] == ["RUNNING"]
    (item,) = cancel(workspace(prepared), [train], wait_s=180).items
    assert (item.state, item.verified, item.dependents) == ("CANCELLED", True, (judge,))
    ends(worker(prepared, done))
    assert job_of(prepared, done).tasks[0].state == "CANCELLED"
    reasons = [folder(prepared, run).record().reason or "" for run in (train, judge)]
    assert reasons[0].startswith("cancelled by ")
    assert f"its subject, {train}, did not complete: cancelled by" in reasons[1]
    kdgat("cancel", train).mistake("nothing to cancel")


@pytest.mark.slow
def test_cancelling_what_waits_lets_the_others_go_on(
    prepared: Tiny, kdgat: Command, tiny_config: tuple[str, ...]
) -> None:
    done = detached(prepared, *tiny_config, evaluate=True)
    train, judge = (run.run_id for run in done.runs)
    (item,) = kdgat("cancel", judge, "--json").json["items"]
    assert (item["state"], item["verified"]) == ("CANCELLED", True)
    assert folder(prepared, train).record().state in (State.PLANNED, State.RUNNING)
    ends(worker(prepared, done))
    assert folder(prepared, train).record().state is State.COMPLETED
    assert folder(prepared, judge).record().state is State.CANCELLED


@pytest.mark.slow
def test_what_a_killed_process_leaves_is_lost_and_can_be_taken_up_again(
    prepared: Tiny, kdgat: Command, tiny_config: tuple[str, ...]
) -> None:
    done = detached(prepared, *tiny_config, *LONG, evaluate=True)
    train, judge = (run.run_id for run in done.runs)
    until(lambda: len(folder(prepared, train).metrics()) > 0)
    os.kill(worker(prepared, done), signal.SIGKILL)
    ends(worker(prepared, done))
    assert folder(prepared, judge).current().state is State.LOST
    # The training itself is a process of its own, and goes on until it is ended.
    assert folder(prepared, train).current().state is State.RUNNING
    (item,) = cancel(workspace(prepared), [train], wait_s=180).items
    assert (item.state, item.verified) == ("CANCELLED", True)
    assert submit_plan(workspace(prepared), done.plan_id, by="agent").jobs == done.jobs
    again = kdgat("submit", *tiny_config, *LONG, "--evaluate", "--cluster", "local", "--dry-run",
                  "--json").json  # fmt: skip
    assert [(run["run_id"], run["outcome"]) for run in again["runs"]] == [
        (train, "resume"), (judge, "resume"),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_polite_kill_ends_the_training_too(prepared: Tiny, tiny_config: tuple[str, ...]) -> None:
    done = detached(prepared, *tiny_config, *LONG, evaluate=True)
    train, judge = (run.run_id for run in done.runs)
    until(lambda: len(folder(prepared, train).metrics()) > 0)
    trainer = folder(prepared, train).record().pid
    os.kill(worker(prepared, done), signal.SIGTERM)
    ends(worker(prepared, done))
    assert trainer is not None
    assert not Path(f"/proc/{trainer}").exists()
    states = [folder(prepared, run).record().state for run in (train, judge)]
    assert states == [State.CANCELLED] * 2


def test_the_server_has_no_dead_child_to_bury(
    prepared: Tiny, kdgat: Command, tiny_config: tuple[str, ...]
) -> None:
    done = detached(prepared, *tiny_config)
    pid = worker(prepared, done)
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    assert int(stat[1]) != os.getpid()
    kdgat("cancel", done.runs[0].run_id)
    ends(pid)


def test_a_process_that_cant_begin_says_why_in_its_log(
    prepared: Tiny, tiny_config: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kdgat.slurm.local.sys.executable", "/nowhere/python")
    with pytest.raises(SlurmError, match="ended before it began") as error:
        detached(prepared, *tiny_config)
    log = prepared.root / re.findall(r"'(.+worker\.log)'", error.value.hint)[0]
    assert "/nowhere/python" in log.read_text()
    assert [RunFolder(path).record().state for path in prepared.home.glob("runs/*/*/*")] == [
        State.CANCELLED
    ]


@pytest.mark.slow
def test_jobs_that_another_process_has_are_left_to_it(
    prepared: Tiny, tiny_config: tuple[str, ...], process: Callable[..., object]
) -> None:
    done = detached(prepared, *tiny_config)
    job_id = done.jobs[0].job_id
    environ = {"PYTHONPATH": str(CHECKOUT)}
    second = process("-m", "kdgat.cli.main", "work-here", job_id, "--json", environ=environ)
    assert json.loads(second.stdout) == {"failed": []}
    ends(worker(prepared, done))
    run = folder(prepared, done.runs[0].run_id).record()
    assert (run.state, run.attempts) == (State.COMPLETED, 1)
