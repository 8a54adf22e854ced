"""Runs that look trained: random weights with a calibration, in the ledger as completed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from kdgat.configs.model import GatConfig, VgaeConfig
from kdgat.configs.run import RunConfig
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.states import State
from kdgat.models.table import build_model
from kdgat.ops.experiment import new_record
from kdgat.stages.prepare import Prepared
from kdgat.stages.table import stage_of
from kdgat.training.calibration import calibrate
from kdgat.training.checkpoint import BEST, save_best
from kdgat.training.scoring import score_parts

VGAE = VgaeConfig(hidden=2, heads=1, latent=2, decoder=4)
GAT = GatConfig(hidden=2, heads=1, layers=1, readout=2)
OTHER = GatConfig(hidden=3, heads=1, layers=1, readout=2)


def planned(runs: Path, prepared: Prepared, **parts: Any) -> tuple[RunFolder, RunConfig]:
    """A run of `RunConfig(**parts)` that nobody has begun, and its config."""
    config = RunConfig.model_validate(parts)
    record = new_record(config, stage_of(config.model), prepared.dataset_hash, prepared.key)
    return RunFolder.create(runs, record, config.model_dump(mode="json")), config


def completed(runs: Path, prepared: Prepared, seed: int = 0, **parts: Any) -> RunFolder:
    """A completed run of `RunConfig(**parts)` on these graphs, whose model is as it was born."""
    run, config = planned(runs, prepared, seed=seed, **parts)
    torch.manual_seed(seed)
    store = prepared.validation()
    features = (store.x.shape[1], store.edge_attr.shape[1])
    model = build_model(config.model, *features).eval()
    parts_of_score = score_parts(model, config.model, store, 128)
    calibration = calibrate(config.model, parts_of_score, store)
    run.checkpoints.mkdir(exist_ok=True)
    save_best(run.checkpoints / BEST, model, config, features, 0, calibration)
    run.keep_artifact(run.checkpoints / BEST)
    run.update(state=State.COMPLETED)
    return run
