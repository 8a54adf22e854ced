"""A trained model judged on the official test folders, under both protocols.

`zero_shot` takes nothing from a test capture but the window being scored, `adapted` an unlabelled
prefix. Every window of every scenario is scored first, with the labels under seal, and the scores
are written and hashed; then the labels are read.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from jaxtyping import Float64
from torch import nn

from kdgat.configs.evaluation import EvaluationConfig, Protocol
from kdgat.configs.model import ModelConfig
from kdgat.data.batches import collate, subset
from kdgat.data.measured import REFERENCES
from kdgat.data.sealing import labels_sealed
from kdgat.data.store import GraphStore, open_store
from kdgat.errors import CheckpointError
from kdgat.ledger.files import atomic_path, content_hash, write_json
from kdgat.ledger.folder import RunFolder
from kdgat.models.table import parameter_count
from kdgat.progress import Progress, quiet
from kdgat.stages.plots import ScenarioPlot, plot_evaluation
from kdgat.stages.prepare import Prepared
from kdgat.stages.scenarios import (
    View,
    has_windows,
    label_scenario,
    prefix_folder,
    scenario_folder,
    scenarios,
    views,
)
from kdgat.training.adaptation import adapted, adapts
from kdgat.training.calibration import FROM_PREFIX, Calibration
from kdgat.training.checkpoint import TrainedModel
from kdgat.training.metrics import WindowMetrics, window_intervals, window_metrics
from kdgat.training.scoring import score_parts
from kdgat.training.tasks import score_of

_LATENCY_WINDOWS = 200


@dataclass(frozen=True)
class ScenarioResult:
    """Figures of one scenario, or of one attack type in it, under one protocol."""

    scenario: str
    attack_type: str
    """`all`, or one type: the windows of the captures with that attack."""
    protocol: Protocol
    variant: str
    """Empty for what tables show; otherwise what was varied, such as `prefix_5s`, `poisoned`."""
    metrics: WindowMetrics
    intervals: dict[str, tuple[float, float]]
    """Confidence interval of some figures, over blocks of consecutive windows."""


@dataclass(frozen=True)
class EvaluationReport:
    """All figures of one evaluation."""

    scenarios: tuple[ScenarioResult, ...]
    threshold: float
    """Where an alarm begins in `adapted`, as far as training tells; with a threshold that is
    calibrated on a prefix each capture has its own."""
    parameters: int
    checkpoint_bytes: int
    latency_ms: float
    """Median time to score one window alone, in milliseconds, features already made."""


@dataclass(frozen=True)
class Scored:
    """Windows of one scenario in one view, scored, on disk, and not yet judged."""

    scenario: str
    view: View
    path: Path
    sha256: str
    score: Float64[np.ndarray, "windows"]
    threshold: Float64[np.ndarray, "windows"]


def evaluate(
    run: RunFolder,
    subject: TrainedModel,
    checkpoint: Path,
    dataset_folder: Path,
    prepared: Prepared,
    config: EvaluationConfig,
    progress: Progress = quiet,
) -> EvaluationReport:
    """Score every test window, then judge the scores.

    Args:
        run: folder of this evaluation, already marked as running.
        subject: the model to judge.
        checkpoint: its file, for its size.
        dataset_folder: the dataset's ingested captures.
        prepared: the graphs it was trained on, for their scaling and profiles.
        config: threshold, prefixes, intervals.
        progress: told of every scenario.

    Raises:
        DataError: the dataset has no test folder.
        CheckpointError: the model's training did not end.
    """
    if subject.calibration is None:
        raise CheckpointError(
            f"'{checkpoint}' is of a training that did not end",
            hint="train again with the same overrides; it goes on from its last epoch",
        )
    names, seen = scenarios(dataset_folder), views(prepared.config(), config)
    total = 2 * len(names) * len(seen)
    learns = adapts(subject) or config.threshold in FROM_PREFIX
    scored: list[Scored] = []
    latency_ms = 0.0
    with labels_sealed():
        for name in names:
            for view in seen:
                if view.variant and not has_windows(dataset_folder, prepared, name, view):
                    # A capture may be shorter than a prefix of the sweep.
                    continue
                progress(f"scoring {name}, {_words(view)}", len(scored), total)
                folder = scenario_folder(dataset_folder, prepared, name, view)
                blind = open_store(folder, labels=False)
                prefix = None
                if view.protocol == "adapted" and learns:
                    path = prefix_folder(dataset_folder, prepared, name, view)
                    prefix = open_store(path, labels=False)
                score, line = _decided(subject, blind, prefix, config)
                scored.append(_keep_scores(run, name, view, blind, score, line))
                latency_ms = latency_ms or _latency_ms(subject.model, subject.config.model, blind)
    results: list[ScenarioResult] = []
    plots: list[ScenarioPlot] = []
    for place, each in enumerate(scored, len(scored)):
        progress(f"judging {each.scenario}, {_words(each.view)}", place, total)
        _need_sealed(each)
        label_scenario(dataset_folder, prepared, each.scenario, each.view)
        folder = prepared.folder / each.scenario / each.view.name
        labelled = open_store(folder, labels=True)
        results += judge(each, labelled, config, subject.config.seed)
        if not each.view.variant:
            plots.append(_plot(each, labelled))
    progress("evaluated", total, total)
    report = EvaluationReport(
        scenarios=tuple(results),
        threshold=subject.calibration.threshold(
            config.threshold, config.alpha, margin=config.margin
        ),
        parameters=parameter_count(subject.model),
        checkpoint_bytes=checkpoint.stat().st_size,
        latency_ms=latency_ms,
    )
    path = run.artifacts / "evaluation.json"
    write_json(path, asdict(report))
    run.keep_artifact(path)
    record = run.record()
    subject_words = f"{record.name}, {record.provenance}"
    for drawn in plot_evaluation(run.artifacts / "plots", plots, subject=subject_words):
        run.keep_artifact(drawn)
    return report


def judge(
    scored: Scored, store: GraphStore, config: EvaluationConfig, seed: int
) -> list[ScenarioResult]:
    """Figures of a scenario, and of each attack type in it where there are several.

    Args:
        scored: its windows' scores and thresholds.
        store: its windows, with labels.
        config: intervals.
        seed: of the intervals' samples.
    """
    score, threshold, view = scored.score, scored.threshold, scored.view
    attack, capture = store.y.numpy() == 1, store.capture.numpy()
    start_s, end_s = store.start_s.numpy(), store.end_s.numpy()
    kinds = np.array([label.attack_type for label in store.captures])[capture]

    def figures(kind: str, chosen: np.ndarray) -> ScenarioResult:
        of = (score[chosen], threshold[chosen], attack[chosen], capture[chosen])
        metrics = window_metrics(*of, start_s[chosen], end_s[chosen])
        intervals = {} if view.variant else window_intervals(*of, config, seed)
        return ScenarioResult(
            scored.scenario, kind, view.protocol, view.variant, metrics, intervals
        )

    results = [figures("all", np.ones(len(score), dtype=bool))]
    types = np.unique(kinds)
    if len(types) > 1:
        results += [figures(str(kind), kinds == kind) for kind in types]
    return results


def _decided(
    subject: TrainedModel,
    store: GraphStore,
    prefix: GraphStore | None,
    config: EvaluationConfig,
) -> tuple[Float64[np.ndarray, "windows"], Float64[np.ndarray, "windows"]]:
    """The score of each window, and the threshold that holds for it.

    With prefixes the model is adapted to each capture by its own.
    """
    if prefix is None:
        return _scored_alike(subject, store, None, config)
    capture, owner = store.capture.numpy(), prefix.capture.numpy()
    score, threshold = np.zeros(len(store)), np.zeros(len(store))
    for number in np.unique(capture):
        here = np.flatnonzero(capture == number)
        own = subset(prefix, torch.from_numpy(np.flatnonzero(owner == number)))
        found = _scored_alike(
            adapted(subject, own), subset(store, torch.from_numpy(here)), own, config
        )
        score[here], threshold[here] = found
    return score, threshold


def _scored_alike(
    subject: TrainedModel, store: GraphStore, prefix: GraphStore | None, config: EvaluationConfig
) -> tuple[Float64[np.ndarray, "windows"], Float64[np.ndarray, "windows"]]:
    """The same for windows that one calibration holds for."""
    calibration = subject.calibration
    assert calibration is not None
    score, reference = _scores(subject, calibration, store), store.reference.numpy()
    threshold = np.zeros(len(score))
    own = None
    if prefix is not None and len(prefix) and config.threshold in FROM_PREFIX:
        own = _scores(subject, calibration, prefix)
    for number, name in REFERENCES.items():
        if (here := reference == number).any():
            threshold[here] = calibration.threshold(
                config.threshold, config.alpha, (name,), own, config.margin
            )
    return score, threshold


def _scores(
    subject: TrainedModel, calibration: Calibration, store: GraphStore
) -> Float64[np.ndarray, "windows"]:
    batch = subject.config.training.max_graphs
    parts = score_parts(subject.model, subject.config.model, store, batch)
    return calibration.scores(parts)


def _keep_scores(
    run: RunFolder,
    scenario: str,
    view: View,
    store: GraphStore,
    score: Float64[np.ndarray, "windows"],
    threshold: Float64[np.ndarray, "windows"],
) -> Scored:
    """Write the scores and record their hash, before anybody knows the labels."""
    path = run.artifacts / "scores" / f"{scenario}.{view.name}.parquet"
    keys = [label.key for label in store.captures]
    frame = pl.DataFrame(
        {
            "capture": pl.Series([keys[i] for i in store.capture.tolist()], dtype=pl.Categorical),
            "start_s": store.start_s.numpy(),
            "end_s": store.end_s.numpy(),
            "score": score,
            "threshold": threshold,
        }
    )
    with atomic_path(path) as aside:
        frame.write_parquet(aside)
    run.keep_artifact(path)
    sha256 = content_hash(path)
    run.event(
        "scored",
        scenario=scenario,
        protocol=view.protocol,
        variant=view.variant,
        windows=len(score),
        sha256=sha256,
    )
    return Scored(scenario, view, path, sha256, score, threshold)


def _need_sealed(scored: Scored) -> None:
    if content_hash(scored.path) != scored.sha256:
        raise RuntimeError(f"'{scored.path}' changed between scoring and judging")


def _plot(scored: Scored, store: GraphStore) -> ScenarioPlot:
    return ScenarioPlot(
        scored.scenario,
        scored.view.protocol,
        scored.score,
        scored.threshold,
        store.y.numpy() == 1,
        store.capture.numpy(),
        store.start_s.numpy(),
    )


def _words(view: View) -> str:
    return " ".join(word for word in (view.protocol, view.variant.replace("_", " ")) if word)


def _latency_ms(model: nn.Module, config: ModelConfig, store: GraphStore) -> float:
    """Median time of one window through the model, alone."""
    score, count = score_of(config), min(_LATENCY_WINDOWS, len(store))
    batches = [collate(store, torch.tensor([i])) for i in range(count)]
    times = []
    with torch.inference_mode():
        for batch in batches:
            start = time.perf_counter()
            score(model, batch)
            times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1000
