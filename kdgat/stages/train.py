"""One training run in its folder: autoencoder or classifier, with or without a teacher."""

from __future__ import annotations

from pathlib import Path

import torch

from kdgat.configs.model import VgaeConfig
from kdgat.configs.run import RunConfig
from kdgat.data.batches import subset
from kdgat.data.store import GraphStore
from kdgat.errors import CheckpointError, DataError
from kdgat.ledger.folder import RunFolder
from kdgat.models.table import build_model, parameter_count
from kdgat.progress import Progress, quiet
from kdgat.stages.memory import plan_training
from kdgat.stages.prepare import Prepared
from kdgat.stages.table import Stage
from kdgat.training.calibration import PROBABILITY, calibrate
from kdgat.training.checkpoint import (
    BEST,
    TrainedModel,
    first_epoch_from,
    load_best,
    newest_valid,
    save_best,
)
from kdgat.training.fit import Asked, fit, nobody_asked
from kdgat.training.ranks import Ranks, ranks_of
from kdgat.training.scoring import score_parts
from kdgat.training.tasks import Objective, task_of


def train(
    run: RunFolder,
    config: RunConfig,
    stage: Stage,
    prepared: Prepared,
    memory_folder: Path,
    teacher: RunFolder | None = None,
    progress: Progress = quiet,
    asked: Asked = nobody_asked,
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
        asked: whether somebody asked to save and stop, looked at after every step.

    Returns:
        The run's summary figures. Of several ranks the first one writes and has them; the others
        have none.

    Raises:
        Paused: somebody asked for it; the same call goes on from there.
        DataError: there is no window to train or to validate on.
        CheckpointError: the teacher's checkpoint is damaged or of another kind.
        MemoryPlanError: the device is too small for a single graph.
    """
    ranks = ranks_of(config.resources)
    stores = _stores(config, stage, prepared)
    features = (stores[0].x.shape[1], stores[0].edge_attr.shape[1])
    trained = None if teacher is None else _teacher(teacher, config, features)
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
    objective = Objective(task_of(config.model), config.distillation, master)
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
    )
    if not ranks.leads:
        return {}
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
    """Plan the run's memory and keep the plan, so that several ranks find the same one."""
    stores = _stores(config, stage, prepared)
    features = (stores[0].x.shape[1], stores[0].edge_attr.shape[1])
    trained = None if teacher is None else _teacher(teacher, config, features)
    model = None if trained is None else trained.config.model
    ranks = Ranks(0, config.resources.nodes * config.resources.devices)
    plan_training(run, config, stores, model, memory_folder, ranks)


def _stores(config: RunConfig, stage: Stage, prepared: Prepared) -> tuple[GraphStore, GraphStore]:
    """Training and validation graphs that the stage is for."""
    stores = (prepared.train(), prepared.validation())
    if stage.benign_only:
        stores = (_benign(stores[0]), _benign(stores[1]))
    _need_windows(stores, config)
    return stores


def _benign(store: GraphStore) -> GraphStore:
    return subset(store, torch.nonzero(store.y == 0).squeeze(1))


def _need_windows(stores: tuple[GraphStore, GraphStore], config: RunConfig) -> None:
    for what, store in zip(("training", "validation"), stores, strict=True):
        if len(store) == 0:
            raise DataError(
                f"dataset '{config.dataset.name}' has no {what} window for {config.model.kind}",
                hint="ingest longer captures, or lower data.window_messages",
            )


def _teacher(run: RunFolder, config: RunConfig, features: tuple[int, int]) -> TrainedModel:
    """The teacher's best weights, if it is the same kind of model on the same features."""
    path = run.checkpoints / BEST
    trained = load_best(path)
    theirs, ours = trained.config, config
    if theirs.model.kind != ours.model.kind:
        raise CheckpointError(
            f"teacher '{run.path.name}' is a {theirs.model.kind}, the student a {ours.model.kind}",
            hint="choose a teacher of the student's kind (`kdgat runs list`)",
        )
    if theirs.data != ours.data or trained.features != features:
        raise CheckpointError(
            f"teacher '{run.path.name}' was trained on other windows or features than the "
            "student's data config asks for",
            hint="give the student the teacher's data.* (`kdgat config diff`), or train a teacher "
            "with the student's",
        )
    return trained


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
    if isinstance(config.model, VgaeConfig):
        benign = _benign(prepared.validation())
        parts = score_parts(trained.model, config.model, benign, config.training.max_graphs)
        calibration = calibrate(config.model, parts)
    else:
        calibration = PROBABILITY
    save_best(path, trained.model, config, features, trained.epoch, calibration)
