"""`kdgat status`, `logs`, `cancel`, `queue` and `efficiency`, as a user meets them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from kdgat.cli import jobs
from kdgat.errors import RunError, SlurmError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.jobs import JobFolder, JobState
from kdgat.ledger.record import utc_now
from kdgat.ledger.states import State
from kdgat.ops.cancel import cancel as end
from kdgat.ops.jobs import status as look
from kdgat.workspace import Workspace
from tests.unit.slurm.fake_slurm import FakeSlurm
from tests.unit.slurm.given import give, job, record, run_of
from tests.unit.slurm.test_client import NO_SACCT

NODES = """\
NodeName=pitzer01 CPUAlloc=4 CPUTot=4 Gres=gpu:v100:2 State=ALLOCATED Partitions=cpu,gpu,debug \
CfgTRES=cpu=4,mem=4000M,billing=4,gres/gpu=2 AllocTRES=cpu=4,mem=200M
NodeName=pitzer02 CPUAlloc=1 CPUTot=4 Gres=gpu:v100:2 State=MIXED Partitions=cpu,gpu \
CfgTRES=cpu=4,mem=4000M,billing=4,gres/gpu=2 AllocTRES=cpu=1,mem=200M,gres/gpu=2
NodeName=pitzer03 CPUAlloc=0 CPUTot=4 Gres=gpu:v100:2(S:0) State=IDLE+DRAIN Partitions=gpu \
CfgTRES=cpu=4 AllocTRES=
"""
Face = Callable[..., Result]


@dataclass(frozen=True)
class Clock:
    """The clock of a command that waits, whose pauses do what a test wants."""

    sleep: Callable[[float], None]
    monotonic: Callable[[], float] = time.monotonic


@pytest.fixture(autouse=True)
def ws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    root = tmp_path / "workspace"
    root.mkdir()
    (root / "pyproject.toml").write_text("[tool.kdgat]\n")
    for name in ("KDGAT_HOME", "KDGAT_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(root)
    return Workspace.find()


@pytest.fixture(autouse=True)
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    fake = FakeSlurm(folder)
    fake.sees()
    fake.keeps()
    fake.answers("scancel", "")
    return fake


@pytest.fixture
def face() -> Face:
    """The commands alone, without what every command of `kdgat` does with a mistake."""
    app = typer.Typer()
    for command in (jobs.status, jobs.logs, jobs.cancel, jobs.queue, jobs.efficiency):
        app.command()(command)

    def call(*words: str) -> Result:
        return CliRunner().invoke(app, words)

    return call


def said(result: Result) -> Any:
    assert result.exception is None, result.exception
    return json.loads(result.stdout)


def mistake(result: Result, kind: type[Exception]) -> Any:
    assert isinstance(result.exception, kind), result.exception
    return result.exception


class TestStatus:
    def test_shows_the_ledger_and_the_scheduler_side_by_side(
        self, ws: Workspace, fake: FakeSlurm, face: Face
    ) -> None:
        give(ws, job("j", "r0", "r1"))
        run_of(ws, "r0").update(state=State.RUNNING, host="pitzer01")
        (run_of(ws, "r0").path / "heartbeat").write_text(utc_now())
        run_of(ws, "r0").log_metrics(2, {"val_loss": 0.5})
        fake.sees(
            {"JobArrayID": "7_0", "State": "RUNNING", "NodeList": "pitzer01", "Name": "kdgat-j",
             "TimeUsed": "1:12", "StartTime": "2026-11-21T14:50:36"},
            {"JobArrayID": "7_1", "Reason": "JobArrayTaskLimit", "Name": "kdgat-j",
             "StartTime": "2026-11-21T15:57:36"},
        )  # fmt: skip
        report = said(face("status", "--json"))
        second, first = report["items"]
        assert report["scheduler"] == "answered"
        assert (first["run_id"], first["scheduler_id"], first["state"]) == ("r0", "7_0", "running")
        assert (first["elapsed_s"], first["time_limit_s"], first["node"]) == (72, 300, "pitzer01")
        assert (first["epoch"], first["epochs"]) == (3, 12)
        assert (second["scheduler_state"], second["scheduler_reason"]) == (
            "PENDING", "JobArrayTaskLimit",
        )  # fmt: skip
        table = face("status").stdout
        for word in ("7_0", "RUNNING", "00:01:12 of 00:05:00", "3 of 12", "2026-11-21T15:57 UTC"):
            assert word in table
        assert len(fake.calls("squeue")) == 2

    def test_brings_the_ledger_up_to_date(self, ws: Workspace, fake: FakeSlurm, face: Face) -> None:
        give(ws, job("j", "r"))
        fake.sees({"State": "TIMEOUT", "NodeList": "pitzer01", "EndTime": utc_now()[:19],
                   "Name": "kdgat-j"})  # fmt: skip
        assert "r timeout: met its time limit of 00:05:00" in face("status").stdout
        assert run_of(ws, "r").record().state is State.TIMEOUT

    def test_goes_on_without_the_database_and_says_so(
        self, ws: Workspace, fake: FakeSlurm, face: Face
    ) -> None:
        give(ws, job("j", "r"))
        fake.answers("sacct", NO_SACCT)
        report = said(face("status", "--json"))
        assert report["scheduler"].startswith("squeue answered, sacct did not:")
        assert report["items"][0]["scheduler_state"] == "UNKNOWN"
        assert report["items"][0]["state"] == "submitted"

    def test_goes_on_without_a_scheduler_and_says_so(
        self, ws: Workspace, face: Face, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        give(ws, job("j", "r"))
        monkeypatch.setenv("PATH", "/nowhere")
        result = face("status")
        assert "no answer: 'squeue' is not on PATH here" in result.stderr
        assert "submitted" in result.stdout

    def test_without_jobs_nobody_is_asked(self, fake: FakeSlurm, face: Face) -> None:
        assert "no run waits or works" in face("status").stdout
        assert fake.calls("squeue") == []

    def test_a_run_that_is_lost_shows_while_its_job_is_open(
        self, ws: Workspace, fake: FakeSlurm, face: Face
    ) -> None:
        give(ws, job("j", "r"), state=State.RUNNING, host="pitzer01", pid=1)
        fake.sees({"State": "RUNNING", "NodeList": "pitzer01", "Name": "kdgat-j"})
        (item,) = said(face("status", "--json"))["items"]
        assert (item["state"], item["scheduler_state"]) == ("lost", "RUNNING")

    def test_what_ended_long_ago_shows_with_all_and_by_name(
        self, ws: Workspace, face: Face
    ) -> None:
        old = {"state": State.FAILED, "ended_at": "2020-01-01T00:00:00+00:00", "reason": "x"}
        give(ws, job("j", "r", state=JobState.ENDED), **old)
        assert said(face("status", "--json"))["items"] == []
        assert [each["run_id"] for each in said(face("status", "--all", "--json"))["items"]] == [
            "r"
        ]
        assert said(face("status", "r", "--json"))["items"][0]["reason"] == "x"

    def test_a_process_that_looks_again_sees_what_changed_meanwhile(self, ws: Workspace) -> None:
        old = {"ended_at": "2020-01-01T00:00:00+00:00"}
        give(ws, job("j", "a", "b", state=JobState.ENDED), state=State.COMPLETED, **old)
        give(ws, job("k", "c", state=JobState.ENDED), state=State.FAILED, **old)

        def shown(**given: Any) -> list[str]:
            return sorted(item.run_id for item in look(ws, **given).items)

        assert shown() == shown() == []
        assert shown(all=True) == ["a", "b", "c"]
        assert shown(run="a") == ["a"]
        for run_id in ("a", "c"):
            run_of(ws, run_id).update(state=State.RUNNING, host="far", pid=1)
            (run_of(ws, run_id).path / "heartbeat").write_text(utc_now())
        assert shown() == ["a", "c"]
        run_of(ws, "a").update(state=State.COMPLETED, ended_at=utc_now())
        assert shown() == ["a", "c"]
        run_of(ws, "a").update(**old)
        assert shown() == ["c"]

    def test_more_than_the_limit_is_said(self, ws: Workspace, face: Face) -> None:
        give(ws, job("j", "r0", "r1", "r2"))
        assert "there are more: raise --limit" in face("status", "--limit", "2").stdout

    def test_watching_ends_with_the_last_run(
        self, ws: Workspace, face: Face, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        give(ws, job("j", "r"))
        slept: list[float] = []

        def end_after_three(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 3:
                run_of(ws, "r").update(state=State.COMPLETED, ended_at=utc_now())

        monkeypatch.setattr(jobs, "time", Clock(end_after_three))
        assert "completed" in face("status", "--watch").stdout
        assert slept == [5.0, 7.5, 11.25]


class TestLogs:
    def test_prints_the_last_lines_and_names_the_file(self, ws: Workspace, face: Face) -> None:
        folder = give(ws, job("j", "r0", "r1"))
        folder.log(folder.record(), 1).write_text("".join(f"line {n}\n" for n in range(9)))
        result = face("logs", "r1", "--lines", "2")
        assert result.stdout == "line 7\nline 8\n"
        assert result.stderr.strip() == ".kdgat/jobs/j/task-1.out"

    def test_of_a_job_that_waits_says_so(self, ws: Workspace, face: Face) -> None:
        give(ws, job("j", "r"))
        result = face("logs", "latest")
        assert result.stdout == ""
        assert "its job has not begun" in result.stderr
        assert said(face("logs", "r", "--json"))["end"] == 0

    def test_of_a_run_of_a_shell_there_are_none(self, ws: Workspace, face: Face) -> None:
        RunFolder.create(ws.runs, record("r", job=None, state=State.FAILED), {})
        error = mistake(face("logs", "r"), RunError)
        assert "was not given to a scheduler" in error.problem

    def test_are_followed_to_the_end(
        self, ws: Workspace, face: Face, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = give(ws, job("j", "r"))
        path = folder.log(folder.record())
        path.write_text("epoch 1\nhal")
        pieces = iter(["f of it\n", "epoch 2\n"])

        def write_more(seconds: float) -> None:
            with path.open("a") as file:
                file.write(piece := next(pieces))
            if piece == "epoch 2\n":
                run_of(ws, "r").update(state=State.COMPLETED)

        monkeypatch.setattr(jobs, "time", Clock(write_more))
        assert face("logs", "r", "-f").stdout == "epoch 1\nhalf of it\nepoch 2\n"


class TestCancel:
    def waiting(self, ws: Workspace, fake: FakeSlurm) -> JobFolder:
        folder = give(ws, job("a", "teacher"))
        give(ws, job("b", "student", scheduler_id="8", needs=("a",)), teacher="teacher")
        fake.sees({"Name": "kdgat-a"}, {"ArrayJobID": "8", "Name": "kdgat-b"})
        return folder

    def test_ends_the_job_and_what_needs_it(
        self, ws: Workspace, fake: FakeSlurm, face: Face
    ) -> None:
        self.waiting(ws, fake)
        # scancel says nothing: the state is what tells.
        fake.answers("scancel", "")
        (fake.folder / "scancel").write_text(
            f"#!/bin/sh\necho $1 >> {fake.folder}/scancel.calls\n"
            f"sed -i '1s/PENDING/CANCELLED/' {fake.folder}/squeue.1.out\n"
        )
        result = face("cancel", "teacher")
        assert result.exception is None, result.exception
        assert result.stdout == (
            "teacher (job 7) is cancelled\nstudent needed it, and is cancelled too\n"
        )
        assert fake.calls("scancel") == ["7"]
        after = run_of(ws, "teacher").record()
        assert after.state is State.CANCELLED
        assert (after.reason or "").startswith("cancelled by ")
        assert (run_of(ws, "student").record().reason or "").startswith("its teacher, teacher, ")

    def test_a_dry_run_does_nothing(self, ws: Workspace, fake: FakeSlurm, face: Face) -> None:
        self.waiting(ws, fake)
        assert face("cancel", "teacher", "--dry-run").stdout == (
            "would cancel teacher (job 7, PENDING)\n"
        )
        assert fake.calls("scancel") == []

    def test_what_does_not_end_is_told(
        self, ws: Workspace, fake: FakeSlurm, face: Face, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.waiting(ws, fake)
        monkeypatch.setattr("kdgat.ops.cancel.cancel", partial(end, wait_s=0.0))
        result = face("cancel", "teacher")
        assert "was asked to end and is still PENDING" in result.stderr
        assert run_of(ws, "teacher").record().state is State.SUBMITTED

    def test_an_ended_run_is_refused_and_then_none_is_cancelled(
        self, ws: Workspace, fake: FakeSlurm, face: Face
    ) -> None:
        self.waiting(ws, fake)
        run_of(ws, "student").update(state=State.COMPLETED)
        error = mistake(face("cancel", "teacher", "student"), RunError)
        assert error.problem == "run 'student' is completed: there is nothing to cancel"
        assert fake.calls("scancel") == []

    def test_a_job_that_was_never_taken_is_refused(self, ws: Workspace, face: Face) -> None:
        give(ws, job("j", "r", scheduler_id=None))
        assert "no scheduler's id" in mistake(face("cancel", "r"), RunError).problem


class TestQueue:
    @pytest.fixture(autouse=True)
    def cluster(self, fake: FakeSlurm) -> FakeSlurm:
        gpu = "PartitionName=gpu MaxTime=7-00:00:00 Nodes=pitzer[01-03]\n"
        fake.answers("scontrol", "ClusterName = pitzer\n", NODES, gpu)
        return fake

    def test_counts_nodes_cores_and_gpus(self, cluster: FakeSlurm, face: Face) -> None:
        cluster.sees({"Name": "mine"}, {"ArrayJobID": "8", "State": "COMPLETED"})
        report = said(face("queue", "--json"))
        assert report["partitions"] == [{
            "name": "gpu", "time_limit": "7-00:00:00", "nodes": 3, "idle": 0, "mixed": 1,
            "allocated": 1, "away": 1, "cores": 8, "cores_free": 3, "gpus": 4, "gpus_free": 2,
            "gpu_types": ["v100"],
        }]  # fmt: skip
        assert [each["name"] for each in report["jobs"]] == ["mine"]

    def test_shows_them(self, face: Face) -> None:
        table = face("queue").stdout
        assert "2 of 4" in table
        assert "you have nothing in the queue" in table

    def test_of_another_cluster_is_refused(self, face: Face) -> None:
        error = mistake(face("queue", "ascend"), SlurmError)
        assert "that of 'pitzer', not of 'ascend'" in error.problem


class TestEfficiency:
    def test_tells_use_of_request_and_what_to_ask_for(
        self, ws: Workspace, fake: FakeSlurm, face: Face
    ) -> None:
        give(ws, job("j", "r"), state=State.COMPLETED)
        fake.keeps(
            {"JobName": "kdgat-j", "ElapsedRaw": "2736", "TimelimitRaw": "240", "AllocCPUS": "4",
             "TotalCPU": "2:30:00"},
            {"JobID": "7.0", "JobName": "python", "MaxRSS": "3G"},
        )  # fmt: skip
        report = said(face("efficiency", "r", "--json"))
        assert report["time_share"] == pytest.approx(0.19)
        assert report["used_memory_bytes"] == 3 << 30
        assert report["gpu_planned_bytes"] is None
        table = face("efficiency", "r").stdout
        assert "used 19 % of the time asked for; ask for --time 01:00:00" in table
        assert "75.0 %" in table

    def test_of_a_job_that_is_not_in_the_accounts_yet_says_so(
        self, ws: Workspace, face: Face
    ) -> None:
        give(ws, job("j", "r"))
        error = mistake(face("efficiency", "r"), SlurmError)
        assert "knows nothing of run 'r' (job 7)" in error.problem
