"""Runs given to a real Slurm, from `kdgat submit` to their last figure."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kdgat.ledger.jobs import readable_jobs
from kdgat.ledger.states import State
from tests.slurm.lab import CLUSTER, SMALL_JOB, TINY, Lab, make_lab, wait_until

pytestmark = pytest.mark.slurm

FIGURES = ("best_epoch", "best_val_task_loss", "epochs", "parameters")


@pytest.fixture(scope="module")
def lab(slurm: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    lab = make_lab(tmp_path_factory.mktemp("lab"), slurm)
    yield lab
    # A test that failed may have left jobs behind; others' jobs are not ours to end.
    ids = [job.scheduler_id for _, job in readable_jobs(lab.home / "jobs") if job.scheduler_id]
    subprocess.run(["scancel", *ids], env=dict(slurm), check=False, timeout=60)


def figures(lab: Lab, run_id: str) -> dict[str, Any]:
    metrics = lab.run(run_id).record().metrics
    return {name: metrics[name] for name in FIGURES}


def epochs(lab: Lab, run_id: str) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "time"} for row in lab.run(run_id).metrics()]


def test_a_run_is_submitted_watched_and_finished(lab: Lab) -> None:
    words = (*TINY, "seed=1", *SMALL_JOB)
    foreseen = lab.json("submit", *words, "--cluster", CLUSTER, "--dry-run")
    assert not list(lab.home.glob("jobs/*"))
    assert not list(lab.home.glob("runs/*/*/*/run.json"))
    given = lab.submit(*words)
    (run,) = given["runs"]
    (job,) = given["jobs"]
    script = (lab.home / "jobs" / job["job_id"] / "job.sh").read_text()
    # What was foreseen is what was given, but for the ids.
    ids = re.compile(r"\d{8}-\d{6}-[0-9a-f]{7}")
    assert ids.sub("ID", foreseen["jobs"][0]["script"]) == ids.sub("ID", script)
    again = lab.submit(*words)
    assert again["jobs"] == []
    assert [(each["run_id"], each["outcome"]) for each in again["runs"]] == [
        (run["run_id"], "live")
    ]
    watched = lab("status", run["run_id"], "--watch")
    assert watched.returncode == 0, watched.stderr
    assert "completed" in watched.stdout
    assert lab.until_ended([run["run_id"]]) == {run["run_id"]: State.COMPLETED}
    record = lab.run(run["run_id"]).record()
    assert record.environment["slurm"]["job_id"] == job["scheduler_id"]
    assert record.environment["snapshot"] == given["snapshot"]
    said = lab("logs", run["run_id"])
    assert "epoch 2" in said.stdout
    assert said.stdout.rstrip().endswith("simulated-gat-large: done")
    used = lab.json("efficiency", run["run_id"])
    assert 0 < used["elapsed_s"] < used["time_limit_s"]
    done = lab.submit(*words)
    assert (done["jobs"], done["runs"][0]["outcome"]) == ([], "done")
    sql = f"select state from jobs where run_id = '{run['run_id']}'"

    def recorded() -> bool:
        # The scheduler knows of the end a moment after the run's own folder does.
        lab.json("status", "--all")
        return lab.json("history", "sql", sql)["rows"] == [["COMPLETED"]]

    wait_until(recorded)


def test_the_pipeline_is_one_chain_and_its_student_waits_for_its_teacher(lab: Lab) -> None:
    common = [word for word in TINY if not word.startswith("model")]
    given = lab.submit("--pipeline", *common, "seed=2", *SMALL_JOB)
    ids = [run["run_id"] for run in given["runs"]]
    # Autoencoder and classifier, each large and small, each judged.
    assert [run["work"] for run in given["runs"]].count("train") == 4
    assert len(ids) == 8
    assert set(lab.until_ended(ids).values()) == {State.COMPLETED}
    records = {run_id: lab.run(run_id).record() for run_id in ids}
    students = [r for r in records.values() if r.size == "small" and r.subject is None]
    assert len(students) == 2
    for student in students:
        teacher = records[student.teacher or ""]
        assert (teacher.size, teacher.model) == ("large", student.model)
        assert (teacher.ended_at or "") <= (student.started_at or "")
    subjects = {r.subject for r in records.values() if r.subject}
    assert subjects == {r.run_id for r in records.values() if r.subject is None}
    nothing = lab.submit("--pipeline", *common, "seed=2", *SMALL_JOB)
    assert nothing["jobs"] == []


def test_of_an_array_of_eight_two_work_at_once(lab: Lab) -> None:
    given = lab.submit("-m", *TINY, "seed=range(100,108)", "--throttle", "2", *SMALL_JOB)
    (job,) = given["jobs"]
    ids = [run["run_id"] for run in given["runs"]]
    assert len(ids) == 8
    most = 0
    deadline = time.monotonic() + 500
    while time.monotonic() < deadline:
        listed = lab.slurm("squeue", "-h", "-r", "-j", job["scheduler_id"], "-o", "%T").split()
        most = max(most, sum(state in ("RUNNING", "COMPLETING") for state in listed))
        if all(state in ("COMPLETED", "COMPLETING") for state in listed):
            break
        time.sleep(1)
    assert most == 2
    assert set(lab.until_ended(ids).values()) == {State.COMPLETED}
    seeds = [lab.run(run_id).record().seed for run_id in ids]
    assert seeds == list(range(100, 108))


def test_an_element_that_meets_its_wall_time_goes_on_alone_to_the_very_figures(lab: Lab) -> None:
    long = (
        *(word for word in TINY if "max_epochs" not in word), "training.max_graphs=1",
        "training.patience_epochs=200", "model.hidden=16", "model.layers=2", "seed=3",
    )  # fmt: skip
    size = ("--cores", "1", "--memory-gb", "1.8")
    # Slurm's clock ticks once a minute, so that the signal comes within the first minute of two.
    given = lab.submit(
        "-m", *long, "training.max_epochs=2,36", *size, "--time", "2m", "--max-restarts", "20"
    )
    short, requeued = (run["run_id"] for run in given["runs"])
    whole = lab.submit(*long, "training.max_epochs=36", *size, "--time", "60m", "--fresh")
    reference = whole["runs"][0]["run_id"]
    states = lab.until_ended([short, requeued, reference], 1500)
    assert set(states.values()) == {State.COMPLETED}
    assert lab.run(requeued).record().attempts > 1
    assert figures(lab, requeued) == figures(lab, reference)
    assert epochs(lab, requeued) == epochs(lab, reference)
    paused = [
        event for event in _events(lab, requeued) if event["event"] == "paused"
    ]  # fmt: skip
    assert paused
    # Each began as often as it was requeued itself: the last element's id is also the array's.
    for number, run_id in enumerate((short, requeued)):
        log = lab.home / "jobs" / given["jobs"][0]["job_id"] / f"task-{number}.out"
        assert log.read_text().count("kdgat: train") == lab.run(run_id).record().attempts


def _events(lab: Lab, run_id: str) -> list[dict[str, Any]]:
    from kdgat.ledger.files import read_lines

    return read_lines(lab.run(run_id).path / "events.jsonl")


def test_two_nodes_share_one_training(lab: Lab) -> None:
    given = lab.submit(*TINY, "seed=4", "--nodes", "2", "--gpus", "4", "--cores", "1",
                       "--memory-gb", "3", "--time", "10m")  # fmt: skip
    (run,) = given["runs"]
    assert lab.until_ended([run["run_id"]]) == {run["run_id"]: State.COMPLETED}
    folder = lab.run(run["run_id"])
    said = (lab.home / "jobs" / given["jobs"][0]["job_id"] / "job.out").read_text()
    assert "MEMBER: 4/4" in said
    assert len(folder.metrics()) == 2
    assert folder.record().attempts == 1
    assert sorted(p.name for p in folder.checkpoints.iterdir() if p.name[0] != ".") == [
        "best.ckpt", "epoch-0000.ckpt", "epoch-0001.ckpt",
    ]  # fmt: skip
    # The log of four processes tells each epoch once.
    assert said.count(": epoch 2") == 1


def test_a_failing_stage_cancels_what_waits_for_it_with_the_reason(lab: Lab) -> None:
    common = [word for word in TINY if not word.startswith("model")]
    # Half precision needs a GPU, and the fixture's are pretended: seen only on the node.
    given = lab.submit(
        "--pipeline", *common, "seed=5", "training.precision=fp16", *SMALL_JOB
    )  # fmt: skip
    ids = [run["run_id"] for run in given["runs"]]
    states = lab.until_ended(ids)
    records = {run_id: lab.run(run_id).record() for run_id in ids}
    failed = [r for r in records.values() if r.state is State.FAILED]
    assert {r.size for r in failed} == {"large"}
    assert all("fp16" in (r.reason or "") for r in failed)
    others = [r for r in records.values() if r.state is not State.FAILED]
    assert {states[r.run_id] for r in others} == {State.CANCELLED}
    for record in others:
        assert "fp16" in (record.reason or ""), record.reason
        assert record.attempts == 0
    # Slurm itself agrees: nothing of it is left in the queue.
    jobs = ",".join(job["scheduler_id"] for job in given["jobs"])
    lab.until(lambda: not lab.slurm("squeue", "-h", "-j", jobs, "-t", "PD,R").strip(), 60)


def test_of_a_sweep_in_which_one_run_fails_the_others_are_judged(lab: Lab) -> None:
    given = lab.submit(
        "-m", *TINY, "seed=12", "training.precision=32,fp16", "--evaluate", *SMALL_JOB
    )  # fmt: skip
    assert len(given["jobs"]) == 2
    states = lab.until_ended([run["run_id"] for run in given["runs"]])
    assert list(states.values()) == [
        State.COMPLETED, State.FAILED, State.COMPLETED, State.CANCELLED,
    ]  # fmt: skip
    assert "fp16" in (lab.run(given["runs"][3]["run_id"]).record().reason or "")


def test_a_controller_that_dies_and_returns_loses_no_run_and_gets_none_twice(
    own_slurm: Mapping[str, str], tmp_path: Path
) -> None:
    slurm, lab = own_slurm, make_lab(tmp_path, own_slurm)
    first = lab.submit(*TINY, "seed=6", *SMALL_JOB)["runs"][0]["run_id"]
    waiting = (*TINY, "seed=7", *SMALL_JOB)
    pid_file = Path(slurm["SLURM_UP_DIR"]) / "pid" / "slurmctld"
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    try:
        refused = lab("submit", *waiting, "--cluster", CLUSTER)
        assert refused.returncode == 2
        assert "Unable to contact slurm controller" in refused.stderr
        seen = lab("status")
        assert seen.returncode == 0, seen.stderr
        assert first in seen.stdout
    finally:
        # Not by subprocess: the controller is to outlive this process, as it did before.
        where = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        program = shutil.which("slurmctld", path=where)
        assert program
        null = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)]
        pid = os.posix_spawn(
            program, [program, "-D"], {**slurm, "PATH": where}, file_actions=null, setsid=True
        )
        pid_file.write_text(str(pid))
    lab.until(lambda: "is UP" in lab.slurm("scontrol", "ping", check=False), 60)
    second = lab.submit(*waiting)["runs"][0]["run_id"]
    assert lab.submit(*waiting)["jobs"] == []
    assert set(lab.until_ended([first, second]).values()) == {State.COMPLETED}
    seeds = [
        record.seed
        for path in lab.home.glob("runs/*/*/*")
        if (record := lab.run(path.name).record()).seed in (6, 7)
    ]
    assert sorted(seeds) == [6, 7]
    named = lab.slurm("sacct", "-X", "-n", "-P", "-S", "now-1hour", "-o", "JobName").split()
    for run_id in (first, second):
        assert named.count(f"kdgat-{lab.run(run_id).record().job}") == 1


def test_a_checkpoint_that_was_deleted_while_its_job_waits_costs_the_work_and_not_the_run(
    lab: Lab,
) -> None:
    long = (*(w for w in TINY if "max_epochs" not in w), "training.max_epochs=12", "seed=8",
            "training.max_graphs=1", "training.patience_epochs=50", "model.hidden=16")  # fmt: skip
    given = lab.submit(*long, *SMALL_JOB)
    run_id, job = given["runs"][0]["run_id"], given["jobs"][0]["scheduler_id"]
    folder = lab.run(run_id)
    lab.until(lambda: len(folder.metrics()) >= 2)
    # As Slurm does shortly before the end of a job's time.
    lab.slurm("scancel", "--signal=USR1", job)
    lab.until(lambda: folder.record().state is State.SUBMITTED)
    for path in folder.checkpoints.glob("epoch-*.ckpt"):
        path.unlink()
    assert lab.until_ended([run_id]) == {run_id: State.COMPLETED}
    assert [row["epoch"] for row in folder.metrics()] == list(range(12))
    assert folder.record().attempts == 2


def test_a_waiting_run_is_cancelled_and_seen_to_be(lab: Lab) -> None:
    words = (*TINY, "seed=9", *SMALL_JOB)
    run_id = lab.submit(*words)["runs"][0]["run_id"]
    lab.json("cancel", run_id)
    assert lab.until_ended([run_id]) == {run_id: State.CANCELLED}
    # The same words take it up again, as the same run.
    again = lab.submit(*words)["runs"][0]
    assert (again["run_id"], again["outcome"]) == (run_id, "resume")
    assert lab.until_ended([run_id]) == {run_id: State.COMPLETED}


def test_two_hundred_runs_are_looked_at_with_one_squeue_and_at_most_one_sacct(
    lab: Lab, tmp_path: Path
) -> None:
    given = lab.submit("-m", *TINY, "seed=range(300,500)", "--throttle", "1", *SMALL_JOB)
    ids = {run["run_id"] for run in given["runs"]}
    assert len(ids) == 200
    for name in ("squeue", "sacct"):
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\necho >> {tmp_path}/{name}.calls\nexec {which(name)} "$@"\n')
        script.chmod(0o755)
    counted = {**lab.environ, "PATH": f"{tmp_path}:{lab.environ['PATH']}"}
    try:
        said = lab("status", "--limit", "1000", "--json", environ=counted)
        assert said.returncode == 0, said.stderr
        seen = {item["run_id"]: item for item in json.loads(said.stdout)["items"]}
        assert ids <= seen.keys()
        assert {seen[run_id]["scheduler_state"] for run_id in ids} <= {"PENDING", "RUNNING"}
        assert len((tmp_path / "squeue.calls").read_text().splitlines()) == 1
        calls = tmp_path / "sacct.calls"
        assert not calls.exists() or len(calls.read_text().splitlines()) == 1
    finally:
        lab.slurm("scancel", given["jobs"][0]["scheduler_id"])
    states = lab.until_ended(sorted(ids))
    assert set(states.values()) <= {State.CANCELLED, State.COMPLETED}


def which(name: str) -> str:
    found = shutil.which(name)
    assert found
    return found


def test_a_home_whose_name_is_a_program_stays_a_name(
    slurm: Mapping[str, str], tmp_path: Path
) -> None:
    lab = make_lab(tmp_path / "lab", slurm)
    hostile = tmp_path / "a $(touch pwned) `touch pwned`; touch pwned 'b\" & <x> *"
    lab.home.rename(hostile)
    lab = Lab(lab.root, {**lab.environ, "KDGAT_HOME": str(hostile)})
    run_id = lab.submit(*TINY, *SMALL_JOB)["runs"][0]["run_id"]
    assert lab.until_ended([run_id]) == {run_id: State.COMPLETED}
    assert not list(tmp_path.rglob("pwned"))
    assert "done" in lab("logs", run_id).stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--account", "nobodys"), "Invalid account"),
        (("--partition", "nowhere"), "'nowhere'"),
        (("--partition", "debug", "--time", "3:00:00"), "01:00:00"),
        (("--memory-gb", "900"), "4,000"),
        (("--nodes", "9", "--gpus", "9"), "9"),
        (("--account", "$(touch pwned)"), "account"),
        (("--time", "soon"), "soon"),
    ],
)
def test_what_slurm_would_not_take_is_told_in_a_sentence(
    lab: Lab, words: tuple[str, ...], told: str
) -> None:
    before = len(list(lab.home.glob("runs/*/*/*/run.json")))
    said = lab.mistake("submit", *TINY, "seed=10", *words, "--cluster", CLUSTER)
    assert told in said
    states = [
        lab.state(path.name)
        for path in lab.home.glob("runs/*/*/*")
        if lab.run(path.name).record().seed == 10
    ]
    # What never reached Slurm left nothing; what Slurm refused is written down as such.
    assert set(states) <= {State.CANCELLED}
    assert len(list(lab.home.glob("runs/*/*/*/run.json"))) - before <= 1


def test_an_array_longer_than_the_cluster_takes_is_refused_before_it_is_given(lab: Lab) -> None:
    said = lab.mistake(
        "submit", "-m", *TINY, "seed=range(2000,3100)", *SMALL_JOB, "--cluster", CLUSTER
    )  # fmt: skip
    assert "1,100" in said
    assert "1,001" in said


def test_without_slurms_commands_the_next_step_is_told(lab: Lab, tmp_path: Path) -> None:
    git = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout
    (tmp_path / "git").symlink_to(git.strip())
    bare = {**lab.environ, "PATH": str(tmp_path)}
    said = lab.mistake("submit", *TINY, "seed=11", *SMALL_JOB, "--cluster", CLUSTER, environ=bare)
    assert "sbatch" in said
    assert "--cluster local" in said
