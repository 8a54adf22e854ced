"""The ledger follows the scheduler where a run has no end of its own, and nothing is guessed."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kdgat.ledger.jobs import JobState
from kdgat.ledger.record import utc_now
from kdgat.ledger.states import State
from kdgat.slurm.poll import TaskStatus, poll
from kdgat.slurm.reconcile import cancel_dependents, reconcile
from kdgat.slurm.verdict import Verdict, judge
from kdgat.workspace import Workspace
from tests.unit.slurm.fake_slurm import FakeSlurm
from tests.unit.slurm.given import beat, give, job, record, run_of
from tests.unit.slurm.test_client import NO_SACCT, NO_SQUEUE

END = "2026-11-21T14:57:18"
SEEN = datetime(2026, 11, 21, 14, 58, tzinfo=UTC)
NEVER = {"State": "CANCELLED", "Reason": "DependencyNeverSatisfied", "StartTime": END,
         "EndTime": END}  # fmt: skip


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path, home=tmp_path / ".kdgat")


@pytest.fixture
def fake(tmp_path: Path) -> FakeSlurm:
    folder = tmp_path / "bin"
    folder.mkdir()
    fake = FakeSlurm(folder)
    fake.keeps()
    return fake


def ended(state: str, **cells: Any) -> dict[str, Any]:
    """A task of squeue that ended on a node."""
    times = {"StartTime": "2026-11-21T14:50:36", "EndTime": END, "NodeList": "pitzer01"}
    return {"State": state, **times, **cells}


class TestTheVerdict:
    @pytest.mark.parametrize(
        ("status", "state", "reason"),
        [
            (TaskStatus("TIMEOUT", time_limit_s=14_400), State.TIMEOUT,
             "met its time limit of 04:00:00"),
            (TaskStatus("CANCELLED", cancelled_by="0"), State.CANCELLED,
             "its job was cancelled by root"),
            (TaskStatus("CANCELLED", cancelled_by="987654"), State.CANCELLED,
             "its job was cancelled by 987654"),
            (TaskStatus("PREEMPTED"), State.PREEMPTED,
             "preempted: the scheduler gave its nodes to another job"),
            (TaskStatus("FAILED", exit_code="3:0"), State.FAILED,
             "its job failed: exit status 3 (FAILED)"),
            (TaskStatus("FAILED", exit_code="0:9"), State.FAILED,
             "its job failed: killed (signal 9), perhaps for memory (FAILED)"),
            (TaskStatus("FAILED", exit_code="137:0"), State.FAILED,
             "its job failed: killed (signal 9), perhaps for memory (FAILED)"),
            (TaskStatus("FAILED", exit_code="9:0"), State.FAILED,
             "its job failed: exit status 9, or killed (signal 9), perhaps for memory (FAILED)"),
            (TaskStatus("FAILED", exit_code="0:11"), State.FAILED,
             "its job failed: killed (signal 11) (FAILED)"),
            (TaskStatus("NODE_FAIL"), State.FAILED, "its node failed (NODE_FAIL)"),
            (TaskStatus("OUT_OF_MEMORY"), State.FAILED,
             "it used more memory than it asked for (OUT_OF_MEMORY)"),
            (TaskStatus("COMPLETED"), State.FAILED, "its job ended and it wrote no end"),
        ],
        ids=lambda value: getattr(value, "state", None),
    )  # fmt: skip
    @pytest.mark.parametrize("before", [State.SUBMITTED, State.RUNNING, State.LOST])
    def test_of_an_end_that_the_run_did_not_write(
        self, status: TaskStatus, state: State, reason: str, before: State
    ) -> None:
        assert judge(record("r", state=before), status) == Verdict(state, reason)

    @pytest.mark.parametrize("said", ["TIMEOUT", "FAILED", "PENDING", "COMPLETED", "UNKNOWN"])
    def test_a_completed_run_stays_completed(self, said: str) -> None:
        assert judge(record("r", state=State.COMPLETED), TaskStatus(said)) is None

    @pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
    @pytest.mark.parametrize("said", ["FAILED", "CANCELLED", "PENDING"])
    def test_a_run_keeps_the_end_it_wrote(self, state: State, said: str) -> None:
        wrote = record("r", state=state, reason="the loss is not a number")
        assert judge(wrote, TaskStatus(said)) is None

    def test_an_end_by_sigterm_is_the_scheduler_s(self) -> None:
        wrote = record("r", state=State.CANCELLED, reason="stopped by SIGTERM")
        verdict = judge(wrote, TaskStatus("TIMEOUT", time_limit_s=60))
        assert verdict == Verdict(State.TIMEOUT, "met its time limit of 00:01:00")
        assert judge(wrote, TaskStatus("PENDING")) == Verdict(State.SUBMITTED)

    @pytest.mark.parametrize("before", [State.RUNNING, State.TIMEOUT, State.PREEMPTED, State.LOST])
    def test_a_run_whose_job_is_back_in_the_queue_waits_again(self, before: State) -> None:
        assert judge(record("r", state=before), TaskStatus("PENDING")) == Verdict(State.SUBMITTED)

    @pytest.mark.parametrize("said", ["RUNNING", "COMPLETING", "SUSPENDED", "UNKNOWN"])
    @pytest.mark.parametrize("before", [State.SUBMITTED, State.RUNNING, State.LOST])
    def test_of_a_job_at_work_or_unknown_there_is_none(self, said: str, before: State) -> None:
        assert judge(record("r", state=before), TaskStatus(said)) is None


class TestPolling:
    def test_any_number_of_jobs_takes_one_squeue_and_one_sacct(self, fake: FakeSlurm) -> None:
        jobs = [job(f"j{n}", f"r{n}", scheduler_id=str(n)) for n in range(50)]
        fake.sees({"ArrayJobID": "0", "Name": "kdgat-j0"})
        fake.keeps({"JobID": "1", "JobName": "kdgat-j1"})
        polled = poll(fake.client(), jobs)
        assert (len(fake.calls("squeue")), len(fake.calls("sacct"))) == (1, 1)
        states = [polled.task(each, 0).state for each in jobs]
        assert states == ["PENDING", "COMPLETED", *["UNKNOWN"] * 48]

    def test_what_squeue_tells_is_not_asked_of_sacct(self, fake: FakeSlurm) -> None:
        fake.sees({"Name": "kdgat-j"}, ended("TIMEOUT", ArrayJobID="8", Name="kdgat-k"))
        poll(fake.client(), [job("j", "r"), job("k", "s", scheduler_id="8")])
        assert fake.calls("sacct") == []

    def test_no_job_is_no_question(self, fake: FakeSlurm) -> None:
        assert poll(fake.client(), []).tasks == {}
        assert fake.calls("squeue") == []

    def test_a_task_that_its_waiting_array_no_longer_has_was_cancelled(
        self, fake: FakeSlurm
    ) -> None:
        array = job("j", "r0", "r1", "r2")
        fake.sees({"JobArrayID": "7_[0,2]", "Name": "kdgat-j"})
        tasks = [poll(fake.client(), [array]).task(array, n) for n in range(3)]
        assert [task.state for task in tasks] == ["PENDING", "CANCELLED", "PENDING"]
        assert judge(record("r1"), tasks[1]) == Verdict(State.CANCELLED, "its job was cancelled")
        assert judge(record("r1", state=State.RUNNING), tasks[1]) is None

    def test_without_the_database_nobody_knows_that(self, fake: FakeSlurm) -> None:
        array = job("j", "r0", "r1")
        fake.sees({"JobArrayID": "7_[0]", "Name": "kdgat-j"})
        fake.answers("sacct", NO_SACCT)
        assert poll(fake.client(), [array]).task(array, 1).state == "UNKNOWN"

    def test_an_id_that_was_given_out_again_is_another_job(self, fake: FakeSlurm) -> None:
        fake.sees({"Name": "somebody-elses", "State": "RUNNING"})
        fake.keeps({"JobName": "somebody-elses"})
        assert poll(fake.client(), [job("j", "r")]).task(job("j", "r"), 0).state == "UNKNOWN"

    def test_an_account_that_never_closed_is_no_answer(self, fake: FakeSlurm) -> None:
        fake.sees()
        fake.keeps({"JobName": "kdgat-j", "State": "RUNNING", "End": "Unknown"})
        status = poll(fake.client(), [job("j", "r")]).task(job("j", "r"), 0)
        assert (status.state, status.reason) == (
            "UNKNOWN", "sacct has it as RUNNING, squeue has it no more",
        )  # fmt: skip

    def test_who_cancelled_is_asked_of_sacct(self, fake: FakeSlurm) -> None:
        fake.sees(ended("CANCELLED", Name="kdgat-j"))
        fake.keeps({"JobName": "kdgat-j", "State": "CANCELLED by 0"})
        assert poll(fake.client(), [job("j", "r")]).task(job("j", "r"), 0).cancelled_by == "0"

    def test_a_silent_database_leaves_what_squeue_tells(self, fake: FakeSlurm) -> None:
        fake.sees({"Name": "kdgat-j", "State": "RUNNING"})
        fake.answers("sacct", NO_SACCT)
        polled = poll(fake.client(), [job("j", "r"), job("k", "s", scheduler_id="8")])
        assert polled.task(job("j", "r"), 0).state == "RUNNING"
        assert polled.queue is None
        assert "Connection refused" in (polled.accounts or "")


class TestTheLedger:
    def test_a_time_limit_is_written_down_with_its_event(
        self, ws: Workspace, fake: FakeSlurm
    ) -> None:
        folder = give(ws, job("j", "r"), state=State.RUNNING)
        fake.sees(ended("TIMEOUT", Name="kdgat-j", TimeLimit="5:00", exit_code="15"))
        done = reconcile(ws, fake.client(), now=SEEN)
        after = run_of(ws, "r").record()
        assert (after.state, after.reason) == (State.TIMEOUT, "met its time limit of 00:05:00")
        assert after.ended_at == f"{END}+00:00"
        assert [change.after for change in done.changes] == [State.TIMEOUT]
        events = (run_of(ws, "r").path / "events.jsonl").read_text()
        assert '"by_scheduler"' in events
        kept = folder.record()
        assert (kept.state, kept.tasks[0].state, kept.tasks[0].node) == (
            JobState.ENDED, "TIMEOUT", "pitzer01",
        )  # fmt: skip

    def test_an_ended_job_is_never_asked_for_again(self, ws: Workspace, fake: FakeSlurm) -> None:
        give(ws, job("j", "r"))
        fake.sees(ended("FAILED", Name="kdgat-j", exit_code="768"))
        reconcile(ws, fake.client(), now=SEEN)
        reconcile(ws, fake.client(), now=SEEN)
        assert len(fake.calls("squeue")) == 1
        assert run_of(ws, "r").record().reason == "its job failed: exit status 3 (FAILED)"

    def test_what_neither_tells_changes_nothing(self, ws: Workspace, fake: FakeSlurm) -> None:
        folder = give(ws, job("j", "r"))
        before = (run_of(ws, "r").record(), folder.record())
        fake.sees()
        assert reconcile(ws, fake.client(), now=SEEN).changes == ()
        assert (run_of(ws, "r").record(), folder.record()) == before

    def test_without_squeue_nothing_is_written(self, ws: Workspace, fake: FakeSlurm) -> None:
        give(ws, job("j", "r"))
        fake.answers("squeue", NO_SQUEUE)
        fake.keeps({"JobName": "kdgat-j", "State": "NODE_FAIL"})
        done = reconcile(ws, fake.client(), now=SEEN)
        assert "does not answer" in (done.polled.queue or "")
        assert run_of(ws, "r").record().state is State.SUBMITTED

    def test_an_array_is_followed_task_by_task(self, ws: Workspace, fake: FakeSlurm) -> None:
        folder = give(ws, job("j", "r0", "r1", "r2"))
        fake.sees(
            ended("FAILED", JobArrayID="7_0", Name="kdgat-j", exit_code="256"),
            {"JobArrayID": "7_[1-2%1]", "Name": "kdgat-j"},
        )
        reconcile(ws, fake.client(), now=SEEN)
        states = [run_of(ws, run).record().state for run in ("r0", "r1", "r2")]
        assert states == [State.FAILED, State.SUBMITTED, State.SUBMITTED]
        assert [task.state for task in folder.record().tasks] == ["FAILED", "PENDING", "PENDING"]
        assert folder.record().state is JobState.SUBMITTED

    def test_a_job_that_ended_well_gets_time_for_its_run_s_end(
        self, ws: Workspace, fake: FakeSlurm
    ) -> None:
        folder = give(ws, job("j", "r"), state=State.RUNNING)
        fake.sees(ended("COMPLETED", Name="kdgat-j"))
        just = datetime(2026, 11, 21, 14, 57, 25, tzinfo=UTC)
        assert reconcile(ws, fake.client(), now=just).changes == ()
        assert folder.record().state is JobState.SUBMITTED
        reconcile(ws, fake.client(), now=SEEN)
        assert run_of(ws, "r").record().reason == "its job ended and it wrote no end"

    def test_a_run_that_wrote_its_end_ends_its_job_at_once(
        self, ws: Workspace, fake: FakeSlurm
    ) -> None:
        folder = give(ws, job("j", "r"), state=State.COMPLETED)
        fake.sees(ended("COMPLETED", Name="kdgat-j"))
        just = datetime(2026, 11, 21, 14, 57, 20, tzinfo=UTC)
        assert reconcile(ws, fake.client(), now=just).changes == ()
        assert folder.record().state is JobState.ENDED

    def test_a_requeued_run_waits_again_once_its_heart_is_still(
        self, ws: Workspace, fake: FakeSlurm
    ) -> None:
        give(ws, job("j", "r"), state=State.RUNNING, host="pitzer01", pid=1)
        fake.sees({"Name": "kdgat-j", "Reason": "BeginTime", "RestartCnt": "1"})
        beat(ws, "r", utc_now())
        assert reconcile(ws, fake.client()).changes == ()
        beat(ws, "r", "2026-11-21T14:50:40.000+00:00")
        reconcile(ws, fake.client(), now=SEEN)
        after = run_of(ws, "r").record()
        assert (after.state, after.host, after.pid) == (State.SUBMITTED, None, None)
        assert '"requeued"' in (run_of(ws, "r").path / "events.jsonl").read_text()

    def test_a_run_that_lives_on_after_its_job_is_left(
        self, ws: Workspace, fake: FakeSlurm
    ) -> None:
        folder = give(ws, job("j", "r"), state=State.RUNNING)
        beat(ws, "r", "2026-11-21T15:20:00.000+00:00")
        fake.sees(ended("TIMEOUT", Name="kdgat-j"))
        assert reconcile(ws, fake.client(), now=SEEN).changes == ()
        assert folder.record().state is JobState.ENDED

    def test_a_run_that_another_job_has_by_now_is_left(
        self, ws: Workspace, fake: FakeSlurm
    ) -> None:
        give(ws, job("j", "r"), job="k")
        fake.sees(ended("TIMEOUT", Name="kdgat-j"))
        assert reconcile(ws, fake.client(), now=SEEN).changes == ()
        assert run_of(ws, "r").record().state is State.SUBMITTED

    def test_a_broken_run_hides_no_other(self, ws: Workspace, fake: FakeSlurm) -> None:
        give(ws, job("j", "r0", "r1"))
        (run_of(ws, "r0").path / "run.json").write_text("{")
        fake.sees(*(ended("NODE_FAIL", JobArrayID=f"7_{n}", Name="kdgat-j") for n in range(2)))
        reconcile(ws, fake.client(), now=SEEN)
        assert run_of(ws, "r1").record().reason == "its node failed (NODE_FAIL)"

    def test_local_jobs_are_nobody_s_business(self, ws: Workspace, fake: FakeSlurm) -> None:
        give(ws, job("j", "r", cluster="local", scheduler_id=None))
        assert reconcile(ws, fake.client()).jobs == ()
        assert fake.calls("squeue") == []


class TestAnInterruptedSubmission:
    def intended(self, ws: Workspace) -> Any:
        intended = job("j", "r", state=JobState.INTENDED, scheduler_id=None)
        return give(ws, intended, state=State.PLANNED, job=None)

    @pytest.mark.parametrize("where", ["squeue", "sacct"])
    def test_is_adopted_by_its_name(self, ws: Workspace, fake: FakeSlurm, where: str) -> None:
        folder = self.intended(ws)
        fake.sees(*([{"ArrayJobID": "41", "Name": "kdgat-j"}] if where == "squeue" else []))
        fake.keeps({"JobID": "41", "JobName": "kdgat-j", "State": "CANCELLED by 0"})
        assert reconcile(ws, fake.client(), now=SEEN).adopted == ("j",)
        kept = folder.record()
        assert (kept.state, kept.scheduler_id) == (
            JobState.SUBMITTED if where == "squeue" else JobState.ENDED, "41",
        )  # fmt: skip
        after = run_of(ws, "r").record()
        assert after.job == "j"
        assert after.state is (State.SUBMITTED if where == "squeue" else State.CANCELLED)

    def test_stays_as_it_is_where_nobody_knows_it(self, ws: Workspace, fake: FakeSlurm) -> None:
        folder = self.intended(ws)
        fake.sees()
        assert reconcile(ws, fake.client(), now=SEEN).adopted == ()
        assert folder.record().state is JobState.INTENDED

    def test_that_was_refused_is_not_taken_for_taken(self, ws: Workspace, fake: FakeSlurm) -> None:
        folder = self.intended(ws)
        fake.sees({"ArrayJobID": "41", "Name": "kdgat-j", "State": "FAILED",
                   "Reason": "BadConstraints"})  # fmt: skip
        assert reconcile(ws, fake.client(), now=SEEN).adopted == ()
        assert folder.record().scheduler_id is None


class TestWhatNeedsAFailedRun:
    def chain(self, ws: Workspace) -> None:
        give(ws, job("a", "teacher"))
        give(ws, job("b", "student", scheduler_id="8", needs=("a",)), teacher="teacher")
        give(ws, job("c", "judging", scheduler_id="9", needs=("b",)), subject="student")

    def test_is_told_with_the_reason_of_its_teacher(self, ws: Workspace, fake: FakeSlurm) -> None:
        self.chain(ws)
        fake.sees(
            {"ArrayJobID": "9", "Name": "kdgat-c", "Reason": "Dependency"},
            {**NEVER, "ArrayJobID": "8", "Name": "kdgat-b"},
            ended("TIMEOUT", Name="kdgat-a", TimeLimit="1:00"),
        )
        done = reconcile(ws, fake.client(), now=SEEN)
        student, judging = (run_of(ws, run).record() for run in ("student", "judging"))
        assert (student.state, judging.state) == (State.CANCELLED, State.CANCELLED)
        why = "teacher, did not complete: met its time limit of 00:01:00"
        assert student.reason == f"its teacher, {why}"
        assert judging.reason == f"a run it needs, {why}"
        assert [change.run_id for change in done.changes] == ["teacher", "student", "judging"]

    @pytest.mark.parametrize("where", ["squeue", "sacct"])
    def test_is_told_when_only_its_own_end_is_left(
        self, ws: Workspace, fake: FakeSlurm, where: str
    ) -> None:
        self.chain(ws)
        run_of(ws, "teacher").update(state=State.FAILED, reason="the loss is not a number")
        never = {**NEVER, "ArrayJobID": "8", "Name": "kdgat-b"}
        fake.sees(*([never] if where == "squeue" else []))
        # Seen on 22.05: sacct knows only that it waited, and that nobody cancelled it.
        fake.keeps({"JobID": "8", "JobName": "kdgat-b", "State": "CANCELLED", "Start": END,
                    "Reason": "Dependency", "NodeList": "None assigned"})  # fmt: skip
        reconcile(ws, fake.client(), now=SEEN)
        assert run_of(ws, "student").record().reason == (
            "its teacher, teacher, did not complete: the loss is not a number"
        )

    def test_is_marked_by_whoever_ends_the_run(self, ws: Workspace) -> None:
        self.chain(ws)
        assert cancel_dependents(ws, "a", "out of disk", run_id="teacher") == ("student", "judging")
        assert run_of(ws, "judging").record().state is State.CANCELLED

    def test_that_began_already_is_left(self, ws: Workspace) -> None:
        self.chain(ws)
        run_of(ws, "student").update(state=State.COMPLETED)
        assert cancel_dependents(ws, "b", "cancelled") == ("judging",)
        assert run_of(ws, "student").record().state is State.COMPLETED
        assert run_of(ws, "judging").record().reason == "cancelled"
