"""Exports a model of every kind with random weights, and prints how far each is from torch.

A program of its own: where shapes are checked, as in the tests, no model can be traced.

    python -m tests.unit.stages.export_kinds DATASET_FOLDER DATA_CONFIG OUT_FOLDER
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import cast

import torch

from kdgat.configs.data import DataConfig
from kdgat.configs.model import FusionConfig, GatConfig, MlpConfig, ModelConfig, VgaeConfig
from kdgat.configs.run import RunConfig
from kdgat.models.fusion import FusionModel
from kdgat.models.table import build_model
from kdgat.stages.export import export_onnx
from kdgat.stages.prepare import Prepared, prepare
from kdgat.training.calibration import calibrate
from kdgat.training.checkpoint import TrainedModel, fused_model
from kdgat.training.scoring import score_parts

GAT = GatConfig(hidden=3, heads=2, layers=2, readout=4)
VGAE = VgaeConfig(hidden=3, heads=2, latent=3)
KINDS: dict[str, ModelConfig] = {"gat": GAT, "vgae": VGAE, "mlp": MlpConfig(hidden=4)}
METHODS = ("dqn", "mlp", "weighted_average")


def trained(prepared: Prepared, data: DataConfig, model: ModelConfig) -> TrainedModel:
    """A model with random weights, calibrated as a trained one is."""
    store = prepared.validation()
    features = (store.x.shape[1], store.edge_attr.shape[1])
    scorers: tuple[TrainedModel, ...] = ()
    if isinstance(model, FusionConfig):
        scorers = tuple(trained(prepared, data, each) for each in (VGAE, GAT))
        made = fused_model(model, scorers).eval()
        for weight in cast(FusionModel, made).policy.parameters():
            torch.nn.init.normal_(weight)
    else:
        made = build_model(model, *features).eval()
    calibration = calibrate(model, score_parts(made, model, store, 64), store)
    return TrainedModel(made, RunConfig(model=model, data=data), features, 0, calibration, scorers)


def main(dataset: Path, data: DataConfig, out: Path) -> None:
    """Export them all."""
    torch.manual_seed(0)
    prepared = prepare(dataset, data)
    kinds = {**KINDS, **{f"fusion {each}": FusionConfig(method=each, hidden=4) for each in METHODS}}
    found = {
        name: export_onnx(trained(prepared, data, model), prepared, out / "model.onnx", {})
        for name, model in kinds.items()
    }
    print(json.dumps({name: vars(report) for name, report in found.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), DataConfig.model_validate_json(sys.argv[2]), Path(sys.argv[3]))
