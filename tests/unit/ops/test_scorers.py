"""Which runs a fusion weighs, and fusions as runs like any other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kdgat.configs.model import FusionConfig, GradientBoostingConfig
from kdgat.configs.run import RunConfig
from kdgat.errors import ConfigError, KdgatError, RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.states import State
from kdgat.ops.config import show_config
from kdgat.ops.experiment import resolve_teacher
from kdgat.ops.memory import memory_plan
from kdgat.ops.runs import remove_runs
from kdgat.ops.scorers import resolve_scorers
from kdgat.ops.submit import plan_submission, submit
from kdgat.ops.training import replay, train
from kdgat.ops.work import work
from kdgat.slurm.client import Slurm
from kdgat.stages.prepare import Prepared, prepare
from kdgat.training.checkpoint import load_best
from kdgat.workspace import Workspace
from tests.unit.ops.submitted import ASKED, records
from tests.unit.stages.untrained import GAT, OTHER, VGAE, completed

FUSION = FusionConfig(hidden=4, layers=1, actions=5, epochs=1)
WORDS = ("model=fusion", "model.hidden=4", "model.layers=1", "model.actions=5", "model.epochs=1",
         "training.min_steps_per_epoch=2")  # fmt: skip


@pytest.fixture
def prepared(ws: Workspace) -> Prepared:
    return prepare(ws.dataset("simulated"), RunConfig().data)


@pytest.fixture
def pair(ws: Workspace, prepared: Prepared) -> tuple[RunFolder, RunFolder]:
    """A completed large autoencoder and classifier."""
    return completed(ws.runs, prepared, model=VGAE), completed(ws.runs, prepared, model=GAT)


def resolved(ws: Workspace, prepared: Prepared, *scorers: str, **parts: Any) -> tuple[str, ...]:
    """The ids of the runs that a fusion of this config would weigh."""
    model = FUSION.model_copy(update={"scorers": scorers or FUSION.scorers})
    config = RunConfig.model_validate({"model": model, **parts})
    found, folders = resolve_scorers(ws, config, prepared.key)
    assert isinstance(found.model, FusionConfig)
    assert found.model.scorers == tuple(folder.path.name for folder in folders)
    return found.model.scorers


def names(*runs: RunFolder) -> tuple[str, ...]:
    return tuple(run.path.name for run in runs)


class TestReferences:
    def test_a_kind_is_its_newest_completed_run(
        self, ws: Workspace, prepared: Prepared, pair: tuple[RunFolder, RunFolder]
    ) -> None:
        assert resolved(ws, prepared) == names(*pair)
        newer = completed(ws.runs, prepared, seed=1, model=GAT)
        failed = completed(ws.runs, prepared, seed=2, model=GAT)
        failed.update(state=State.FAILED)
        assert resolved(ws, prepared) == names(pair[0], newer)

    def test_a_kind_is_of_the_fusions_own_size_and_distilled_where_it_is(
        self, ws: Workspace, prepared: Prepared, pair: tuple[RunFolder, RunFolder]
    ) -> None:
        small: dict[str, Any] = {"size": "small"}
        taught = {**small, "distillation": {"teacher": pair[0].path.name}}
        plain = [completed(ws.runs, prepared, model=each, **small) for each in (VGAE, GAT)]
        students = [completed(ws.runs, prepared, model=each, **taught) for each in (VGAE, GAT)]
        assert resolved(ws, prepared) == names(*pair)
        assert resolved(ws, prepared, **small) == names(*plain)
        assert resolved(ws, prepared, **taught) == names(*students)

    def test_what_no_teacher_helps_is_weighed_beside_distilled_models(
        self, ws: Workspace, prepared: Prepared
    ) -> None:
        taught = {"size": "small", "distillation": {"teacher": "any"}}
        student = completed(ws.runs, prepared, model=VGAE, **taught)
        trees = completed(ws.runs, prepared, model=GAT, size="small")
        trees.update(model="gradient_boosting")
        found = resolved(ws, prepared, "vgae", "gradient_boosting", **taught)
        assert found == names(student, trees)

    def test_a_run_is_named_by_its_id_too(
        self, ws: Workspace, prepared: Prepared, pair: tuple[RunFolder, RunFolder]
    ) -> None:
        newer = completed(ws.runs, prepared, seed=1, model=OTHER)
        assert resolved(ws, prepared, "vgae", pair[1].path.name) == names(*pair)
        three = resolved(ws, prepared, "gat", pair[1].path.name, "vgae")
        assert three == names(newer, pair[1], pair[0])

    def test_a_missing_model_is_told_with_the_command_that_trains_it(
        self, ws: Workspace, prepared: Prepared, pair: tuple[RunFolder, RunFolder]
    ) -> None:
        taught = {"size": "small", "distillation": {"teacher": pair[0].path.name}}
        with pytest.raises(RunError, match="no completed distilled small vgae") as error:
            resolved(ws, prepared, **taught)
        command = "kdgat train dataset=simulated model=vgae size=small distillation.teacher=latest"
        assert str(error.value.hint).endswith(command)

    @pytest.mark.parametrize(
        ("scorers", "words"),
        [
            (("vgae", "gatt"), "names 'gatt'"),
            (("vgae", "fusion"), "can't weigh a fusion"),
            (("vgae", "20260101-000000-0000000"), "no run '20260101"),
        ],
    )
    def test_a_mistake_is_told(
        self,
        ws: Workspace,
        prepared: Prepared,
        pair: tuple[RunFolder, RunFolder],  # noqa: ARG002
        scorers: tuple[str, ...],
        words: str,
    ) -> None:
        with pytest.raises((ConfigError, RunError), match=words) as error:
            resolved(ws, prepared, *scorers)
        assert error.value.hint

    def test_a_run_that_does_not_fit_is_refused(
        self, ws: Workspace, prepared: Prepared, pair: tuple[RunFolder, RunFolder]
    ) -> None:
        vgae, gat = names(*pair)
        with pytest.raises(RunError, match="weighed against itself"):
            resolved(ws, prepared, "gat", gat)
        pair[1].update(graphs="others")
        with pytest.raises(RunError, match="other captures, windows or features"):
            resolved(ws, prepared, vgae, gat)
        pair[1].update(graphs=prepared.key, state=State.FAILED)
        with pytest.raises(RunError, match="is failed, not completed"):
            resolved(ws, prepared, vgae, gat)
        pair[1].update(subject="another", state=State.COMPLETED)
        with pytest.raises(RunError, match="is an evaluation"):
            resolved(ws, prepared, vgae, gat)

    def test_a_teacher_is_of_the_size_that_the_student_asks_for(
        self, ws: Workspace, prepared: Prepared
    ) -> None:
        medium = completed(ws.runs, prepared, model=GAT, size="medium")
        large = completed(ws.runs, prepared, model=GAT)
        for size, wanted in (("large", large), ("medium", medium)):
            distillation = {"teacher": "latest", "teacher_size": size}
            config = RunConfig.model_validate(
                {"model": GAT, "size": "small", "distillation": distillation}
            )
            _, found = resolve_teacher(ws, config, prepared.key)
            assert found == wanted


class TestRuns:
    def test_a_fusion_is_trained_done_once_and_replayed_to_the_same_numbers(
        self, ws: Workspace, prepared: Prepared, pair: tuple[RunFolder, RunFolder]
    ) -> None:
        first = train(ws, overrides=WORDS)
        assert (first.outcome, first.scorers) == ("trained", names(*pair))
        assert train(ws, overrides=WORDS).outcome == "already done"
        assert replay(ws, first.run_id).identical
        # Another model to weigh makes another experiment.
        completed(ws.runs, prepared, seed=1, model=GAT)
        other = train(ws, overrides=WORDS)
        assert other.outcome == "trained"
        assert other.digest != first.digest

    def test_its_digest_is_unknown_while_a_kind_names_a_model(
        self, ws: Workspace, pair: tuple[RunFolder, RunFolder]
    ) -> None:
        assert show_config(ws, overrides=WORDS).digest is None
        known = f"model.scorers=[{','.join(names(*pair))}]"
        assert show_config(ws, overrides=(*WORDS, known)).digest is not None

    def test_a_model_that_is_weighed_is_not_removed(
        self, ws: Workspace, pair: tuple[RunFolder, RunFolder]
    ) -> None:
        fusion = train(ws, overrides=WORDS)
        with pytest.raises(RunError, match=f"weighed by {fusion.run_id}"):
            remove_runs(ws, (pair[0].path.name,))

    @pytest.mark.parametrize("model", ["fusion", "profile"])
    def test_no_memory_is_planned_for_what_is_not_trained_in_batches(
        self, ws: Workspace, model: str
    ) -> None:
        with pytest.raises(ConfigError, match="takes no memory worth planning"):
            memory_plan(ws, overrides=(f"model={model}",), gpu_name="cpu")

    def test_what_learns_from_no_teacher_is_given_none(self, ws: Workspace) -> None:
        words = ("model=gradient_boosting", "size=small", "distillation.teacher=latest")
        with pytest.raises(ConfigError, match="has no teacher"):
            train(ws, overrides=words)


class TestSubmissions:
    asked = replace(ASKED, overrides=WORDS)

    def test_a_fusion_is_submitted_with_the_runs_that_it_weighs_and_does_its_work(
        self, ws: Workspace, client: Slurm, pair: tuple[RunFolder, RunFolder]
    ) -> None:
        (given,) = submit(ws, self.asked, client=client).runs
        (record,) = [each for each in records(ws) if each.run_id == given.run_id]
        assert record.scorers == names(*pair)
        done = work(ws, given.run_id, environ={"KDGAT_JOB": str(record.job)})
        assert done.outcome == "done"
        folder = ws.runs / "simulated" / "large_fusion" / given.run_id
        trained = load_best(folder / "checkpoints" / "best.ckpt")
        assert [each.config.model for each in trained.scorers] == [VGAE, GAT]

    def test_it_waits_for_models_that_are_still_to_be_trained(
        self, ws: Workspace, client: Slurm, pair: tuple[RunFolder, RunFolder]
    ) -> None:
        pair[1].update(state=State.SUBMITTED)
        with pytest.raises(KdgatError, match="no completed large gat") as error:
            submit(ws, self.asked, client=client)
        assert "kdgat train" in str(error.value.hint)

    def test_it_is_no_part_of_a_submitted_pipeline(self, ws: Workspace) -> None:
        with pytest.raises(ConfigError, match="weighs runs that are completed") as error:
            plan_submission(ws, replace(ASKED, overrides=("model=fusion",), pipeline=True))
        assert "kdgat submit model=fusion" in str(error.value.hint)

    def test_baselines_are_submitted_without_a_plan_of_memory(self, ws: Workspace) -> None:
        words = ("model=gradient_boosting",)
        (job,) = plan_submission(ws, replace(ASKED, overrides=words, partition="cpu")).jobs
        assert job.memory is None
        assert GradientBoostingConfig().kind in job.runs[0].name
