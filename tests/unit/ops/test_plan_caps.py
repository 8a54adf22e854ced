"""How much an agent may submit by itself, counted from the jobs that are there."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from kdgat.agent.limits import Limits, load_limits
from kdgat.errors import PlanError, Refused
from kdgat.ops.plans import check_caps, plan_job, submit_plan
from kdgat.slurm.client import Slurm
from kdgat.workspace import Workspace
from tests.unit.ops.submitted import (
    ASKED,
    CHECKOUT,
    REFUSED,
    SMALL,
    given,
    records,
)
from tests.unit.slurm.fake_slurm import FakeSlurm


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

    def test_large_figures_are_told_in_full(self, ws: Workspace) -> None:
        made = plan_job(ws, replace(ASKED, time="3000:00:00"))
        with pytest.raises(PlanError) as error:
            check_caps(ws, made)
        told = "this would take 12,000 GPU-hours, and gpu_hours_per_job allows an agent 100"
        assert error.value.problem == told

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


def _plan(ws: Workspace, *overrides: str) -> str:
    asked = replace(ASKED, multirun=True, overrides=(*SMALL, *overrides))
    return plan_job(ws, asked).plan_id


def _limits(ws: Workspace, text: str) -> None:
    path = ws.root / "agent" / "mcp.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
