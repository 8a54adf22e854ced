"""A trained model judged on the official test folders, one scenario after another.

The protocol is `zero_shot`: nothing is taken from a test capture but the window being scored. The
scores of a scenario are written and hashed before its labels are read.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch
from torch import nn

from kdgat.configs.model import ModelConfig
from kdgat.data.batches import collate
from kdgat.data.store import GraphStore, open_store
from kdgat.errors import CheckpointError
from kdgat.ledger.files import atomic_path, content_hash, write_json
from kdgat.ledger.folder import RunFolder
from kdgat.models.table import parameter_count
from kdgat.progress import Progress, quiet
from kdgat.stages.prepare import Prepared, label_scenario, scenario_folder, scenarios
from kdgat.training.calibration import Calibration
from kdgat.training.checkpoint import TrainedModel
from kdgat.training.metrics import WindowMetrics, window_metrics
from kdgat.training.scoring import score_parts
from kdgat.training.tasks import task_of

Protocol = Literal["zero_shot"]
_LATENCY_WINDOWS = 200


@dataclass(frozen=True)
class ScenarioResult:
    """Figures of one scenario, or of one attack type in it."""

    scenario: str
    attack_type: str
    """`all`, or one type: the windows of the captures with that attack."""
    protocol: Protocol
    metrics: WindowMetrics


@dataclass(frozen=True)
class EvaluationReport:
    """All figures of one evaluation."""

    scenarios: tuple[ScenarioResult, ...]
    threshold: float
    parameters: int
    checkpoint_bytes: int
    latency_ms: float
    """Median time to score one window alone, in milliseconds, features already made."""


def evaluate(
    run: RunFolder,
    subject: TrainedModel,
    checkpoint: Path,
    dataset_folder: Path,
    prepared: Prepared,
    progress: Progress = quiet,
) -> EvaluationReport:
    """Score every test window, then judge the scores.

    Args:
        run: folder of this evaluation, already marked as running.
        subject: the model to judge.
        checkpoint: its file, for its size.
        dataset_folder: the dataset's ingested captures.
        prepared: the graphs it was trained on, for their scaling.
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
    names = scenarios(dataset_folder)
    results: list[ScenarioResult] = []
    latency_ms = 0.0
    for number, name in enumerate(names):
        progress(f"evaluating {name}", number, len(names))
        folder = scenario_folder(dataset_folder, prepared, name)
        blind = open_store(folder, labels=False)
        score = _scores(subject, subject.calibration, blind)
        _keep_scores(run, name, blind, score)
        latency_ms = latency_ms or _latency_ms(subject.model, subject.config.model, blind)
        label_scenario(dataset_folder, prepared, name)
        labelled = open_store(folder, labels=True)
        results += judge(name, labelled, score, subject.calibration.threshold)
    progress("evaluated", len(names), len(names))
    report = EvaluationReport(
        scenarios=tuple(results),
        threshold=subject.calibration.threshold,
        parameters=parameter_count(subject.model),
        checkpoint_bytes=checkpoint.stat().st_size,
        latency_ms=latency_ms,
    )
    path = run.artifacts / "evaluation.json"
    write_json(path, asdict(report))
    run.keep_artifact(path)
    return report


def judge(
    scenario: str, store: GraphStore, score: np.ndarray, threshold: float
) -> list[ScenarioResult]:
    """Figures of a scenario, and of each attack type in it where there are several."""
    attack, capture = store.y.numpy() == 1, store.capture.numpy()
    start_s, end_s = store.start_s.numpy(), store.end_s.numpy()
    kinds = np.array([label.attack_type for label in store.captures])[capture]

    def figures(chosen: np.ndarray) -> WindowMetrics:
        return window_metrics(
            score[chosen],
            threshold,
            attack[chosen],
            capture[chosen],
            start_s[chosen],
            end_s[chosen],
        )

    everything = np.ones(len(score), dtype=bool)
    results = [ScenarioResult(scenario, "all", "zero_shot", figures(everything))]
    types = np.unique(kinds)
    if len(types) > 1:
        results += [
            ScenarioResult(scenario, str(kind), "zero_shot", figures(kinds == kind))
            for kind in types
        ]
    return results


def _scores(subject: TrainedModel, calibration: Calibration, store: GraphStore) -> np.ndarray:
    batch = subject.config.training.max_graphs
    parts = score_parts(subject.model, subject.config.model, store, batch)
    return calibration.scores(parts)


def _keep_scores(run: RunFolder, scenario: str, store: GraphStore, score: np.ndarray) -> None:
    """Write the scores and record their hash, before anybody knows the labels."""
    path = run.artifacts / "scores" / f"{scenario}.parquet"
    keys = [label.key for label in store.captures]
    frame = pl.DataFrame(
        {
            "capture": pl.Series([keys[i] for i in store.capture.tolist()], dtype=pl.Categorical),
            "start_s": store.start_s.numpy(),
            "end_s": store.end_s.numpy(),
            "score": score,
        }
    )
    with atomic_path(path) as aside:
        frame.write_parquet(aside)
    run.keep_artifact(path)
    run.event("scored", scenario=scenario, windows=len(score), sha256=content_hash(path))


def _latency_ms(model: nn.Module, config: ModelConfig, store: GraphStore) -> float:
    """Median time of one window through the model, alone."""
    task, count = task_of(config), min(_LATENCY_WINDOWS, len(store))
    batches = [collate(store, torch.tensor([i])) for i in range(count)]
    times = []
    with torch.inference_mode():
        for batch in batches:
            start = time.perf_counter()
            task.score(model, batch)
            times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1000
