"""Detection on a stream: the windows, scores and thresholds of an evaluation, as they complete."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from kdgat.configs.data import DataConfig
from kdgat.configs.dataset import DATASETS, SimulationConfig
from kdgat.configs.evaluation import PROTOCOLS, EvaluationConfig
from kdgat.configs.model import GatConfig, IdFrequencyConfig, ModelConfig, VgaeConfig
from kdgat.configs.run import RunConfig
from kdgat.configs.training import ResourcesConfig
from kdgat.data.captures import load_manifest, load_messages
from kdgat.data.features import feature_names
from kdgat.data.simulate import simulate
from kdgat.data.windows import Messages
from kdgat.errors import CheckpointError, DataError
from kdgat.ledger.folder import RunFolder
from kdgat.models.fitted import FittedModel
from kdgat.models.table import build_model
from kdgat.stages.detect import Detector, Verdict
from kdgat.stages.evaluate import evaluate
from kdgat.stages.ingest import ingest
from kdgat.stages.prepare import Prepared, prepare
from kdgat.stages.suspicion import suspects
from kdgat.training.calibration import calibrate
from kdgat.training.checkpoint import TrainedModel
from kdgat.training.scoring import score_parts
from tests.unit.ledger.made import new_record

DATA = DataConfig(prefix_s=1.0, training_stride_messages=200)
JUDGING = EvaluationConfig(prefix_sweep_s=(), poisoned=False, resamples=0)
MODELS: tuple[ModelConfig, ...] = (
    GatConfig(hidden=2, heads=1, layers=1, readout=2),
    VgaeConfig(hidden=2, heads=1, latent=2, decoder=4),
    IdFrequencyConfig(),
)
DOS = "test_01_known_vehicle_known_attack"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    config = SimulationConfig(
        seed=3,
        capture_s=5.0,
        attack_free_s=5.0,
        known_attacks=("dos",),
        unknown_attacks=("replay",),
    )
    simulate(config, folder / "raw")
    ingest(DATASETS["simulated"], folder / "raw", folder)
    return folder


@pytest.fixture(scope="module")
def prepared(dataset: Path) -> Prepared:
    return prepare(dataset, DATA)


def subject_of(prepared: Prepared, model: ModelConfig) -> TrainedModel:
    """A model with random weights, calibrated as a trained one is."""
    torch.manual_seed(0)
    store = prepared.validation()
    features = (store.x.shape[1], store.edge_attr.shape[1])
    config = RunConfig(model=model, data=DATA, resources=ResourcesConfig(threads=1))
    made = build_model(model, *features).eval()
    if isinstance(made, FittedModel):
        made.know(feature_names(DATA.features), prepared.scaler)
    parts = score_parts(made, model, store, 64)
    return TrainedModel(made, config, features, 0, calibrate(model, parts, store))


def capture_of(dataset: Path, folder: str) -> tuple[str, Messages]:
    record = next(each for each in load_manifest(dataset).captures if each.folder == folder)
    return record.key, Messages.from_frame(load_messages(dataset, record))


def fed(detector: Detector, messages: Messages, sizes: list[int]) -> list[Verdict]:
    verdicts, first, turn = [], 0, 0
    while first < len(messages):
        last = first + sizes[turn % len(sizes)]
        verdicts += detector.take(messages.span(first, last))
        first, turn = last, turn + 1
    return verdicts


@pytest.mark.parametrize(
    ("model", "threshold"),
    [
        (MODELS[0], "auto"),
        (MODELS[1], "auto"),
        (MODELS[1], "conformal"),
        (MODELS[2], "benign_quantile"),
    ],
    ids=lambda value: getattr(value, "kind", value),
)
def test_a_stream_gets_the_scores_and_thresholds_of_an_evaluation(
    dataset: Path, prepared: Prepared, tmp_path: Path, model: ModelConfig, threshold: str
) -> None:
    judging = EvaluationConfig.model_validate({**JUDGING.model_dump(), "threshold": threshold})
    subject = subject_of(prepared, model)
    assert subject.calibration is not None
    # A part of a score is a number of 32 bits, taken in standard deviations: batches of other
    # sizes round it otherwise.
    # The models sum in 32 bits, and batches of other sizes sum in another order.
    slack = 5e-6 / min(1.0, *subject.calibration.spread)
    record = new_record(
        stage="evaluation", dataset="simulated", provenance="simulated", size="small"
    )
    run = RunFolder.create(tmp_path, record, {})
    checkpoint = tmp_path / "best.ckpt"
    checkpoint.write_bytes(b"x")
    evaluate(run, subject, checkpoint, dataset, prepared, judging)
    key, messages = capture_of(dataset, DOS)
    for protocol in PROTOCOLS:
        judged = pl.read_parquet(run.artifacts / "scores" / f"{DOS}.{protocol}.parquet")
        judged = judged.filter(pl.col("capture") == key)
        detector = Detector(subject, prepared, protocol, judging)
        verdicts = fed(detector, messages, [1, 977, 40, 3000])
        late = [each for each in verdicts if each.start_s >= messages.time_s[0] + DATA.prefix_s]
        assert len(late) == len(judged) > 10
        for name in ("start_s", "end_s", "score", "threshold"):
            ours = np.array([getattr(each, name) for each in late])
            away = np.abs(ours - judged[name].to_numpy()).max()
            assert away <= (slack if name in ("score", "threshold") else 0), (protocol, name)
        if protocol == "adapted":
            assert len(verdicts) == len(late)
            assert {each.reference for each in verdicts} == {"own"}
        else:
            assert [each.window for each in verdicts] == list(range(len(messages) // 100))


@pytest.mark.parametrize("stride", [37, 100, 250])
def test_pieces_of_any_size_give_the_same_verdicts(
    dataset: Path, prepared: Prepared, stride: int
) -> None:
    subject = subject_of(prepared, MODELS[0])
    data = DATA.model_copy(update={"stride_messages": stride})
    subject = replace(subject, config=subject.config.model_copy(update={"data": data}))
    _, messages = capture_of(dataset, DOS)
    whole, pieces = (
        fed(Detector(subject, prepared, "adapted", JUDGING), messages, sizes)
        for sizes in ([len(messages)], [1, 13, 333])
    )
    assert [each.window for each in whole] == [each.window for each in pieces]
    assert [each.window for each in whole] == sorted({each.window for each in whole})
    assert np.allclose([each.score for each in whole], [each.score for each in pieces], atol=1e-6)
    first, last = whole[0].window * stride, whole[-1].window * stride
    assert messages.time_s[first] == whole[0].start_s
    assert messages.time_s[first - stride] < messages.time_s[0] + DATA.prefix_s
    assert last + 100 <= len(messages) < last + 100 + stride


def test_a_detector_holds_no_more_than_a_window_and_what_it_was_given(
    dataset: Path, prepared: Prepared
) -> None:
    detector = Detector(subject_of(prepared, MODELS[0]), prepared, "zero_shot", JUDGING)
    _, messages = capture_of(dataset, DOS)
    for first in range(0, 4000, 130):
        assert 1 <= detector.missing <= 100
        detector.take(messages.span(first, first + 130))
        assert sum(len(each) for each in detector._held) < 100
    assert detector.seen == 31 * 130


def test_the_prefix_is_never_scored_and_its_end_is_the_first_late_message(
    dataset: Path, prepared: Prepared
) -> None:
    detector = Detector(subject_of(prepared, MODELS[0]), prepared, "adapted", JUDGING)
    _, messages = capture_of(dataset, DOS)
    count = int((messages.time_s < messages.time_s[0] + 1.0).sum())
    assert detector.take(messages.span(0, count)) == []
    assert detector.learning
    verdicts = detector.take(messages.span(count, count + 300))
    assert not detector.learning
    assert verdicts[0].window == -(-count // 100)


def test_a_clock_that_stands_still_ends_the_waiting(prepared: Prepared) -> None:
    detector = Detector(subject_of(prepared, MODELS[0]), prepared, "adapted", JUDGING)
    still = Messages(
        np.zeros(30_000),
        np.full(30_000, 1, np.uint32),
        np.full(30_000, 8, np.uint8),
        np.zeros(30_000, np.uint64),
    )
    detector.take(still)
    with pytest.raises(DataError, match="stand still"):
        detector.take(still)


def test_a_model_whose_training_did_not_end_is_refused(prepared: Prepared) -> None:
    subject = replace(subject_of(prepared, MODELS[0]), calibration=None)
    with pytest.raises(CheckpointError, match="did not end"):
        Detector(subject, prepared, "adapted", JUDGING)


def test_delays_count_the_windows_filling_and_the_computing(
    dataset: Path, prepared: Prepared
) -> None:
    detector = Detector(subject_of(prepared, MODELS[0]), prepared, "zero_shot", JUDGING)
    _, messages = capture_of(dataset, DOS)
    verdict = detector.take(messages.span(0, 100), arrived_s=0.0)[0]
    assert verdict.waited_s == pytest.approx(messages.time_s[99] - messages.time_s[0])
    assert verdict.computed_s > 1.0, "it arrived when the clock was at zero"


def test_the_flooding_id_is_the_most_suspicious_of_most_windows_of_a_flood(
    dataset: Path, prepared: Prepared
) -> None:
    subject = subject_of(prepared, MODELS[0])
    key, messages = capture_of(dataset, DOS)
    record = next(each for each in load_manifest(dataset).captures if each.key == key)
    attack = load_messages(dataset, record)["attack"].to_numpy()
    injected = {f"{each:03X}" for each in messages.arbitration_id[attack].tolist()}
    fixed = JUDGING.model_copy(update={"threshold": "fixed"})
    detector = Detector(subject, prepared, "adapted", fixed)
    # Everything is an alarm, so that every window names its suspects.
    detector._thresholds = dict.fromkeys(range(3), -1.0)
    named = [
        each.suspects[0].id in injected
        for each in fed(detector, messages, [1000])
        if attack[each.window * 100 : each.window * 100 + 100].sum() > 20
    ]
    assert len(named) > 5
    assert np.mean(named) > 0.9


def test_suspects_are_named_by_the_feature_furthest_away() -> None:
    names = ("byte0_mean", "profile_there", "profile_count")
    x = np.array([[1, 9, -1], [0, 9, -6], [2, 9, 6]], np.float32)
    found = suspects(x, np.array([0x10, 0x7FF, 0x18DB33F1], np.uint32), names, 2)
    assert [each.id for each in found] == ["18DB33F1", "7FF"]
    assert [each.feature for each in found] == ["profile_count", "profile_count"]
    assert [each.distance for each in found] == [6.0, -6.0]


def test_columns_that_encode_an_id_say_nothing_about_it() -> None:
    x = np.array([[1, 1, 0], [0, 1, 1], [0, 1, -10]], np.float32)
    found = suspects(x, np.arange(3, dtype=np.uint32), ("byte0_mean",), 1)
    assert found[0].id == "000"
