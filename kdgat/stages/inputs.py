"""What a training starts from: its windows, and the trained models of other runs."""

from __future__ import annotations

import torch

from kdgat.configs.run import RunConfig
from kdgat.data.batches import subset
from kdgat.data.store import GraphStore
from kdgat.errors import CheckpointError, DataError
from kdgat.ledger.folder import RunFolder
from kdgat.stages.prepare import Prepared
from kdgat.stages.table import Stage
from kdgat.training.checkpoint import BEST, TrainedModel, load_best


def training_stores(
    config: RunConfig, stage: Stage, prepared: Prepared
) -> tuple[GraphStore, GraphStore]:
    """Training and validation graphs that the stage is for, with labels.

    Raises:
        DataError: there is no window to train or to validate on, or no attack to learn from.
    """
    stores = (prepared.train(), prepared.validation())
    if stage.benign_only:
        stores = (benign_windows(stores[0]), benign_windows(stores[1]))
    for what, store in zip(("training", "validation"), stores, strict=True):
        if len(store) == 0:
            raise DataError(
                f"dataset '{config.dataset.name}' has no {what} window for {config.model.kind}",
                hint="ingest longer captures, or lower data.window_messages",
            )
    if not stage.benign_only:
        need_attacks(stores[0], config)
    return stores


def need_attacks(store: GraphStore, config: RunConfig) -> None:
    """Refuse to train a model that tells attacks from benign windows where there are no attacks.

    Args:
        store: the training windows, with labels.
        config: the run's config.

    Raises:
        DataError: none of them holds an attack message.
    """
    if not bool(store.y.any()):
        raise DataError(
            f"none of the {len(store)} training windows of dataset '{config.dataset.name}' holds "
            f"an attack, and {config.model.kind} learns from attacks",
            hint="add captures with attacks to a train_ folder and ingest again, or train a model "
            "that needs none: model=vgae or model=id_frequency",
        )


def feature_counts(store: GraphStore) -> tuple[int, int]:
    """Node and edge features of a store's graphs."""
    return store.x.shape[1], store.edge_attr.shape[1]


def benign_windows(store: GraphStore) -> GraphStore:
    """The store without its attack windows."""
    return subset(store, torch.nonzero(store.y == 0).squeeze(1))


def teacher_model(run: RunFolder, config: RunConfig, features: tuple[int, int]) -> TrainedModel:
    """The teacher's best weights.

    Raises:
        CheckpointError: the checkpoint is damaged, or the teacher is another kind of model than the
            student, or was trained on other windows or features.
    """
    trained = load_best(run.checkpoints / BEST)
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


def scorer_model(run: RunFolder, config: RunConfig, features: tuple[int, int]) -> TrainedModel:
    """The best weights of a model that a fusion weighs, and how its scores become decisions.

    Raises:
        CheckpointError: the checkpoint is damaged, of a fusion, of a training that never ended, or
            was trained on other windows or features than the fusion's.
    """
    trained = load_best(run.checkpoints / BEST)
    if trained.scorers or trained.calibration is None:
        what = "a fusion itself" if trained.scorers else "not trained to its end"
        raise CheckpointError(
            f"run '{run.path.name}', which the fusion is to weigh, is {what}",
            hint="name other runs or kinds as model.scorers (`kdgat runs list`)",
        )
    if trained.config.data != config.data or trained.features != features:
        raise CheckpointError(
            f"run '{run.path.name}' was trained on other windows or features than the fusion's "
            "data config asks for",
            hint="give the fusion that run's data.* (`kdgat config diff`), or train its models "
            "with the fusion's",
        )
    return trained
