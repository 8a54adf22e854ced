"""A pipeline: its steps, what it takes as done, and what a failing step stops."""

from __future__ import annotations

import pytest

from kdgat.data.captures import load_manifest
from kdgat.errors import ConfigError, DataError, RunError, StorageError
from kdgat.ledger.folder import RunFolder
from kdgat.ops.config import compose_config
from kdgat.ops.experiment import new_record
from kdgat.ops.pipeline import PipelineReport, must_stop, plan_pipeline, run_pipeline
from kdgat.ops.pipeline_steps import steps_of
from kdgat.ops.training import train
from kdgat.stages.table import graphs_key, stage_of
from kdgat.workspace import Workspace

TINY = (
    "data.training_stride_messages=100", "data.prefix_s=1", "training.max_epochs=1",
    "training.min_steps_per_epoch=0", "resources.threads=1", "evaluation.resamples=10",
    "evaluation.prefix_sweep_s=[2.0]",
)  # fmt: skip


def hold(ws: Workspace, kind: str, size: str) -> RunFolder:
    """The folder of a run that somebody works on, as the pipeline's own would be."""
    config = compose_config(ws, (*TINY, f"model={kind}", f"size={size}"))
    manifest = load_manifest(ws.dataset("simulated"))
    graphs = graphs_key(manifest, config.data)
    record = new_record(config, stage_of(config.model), manifest.content_hash, graphs)
    return RunFolder.create(ws.runs, record, config.model_dump(mode="json"))


def outcomes(report: PipelineReport) -> dict[tuple[str, str], str]:
    name = "simulated-"
    return {(each.work, each.name.removeprefix(name)): each.outcome for each in report.steps}


class TestSteps:
    def test_there_are_twelve_and_each_comes_after_those_it_needs(self, ws: Workspace) -> None:
        steps = steps_of(ws, (), (), baselines=False)
        assert len(steps) == 12
        seen: set[str] = set()
        for step in steps:
            assert set(step.needs) <= seen
            seen.add(step.key)

    def test_a_student_is_taught_by_the_large_model_of_its_kind_and_seed(
        self, ws: Workspace
    ) -> None:
        steps = {step.key: step for step in steps_of(ws, (), (1, 2), baselines=False)}
        for seed in (1, 2):
            fusion = steps[f"simulated-fusion-small-kd {seed}"]
            assert fusion.teacher == f"simulated-fusion-large {seed}"
            assert fusion.scorers == (
                f"simulated-vgae-small-kd {seed}", f"simulated-gat-small-kd {seed}",
            )  # fmt: skip
            assert steps[fusion.scorers[0]].teacher == f"simulated-vgae-large {seed}"
            assert fusion.config.seed == seed

    def test_baselines_are_judged_and_so_is_each_graph_model_alone(self, ws: Workspace) -> None:
        steps = steps_of(ws, (), (), baselines=True)
        judged = {step.subject for step in steps if step.work == "evaluate"}
        trained = {step.key for step in steps if step.work == "train"}
        assert judged == trained
        assert len(trained) == 9 + 4

    def test_overrides_are_every_runs(self, ws: Workspace) -> None:
        steps = steps_of(ws, ("training.max_epochs=3", "seed=7"), (), baselines=True)
        assert {step.config.training.max_epochs for step in steps} == {3}
        assert {step.config.seed for step in steps} == {7}

    @pytest.mark.parametrize(
        ("override", "words"),
        [
            ("model=gat", "goes through by itself"),
            ("size=small", "goes through by itself"),
            ("experiment=hcrl_sa-gat-large", "goes through by itself"),
            ("distillation.teacher=latest", "goes through by itself"),
            ("distillation={teacher: latest}", "goes through by itself"),
            ("model.hidden=8", "for one kind of model"),
            ("seed=1,2", "--seeds"),
            ("training.learning_rate=interval(0.1,0.2)", "several values"),
            ("training.max_epoch=3", "training.max_epochs"),
        ],
    )
    def test_what_is_not_every_runs_is_refused(
        self, ws: Workspace, override: str, words: str
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            steps_of(ws, (override,), (), baselines=False)
        assert words in f"{caught.value.problem} {caught.value.hint}"

    def test_a_seed_is_given_in_one_way(self, ws: Workspace) -> None:
        with pytest.raises(ConfigError, match="beside --seeds"):
            steps_of(ws, ("seed=1",), (2,), baselines=False)


class TestPlan:
    def test_says_what_is_to_do_and_what_waits_and_writes_nothing(self, ws: Workspace) -> None:
        before = sorted(ws.home.rglob("*"))
        plan = plan_pipeline(ws, overrides=TINY)
        assert (len(plan.steps), plan.to_do) == (12, 12)
        states = {(each.work, each.name): each for each in plan.steps}
        assert states["train", "simulated-gat-large"].state == "to do"
        fusion = states["train", "simulated-fusion-large"]
        assert fusion.state == "waits"
        assert fusion.waits_for == ("simulated-vgae-large", "simulated-gat-large")
        assert sorted(ws.home.rglob("*")) == before

    def test_knows_what_is_running(self, ws: Workspace) -> None:
        folder = hold(ws, "gat", "small")
        with folder.working({}):
            plan = plan_pipeline(ws, overrides=TINY)
        running = [each for each in plan.steps if each.state == "running"]
        assert [(each.name, each.run_id) for each in running] == [
            ("simulated-gat-small", folder.path.name)
        ]

    def test_of_a_dataset_that_is_not_here_says_how_to_ingest_it(self, ws: Workspace) -> None:
        with pytest.raises(DataError) as caught:
            plan_pipeline(ws, overrides=("dataset=hcrl_sa",))
        assert "kdgat data ingest hcrl_sa" in caught.value.hint


@pytest.mark.slow
def test_a_step_that_fails_stops_only_those_that_need_it(ws: Workspace) -> None:
    """Another process works on three of the models, so that one is left to train."""
    held = [hold(ws, *model) for model in (("vgae", "large"), ("gat", "large"), ("vgae", "small"))]
    first, second, third = held
    with first.working({}), second.working({}), third.working({}):
        report = run_pipeline(ws, overrides=TINY)
    found = outcomes(report)
    assert found.pop(("train", "gat-small")) == "trained"
    failed = {each.name: each for each in report.steps if each.outcome == "failed"}
    for folder, model in zip(held, ("vgae-large", "gat-large", "vgae-small"), strict=True):
        assert found.pop(("train", model)) == "failed"
        assert f"'{folder.path.name}'" in str(failed[f"simulated-{model}"].problem)
        assert "wait for it" in str(failed[f"simulated-{model}"].hint)
    assert set(found.values()) == {"left out"}
    assert report.failed == 3
    left = {(each.work, each.name): each.problem for each in report.steps}
    assert left["train", "simulated-fusion-small"] == "it needs simulated-vgae-small"
    assert report.next_steps[0].startswith("the same command")


def test_an_interrupt_ends_the_pipeline_and_leaves_a_run_that_goes_on(ws: Workspace) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        assert what.startswith("1 of 12, ")
        if "epoch" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_pipeline(ws, overrides=TINY, progress=interrupt)
    plan = plan_pipeline(ws, overrides=TINY)
    assert plan.steps[0].state == "goes on"


@pytest.mark.parametrize(
    ("error", "cause", "stops"),
    [
        (StorageError("full", hint="free some"), None, True),
        (RunError("diverged", hint="lower it"), None, False),
        (RunError("told to end", hint="again"), "SIGTERMException", True),
    ],
)
def test_only_the_disk_and_a_signal_stop_everything(
    error: RunError, cause: str | None, stops: bool
) -> None:
    if cause is not None:
        error.__cause__ = type(cause, (Exception,), {})()
    assert must_stop(error) is stops


@pytest.mark.slow
def test_the_whole_pipeline_is_done_once_and_its_figures_told_each_time(ws: Workspace) -> None:
    first = run_pipeline(ws, overrides=TINY, baselines=True)
    assert first.failed == 0, [each.problem for each in first.steps if each.problem]
    assert {each.outcome for each in first.steps} == {"trained", "evaluated"}
    assert {each.protocol for each in first.figures} == {"zero_shot", "adapted"}
    fusions = [each for each in first.figures if "fusion" in each.name]
    assert {each.name for each in fusions} == {
        "simulated-fusion-large", "simulated-fusion-small", "simulated-fusion-small-kd",
    }  # fmt: skip
    ids = {each.name: each.run_id for each in first.steps if each.work == "train"}
    again = run_pipeline(ws, overrides=TINY, baselines=True, progress=refuse)
    assert {each.outcome for each in again.steps} == {"already done"}
    assert {each.name: each.run_id for each in again.steps if each.work == "train"} == ids
    assert again.figures == first.figures
    assert plan_pipeline(ws, overrides=TINY, baselines=True).to_do == 0
    # What was trained with other words but the same meaning is the same run.
    teacher = ids["simulated-gat-large"]
    words = ("model=gat", "size=small", f"distillation.teacher={teacher}")
    assert train(ws, overrides=(*TINY, *words)).run_id == ids["simulated-gat-small-kd"]


def refuse(what: str, done: int, total: int) -> None:
    raise AssertionError(f"something is done anew: {what}")
