"""Which runs can't begin any more when one that they need did not complete."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdgat.ledger.jobs import JobTask
from kdgat.ledger.states import State
from kdgat.slurm.reconcile import cancel_dependents
from kdgat.workspace import Workspace
from tests.unit.slurm.given import give, job, run_of


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path, home=tmp_path / "home")


def _wait(ws: Workspace, name: str, needs: str, tasks: tuple[tuple[str, str | None], ...]) -> None:
    given = job(name, *(run_id for run_id, _ in tasks), needs=(needs,))
    told = tuple(JobTask(run_id, "evaluate", needed) for run_id, needed in tasks)
    give(ws, given.with_changes(tasks=told))


def _states(ws: Workspace, *run_ids: str) -> list[State]:
    return [run_of(ws, run_id).record().state for run_id in run_ids]


def test_of_an_array_only_the_tasks_that_need_the_failed_run_are_cancelled(ws: Workspace) -> None:
    give(ws, job("a", "a0", "a1", "a2"))
    # Names sort before those that they wait for: the order of ids says nothing about who waits.
    _wait(ws, "c", "a", (("c0", "a0"), ("c1", "a1"), ("c2", "a2")))
    _wait(ws, "b", "c", (("b1", "c1"), ("b2", "c2")))
    assert sorted(cancel_dependents(ws, "a", "out of luck", run_id="a1")) == ["b1", "c1"]
    assert _states(ws, "c0", "c1", "c2", "b1", "b2") == [
        State.SUBMITTED, State.CANCELLED, State.SUBMITTED, State.CANCELLED, State.SUBMITTED,
    ]  # fmt: skip
    assert run_of(ws, "c1").record().reason == "a run it needs, a1, did not complete: out of luck"


def test_a_whole_job_that_is_gone_takes_all_that_waits_along(ws: Workspace) -> None:
    give(ws, job("a", "a0", "a1"))
    _wait(ws, "b", "a", (("b0", "a0"), ("b1", "a1")))
    assert sorted(cancel_dependents(ws, "a", "gone")) == ["b0", "b1"]


def test_a_job_of_an_older_version_does_not_say_what_its_tasks_need(ws: Workspace) -> None:
    give(ws, job("a", "a0"))
    _wait(ws, "b", "a", (("b0", None),))
    assert cancel_dependents(ws, "a", "gone", run_id="a0") == ("b0",)
