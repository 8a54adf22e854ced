"""One training run in its folder: of any kind, with or without a teacher.

A model is trained by gradients on graphs here; what a library fits in one go, and what weighs other
runs' models, have modules of their own.
"""

from __future__ import annotations

from pathlib import Path

import torch

from kdgat.configs.run import RunConfig
from kdgat.errors import ConfigError
from kdgat.ledger.folder import RunFolder
from kdgat.models.table import build_model, parameter_count
from kdgat.progress import Progress, quiet
from kdgat.stages.inputs import (
    feature_counts,
    teacher_model,
    training_stores,
)
from kdgat.stages.memory import plan_training
from kdgat.stages.prepare import Prepared
from kdgat.stages.table import PROFILE, Stage
from kdgat.training.calibration import calibrate
from kdgat.training.checkpoint import (
    BEST,
    first_epoch_from,
    load_best,
    newest_valid,
    save_best,
)
from kdgat.training.fit import Asked, fit, nobody_asked
from kdgat.training.profiling import StepProfile
from kdgat.training.ranks import Ranks, ranks_of
from kdgat.training.scoring import score_parts
from kdgat.training.tasks import Objective, task_of
from kdgat.training.teacher_cache import FOLDER, cached_answers


def train(
    run: RunFolder,
    config: RunConfig,
    stage: Stage,
    prepared: Prepared,
    memory_folder: Path,
    teacher: RunFolder | None = None,
    progress: Progress = quiet,
    asked: Asked = nobody_asked,
    scorers: tuple[RunFolder, ...] = (),
) -> dict[str, float | None]:
    """Train the run's model to its best epoch, from its newest checkpoint if it has one.

    Args:
        run: folder of this run, already marked as running.
        config: its config, every reference resolved.
        stage: which windows it trains on.
        prepared: the dataset's graphs.
        memory_folder: what memory plans are made from: traced steps, calibrations.
        teacher: run of the teacher, for a distilled student.
        progress: told of every batch.
        asked: whether somebody asked to save and stop, looked at after every step; what takes
            seconds does not look.
        scorers: runs of the models that a fusion weighs, in its config's order.

    Returns:
        The run's summary figures. Of several ranks the first one writes and has them; the others
        have none.

    Raises:
        Paused: somebody asked for it; the same call goes on from there.
        DataError: there is no window to train or to validate on.
        CheckpointError: a checkpoint of the teacher or a scorer is damaged or of another kind.
        ConfigError: several processes are to share what one does, or a fusion's policy would
            choose from too many weights.
        MemoryPlanError: the device is too small for a single graph.
    """
    if stage.how != "gradient":
        _need_one_process(config)
    match stage.how:
        case "policy":
            from kdgat.stages.fusion import train_fusion

            figures = train_fusion(run, config, stage, prepared, scorers, teacher, progress)
        case "fitted":
            from kdgat.stages.fitted import train_fitted

            figures = train_fitted(run, config, stage, prepared, progress)
        case "gradient":
            figures = _train_by_gradients(
                run, config, stage, prepared, memory_folder, teacher, progress, asked
            )
    if figures:
        _draw_losses(run)
    return figures


def _draw_losses(run: RunFolder) -> None:
    """Keep a picture of the losses; matplotlib takes a second to import, so it comes last."""
    from kdgat.stages.plots import plot_training

    subject = run.record()
    drawn = plot_training(
        run.artifacts / "plots",
        run.path / "metrics.jsonl",
        subject=f"{subject.name}, {subject.provenance}",
    )
    if drawn is not None:
        run.keep_artifact(drawn)


def _train_by_gradients(
    run: RunFolder,
    config: RunConfig,
    stage: Stage,
    prepared: Prepared,
    memory_folder: Path,
    teacher: RunFolder | None,
    progress: Progress,
    asked: Asked,
) -> dict[str, float | None]:
    """Train a model on graphs, in the batches that memory allows."""
    ranks = ranks_of(config.resources)
    stores = training_stores(config, stage, prepared)
    features = feature_counts(stores[0])
    trained = None if teacher is None else teacher_model(teacher, config, features)
    memory = plan_training(
        run,
        config,
        stores,
        None if trained is None else trained.config.model,
        memory_folder,
        ranks,
    )
    torch.manual_seed(config.seed)
    model = build_model(config.model, *features)
    master = None if trained is None else trained.model.requires_grad_(False)
    cached = None
    if trained is not None and memory.planned.spec.cached:
        folder = prepared.folder / FOLDER
        cached = cached_answers(
            trained, config, stores, folder, on_gpu=memory.on_gpu, progress=progress
        )
    objective = Objective(task_of(config.model), config.distillation, master, cached)
    profiled = run.artifacts / PROFILE
    watch = StepProfile(profiled) if config.resources.profile and ranks.leads else None
    resume = _resume_point(run) if ranks.leads else newest_valid(run.checkpoints)[0]
    result = fit(
        model,
        objective,
        stores,
        config,
        run.checkpoints,
        resume,
        run.log_metrics,
        progress,
        limits=memory.limits,
        resident=memory.planned.resident,
        asked=asked,
        watch=watch,
    )
    if not ranks.leads:
        return {}
    for path in sorted(profiled.glob("*")):
        run.keep_artifact(path)
    measured = memory.measure()
    _calibrate_best(run, config, features, prepared)
    best = run.checkpoints / BEST
    run.keep_artifact(best)
    return {
        "best_epoch": result.best_epoch,
        "best_val_task_loss": result.best_loss,
        "epochs": result.epochs,
        "parameters": parameter_count(model),
        "teacher_parameters": None if master is None else parameter_count(master),
        "checkpoint_bytes": best.stat().st_size,
        **measured,
    }


def plan(
    run: RunFolder,
    config: RunConfig,
    stage: Stage,
    prepared: Prepared,
    memory_folder: Path,
    teacher: RunFolder | None = None,
) -> None:
    """Plan the run's memory and keep the plan, so that several ranks find the same one.

    Raises:
        ConfigError: several processes are to share what one does.
    """
    if stage.how != "gradient":
        _need_one_process(config)
        return
    stores = training_stores(config, stage, prepared)
    features = feature_counts(stores[0])
    trained = None if teacher is None else teacher_model(teacher, config, features)
    model = None if trained is None else trained.config.model
    ranks = Ranks(0, config.resources.nodes * config.resources.devices)
    plan_training(run, config, stores, model, memory_folder, ranks)


def _need_one_process(config: RunConfig) -> None:
    if config.resources.nodes * config.resources.devices > 1:
        raise ConfigError(
            f"a {config.model.kind} is trained by one process, and resources.nodes x "
            f"resources.devices is {config.resources.nodes * config.resources.devices}",
            hint="set both to 1",
        )


def _resume_point(run: RunFolder) -> Path | None:
    """The checkpoint to go on from; figures of epochs after it are forgotten."""
    resume, damaged = newest_valid(run.checkpoints)
    for path in damaged:
        run.event("checkpoint_damaged", file=path.name)
        path.unlink()
    first_epoch = 0 if resume is None else first_epoch_from(resume)
    if resume is not None:
        run.event("resumed", epoch=first_epoch, checkpoint=resume.name)
    run.forget_metrics_from(first_epoch)
    return resume


def _calibrate_best(
    run: RunFolder, config: RunConfig, features: tuple[int, int], prepared: Prepared
) -> None:
    """Write into the best checkpoint how its scores become decisions."""
    path = run.checkpoints / BEST
    trained = load_best(path)
    windows = prepared.validation()
    parts = score_parts(trained.model, config.model, windows, config.training.max_graphs)
    calibration = calibrate(config.model, parts, windows)
    save_best(path, trained.model, config, features, trained.epoch, calibration)
