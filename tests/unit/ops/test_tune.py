"""A search: its trials are runs, it can be stopped at any instant, and it never asks a test."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from kdgat.configs.space import Choices, Interval
from kdgat.errors import ConfigError, KdgatError, RunError, StorageError
from kdgat.ledger.journal import Journal
from kdgat.ledger.scan import find_run, run_folders
from kdgat.ledger.states import State
from kdgat.ops.data import prepare_data
from kdgat.ops.study import end_trial, grid, look_at, next_trial, open_study, settled
from kdgat.ops.training import train
from kdgat.ops.tune import TuningReport, TuningRequest, plan_tuning, run_tuning
from kdgat.runs.lease import hold_lease
from kdgat.workspace import Workspace

FIXED = (
    "data.training_stride_messages=100", "training.max_epochs=1", "size=small", "model.heads=1",
    "model.layers=1", "model.readout=4", "resources.threads=1", "training.min_steps_per_epoch=0",
    "resources.accelerator=cpu",
)  # fmt: skip
OPEN = ("model.hidden=2,3", "training.learning_rate=log(1e-4,1e-2)")


def request_of(*overrides: str, **options: Any) -> TuningRequest:
    return TuningRequest((*FIXED, *(overrides or OPEN)), **options)


def values_of(report: TuningReport) -> list[dict[str, Any]]:
    return [each.values for each in sorted(report.trials, key=lambda each: each.number)]


def trainings(ws: Workspace) -> set[str]:
    return {folder.path.name for folder in run_folders(ws.runs)}


def one_trial(folder: Path) -> None:
    """A study with a trial more, which came to 0.5."""
    with open_study(folder, pruner="none") as study:
        end_trial(study, next_trial(study, {"a": Choices(("x", "y"))}, "random", 42), 0.5)


@pytest.fixture(scope="module")
def prepared(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace with its graphs made."""
    root = tmp_path_factory.mktemp("prepared") / "workspace"
    shutil.copytree(ingested, root)
    prepare_data(Workspace(root, root / ".kdgat"), overrides=FIXED)
    return root


@pytest.fixture
def ws(prepared: Path, tmp_path: Path) -> Workspace:
    root = tmp_path / "workspace"
    shutil.copytree(prepared, root)
    return Workspace(root, root / ".kdgat")


def test_every_trial_is_a_run_and_what_is_done_is_not_done_again(ws: Workspace) -> None:
    first = run_tuning(ws, request_of(trials=2))
    assert {each.run_id for each in first.trials} == trainings(ws)
    assert [each.state for each in first.trials] == ["done", "done"]
    assert first.best is not None
    assert first.best.value == min(each.value or 9.0 for each in first.trials)
    best = find_run(ws.runs, str(first.best.run_id), journal=Journal(ws.journal)).record()
    assert best.metrics["best_val_task_loss"] == first.best.value
    assert first.next_steps == (f"kdgat evaluate {best.run_id}",)
    again = run_tuning(ws, request_of(trials=2))
    assert again.trials == first.trials
    more = run_tuning(ws, request_of(trials=3))
    assert values_of(more)[:2] == values_of(first)
    assert len(trainings(ws)) == 3


def test_an_interrupted_search_goes_on_and_tries_what_it_would_have_tried(
    ws: Workspace, tmp_path: Path
) -> None:
    seen: list[str] = []

    def interrupt(what: str, done: int, total: int) -> None:
        seen.append(what)
        if what.startswith("trial 2 of 3") and "epoch" in what:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_tuning(ws, request_of(trials=3, name="one"), progress=interrupt)
    assert any(each.startswith("trial 1 of 3") for each in seen)
    plan = plan_tuning(ws, request_of(trials=3, name="one"))
    assert (plan.done, plan.to_do) == (1, 2)
    resumed = run_tuning(ws, request_of(trials=3, name="one"))
    assert [each.state for each in resumed.trials] == ["done"] * 3
    # Another study's trials are the same configs: their runs are taken.
    before = trainings(ws)
    whole = run_tuning(ws, request_of(trials=3, name="two"))
    assert values_of(whole) == values_of(resumed)
    assert {each.run_id for each in whole.trials} == {each.run_id for each in resumed.trials}
    assert trainings(ws) == before


def test_a_trial_that_was_killed_is_failed_and_queued_once(ws: Workspace) -> None:
    folder = ws.tune / "killed"
    space = {"model.hidden": Choices(("2", "3"))}
    for _ in range(2):
        # The process ends here without a word, as one that is killed.
        with open_study(folder, pruner="none") as study:
            trial = next_trial(study, space, "tpe", 42)
    with open_study(folder, pruner="none") as study:
        states = [each.state.name for each in study.get_trials(deepcopy=False)]
        assert states == ["FAIL", "FAIL", "WAITING"]
        assert settled(study) == ()
        assert next_trial(study, space, "tpe", 42).params == trial.params


def test_a_line_that_was_cut_off_and_a_lock_left_behind_stop_nobody(ws: Workspace) -> None:
    one_trial(ws.tune / "cut")
    journal = ws.tune / "cut" / "trials.log"
    with journal.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    journal.with_name("trials.log.lock").write_text("")
    one_trial(ws.tune / "cut")
    assert [each.value for each in look_at(ws.tune / "cut")] == [0.5, 0.5]


def test_a_journal_that_is_broken_is_told_with_the_way_out(ws: Workspace) -> None:
    one_trial(ws.tune / "broken")
    journal = ws.tune / "broken" / "trials.log"
    journal.write_bytes(b"nonsense\n" + journal.read_bytes())
    with pytest.raises(RunError) as caught, open_study(ws.tune / "broken", pruner="none"):
        pass
    assert "another --name" in caught.value.hint


def test_two_processes_do_not_work_on_one_study(ws: Workspace) -> None:
    with (
        hold_lease(ws.tune / "held" / "lease", "a test"),
        pytest.raises(StorageError, match="study 'held' is held by process"),
    ):
        run_tuning(ws, request_of(trials=1, name="held"))


def test_a_trial_that_fails_does_not_stop_the_search(ws: Workspace) -> None:
    asked = request_of("training.precision=fp16,32", "model.hidden=2", sampler="grid")
    report = run_tuning(ws, asked)
    assert [(each.state, each.values) for each in report.trials] == [
        ("done", {"training.precision": "32"}),
        ("failed", {"training.precision": "fp16"}),
    ]
    assert "needs a GPU" in str(report.trials[1].problem)
    assert report.left == 0


def test_a_grid_has_every_combination_once() -> None:
    space = {"a": Choices(("x", "y")), "b": Interval(1, 3, whole=True)}
    every = grid(space)
    assert len(every) == 6
    assert {tuple(each.items()) for each in every} == {
        (("a", a), ("b", b)) for a in "xy" for b in (1, 2, 3)
    }


@pytest.mark.slow
def test_a_trial_behind_the_others_is_pruned_and_its_run_cancelled(ws: Workspace) -> None:
    rates = "3e-2,2e-2,2.5e-2,2.1e-2,2.2e-2,1e-7"
    asked = request_of(
        f"training.learning_rate={rates}", "model.hidden=2", "training.max_epochs=5",
        sampler="grid", pruner="median",
    )  # fmt: skip
    report = run_tuning(ws, asked)
    assert [each.state for each in report.trials] == ["done"] * 5 + ["pruned"]
    states = [folder.current().state for folder in run_folders(ws.runs)]
    assert sorted(states) == sorted([State.CANCELLED] + [State.COMPLETED] * 5)


def test_an_identical_config_that_is_trained_is_taken(ws: Workspace) -> None:
    run = train(ws, overrides=(*FIXED, "model.hidden=2"))
    report = run_tuning(ws, request_of("model.hidden=2,3", sampler="grid", trials=1))
    assert [each.run_id for each in report.trials] == [run.run_id]
    assert report.trials[0].value == run.metrics["best_val_task_loss"]


def test_a_field_of_whole_numbers_is_searched_by_whole_numbers(ws: Workspace) -> None:
    plan = plan_tuning(ws, request_of("model.hidden=interval(1.5,4.5)"))
    assert plan.space == {"model.hidden": "whole numbers 2 to 4"}


def test_a_plan_writes_nothing(ws: Workspace) -> None:
    before = sorted(ws.home.rglob("*"))
    plan = plan_tuning(ws, request_of(trials=7))
    assert (plan.trials, plan.done, plan.to_do) == (7, 0, 7)
    assert sorted(ws.home.rglob("*")) == before


@pytest.mark.parametrize(
    ("overrides", "options", "words"),
    [
        (("model.hidden=2",), {}, "no override leaves anything to search"),
        (("seed=1,2",), {}, "luckiest"),
        (("data.window_messages=50,100",), {}, "different windows"),
        (("size=large,small",), {}, "the largest is the best"),
        (("model=gat,vgae",), {}, "different kinds"),
        (("resources.threads=1,2",), {}, "changes no figure"),
        (("model=vgae", "model.kl_weight=0,1"), {}, "the very loss"),
        (("model.hiden=2,3",), {}, "model.hidden"),
        (("model.hidden=0,3",), {}, "greater than or equal to 1"),
        (("model.hidden=interval(2.2,2.8)",), {}, "whole numbers"),
        (("training={max_epochs: 1},{max_epochs: 2}",), {}, "not one field"),
        (OPEN, {"metric": "f1"}, "can't be judged by them"),
        (OPEN, {"metric": "test_01/f1"}, "can't be judged by them"),
        (OPEN, {"name": "../up"}, "no name of a study"),
        (OPEN, {"sampler": "grid"}, "can't be counted"),
        (("dataset=hcrl_sa", *OPEN), {}, "data ingest hcrl_sa"),
        (("distillation.teacher=latest", *OPEN), {}, "train it first"),
    ],
)
def test_a_search_that_can_not_be_is_refused_before_anything_is_trained(
    ws: Workspace, overrides: tuple[str, ...], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(KdgatError) as caught:
        run_tuning(ws, request_of(*overrides, **options))
    assert words in f"{caught.value.problem} {caught.value.hint}"
    assert not ws.tune.exists()
    assert not trainings(ws)


def test_a_name_stands_for_one_search(ws: Workspace) -> None:
    run_tuning(ws, request_of("model.hidden=2,3", name="mine", timeout_min=0))
    for other, words in (
        (request_of("model.hidden=2,4", name="mine"), "other fields or values"),
        (request_of("model.hidden=2,3", "model.dropout=0.2", name="mine"), "another config"),
        (request_of("model.hidden=2,3", name="mine", metric="val_loss"), "another figure"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            run_tuning(ws, other)
        assert "model.hidden=2,3" in caught.value.hint


def test_a_figure_that_no_run_has_ends_the_search_with_those_there_are(ws: Workspace) -> None:
    with pytest.raises(ConfigError) as caught:
        run_tuning(ws, request_of("model.hidden=2,3", trials=2, metric="val_f2"))
    assert "best_val_task_loss" in caught.value.hint
    assert len(trainings(ws)) == 1
