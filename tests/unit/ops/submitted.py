"""Submissions of a small experiment, and what a scheduler and the ledger say of them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest

from kdgat.ledger.jobs import Job, readable_jobs
from kdgat.ledger.plans import keep_plan, read_plan
from kdgat.ledger.record import RunRecord
from kdgat.ledger.scan import run_folders
from kdgat.ledger.states import State
from kdgat.ops.delivery import run_folder
from kdgat.ops.job_request import SubmitRequest
from kdgat.ops.plans import PlannedSubmission, submit_plan
from kdgat.slurm.client import Slurm
from kdgat.workspace import Workspace
from tests.unit.slurm.fake_slurm import FakeSlurm

CHECKOUT = Path(__file__).parents[3]
IDS = re.compile(r"\d{8}-\d{6}-[0-9a-f]{7}")
SMALL = ("model=gat", "model.hidden=4", "training.max_epochs=2")
ASKED = SubmitRequest(SMALL, "here")
SILENT = (1, "", "sbatch: error: Batch job submission failed: Socket timed out on send/recv")
REFUSED = (
    1,
    "",
    "sbatch: error: Batch job submission failed: Invalid account or account/partition",
)
KNOWS_NAMES = """#!/bin/sh
for word; do case $word in --name=*) exec sed -n "/${{word#--name=}}|/p" {rows};; esac; done
cat {rows}
"""
"""A queue of jobs that can be asked for one of them."""


def now(fake: FakeSlurm, name: str, *answers: tuple[int, str, str] | str) -> None:
    """What a command says from here on."""
    for old in fake.folder.glob(f"{name}.*"):
        old.unlink()
    fake.answers(name, *answers)


def records(ws: Workspace) -> list[RunRecord]:
    """Every run as it is on disk, oldest first."""
    return [folder.record() for folder in reversed(run_folders(ws.runs))]


def jobs(ws: Workspace) -> list[Job]:
    """Every job, newest first."""
    return [job for _, job in readable_jobs(ws.jobs)]


def end(ws: Workspace, run_id: str, state: State, reason: str | None = None) -> None:
    """As if a job had worked on a run to this end."""
    run = run_folder(ws, run_id)
    run.update(state=state, reason=reason, attempts=1)
    if state is State.COMPLETED:
        run.checkpoints.mkdir(exist_ok=True)
        with ZipFile(run.checkpoints / "best.ckpt", "w") as archive:
            archive.writestr("weights", b"1")


def stop_after(patch: pytest.MonkeyPatch, name: str, *owners: object) -> None:
    """As if the process was killed right after the first call of a function.

    Args:
        patch: undone by the test.
        name: the function's.
        owners: where it is defined, and modules that may have imported it.
    """
    real = getattr(owners[0], name)

    def stopped(*arguments: object, **named: object) -> object:
        real(*arguments, **named)
        raise KeyboardInterrupt

    for owner in owners:
        if hasattr(owner, name):
            patch.setattr(owner, name, stopped)


def given(ws: Workspace, plan_id: str, client: Slurm) -> PlannedSubmission:
    """Submit a plan as an agent."""
    return submit_plan(ws, plan_id, by="agent", client=client)


def kept(ws: Workspace, plan_id: str) -> Path:
    """The file of a plan."""
    return ws.agent / "plans" / f"{plan_id}.json"


def age(ws: Workspace, plan_id: str) -> None:
    """As if a day had gone by."""
    plan = read_plan(ws.agent / "plans", plan_id)
    keep_plan(ws.agent / "plans", replace(plan, expires_at=plan.created_at))


def repository(folder: Path) -> Path:
    """A checkout of other code."""
    if not folder.exists():
        folder.mkdir()
        (folder / "code.py").write_text("other = True\n")
        for words in (("init", "-q"), ("add", ".")):
            subprocess.run(["git", *words], cwd=folder, check=True)
    return folder
