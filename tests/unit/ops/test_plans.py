"""Plans that are kept and submitted later: exactly that, and once, whatever happens in between."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kdgat.agent.limits import Limits, load_limits
from kdgat.errors import DataError, KdgatError, PlanError, Refused, RunError, Unanswered
from kdgat.ledger.jobs import JobFolder, JobState
from kdgat.ledger.plans import Price, forget_old, keep_plan, mark_of, new_plan_id, read_plan
from kdgat.ledger.scan import run_folders
from kdgat.ledger.states import State
from kdgat.ops import delivery, here, plans
from kdgat.ops import submit as submission
from kdgat.ops.job_request import SubmitRequest
from kdgat.ops.plans import check_caps, plan_job, submit_plan
from kdgat.ops.submit import submit
from kdgat.slurm.client import Slurm
from kdgat.workspace import Workspace
from tests.unit.ops.test_submit import (
    ASKED,
    REFUSED,
    SILENT,
    SMALL,
    end,
    jobs,
    now,
    records,
)
from tests.unit.slurm.fake_slurm import FakeSlurm, queue_line

CHECKOUT = Path(__file__).parents[3]
IDS = re.compile(r"\d{8}-\d{6}-[0-9a-f]{7}")
_KNOWS_NAMES = """#!/bin/sh
for word; do case $word in --name=*) exec sed -n "/${{word#--name=}}|/p" {rows};; esac; done
cat {rows}
"""
_TAKES_AND_KILLS = """#!/bin/sh
name=$(sed -n 's/^#SBATCH --job-name=//p' job.sh)
printf '%s' '{row}' | sed "s/NAME/$name/" >> {rows}
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


def given(ws: Workspace, plan_id: str, client: Slurm) -> plans.PlannedSubmission:
    """Submit a plan as an agent."""
    return submit_plan(ws, plan_id, by="agent", client=client)


def kept(ws: Workspace, plan_id: str) -> Path:
    return ws.agent / "plans" / f"{plan_id}.json"


def real_sbatch(fake: FakeSlurm, then: str = "") -> None:
    """An sbatch and a squeue that agree on what was taken."""
    rows = fake.folder / "rows"
    rows.touch()
    row = queue_line(ArrayJobID="41", Name="NAME").replace("\n", "\\n")
    script = _TAKES_AND_KILLS.format(
        row=row.replace("%", "%%"), rows=rows, calls=fake.folder / "sbatch.calls", then=then
    ).replace("printf '%s'", "printf")
    for name, text in (("sbatch", script), ("squeue", _KNOWS_NAMES.format(rows=rows))):
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
            _stop_after(patch, owner, moment)
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
        _age(ws, plan_id)
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
        monkeypatch.setattr(plans, "code_root", lambda: _repository(tmp_path / "other"))
        live = given(ws, plan_id, client)
        assert (live.given, live.jobs, live.runs[0].state) == (False, (), State.SUBMITTED)
        end(ws, run.run_id, State.COMPLETED)
        done = given(ws, plan_id, client)
        assert (done.jobs, done.runs[0].state) == ((), State.COMPLETED)
        assert len(jobs(ws)) == 1


class TestHolding:
    def test_other_code_is_another_submission(
        self, ws: Workspace, client: Slurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        plan_id = plan_job(ws, ASKED).plan_id
        monkeypatch.setattr(plans, "code_root", lambda: _repository(tmp_path / "other"))
        _refused(ws, plan_id, client, "the code changed")
        assert not ws.snapshots.exists()

    def test_a_changed_cluster_is_told(self, ws: Workspace, client: Slurm) -> None:
        plan_id = plan_job(ws, ASKED).plan_id
        path = ws.clusters / "here.toml"
        path.write_text(path.read_text().replace('"01:00:00"', '"02:00:00"', 1))
        _refused(ws, plan_id, client, "the description of cluster 'here' changed")

    def test_changed_captures_are_told(self, ws: Workspace, client: Slurm) -> None:
        plan_id = plan_job(ws, ASKED).plan_id
        path = ws.dataset("simulated") / "captures.json"
        manifest = json.loads(path.read_text())
        path.write_text(json.dumps({**manifest, "content_hash": "0" * 64}))
        _refused(ws, plan_id, client, "the captures of 'simulated' changed")

    def test_another_frame_of_the_script_is_told(self, ws: Workspace, client: Slurm) -> None:
        plan_id = plan_job(ws, ASKED).plan_id
        frame = (CHECKOUT / "slurm" / "job.sh.in").read_text()
        (ws.clusters.parent / "job.sh.in").write_text(frame + "\n# ours\n")
        _refused(ws, plan_id, client, "the script of job 1 is another")

    def test_a_run_that_was_begun_meanwhile_is_told(self, ws: Workspace, client: Slurm) -> None:
        plan_id = plan_job(ws, ASKED).plan_id
        (run,) = submit(ws, ASKED, client=client).runs
        end(ws, run.run_id, State.TIMEOUT, "its time was over")
        _refused(
            ws, plan_id, client, f"run '{run.run_id}' (simulated-gat-large) was begun meanwhile"
        )

    def test_a_part_that_another_one_submitted_is_told(self, ws: Workspace, client: Slurm) -> None:
        sweep = replace(ASKED, multirun=True, overrides=(*SMALL, "seed=1,2"))
        plan_id = plan_job(ws, sweep).plan_id
        report = submit(ws, replace(ASKED, overrides=(*SMALL, "seed=2")), client=client)
        _refused(ws, plan_id, client, f"is submitted meanwhile by job '{report.jobs[0].job_id}'")

    def test_another_newest_teacher_is_told(self, ws: Workspace, client: Slurm) -> None:
        (first,) = submit(ws, ASKED, client=client).runs
        end(ws, first.run_id, State.COMPLETED)
        student = (*SMALL, "size=small", "distillation.teacher=latest")
        plan_id = plan_job(ws, replace(ASKED, overrides=student)).plan_id
        (second,) = submit(ws, replace(ASKED, overrides=(*SMALL, "seed=2")), client=client).runs
        end(ws, second.run_id, State.COMPLETED)
        _refused(ws, plan_id, client, f"is now {second.run_id}, not {first.run_id}")

    def test_a_pipeline_whose_ids_are_new_each_time_holds(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm
    ) -> None:
        plan_id = plan_job(ws, replace(ASKED, pipeline=True)).plan_id
        assert len(given(ws, plan_id, client).jobs) == 4
        assert len(fake.calls("sbatch")) == 4

    def test_data_that_was_ingested_since_makes_it_another_plan(
        self, ws: Workspace, client: Slurm
    ) -> None:
        data, away = ws.dataset("simulated"), ws.home / "away"
        data.rename(away)
        plan_id = plan_job(ws, ASKED).plan_id
        with pytest.raises(DataError):
            given(ws, plan_id, client)
        away.rename(data)
        _refused(ws, plan_id, client, "the captures of 'simulated' changed")


class TestPlanFile:
    @pytest.mark.parametrize(
        "plan_id",
        [
            "../../runs/x",
            "plan-../20261121-074455-123f9a2",
            "20261121-074455-123f9a2",
            "",
            "x" * 10**6,
            "plan-20261121-074455-123f9a2\n",
            "plan-20261121-074455-123f9a2/..",
        ],
        ids=["path", "path inside", "no prefix", "nothing", "long", "line end", "path after"],
    )
    def test_what_is_no_id_is_told_in_a_sentence(
        self, ws: Workspace, client: Slurm, plan_id: str
    ) -> None:
        with pytest.raises(PlanError, match="is no id of a plan") as error:
            given(ws, plan_id, client)
        assert len(error.value.problem) < 200

    def test_an_unknown_one_is_told(self, ws: Workspace, client: Slurm) -> None:
        with pytest.raises(PlanError, match=r"no plan 'plan-.*' is kept in this workspace"):
            given(ws, new_plan_id(), client)

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"plan": {}, "sha256": ""}', "\x00"])
    def test_a_damaged_one_is_told(self, ws: Workspace, client: Slurm, text: str) -> None:
        plan_id = plan_job(ws, ASKED).plan_id
        kept(ws, plan_id).write_text(text)
        _refused(ws, plan_id, client, "is damaged")

    def test_a_price_that_was_changed_by_hand_is_damage(self, ws: Workspace, client: Slurm) -> None:
        plan_id = plan_job(ws, ASKED).plan_id
        path = kept(ws, plan_id)
        path.write_text(path.read_text().replace('"gpu_hours": 1.0', '"gpu_hours": 0.0'))
        _refused(ws, plan_id, client, "is not as it was written")

    def test_another_workspaces_plan_is_told(
        self, ws: Workspace, client: Slurm, tmp_path: Path
    ) -> None:
        plan_id = plan_job(ws, ASKED).plan_id
        other = Workspace(tmp_path / "elsewhere", ws.home)
        other.root.mkdir()
        with pytest.raises(PlanError, match=r"was made in the workspace '.*/workspace'"):
            given(other, plan_id, client)

    def test_one_older_than_a_day_is_refused_and_deleted(
        self, ws: Workspace, client: Slurm
    ) -> None:
        plan_id = plan_job(ws, ASKED).plan_id
        _age(ws, plan_id)
        _refused(ws, plan_id, client, "held until")
        assert not kept(ws, plan_id).exists()

    def test_a_jobs_record_that_cant_be_read_is_not_taken_for_no_job(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm
    ) -> None:
        plan_id = plan_job(ws, ASKED).plan_id
        job = given(ws, plan_id, client).jobs[0]
        (ws.root / job.folder / "job.json").write_text("{")
        with pytest.raises(RunError, match=r"job\.json' can't be read"):
            given(ws, plan_id, client)
        assert len(fake.calls("sbatch")) == 1


class TestCaps:
    def test_without_a_file_the_built_in_caps_hold_and_the_shipped_file_states_them(
        self, ws: Workspace
    ) -> None:
        assert load_limits(ws) == Limits()
        assert load_limits(Workspace(CHECKOUT, ws.home)) == Limits()
        shipped = (CHECKOUT / "agent" / "mcp.toml").read_text()
        named = [name for part in (Limits().caps, Limits().confirm) for name in part.model_dump()]
        assert [name for name in named if f"\n{name} = " not in shipped] == []

    def test_the_jobs_of_a_day_are_counted_from_the_ledger(
        self, ws: Workspace, client: Slurm
    ) -> None:
        _limits(ws, "[caps]\njobs_per_day = 3\n")
        # What a person submits is not counted.
        submit_plan(ws, _plan(ws, "seed=range(4)"), by="user", client=client)
        given(ws, _plan(ws, "seed=10,11"), client)
        with pytest.raises(PlanError) as error:
            given(ws, _plan(ws, "seed=20,21"), client)
        assert "this would take 2 jobs, and jobs_per_day allows an agent 3" in error.value.problem
        assert "2 are used" in error.value.problem
        assert "agent/mcp.toml" in error.value.hint
        assert {run.seed for run in records(ws)} == {0, 1, 2, 3, 10, 11}
        # There is no other count that could be deleted.
        for path in (ws.agent / "plans").iterdir():
            path.unlink()
        with pytest.raises(PlanError, match="2 are used"):
            given(ws, _plan(ws, "seed=20,21"), client)
        given(ws, _plan(ws, "seed=20"), client)

    def test_a_plan_that_was_given_is_told_though_the_cap_is_reached(
        self, ws: Workspace, client: Slurm
    ) -> None:
        _limits(ws, "[caps]\njobs_per_day = 1\n")
        plan_id = plan_job(ws, ASKED).plan_id
        assert given(ws, plan_id, client).jobs == given(ws, plan_id, client).jobs

    def test_what_the_scheduler_did_not_take_is_not_counted(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm
    ) -> None:
        _limits(ws, "[caps]\njobs_per_day = 1\n")
        fake.answers("sbatch", REFUSED, "77\n")
        plan_id = plan_job(ws, ASKED).plan_id
        with pytest.raises(Refused):
            given(ws, plan_id, client)
        assert given(ws, plan_id, client).given

    @pytest.mark.parametrize(
        ("cap", "told"),
        [
            ("gpu_hours_per_job = 3.9", "4 GPU-hours, and gpu_hours_per_job allows an agent 3.9"),
            ("gpu_hours_per_day = 3.9", "4 GPU-hours, and gpu_hours_per_day allows an agent 3.9"),
            ("core_hours_per_day = 15", "16 core-hours, and core_hours_per_day allows an agent 15"),
        ],
    )
    def test_hours_count_every_restart(self, ws: Workspace, cap: str, told: str) -> None:
        _limits(ws, f"[caps]\n{cap}\n")
        made = plan_job(ws, ASKED)
        with pytest.raises(PlanError, match=re.escape(told)):
            check_caps(ws, made)
        check_caps(ws, plan_job(ws, replace(ASKED, max_restarts=2)))

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("[caps]\n\njobs_per_day = -1\n", "mcp.toml:3: caps.jobs_per_day = -1"),
            ("# x\n[caps]\njobs_per_days = 1\n", "mcp.toml:3: there is no key caps.jobs_per_days"),
            ("[caps]\njobs_per_day = true\n", "mcp.toml:2: caps.jobs_per_day = True"),
            ("[confirm]\nsubmit = 'yes'\n", "mcp.toml:2: confirm.submit = 'yes'"),
            ("[caps]\n[confirms]\n", "mcp.toml:2: there is no key confirms"),
            ("caps = 3\n", "mcp.toml:1: caps = 3"),
            ("[caps]\njobs_per_day = \n", "mcp.toml:2: no valid TOML"),
        ],
    )
    def test_a_mistake_in_the_file_is_told_with_its_line(
        self, ws: Workspace, text: str, told: str
    ) -> None:
        _limits(ws, text)
        with pytest.raises(PlanError) as error:
            load_limits(ws)
        assert told in error.value.problem
        assert error.value.hint


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


def _killed(*_: object) -> bool:
    raise KeyboardInterrupt


def _plan(ws: Workspace, *overrides: str) -> str:
    asked = replace(ASKED, multirun=True, overrides=(*SMALL, *overrides))
    return plan_job(ws, asked).plan_id


def _limits(ws: Workspace, text: str) -> None:
    path = ws.root / "agent" / "mcp.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def _refused(ws: Workspace, plan_id: str, client: Slurm, words: str) -> None:
    """A plan is refused in these words, with the next step, and nothing is left of the attempt."""
    before = (set(ws.jobs.glob("2*")), len(run_folders(ws.runs)))
    with pytest.raises(PlanError) as error:
        given(ws, plan_id, client)
    assert words in error.value.problem
    assert "plan again" in error.value.hint
    assert (set(ws.jobs.glob("2*")), len(run_folders(ws.runs))) == before


def _age(ws: Workspace, plan_id: str) -> None:
    """As if a day had gone by."""
    plan = read_plan(ws.agent / "plans", plan_id)
    keep_plan(ws.agent / "plans", replace(plan, expires_at=plan.created_at))


def _repository(folder: Path) -> Path:
    """A checkout of other code."""
    if not folder.exists():
        folder.mkdir()
        (folder / "code.py").write_text("other = True\n")
        for words in (("init", "-q"), ("add", ".")):
            subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def _stop_after(patch: pytest.MonkeyPatch, owner: object, name: str) -> None:
    """As if the process was killed right after the first call of a function."""
    real = getattr(owner, name)
    by = plans if hasattr(plans, name) else owner

    def stopped(*arguments: object, **named: object) -> object:
        real(*arguments, **named)
        raise KeyboardInterrupt

    patch.setattr(owner, name, stopped)
    if by is plans:
        patch.setattr(plans, name, stopped)
