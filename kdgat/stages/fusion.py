"""The fusion stage: a policy trained on what the best models of other runs say of each window.

Scoring the windows takes the time, the policy seconds; so nothing is kept half-way, and a run that
was stopped begins again, to the same numbers.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from kdgat.configs.model import FusionConfig
from kdgat.configs.run import RunConfig
from kdgat.data.store import GraphStore
from kdgat.ledger.folder import RunFolder
from kdgat.models.fusion import FusionModel
from kdgat.models.table import parameter_count
from kdgat.progress import Progress, quiet
from kdgat.stages.inputs import (
    feature_counts,
    scorer_model,
    teacher_model,
    training_stores,
)
from kdgat.stages.prepare import Prepared
from kdgat.stages.table import Stage
from kdgat.training.calibration import calibrate
from kdgat.training.checkpoint import BEST, TrainedModel, fused_model, save_best
from kdgat.training.fusion_table import FusionTable, fusion_table
from kdgat.training.policies import train_policy
from kdgat.training.scoring import score_parts


def train_fusion(
    run: RunFolder,
    config: RunConfig,
    stage: Stage,
    prepared: Prepared,
    scorers: tuple[RunFolder, ...],
    teacher: RunFolder | None = None,
    progress: Progress = quiet,
) -> dict[str, float | None]:
    """Train the run's policy to its best epoch, from the start.

    Args:
        run: folder of this run, already marked as running.
        config: its config, every reference resolved.
        stage: the fusion stage.
        prepared: the dataset's graphs.
        scorers: runs of the models that are weighed, in the config's order.
        teacher: run of a larger fusion, for a distilled policy.
        progress: told of every epoch.

    Returns:
        The run's summary figures.

    Raises:
        CheckpointError: a checkpoint is damaged, of another kind, or was trained on other windows
            or features.
        ConfigError: the policy would choose from too many weights.
        DataError: there is no window to train or to validate on.
    """
    assert isinstance(config.model, FusionConfig)
    stores = training_stores(config, stage, prepared)
    features = feature_counts(stores[0])
    trained = tuple(scorer_model(each, config, features) for each in scorers)
    master = None if teacher is None else teacher_model(teacher, config, features)
    torch.manual_seed(config.seed)
    model = fused_model(config.model, trained).to(_device(config))
    taught = None if master is None else _fused_scores(master, stores[0], config, progress)
    tables = _tables(model, stores, config, progress)
    run.forget_metrics_from(0)
    result = train_policy(
        model.cpu(), tables, config, run.log_metrics, teacher=taught, progress=progress
    )
    parts = score_parts(model, config.model, stores[1], config.training.max_graphs)
    calibration = calibrate(config.model, parts, stores[1])
    best = run.checkpoints / BEST
    save_best(best, model, config, features, result.best_epoch, calibration, trained)
    run.keep_artifact(best)
    return {
        "best_epoch": result.best_epoch,
        "best_val_task_loss": result.best_loss,
        "epochs": result.epochs,
        "parameters": parameter_count(model),
        "policy_parameters": parameter_count(model.policy),
        "teacher_parameters": None if master is None else parameter_count(master.model),
        "checkpoint_bytes": best.stat().st_size,
    }


def _device(config: RunConfig) -> torch.device:
    """Where the models score; the policy is so small that a GPU would only wait for it."""
    on_gpu = config.resources.accelerator != "cpu" and torch.cuda.is_available()
    return torch.device("cuda" if on_gpu else "cpu")


def _tables(
    model: FusionModel, stores: tuple[GraphStore, GraphStore], config: RunConfig, progress: Progress
) -> tuple[FusionTable, FusionTable]:
    tables = []
    for number, store in enumerate(stores):
        what = ("training", "validation")[number]
        progress(f"fusion {config.size}: scores of {what} windows", number, len(stores))
        tables.append(fusion_table(model, store, config.training.max_graphs))
    return tables[0], tables[1]


def _fused_scores(
    teacher: TrainedModel, store: GraphStore, config: RunConfig, progress: Progress
) -> Float[Tensor, "windows"]:
    """What the teacher says of each window."""
    progress(f"fusion {config.size}: the teacher's scores", 0, 1)
    model = teacher.model.to(_device(config))
    parts = score_parts(model, teacher.config.model, store, config.training.max_graphs)
    return torch.from_numpy(parts[:, 0]).float()
