"""Submissions against a scheduler that answers as a test wants: what is given, and how often."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kdgat.errors import ConfigError, DataError, Refused, RunError, SlurmError, Unanswered
from kdgat.ledger.jobs import JobFolder, JobState
from kdgat.ledger.states import State
from kdgat.ops import delivery, here
from kdgat.ops.job_request import SubmitRequest
from kdgat.ops.submit import SubmissionReport, plan_submission, submit
from kdgat.runs.lease import take_lease
from kdgat.slurm.client import Slurm
from kdgat.workspace import Workspace
from tests.unit.ops.submitted import (
    ASKED,
    KNOWS_NAMES,
    REFUSED,
    SILENT,
    SMALL,
    end,
    jobs,
    now,
    records,
    stop_after,
)
from tests.unit.slurm.fake_slurm import FakeSlurm, queue_line


def outcomes(report: SubmissionReport) -> list[str]:
    return [run.outcome for run in report.runs]


class TestPlan:
    def test_says_everything_and_writes_nothing(self, ws: Workspace) -> None:
        before = sorted(ws.home.rglob("*"))
        plan = plan_submission(ws, replace(ASKED, evaluate=True, gpus=4, nodes=2))
        assert sorted(ws.home.rglob("*")) == before
        train, judge = plan.jobs
        assert (train.job.request.nodes, train.job.request.tasks_per_node) == (2, 2)
        assert (train.job.request.gpus_per_node, train.job.request.gres) == (2, "v100")
        assert (judge.job.request.nodes, judge.job.request.gpus_per_node) == (1, 1)
        assert judge.job.needs == (train.job.job_id,)
        assert judge.runs[0].subject == train.runs[0].run_id
        assert train.cost.gpu_hours == 4.0
        assert "#SBATCH --gpus-per-node=v100:2" in train.script

    def test_without_the_dataset_is_made_and_says_what_it_does_not_know(
        self, ws: Workspace
    ) -> None:
        shutil.rmtree(ws.data)
        plan = plan_submission(ws, replace(ASKED, pipeline=True))
        assert [run.outcome for run in plan.runs] == ["new"] * 4
        assert any("not ingested" in each for each in plan.assumed)
        with pytest.raises(DataError):
            submit(ws, ASKED, client=Slurm({"PATH": "/bin"}))

    def test_memory_that_comes_with_the_cores_is_asked_for(self, ws: Workspace) -> None:
        (plan,) = plan_submission(ws, ASKED).jobs
        assert (plan.job.request.cores_per_task, plan.job.request.memory_mb) == (4, 4000)
        (small,) = plan_submission(ws, replace(ASKED, cores=1)).jobs
        assert small.job.request.memory_mb == 3072
        (own,) = plan_submission(ws, replace(ASKED, memory_gb=8)).jobs
        assert own.job.request.memory_mb == 7630
        assert own.cost.charged_cores == 8

    def test_a_time_limit_longer_than_the_partitions_is_cut_unless_asked_for(
        self, ws: Workspace
    ) -> None:
        cpu = replace(ASKED, partition="cpu", overrides=(*SMALL, "resources.accelerator=gpu"))
        assert "#SBATCH --time=00:30:00" in plan_submission(ws, replace(cpu, gpus=0)).jobs[0].script
        with pytest.raises(ConfigError, match="00:30:00"):
            plan_submission(ws, replace(cpu, gpus=0, time="45m"))

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"gpus": 3, "nodes": 2}, "evenly"),
            ({"gpus": 4}, "4 GPUs on 1 node"),
            ({"account": "a b"}, "letters, digits"),
            ({"partition": "gpuu"}, "no partition 'gpuu'"),
            ({"time": "soon"}, "no time limit"),
            ({"cluster": "heer"}, "'heer' is not described"),
            ({"memory_gb": -1.0}, "must be above 0"),
            ({"multirun": True, "overrides": (*SMALL, "seed=range(5)")}, "at most 4"),
            ({"multirun": True, "overrides": (*SMALL, "resources.devices=1,2")}, "resources"),
            ({"pipeline": True, "overrides": ("size=small",)}, "goes through by itself"),
            ({"pipeline": True, "multirun": True}, "can't be swept"),
            ({"overrides": (*SMALL, "size=small", "distillation.teacher=nobody")}, "nobody"),
        ],
    )
    def test_a_mistake_is_told_before_anything_is_submitted(
        self, ws: Workspace, changes: dict[str, object], words: str
    ) -> None:
        with pytest.raises((ConfigError, RunError), match=words) as error:
            plan_submission(ws, replace(ASKED, **changes))
        assert error.value.hint

    def test_a_preflight_asks_for_each_start(self, ws: Workspace, fake: FakeSlurm) -> None:
        said = "sbatch: Job 9 to start at 2026-11-21T15:00:00 using 4 processors on nodes n01"
        now(fake, "sbatch", (0, "", said))
        asked = replace(ASKED, preflight=True, evaluate=True)
        train, judge = plan_submission(ws, asked, client=fake.client()).jobs
        assert train.start is not None
        assert train.start.starts_at.startswith("2026-11-21T15:00:00")
        assert judge.start is None
        assert all("--test-only" in call for call in fake.calls("sbatch"))


class TestOnce:
    def test_what_is_submitted_is_written_down(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm
    ) -> None:
        report = submit(ws, ASKED, client=client)
        (given,), (run,), (job,) = report.jobs, records(ws), jobs(ws)
        assert (given.scheduler_id, job.scheduler_id, job.state) == ("41", "41", JobState.SUBMITTED)
        assert (run.state, run.job, run.host, run.pid) == (State.SUBMITTED, job.job_id, None, None)
        assert fake.calls("sbatch") == ["--parsable job.sh"]
        folder = JobFolder(ws.jobs / job.job_id)
        assert "SBATCH_PARTITION" not in fake.environ("sbatch")
        assert run.run_id in folder.script.read_text()
        frozen = ws.snapshots / str(job.snapshot)
        assert (frozen / "code" / "kdgat" / "errors.py").is_file()
        assert json.loads((frozen / "snapshot.json").read_text())["name"] == job.snapshot

    def test_the_same_again_is_live(self, ws: Workspace, fake: FakeSlurm, client: Slurm) -> None:
        first = submit(ws, ASKED, client=client)
        second = submit(ws, ASKED, client=client)
        assert (second.jobs, outcomes(second)) == ((), ["live"])
        assert second.runs[0].job == first.jobs[0].job_id
        assert len(fake.calls("sbatch")) == 1

    def test_fresh_is_anew(self, ws: Workspace, client: Slurm) -> None:
        submit(ws, ASKED, client=client)
        assert outcomes(submit(ws, replace(ASKED, fresh=True), client=client)) == ["new"]
        assert len(records(ws)) == 2

    def test_what_is_done_is_not_done_again_and_what_broke_off_goes_on(
        self, ws: Workspace, client: Slurm
    ) -> None:
        (run,) = submit(ws, ASKED, client=client).runs
        end(ws, run.run_id, State.TIMEOUT, "its time was over")
        again = submit(ws, replace(ASKED, gpus=2), client=client)
        assert (outcomes(again), again.runs[0].run_id) == (["resume"], run.run_id)
        (record,) = records(ws)
        assert (record.state, record.reason, record.job) == (
            State.SUBMITTED, None, again.jobs[0].job_id,
        )  # fmt: skip
        assert delivery.run_folder(ws, run.run_id).config()["resources"]["devices"] == 2
        end(ws, run.run_id, State.COMPLETED)
        assert outcomes(submit(ws, ASKED, client=client)) == ["done"]

    def test_a_refused_job_is_marked_with_slurms_words(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm
    ) -> None:
        fake.answers("sbatch", REFUSED, "77\n")
        with pytest.raises(Refused, match="Invalid account"):
            submit(ws, replace(ASKED, evaluate=True), client=client)
        assert {job.state for job in jobs(ws)} == {JobState.REFUSED}
        assert {run.state for run in records(ws)} == {State.CANCELLED}
        assert all("Invalid account" in (run.reason or "") for run in records(ws))
        assert len(fake.calls("sbatch")) == 1
        again = submit(ws, ASKED, client=client)
        assert (outcomes(again), again.jobs[0].scheduler_id) == (["resume"], "77")

    def test_a_run_that_broke_off_is_as_it_was_after_a_refusal(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm
    ) -> None:
        (run,) = submit(ws, ASKED, client=client).runs
        end(ws, run.run_id, State.TIMEOUT, "its time was over")
        (before,) = records(ws)
        fake.answers("sbatch", "41\n", REFUSED)
        with pytest.raises(Refused):
            submit(ws, ASKED, client=client)
        (after,) = records(ws)
        assert after == before

    @pytest.mark.parametrize(("taken", "asked_for"), [(True, True), (True, False), (False, False)])
    def test_without_an_answer_the_next_submission_finds_out_and_gives_nothing_twice(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm, taken: bool, asked_for: bool
    ) -> None:
        fake.answers("sbatch", SILENT, "99\n")
        with pytest.raises(Unanswered, match="not known"):
            submit(ws, ASKED, client=client)
        (job,), (run,) = jobs(ws), records(ws)
        assert (job.state, run.state, run.job) == (JobState.INTENDED, State.PLANNED, job.job_id)
        row = queue_line(ArrayJobID="55", Name=job.name) if taken else ""
        # The first is the look at all jobs, the second the question for this one's name.
        now(fake, "squeue", *(("", row) if asked_for else (row,)))
        report = submit(ws, ASKED, client=client)
        assert (report.jobs, outcomes(report)) == ((), ["live"])
        (after,) = jobs(ws)
        assert (after.job_id, after.state) == (job.job_id, JobState.SUBMITTED)
        assert after.scheduler_id == ("55" if taken else "99")
        assert len(fake.calls("sbatch")) == (1 if taken else 2)
        by_name = [call for call in fake.calls("squeue") if f"--name={job.name}" in call]
        assert bool(by_name) == (asked_for or not taken)
        assert records(ws)[0].state is State.SUBMITTED

    @pytest.mark.parametrize("moment", ["_plan_run", "create", "_sbatch", "taken"])
    def test_stopped_at_any_moment_nothing_is_given_twice(
        self,
        ws: Workspace,
        fake: FakeSlurm,
        client: Slurm,
        monkeypatch: pytest.MonkeyPatch,
        moment: str,
    ) -> None:
        asked = replace(ASKED, evaluate=True)
        owner = JobFolder if moment == "create" else delivery
        with monkeypatch.context() as patch:
            stop_after(patch, moment, owner)
            with pytest.raises(KeyboardInterrupt):
                submit(ws, asked, client=client)
        given = len(fake.calls("sbatch"))
        # The scheduler knows by name what it was given.
        train = [job for job in jobs(ws) if not job.needs]
        rows = [queue_line(ArrayJobID="41", Name=job.name) for job in train if given]
        (fake.folder / "rows").write_text("".join(rows))
        (fake.folder / "squeue").write_text(KNOWS_NAMES.format(rows=fake.folder / "rows"))
        submit(ws, asked, client=client)
        assert len(fake.calls("sbatch")) == 2
        live = [job for job in jobs(ws) if job.state is JobState.SUBMITTED]
        assert sorted(task.work for job in live for task in job.tasks) == ["evaluate", "train"]
        assert len({job.scheduler_id for job in live}) == 2
        assert {run.state for run in records(ws)} == {State.SUBMITTED}
        assert outcomes(submit(ws, asked, client=client)) == ["live", "live"]

    def test_two_submissions_at_once_take_turns(
        self, ws: Workspace, client: Slurm, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(delivery, "_PATIENCE_S", 0.0)
        other = take_lease(ws.jobs / ".lease", "the submitting of jobs")
        assert other is not None
        from kdgat.errors import StorageError

        with pytest.raises(StorageError, match="the submitting of jobs is held by"):
            submit(ws, ASKED, client=client)
        assert jobs(ws) == []
        other.release()
        assert outcomes(submit(ws, ASKED, client=client)) == ["new"]

    def test_without_slurm_here_nothing_is_written(self, ws: Workspace) -> None:
        with pytest.raises(SlurmError, match="not on PATH") as error:
            submit(ws, ASKED, client=Slurm({"PATH": "/nowhere"}))
        assert "--cluster local" in error.value.hint
        assert (records(ws), jobs(ws)) == ([], [])


class TestMany:
    def test_a_sweep_is_one_array_without_what_is_done(self, ws: Workspace, client: Slurm) -> None:
        sweep = replace(ASKED, multirun=True, overrides=(*SMALL, "seed=1,2,3"), throttle=2)
        first = submit(ws, replace(ASKED, overrides=(*SMALL, "seed=2")), client=client)
        end(ws, first.runs[0].run_id, State.COMPLETED)
        report = submit(ws, replace(sweep, evaluate=True), client=client)
        assert outcomes(report) == ["new", "done", "new", "new", "new", "new"]
        train, judge = report.jobs
        script = (ws.root / train.folder / "job.sh").read_text()
        assert "#SBATCH --array=0-1%2" in script
        assert len(judge.runs) == 3

    def test_a_pipeline_is_a_chain_given_at_once(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm
    ) -> None:
        asked = SubmitRequest(("training.max_epochs=2",), "here", pipeline=True)
        report = submit(ws, asked, client=client)
        waits = [
            call.split(":")[1].split()[0] if ":" in call else "" for call in fake.calls("sbatch")
        ]
        # For each model: large, its judging, the student after the large one, its judging.
        assert waits == ["", "41", "41", "43", "", "45", "45", "47"]
        assert all("--kill-on-invalid-dep=yes" in call for call in fake.calls("sbatch")[1:4])
        by_id = {run.run_id: run for run in records(ws)}
        students = [run for run in by_id.values() if run.size == "small" and run.subject is None]
        assert len(students) == 2
        assert all(by_id[str(run.teacher)].size == "large" for run in students)
        assert {run.work for run in report.runs} == {"train", "evaluate"}
        assert outcomes(submit(ws, asked, client=client)) == ["live"] * 8

    def test_a_chain_goes_on_where_it_broke_off(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm
    ) -> None:
        asked = replace(ASKED, pipeline=True)
        large, judged, small, last = submit(ws, asked, client=client).runs
        end(ws, large.run_id, State.COMPLETED)
        end(ws, judged.run_id, State.COMPLETED)
        end(ws, small.run_id, State.FAILED, "it broke")
        delivery.run_folder(ws, last.run_id).update(state=State.CANCELLED)
        again = submit(ws, asked, client=client)
        assert outcomes(again) == ["done", "done", "resume", "resume"]
        assert [run.run_id for run in again.runs] == [
            run.run_id for run in (large, judged, small, last)
        ]
        assert fake.calls("sbatch")[4:] == [
            "--parsable job.sh",
            "--parsable --dependency=afterok:45 --kill-on-invalid-dep=yes job.sh",
        ]

    def test_a_student_waits_for_the_one_task_that_trains_its_teacher(
        self, ws: Workspace, fake: FakeSlurm, client: Slurm
    ) -> None:
        sweep = replace(ASKED, multirun=True, overrides=(*SMALL, "seed=1,2"))
        _, second = submit(ws, sweep, client=client).runs
        words = (*SMALL, "size=small", f"distillation.teacher={second.run_id}")
        submit(ws, replace(ASKED, overrides=words), client=client)
        assert "--dependency=afterok:41_1" in fake.calls("sbatch")[-1]

    def test_a_teacher_that_is_trained_elsewhere_has_to_be_waited_for(
        self, ws: Workspace, client: Slurm
    ) -> None:
        (run,) = submit(ws, ASKED, client=client).runs
        delivery.run_folder(ws, run.run_id).update(job=None)
        words = (*SMALL, "size=small", f"distillation.teacher={run.run_id}")
        with pytest.raises(RunError, match="needed first"):
            submit(ws, replace(ASKED, overrides=words), client=client)


class TestHere:
    """Without a scheduler the runs are done at once."""

    @pytest.fixture
    def works(self, ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Stands in for the script: every task completes, or fails where the test says."""
        fails: list[int] = []
        calls: list[int] = []

        def run(script: Path, log: Path, task: int, **_: object) -> int:
            job = JobFolder(script.parent).record()
            calls.append(1)
            failed = len(calls) in fails
            end(ws, job.tasks[task].run_id, State.RUNNING if failed else State.COMPLETED)
            return 1 if failed else 0

        monkeypatch.setattr(here, "run_script", run)
        return fails

    @pytest.mark.usefixtures("works")
    def test_a_chain_is_done_in_order(self, ws: Workspace) -> None:
        report = submit(ws, replace(ASKED, cluster="local", pipeline=True))
        assert [job.state for job in report.jobs] == ["ended"] * 4
        assert report.failed == ()
        assert all(task.state == "COMPLETED" for job in jobs(ws) for task in job.tasks)
        assert outcomes(submit(ws, replace(ASKED, cluster="local", pipeline=True))) == ["done"] * 4

    def test_what_needs_a_failed_run_is_cancelled_with_the_reason(
        self, ws: Workspace, works: list[int]
    ) -> None:
        works.append(1)
        report = submit(ws, replace(ASKED, cluster="local", pipeline=True))
        first, *others = (delivery.run_folder(ws, run.run_id).record() for run in report.runs)
        assert len(report.failed) == 4
        assert (first.state, first.reason) == (
            State.FAILED, "its process ended with exit status 1",
        )  # fmt: skip
        assert {run.state for run in others} == {State.CANCELLED}
        assert all("exit status 1" in (run.reason or "") for run in others)
        again = submit(ws, replace(ASKED, cluster="local", pipeline=True))
        assert outcomes(again) == ["resume"] * 4
        assert again.failed == ()
