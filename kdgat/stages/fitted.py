"""One training run of a model that a library fits in one go: trees, profiles, frequencies."""

from __future__ import annotations

from contextlib import ExitStack
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from kdgat.configs.run import RunConfig
from kdgat.data.features import feature_names
from kdgat.ledger.folder import RunFolder
from kdgat.models.fitted import GRAPHS_AT_ONCE, FittedModel, PooledWindows
from kdgat.models.table import build_model, parameter_count
from kdgat.progress import Progress, quiet
from kdgat.stages.inputs import feature_counts, training_stores
from kdgat.stages.prepare import Prepared
from kdgat.stages.table import Stage
from kdgat.training.calibration import calibrate
from kdgat.training.checkpoint import BEST, save_best
from kdgat.training.scoring import score_parts

_SUREST = 1e-7
"""Distance from 0 and 1 that a probability keeps, so that its cross entropy is a number."""


def train_fitted(
    run: RunFolder,
    config: RunConfig,
    stage: Stage,
    prepared: Prepared,
    progress: Progress = quiet,
) -> dict[str, float | None]:
    """Fit the run's model and write its `best.ckpt`; the one fit counts as epoch 0.

    Validation windows choose nothing but the margin and the calibration of what was fitted.

    Args:
        run: folder of this run, already marked as running.
        config: its config, every reference resolved.
        stage: which windows it trains on.
        prepared: the dataset's graphs.
        progress: told of every step.

    Returns:
        The run's summary figures.

    Raises:
        DataError: there is no window to fit or to validate on, or none of an attack.
        ConfigError: the data config leaves out the features that the model reads.
    """
    what = f"{config.model.kind} {config.size}"
    stores = training_stores(config, stage, prepared)
    features = feature_counts(stores[0])
    model = cast(FittedModel, build_model(config.model, *features)).eval()
    model.know(feature_names(config.data.features), prepared.scaler)
    progress(f"{what}: pooling training windows", 0, 3)
    train = model.pooled(stores[0])
    progress(f"{what}: pooling validation windows", 1, 3)
    validation = model.pooled(stores[1])
    progress(f"{what}: fitting", 2, 3)
    with _threads(config.resources.threads):
        model.fit(train, validation, config.seed)
    figures = {**_figures("train", model, train), **_figures("val", model, validation)}
    run.forget_metrics_from(0)
    run.log_metrics(0, figures)
    best = run.checkpoints / BEST
    windows = prepared.validation()
    parts = score_parts(model, config.model, windows, GRAPHS_AT_ONCE)
    calibration = calibrate(config.model, parts, windows)
    save_best(best, model, config, features, 0, calibration)
    run.keep_artifact(best)
    progress(f"{what}: fitted", 3, 3)
    return {
        "best_epoch": 0,
        "best_val_task_loss": figures.get("val_task_loss"),
        "epochs": 1,
        "parameters": parameter_count(model),
        "teacher_parameters": None,
        "checkpoint_bytes": best.stat().st_size,
    }


def _figures(phase: str, model: FittedModel, windows: PooledWindows) -> dict[str, float | None]:
    """Cross entropy and accuracy, named as in every other training; None without a probability."""
    with torch.inference_mode():
        answers = [
            model.judge(torch.from_numpy(part))
            for part in np.array_split(
                windows.features, len(windows.features) // GRAPHS_AT_ONCE + 1
            )
        ]
        attack = model.probability(torch.cat(answers))
    if attack is None:
        return {f"{phase}_task_loss": None}
    y = torch.from_numpy(windows.labels)
    return {
        f"{phase}_task_loss": float(_cross_entropy(attack.double(), y)),
        f"{phase}_accuracy": float(((attack >= 0.5) == (y > 0)).double().mean()),
    }


def _cross_entropy(attack: Float[Tensor, "windows"], y: Tensor) -> Tensor:
    sure = attack.clamp(_SUREST, 1 - _SUREST)
    return functional.binary_cross_entropy(sure, y.double())


def _threads(count: int) -> ExitStack:
    """Limits torch and the library to so many threads; to none where nothing is asked for."""
    stack = ExitStack()
    if count:
        from threadpoolctl import threadpool_limits

        torch.set_num_threads(count)
        stack.enter_context(threadpool_limits(count))
    return stack
