"""The order that keeps an evaluation honest: scores first, on disk and hashed, then labels."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kdgat.configs.evaluation import EvaluationConfig
from kdgat.configs.model import ModelConfig
from kdgat.data.captures import load_manifest, load_messages
from kdgat.data.store import open_store
from kdgat.errors import CheckpointError, DataError
from kdgat.ledger.files import content_hash, read_lines
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.states import State
from kdgat.stages import evaluate as evaluate_stage
from kdgat.stages.evaluate import EvaluationReport, evaluate
from kdgat.stages.plots import ScenarioPlot
from kdgat.stages.prepare import Prepared, prepare
from kdgat.stages.scenarios import View, label_scenario, scenario_folder, scenarios
from kdgat.training.checkpoint import BEST, load_best
from tests.unit.ledger.made import new_record
from tests.unit.stages.small import CONFIG
from tests.unit.stages.untrained import GAT, VGAE, completed

Dataset = tuple[Path, Prepared]
BRIEF = EvaluationConfig(prefix_sweep_s=(), poisoned=False, resamples=0)
SWEPT = EvaluationConfig(prefix_sweep_s=(0.5, 2.0), resamples=20, block_windows=2)
FIRST = "test_01_known_vehicle_known_attack"


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No plots, which take longer than all the rest."""
    monkeypatch.setattr(evaluate_stage, "plot_evaluation", lambda *_, **__: [])


@pytest.fixture(scope="module")
def dataset(shared: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A prepared dataset whose test folders these tests change and mend."""
    folder = shutil.copytree(shared[0], tmp_path_factory.mktemp("judged") / "tiny")
    return folder, prepare(folder, CONFIG)


def new_run(runs: Path) -> RunFolder:
    record = new_record(stage="evaluation", dataset="tiny", provenance="simulated", size="small")
    return RunFolder.create(runs, record, {})


def judged(
    dataset: Dataset,
    runs: Path,
    config: EvaluationConfig = BRIEF,
    model: ModelConfig = GAT,
    into: RunFolder | None = None,
) -> tuple[RunFolder, EvaluationReport]:
    folder, prepared = dataset
    checkpoint = completed(runs / "trained", prepared, model=model, data=CONFIG).checkpoints / BEST
    run = into or new_run(runs / "judged")
    return run, evaluate(run, load_best(checkpoint), checkpoint, folder, prepared, config)


def scores_of(run: RunFolder, view: str, scenario: str = FIRST) -> pl.DataFrame:
    return pl.read_parquet(run.artifacts / "scores" / f"{scenario}.{view}.parquet")


def test_scores_are_written_and_hashed_before_the_labels_are_read(
    dataset: Dataset, tmp_path: Path
) -> None:
    folder, prepared = dataset
    views = [View(protocol, 1.0) for protocol in ("zero_shot", "adapted")]
    names = scenarios(folder)
    for name in names:
        for view in views:
            store = scenario_folder(folder, prepared, name, view)
            (store / "attack_messages.npy").unlink(missing_ok=True)
    captures = folder / "captures" / FIRST
    hidden = captures.rename(tmp_path / "hidden")
    run = new_run(tmp_path)
    try:
        # Scoring takes the stores, which are blind; labels are only in the captures.
        with pytest.raises(DataError, match=r"can't read capture"):
            judged(dataset, tmp_path, into=run)
    finally:
        hidden.rename(captures)
    assert not list((prepared.folder / FIRST).rglob("attack_messages.npy"))
    events = [e for e in read_lines(run.path / "events.jsonl") if e["event"] == "scored"]
    assert [(e["scenario"], e["protocol"]) for e in events] == [
        (name, view.name) for name in names for view in views
    ]
    for event in events:
        path = run.artifacts / "scores" / f"{event['scenario']}.{event['protocol']}.parquet"
        assert event["sha256"] == content_hash(path)


def read_a_capture(dataset: Dataset) -> None:
    record = load_manifest(dataset[0]).of_role("test")[0]
    load_messages(dataset[0], record)


def open_labels(dataset: Dataset) -> None:
    store = scenario_folder(*dataset, FIRST, View("zero_shot", 1.0))
    open_store(store, labels=True)


def make_labels(dataset: Dataset) -> None:
    label_scenario(*dataset, FIRST, View("zero_shot", 1.0))


def look_at_training(dataset: Dataset) -> None:
    dataset[1].validation()


@pytest.mark.parametrize("peek", [read_a_capture, open_labels, make_labels, look_at_training])
def test_an_evaluation_that_touches_a_label_before_scores_are_written_fails(
    dataset: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    peek: Callable[[Dataset], None],
) -> None:
    make_labels(dataset)
    run, score = new_run(tmp_path), evaluate_stage.score_parts

    def peeking(*args: object) -> np.ndarray:
        peek(dataset)
        return score(*args)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(evaluate_stage, "score_parts", peeking)
    with pytest.raises(RuntimeError, match="asked for while windows are scored"), run.working({}):
        judged(dataset, tmp_path, into=run)
    assert run.record().state is State.FAILED
    assert not list(run.artifacts.rglob("*.parquet"))
    monkeypatch.undo()
    peek(dataset)


def test_scores_that_change_before_they_are_judged_are_refused(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, label = new_run(tmp_path), evaluate_stage.label_scenario

    def tampering(*args: object) -> None:
        label(*args)  # pyright: ignore[reportArgumentType]
        for path in (run.artifacts / "scores").glob("*.parquet"):
            pl.read_parquet(path).with_columns(score=0.0).write_parquet(path)

    monkeypatch.setattr(evaluate_stage, "label_scenario", tampering)
    with pytest.raises(RuntimeError, match="changed between scoring and judging"):
        judged(dataset, tmp_path, into=run)


@pytest.mark.parametrize("model", [GAT, VGAE], ids=["gat", "vgae"])
def test_scores_are_the_same_whatever_the_labels_say(
    dataset: Dataset, tmp_path: Path, model: ModelConfig
) -> None:
    folder, prepared = dataset
    one, honest = judged(dataset, tmp_path / "one", model=model)
    paths = sorted((folder / "captures" / FIRST).glob("*.parquet"))
    truth = {path: path.read_bytes() for path in paths}
    shutil.rmtree(prepared.folder / FIRST)
    try:
        for path in paths:
            messages = pl.read_parquet(path)
            messages.with_columns(~pl.col("attack")).write_parquet(path)
        two, turned = judged(dataset, tmp_path / "two", model=model)
    finally:
        for path, content in truth.items():
            path.write_bytes(content)
        shutil.rmtree(prepared.folder / FIRST)
    for view in ("zero_shot", "adapted"):
        assert scores_of(one, view).equals(scores_of(two, view))
    assert honest.scenarios[0].metrics != turned.scenarios[0].metrics


def test_every_scenario_protocol_and_attack_type_has_its_windows(
    dataset: Dataset, tmp_path: Path
) -> None:
    run, report = judged(dataset, tmp_path, SWEPT)
    variants = [
        ("zero_shot", ""),
        *[("adapted", variant) for variant in ("", "prefix_0.5s", "prefix_2s", "poisoned")],
    ]
    for name in scenarios(dataset[0]):
        windows: dict[str, set[int]] = {}
        for protocol, variant in variants:
            whole, *types = [
                each
                for each in report.scenarios
                if (each.scenario, each.protocol, each.variant) == (name, protocol, variant)
            ]
            assert whole.attack_type == "all"
            assert sum(each.metrics.windows for each in types) in (0, whole.metrics.windows)
            view = f"{protocol}_{variant}" if variant else protocol
            assert len(scores_of(run, view, name)) == whole.metrics.windows
            windows.setdefault(variant, set()).add(whole.metrics.windows)
        assert windows[""] == windows["prefix_0.5s"] == windows["poisoned"]
        assert max(windows["prefix_2s"]) < min(windows[""])
    # What tables show has intervals; the rest are there to see how much a prefix does.
    assert {each.variant for each in report.scenarios if each.intervals} == {""}
    saved = json.loads((run.artifacts / "evaluation.json").read_bytes())
    assert len(saved["scenarios"]) == len(report.scenarios)


def test_what_tables_show_is_drawn(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[str, str]] = []

    def draw(folder: Path, plots: list[ScenarioPlot], *, subject: str) -> list[Path]:
        drawn.extend((plot.scenario, plot.protocol) for plot in plots)
        folder.mkdir()
        (folder / "roc.png").write_text(subject)
        return [folder / "roc.png"]

    monkeypatch.setattr(evaluate_stage, "plot_evaluation", draw)
    run, _ = judged(dataset, tmp_path, SWEPT)
    names = scenarios(dataset[0])
    assert drawn == [(name, protocol) for name in names for protocol in ("zero_shot", "adapted")]
    assert "simulated" in (run.artifacts / "plots/roc.png").read_text()


def test_a_prefix_longer_than_the_captures_is_left_out_of_the_sweep(
    dataset: Dataset, tmp_path: Path
) -> None:
    config = BRIEF.model_copy(update={"prefix_sweep_s": (0.5, 60.0)})
    _, report = judged(dataset, tmp_path, config)
    assert {each.variant for each in report.scenarios} == {"", "prefix_0.5s"}


def test_the_protocols_judge_the_same_windows_and_score_them_differently(
    dataset: Dataset, tmp_path: Path
) -> None:
    run, _ = judged(dataset, tmp_path)
    one, other = (scores_of(run, view) for view in ("zero_shot", "adapted"))
    same = ["capture", "start_s", "end_s"]
    assert one.select(same).equals(other.select(same))
    assert not one["score"].equals(other["score"])
    assert set(one["threshold"]) == set(other["threshold"]) == {0.5}


def test_thresholds_from_a_prefix_are_of_each_capture_and_under_adapted_alone(
    dataset: Dataset, tmp_path: Path
) -> None:
    config = BRIEF.model_copy(update={"threshold": "benign_quantile"})
    run, _ = judged(dataset, tmp_path, config)
    adapted, zero_shot = (scores_of(run, view) for view in ("adapted", "zero_shot"))
    captures = adapted["capture"].n_unique()
    assert captures > 1
    assert adapted.select("capture", "threshold").n_unique() == captures
    assert adapted["threshold"].n_unique() == captures
    assert zero_shot["threshold"].n_unique() == 1, "all windows are of the training vehicle"


@pytest.mark.parametrize("threshold", ["vehicle", "benign_quantile", "conformal", "auto"])
def test_a_prefix_too_short_for_a_window_leaves_the_thresholds_as_trained(
    shared: Dataset, tmp_path: Path, threshold: str
) -> None:
    folder = shutil.copytree(shared[0], tmp_path / "tiny")
    prepared = prepare(folder, CONFIG.model_copy(update={"prefix_s": 0.08}))
    config = BRIEF.model_copy(update={"threshold": threshold})
    run, _ = judged((folder, prepared), tmp_path, config, VGAE)
    assert scores_of(run, "adapted")["threshold"].n_unique() == 1


def test_the_scores_of_a_one_class_model_are_moved_by_the_prefix_of_each_capture(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = judged(dataset, tmp_path / "one", model=VGAE)
    monkeypatch.setattr(evaluate_stage, "adapted", lambda subject, _: subject)
    plain, _ = judged(dataset, tmp_path / "two", model=VGAE)
    assert scores_of(run, "zero_shot").equals(scores_of(plain, "zero_shot"))
    assert not scores_of(run, "adapted")["score"].equals(scores_of(plain, "adapted")["score"])


def test_a_test_capture_is_scaled_as_the_training_was(dataset: Dataset) -> None:
    folder, prepared = dataset
    again = prepare(folder, CONFIG)
    assert not again.made
    assert again.scaler == prepared.scaler


def test_a_training_that_did_not_end_is_not_judged(dataset: Dataset, tmp_path: Path) -> None:
    folder, prepared = dataset
    checkpoint = completed(tmp_path, prepared, model=GAT, data=CONFIG).checkpoints / BEST
    subject = load_best(checkpoint)
    unended = type(subject)(**{**vars(subject), "calibration": None})
    with pytest.raises(CheckpointError, match="training that did not end"):
        evaluate(new_run(tmp_path), unended, checkpoint, folder, prepared, BRIEF)
