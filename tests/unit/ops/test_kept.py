"""What a plan rests on, and how it is refused when that changed or its file is damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kdgat.errors import DataError, PlanError, RunError
from kdgat.ledger.plans import new_plan_id
from kdgat.ledger.scan import run_folders
from kdgat.ledger.states import State
from kdgat.ops import plans
from kdgat.ops.plans import plan_job
from kdgat.ops.submit import submit
from kdgat.slurm.client import Slurm
from kdgat.workspace import Workspace
from tests.unit.ops.submitted import (
    ASKED,
    CHECKOUT,
    SMALL,
    age,
    end,
    given,
    kept,
    repository,
)
from tests.unit.slurm.fake_slurm import FakeSlurm


class TestHolding:
    def test_other_code_is_another_submission(
        self, ws: Workspace, client: Slurm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        plan_id = plan_job(ws, ASKED).plan_id
        monkeypatch.setattr(plans, "code_root", lambda: repository(tmp_path / "other"))
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
        age(ws, plan_id)
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


def _refused(ws: Workspace, plan_id: str, client: Slurm, words: str) -> None:
    """A plan is refused in these words, with the next step, and nothing is left of the attempt."""
    before = (set(ws.jobs.glob("2*")), len(run_folders(ws.runs)))
    with pytest.raises(PlanError) as error:
        given(ws, plan_id, client)
    assert words in error.value.problem
    assert "plan again" in error.value.hint
    assert (set(ws.jobs.glob("2*")), len(run_folders(ws.runs))) == before
