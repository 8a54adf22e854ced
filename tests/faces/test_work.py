"""`kdgat work`: what a job does on its node, here without a scheduler around it."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from kdgat.data.captures import load_manifest
from kdgat.errors import ConfigError, RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.jobs import Job, JobFolder, JobRequest, JobTask
from kdgat.ledger.record import utc_now
from kdgat.ledger.states import State
from kdgat.ops.config import compose_config
from kdgat.ops.experiment import evaluation_record, new_record
from kdgat.ops.work import work
from kdgat.stages.table import graphs_key, stage_of
from kdgat.workspace import Workspace

# The fixtures' own classes are in conftest.py, which pytest loads and nothing can import.
Command = Any
Tiny = Any

TINY = (
    "data.training_stride_messages=100", "data.prefix_s=1", "training.max_epochs=3", "model=gat",
    "model.hidden=4",
    "model.heads=2", "model.layers=1", "model.readout=8", "resources.threads=1",
    "training.min_steps_per_epoch=4", "training.max_graphs=8",
)  # fmt: skip
FIGURES = ("best_epoch", "best_val_task_loss", "epochs", "parameters")


def workspace(tiny: Tiny) -> Workspace:
    return Workspace(tiny.root, tiny.home)


def submitted(ws: Workspace, *overrides: str, job: str = "20261121-120000-0000000") -> RunFolder:
    """A run such as `kdgat submit` leaves for its job."""
    config = compose_config(ws, (*TINY, *overrides))
    manifest = load_manifest(ws.dataset("simulated"))
    stage = stage_of(config.model)
    record = new_record(config, stage, manifest.content_hash, graphs_key(manifest, config.data))
    folder = RunFolder.create(ws.runs, record, config.model_dump(mode="json"))
    folder.submitted(job)
    return folder


class Interrupt:
    """Sends the scheduler's signal to this process when so many batches are done."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def __call__(self, what: str, done: int, total: int) -> None:  # noqa: ARG002
        if ": epoch " not in what:
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGUSR1)


def figures(folder: RunFolder) -> dict[str, Any]:
    return {name: folder.record().metrics[name] for name in FIGURES}


def test_a_submitted_run_is_trained_with_its_frozen_config(prepared: Tiny, kdgat: Command) -> None:
    folder = submitted(workspace(prepared))
    said = kdgat("work", folder.path.name)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[-1].endswith(f"{folder.path.name} simulated-gat-large: done")
    # A log has a line an epoch, not a bar.
    assert sum(": epoch " in line for line in lines) == 3
    assert folder.record().state is State.COMPLETED
    again = kdgat("work", folder.path.name, "--json").json
    assert again["outcome"] == "already done"
    assert folder.record().attempts == 1


def test_a_run_asked_to_stop_saves_waits_and_ends_with_the_very_figures(prepared: Tiny) -> None:
    ws = workspace(prepared)
    whole = submitted(ws, "seed=7")
    work(ws, whole.path.name, environ={})
    broken = submitted(ws, "seed=7")
    env = {"KDGAT_MAX_RESTARTS": "2"}
    before = signal.getsignal(signal.SIGUSR1)
    first = work(ws, broken.path.name, environ=env, progress=Interrupt(2))
    assert (first.outcome, first.requeue) == ("paused", True)
    record = broken.record()
    assert record.state is State.SUBMITTED
    assert record.ended_at is None
    assert record.reason == "its time was nearly over; goes on in restart 1"
    assert any("-step-" in path.name for path in broken.checkpoints.iterdir())
    second = work(
        ws, broken.path.name, environ={**env, "SLURM_RESTART_COUNT": "1"}, progress=Interrupt(3)
    )
    assert (second.outcome, second.requeue) == ("paused", True)
    third = work(ws, broken.path.name, environ={**env, "SLURM_RESTART_COUNT": "2"})
    assert third.outcome == "done"
    assert figures(broken) == figures(whole)
    told = [{k: v for k, v in row.items() if k != "time"} for row in broken.metrics()]
    assert told == [{k: v for k, v in row.items() if k != "time"} for row in whole.metrics()]
    assert signal.getsignal(signal.SIGUSR1) == before


def test_after_the_last_restart_a_run_is_over_time(prepared: Tiny) -> None:
    ws = workspace(prepared)
    folder = submitted(ws, "seed=8")
    env = {"KDGAT_MAX_RESTARTS": "1", "SLURM_RESTART_COUNT": "1"}
    report = work(ws, folder.path.name, environ=env, progress=Interrupt(1))
    assert (report.outcome, report.requeue) == ("paused", False)
    record = folder.record()
    assert (record.state, record.reason) == (
        State.TIMEOUT, "its time was over, after 1 of 1 restarts",
    )  # fmt: skip
    assert record.ended_at is not None


def test_an_evaluation_is_judged_into_its_own_folder(trained: Tiny, kdgat: Command) -> None:
    ws = workspace(trained)
    subject = RunFolder(trained.run(trained.teacher))
    folder = RunFolder.create(ws.runs, evaluation_record(subject.record()), subject.config())
    folder.submitted("20261121-120000-0000000")
    assert kdgat("work", folder.path.name, "--json").json["outcome"] == "done"
    assert folder.record().state is State.COMPLETED
    assert (folder.artifacts / "evaluation.json").is_file()


def test_the_memory_is_planned_once_before_several_processes_share_a_run(prepared: Tiny) -> None:
    ws = workspace(prepared)
    folder = submitted(ws, "resources.devices=2")
    assert work(ws, folder.path.name, prepare=True, environ={}).outcome == "prepared"
    assert (folder.artifacts / "memory.json").is_file()
    assert folder.record().state is State.SUBMITTED


def test_several_processes_that_nobody_started_are_a_failure_with_a_sentence(
    prepared: Tiny,
) -> None:
    ws = workspace(prepared)
    folder = submitted(ws, "resources.devices=2")
    with pytest.raises(ConfigError, match=r"is 2, and 1 process shares this training$"):
        work(ws, folder.path.name, environ={})
    assert folder.record().state is State.FAILED


def test_a_run_that_fails_cancels_those_that_wait_for_it(prepared: Tiny) -> None:
    ws = workspace(prepared)
    jobs = [f"20261121-12000{i}-0000000" for i in range(3)]
    first = submitted(ws, "resources.devices=2", job=jobs[0])
    waiting = [submitted(ws, f"seed={i}", job=jobs[i]) for i in (1, 2)]
    for i, folder in enumerate([first, *waiting]):
        job = Job(
            job_id=jobs[i], cluster="local", created_at=utc_now(),
            tasks=(JobTask(folder.path.name),), request=JobRequest(None, None, 60),
            needs=tuple(jobs[i - 1 : i]),
        )  # fmt: skip
        JobFolder.create(ws.jobs, job, "")
    with pytest.raises(ConfigError):
        work(ws, first.path.name, environ={"KDGAT_JOB": jobs[0]})
    for folder in waiting:
        record = folder.record()
        assert record.state is State.CANCELLED
        assert "resources.nodes x" in (record.reason or "")


def test_a_cancelled_run_is_not_begun(prepared: Tiny, kdgat: Command) -> None:
    folder = submitted(workspace(prepared))
    folder.update(state=State.CANCELLED, reason="cancelled by its user")
    kdgat("work", folder.path.name).mistake(folder.path.name, "cancelled by its user", "submit")
    assert folder.record().state is State.CANCELLED


def test_a_run_that_runs_elsewhere_is_left_alone(prepared: Tiny) -> None:
    ws = workspace(prepared)
    folder = submitted(ws)
    (folder.path / "heartbeat").write_text(utc_now())
    folder.update(state=State.RUNNING, host="another", pid=1)
    with pytest.raises(RunError, match=r"is running on another"):
        work(ws, folder.path.name, environ={"KDGAT_JOB": "20991231-000000-0000000"})
    # The job that it belongs to was started again by the scheduler: the attempt before is over.
    assert work(ws, folder.path.name, environ={"KDGAT_JOB": folder.record().job or ""}).outcome == (
        "done"
    )


def test_a_dataset_that_changed_meanwhile_is_told_and_the_run_failed(
    prepared: Tiny, kdgat: Command
) -> None:
    folder = submitted(workspace(prepared))
    folder.update(dataset_hash="0" * 64)
    kdgat("work", folder.path.name).mistake("changed since run")
    assert folder.record().state is State.FAILED
    assert Path(folder.path / "config.json").is_file()
