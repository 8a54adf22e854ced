"""Plans that are kept and submitted later, and once, whatever happens in between."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kdgat.errors import KdgatError, PlanError, Refused, Unanswered
from kdgat.ledger.jobs import Job, JobFolder, JobState
from kdgat.ledger.plans import Price, forget_old, mark_of, read_plan
from kdgat.ledger.states import State
from kdgat.ledger.workers import take, worker_of
from kdgat.ops import delivery, here, plans
from kdgat.ops import submit as submission
from kdgat.ops.job_request import SubmitRequest
from kdgat.ops.plans import plan_job, submit_plan
from kdgat.ops.submit import submit
from kdgat.slurm.client import Slurm
from kdgat.workspace import Workspace
from tests.unit.ops.submitted import (
    ASKED,
    CHECKOUT,
    IDS,
    KNOWS_NAMES,
    REFUSED,
    SILENT,
    SMALL,
    age,
    end,
    given,
    jobs,
    kept,
    now,
    records,
    repository,
    stop_after,
)
from tests.unit.slurm.fake_slurm import FakeSlurm, queue_line

_TAKES_AND_KILLS = """#!/bin/sh
name=$(sed -n 's/^#SBATCH --job-name=//p' job.sh)
printf '{row}' | sed "s/NAME/$name/" >> {rows}
echo "$@" >> {calls}
{then}
echo 41
"""
"""An sbatch that takes a job, so that the queue knows its name, and may kill who asked."""
_SUBMIT = (
    "import sys; from pathlib import Path; from kdgat.ops.plans import submit_plan;"
    "from kdgat.workspace import Workspace; root = Path(sys.argv[1]);"
    "done = submit_plan(Workspace(root, root / '.kdgat'), sys.argv[2], by='agent');"
    "print(*(job.job_id for job in done.jobs))"
)


def real_sbatch(fake: FakeSlurm, then: str = "") -> None:
    """An sbatch and a squeue that agree on what was taken."""
    rows = fake.folder / "rows"
    rows.touch()
    row = queue_line(ArrayJobID="41", Name="NAME").replace("\n", "\\n")
    script = _TAKES_AND_KILLS.format(
        row=row.replace("%", "%%"), rows=rows, calls=fake.folder / "sbatch.calls", then=then
    )
    for name, text in (("sbatch", script), ("squeue", KNOWS_NAMES.format(rows=rows))):
        (fake.folder / name).write_text(text)
        (fake.folder / name).chmod(0o755)


def process(ws: Workspace, plan_id: str, fake: FakeSlurm) -> subprocess.Popen[str]:
    """Another server that submits the plan."""
    environ = {
        **os.environ, "PATH": f"{fake.folder}:{os.environ['PATH']}", "PYTHONPATH": str(CHECKOUT)
    }  # fmt: skip
    return subprocess.Popen(
        [sys.executable, "-c", _SUBMIT, str(ws.root), plan_id], env=environ, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


class TestPlanning:
    def test_keeps_the_plan_and_writes_nothing_else(self, ws: Workspace) -> None:
        before = set(ws.home.rglob("*"))
        made = plan_job(ws, replace(ASKED, gpus=2, time="30m", max_restarts=1))
        folder = ws.agent / "plans"
        assert set(ws.home.rglob("*")) - before == {ws.agent, folder, kept(ws, made.plan_id)}
        assert made.price == Price(1, 4.0, 1.0)
        # The time limit, and once more after the restart.
        assert made.most == Price(1, 8.0, 2.0)
        plan = read_plan(folder, made.plan_id)
        assert (plan.cluster, plan.snapshot) == ("here", made.plan.snapshot)
        assert plan.request["overrides"] == list(SMALL)
        (run,) = plan.runs
        assert (run.outcome, run.run_id, len(run.config)) == ("new", None, 16)
        kept_for = datetime.fromisoformat(plan.expires_at) - datetime.now(UTC)
        assert timedelta(hours=23) < kept_for <= timedelta(days=1)

    def test_says_what_a_submission_says(self, ws: Workspace) -> None:
        asked = replace(ASKED, multirun=True, overrides=(*SMALL, "seed=1,2"), evaluate=True)
        made, foreseen = plan_job(ws, asked), submission.plan_submission(ws, asked)
        scripts = [
            [IDS.sub("ID", job.script) for job in plan.jobs] for plan in (made.plan, foreseen)
        ]
        assert scripts[0] == scripts[1]
        assert made.price == Price(4, 16.0, 4.0)

    def test_deletes_plans_that_are_older_than_a_day(self, ws: Workspace) -> None:
        old = plan_job(ws, ASKED).plan_id
        forget_old(ws.agent / "plans", now=datetime.now(UTC) + timedelta(hours=23))
        assert kept(ws, old).exists()
        forget_old(ws.agent / "plans", now=datetime.now(UTC) + timedelta(hours=25))
        assert not kept(ws, old).exists()


class TestOnce:
    def test_what_was_planned_is_what_is_given(self, ws: Workspace, client: Slurm) -> None:
        made = plan_job(ws, replace(ASKED, evaluate=True))
        done = given(ws, made.plan_id, client)
        assert done.given
        assert [job.scheduler_id for job in done.jobs] == ["41", "42"]
        assert [run.state for run in done.runs] == [State.SUBMITTED] * 2
        for planned, job in zip(made.plan.jobs, done.jobs, strict=True):
            script = JobFolder(ws.jobs / job.job_id).script.read_text()
            assert IDS.sub("ID", script) == IDS.sub("ID", planned.script)
        assert {mark.by for job in jobs(ws) if (mark := mark_of(job))} == {"agent"}

    def test_called_again_it_tells_the_same_jobs_whatever_became_of_them(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm
    ) -> None:
        plan_id = plan_job(ws, ASKED).plan_id
        first = given(ws, plan_id, client)
        end(ws, first.runs[0].run_id, State.FAILED, "it broke")
        # Nothing is asked of a scheduler or of the code for it, nor of the plan's file.
        kept(ws, plan_id).unlink()
        (ws.clusters / "here.toml").unlink()
        again = given(ws, plan_id, Slurm({"PATH": "/nowhere"}))
        assert (again.given, again.jobs) == (False, first.jobs)
        assert (again.runs[0].state, again.runs[0].reason) == (State.FAILED, "it broke")
        assert len(fake.calls("sbatch")) == 1

    @pytest.mark.parametrize("fresh", [False, True])
    @pytest.mark.parametrize("moment", ["_plan_run", "create", "_sbatch", "taken"])
    def test_stopped_at_any_moment_nothing_is_given_twice(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm, monkeypatch: pytest.MonkeyPatch,
        moment: str, fresh: bool,
    ) -> None:  # fmt: skip
        real_sbatch(fake)
        plan_id = plan_job(ws, replace(ASKED, evaluate=True, fresh=fresh)).plan_id
        owner = JobFolder if moment == "create" else delivery
        with monkeypatch.context() as patch:
            stop_after(patch, moment, owner, plans)
            with pytest.raises(KeyboardInterrupt):
                given(ws, plan_id, client)
        done = given(ws, plan_id, client)
        assert len(fake.calls("sbatch")) == 2
        live = [job for job in jobs(ws) if job.state is JobState.SUBMITTED]
        assert sorted(task.work for job in live for task in job.tasks) == ["evaluate", "train"]
        assert {job.job_id for job in live} == {job.job_id for job in done.jobs}
        assert given(ws, plan_id, client).jobs == done.jobs

    def test_a_server_killed_after_sbatch_and_before_any_note_has_given_it_once(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm
    ) -> None:
        real_sbatch(fake, then='kill -9 "$PPID"')
        plan_id = plan_job(ws, ASKED).plan_id
        with process(ws, plan_id, fake) as server:
            assert server.wait(120) == -9
        (job,) = jobs(ws)
        assert (job.state, job.scheduler_id) == (JobState.INTENDED, None)
        done = given(ws, plan_id, client)
        assert [(each.job_id, each.scheduler_id) for each in done.jobs] == [(job.job_id, "41")]
        assert len(fake.calls("sbatch")) == 1

    def test_two_servers_at_once_make_one_submission(self, ws: Workspace, fake: FakeSlurm) -> None:
        real_sbatch(fake, then="sleep 1")
        plan_id = plan_job(ws, ASKED).plan_id
        servers = [process(ws, plan_id, fake) for _ in range(2)]
        told = [server.communicate(timeout=120) for server in servers]
        assert [server.returncode for server in servers] == [0, 0], told
        assert told[0][0] == told[1][0]
        assert told[0][0].split() == [job.job_id for job in jobs(ws)]
        assert len(fake.calls("sbatch")) == 1

    def test_without_an_answer_the_next_call_finds_out(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm
    ) -> None:
        fake.answers("sbatch", SILENT, "99\n")
        plan_id = plan_job(ws, ASKED).plan_id
        with pytest.raises(Unanswered):
            given(ws, plan_id, client)
        (job,) = jobs(ws)
        now(fake, "squeue", queue_line(ArrayJobID="55", Name=job.name))
        assert [each.scheduler_id for each in given(ws, plan_id, client).jobs] == ["55"]
        assert len(fake.calls("sbatch")) == 1

    def test_what_was_cut_off_is_not_given_once_the_plan_is_too_old(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm
    ) -> None:
        fake.answers("sbatch", SILENT)
        plan_id = plan_job(ws, ASKED).plan_id
        with pytest.raises(Unanswered):
            given(ws, plan_id, client)
        age(ws, plan_id)
        with pytest.raises(PlanError, match="held until"):
            given(ws, plan_id, client)
        assert len(fake.calls("sbatch")) == 1

    def test_what_the_scheduler_did_not_take_may_be_tried_again(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm
    ) -> None:
        fake.answers("sbatch", REFUSED, "77\n")
        plan_id = plan_job(ws, ASKED).plan_id
        with pytest.raises(Refused, match="Invalid account"):
            given(ws, plan_id, client)
        assert [job.scheduler_id for job in given(ws, plan_id, client).jobs] == ["77"]
        assert len(records(ws)) == 1

    def test_a_fresh_plan_trains_anew_and_only_once(self, ws: Workspace, client: Slurm) -> None:
        submit(ws, ASKED, client=client)
        plan_id = plan_job(ws, replace(ASKED, fresh=True)).plan_id
        assert given(ws, plan_id, client).jobs == given(ws, plan_id, client).jobs
        assert len(records(ws)) == 2

    def test_of_a_plan_of_which_all_is_done_no_job_is_made_even_with_other_code(
        self, ws: Workspace, client: Slurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        plan_id = plan_job(ws, ASKED).plan_id
        (run,) = submit(ws, ASKED, client=client).runs
        monkeypatch.setattr(plans, "code_root", lambda: repository(tmp_path / "other"))
        live = given(ws, plan_id, client)
        assert (live.given, live.jobs, live.runs[0].state) == (False, (), State.SUBMITTED)
        end(ws, run.run_id, State.COMPLETED)
        done = given(ws, plan_id, client)
        assert (done.jobs, done.runs[0].state) == ((), State.COMPLETED)
        assert len(jobs(ws)) == 1


class TestHere:
    """Without a scheduler, in this process; one of its own is tried in tests/faces/test_plan.py."""

    def test_it_is_done_once(self, ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[Path] = []

        def run(script: Path, log: Path, task: int, **_: object) -> int:
            calls.append(script)
            end(ws, JobFolder(script.parent).record().tasks[task].run_id, State.COMPLETED)
            return 0

        monkeypatch.setattr(here, "run_script", run)
        plan_id = plan_job(ws, SubmitRequest(SMALL, "local", evaluate=True)).plan_id
        first = submit_plan(ws, plan_id, by="user")
        assert [job.state for job in first.jobs] == ["ended", "ended"]
        again = submit_plan(ws, plan_id, by="user", detached=True)
        assert (again.given, again.jobs, len(calls)) == (False, first.jobs, 2)

    def test_jobs_that_were_written_down_and_never_begun_are_begun(
        self, ws: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plan_id = plan_job(ws, SubmitRequest(SMALL, "local")).plan_id
        with monkeypatch.context() as patch:
            patch.setattr(plans, "claim", _killed)
            with pytest.raises(KeyboardInterrupt):
                submit_plan(ws, plan_id, by="user")
        (job,) = jobs(ws)
        monkeypatch.setattr(here, "run_script", lambda *_, **__: 1)
        done = submit_plan(ws, plan_id, by="user")
        assert [each.job_id for each in done.jobs] == [job.job_id]
        assert done.failed == (job.tasks[0].run_id,)

    def test_from_a_job_on_that_another_process_has_none_is_taken(
        self, ws: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plan_id = plan_job(ws, SubmitRequest(SMALL, "local", evaluate=True)).plan_id
        with monkeypatch.context() as patch:
            patch.setattr(plans, "claim", _killed)
            with pytest.raises(KeyboardInterrupt):
                submit_plan(ws, plan_id, by="user")
        train, judge = sorted(jobs(ws), key=lambda job: len(job.needs))
        assert take(ws.jobs / train.job_id)
        assert here.claim(ws, [train, judge]) == []
        assert worker_of(ws.jobs / judge.job_id) is None

    def test_a_process_that_cant_begin_is_told_and_the_plan_may_be_tried_again(
        self, ws: Workspace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plan_id = plan_job(ws, SubmitRequest(SMALL, "local")).plan_id
        monkeypatch.setattr(here, "start_alone", lambda *_, **__: False)
        with pytest.raises(KdgatError, match="ended before it began"):
            submit_plan(ws, plan_id, by="user", detached=True)
        assert [run.state for run in records(ws)] == [State.CANCELLED]
        monkeypatch.setattr(here, "run_script", lambda *_, **__: 1)
        assert submit_plan(ws, plan_id, by="user").given


def _killed(*_: object) -> list[Job]:
    raise KeyboardInterrupt
