"""The order that keeps an evaluation honest: scores first, on disk and hashed, then labels."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

from kdgat.configs.dataset import DATASETS, SimulationConfig
from kdgat.configs.model import GatConfig
from kdgat.configs.run import RunConfig
from kdgat.data.simulate import simulate
from kdgat.errors import CheckpointError, DataError
from kdgat.ledger.files import content_hash, read_lines
from kdgat.ledger.folder import RunFolder
from kdgat.models.table import build_model
from kdgat.stages.evaluate import EvaluationReport, evaluate
from kdgat.stages.ingest import ingest
from kdgat.stages.prepare import Prepared, prepare, scenario_folder, scenarios
from kdgat.training.calibration import Calibration
from kdgat.training.checkpoint import TrainedModel
from tests.unit.ledger.made import new_record

CONFIG = RunConfig(model=GatConfig(hidden=2, heads=1, layers=1, readout=2))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small simulated dataset, ingested."""
    folder = tmp_path_factory.mktemp("simulated")
    config = SimulationConfig(capture_s=5.0, attack_free_s=5.0)
    simulate(config, folder / "raw")
    ingest(DATASETS["simulated"], folder / "raw", folder)
    return folder


@pytest.fixture(scope="module")
def prepared(dataset: Path) -> Prepared:
    return prepare(dataset, CONFIG.data)


def _subject(prepared: Prepared, *, ended: bool = True) -> TrainedModel:
    torch.manual_seed(0)
    store = prepared.train()
    features = (store.x.shape[1], store.edge_attr.shape[1])
    calibration = Calibration((0.0,), (1.0,), 0.5) if ended else None
    model = build_model(CONFIG.model, *features).eval()
    return TrainedModel(model, CONFIG, features, 0, calibration)


def _run(runs: Path) -> RunFolder:
    record = new_record(
        stage="evaluation", dataset="simulated", provenance="simulated", size="small"
    )
    return RunFolder.create(runs, record, {})


def _evaluate(run: RunFolder, dataset: Path, prepared: Prepared) -> EvaluationReport:
    checkpoint = dataset / "captures.json"
    return evaluate(run, _subject(prepared), checkpoint, dataset, prepared)


def test_scores_are_written_and_hashed_before_the_labels_are_read(
    dataset: Path, prepared: Prepared, tmp_path: Path
) -> None:
    first = scenarios(dataset)[0]
    store = scenario_folder(dataset, prepared, first)
    (store / "attack_messages.npy").unlink(missing_ok=True)
    captures = dataset / "captures" / first
    hidden = captures.rename(tmp_path / "hidden")
    run = _run(tmp_path)
    try:
        # Scoring takes the store, which is blind; labels are only in the captures.
        with pytest.raises(DataError, match=r"can't read capture"):
            _evaluate(run, dataset, prepared)
    finally:
        hidden.rename(captures)
    assert not (store / "attack_messages.npy").exists()
    scores = run.artifacts / "scores" / f"{first}.parquet"
    event = read_lines(run.path / "events.jsonl")[-1]
    assert (event["event"], event["sha256"]) == ("scored", content_hash(scores))


def test_scores_are_the_same_whatever_the_labels_say(
    dataset: Path, prepared: Prepared, tmp_path: Path
) -> None:
    first = scenarios(dataset)[0]
    one = _run(tmp_path / "one")
    honest = _evaluate(one, dataset, prepared)
    two = _run(tmp_path / "two")
    paths = sorted((dataset / "captures" / first).glob("*.parquet"))
    truth = {path: path.read_bytes() for path in paths}
    shutil.rmtree(prepared.folder / first)
    try:
        for path in paths:
            messages = pl.read_parquet(path)
            messages.with_columns(~pl.col("attack")).write_parquet(path)
        turned = _evaluate(two, dataset, prepared)
    finally:
        for path, content in truth.items():
            path.write_bytes(content)
        shutil.rmtree(prepared.folder / first)
    name = Path("scores") / f"{first}.parquet"
    assert pl.read_parquet(one.artifacts / name).equals(pl.read_parquet(two.artifacts / name))
    assert honest.scenarios[0].metrics != turned.scenarios[0].metrics


def test_every_scenario_and_attack_type_has_its_windows(
    dataset: Path, prepared: Prepared, tmp_path: Path
) -> None:
    report = _evaluate(_run(tmp_path), dataset, prepared)
    by_scenario = {name: [] for name in scenarios(dataset)}
    for result in report.scenarios:
        by_scenario[result.scenario].append(result)
    assert len(by_scenario) == 4
    for results in by_scenario.values():
        whole, *types = results
        assert whole.attack_type == "all"
        assert {result.protocol for result in results} == {"zero_shot"}
        assert sum(result.metrics.windows for result in types) in (0, whole.metrics.windows)


def test_a_test_capture_is_scaled_as_the_training_was(dataset: Path, prepared: Prepared) -> None:
    again = prepare(dataset, CONFIG.data)
    assert not again.made
    assert again.scaler == prepared.scaler


def test_a_training_that_did_not_end_is_not_judged(
    dataset: Path, prepared: Prepared, tmp_path: Path
) -> None:
    subject = _subject(prepared, ended=False)
    with pytest.raises(CheckpointError, match="training that did not end"):
        evaluate(_run(tmp_path), subject, tmp_path / "best.ckpt", dataset, prepared)
