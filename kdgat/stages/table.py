"""STAGES: the steps of the pipeline that write a run, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from kdgat.configs.data import DataConfig
from kdgat.configs.model import Kind, ModelConfig
from kdgat.configs.run import json_digest
from kdgat.data.captures import DatasetManifest
from kdgat.errors import ConfigError


@dataclass(frozen=True)
class Stage:
    """A training step: which model it trains, how, and on which windows."""

    name: str
    kind: Kind
    version: int
    """Goes up when the same config gives another model; earlier runs then no longer count."""
    benign_only: bool
    how: Literal["gradient", "fitted", "policy"] = "gradient"
    """By Lightning on graphs; in one go by a library on window features; or a policy on the scores
    of other runs."""


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("autoencoder", "vgae", version=2, benign_only=True),
        Stage("classifier", "gat", version=2, benign_only=False),
        Stage("fusion", "fusion", version=1, benign_only=False, how="policy"),
        Stage("gradient_boosting", "gradient_boosting", 1, benign_only=False, how="fitted"),
        Stage("mlp", "mlp", version=1, benign_only=False),
        Stage("profile", "profile", version=1, benign_only=False, how="fitted"),
        Stage("id_frequency", "id_frequency", version=1, benign_only=True, how="fitted"),
    )
}


PROFILE = "profile"
"""Folder among a run's artifacts where `resources.profile` puts times and trace."""
PREPARE_VERSION = 4
"""Goes up when the same captures and config give other graphs."""
EVALUATION_VERSION = 2
"""Goes up when the same model and captures give other figures."""


def graphs_key(manifest: DatasetManifest, config: DataConfig) -> str:
    """Names the graphs that these captures and this config give: their folder, a run's input."""
    return json_digest([PREPARE_VERSION, manifest.content_hash, config.model_dump(mode="json")])


def stage_of(config: ModelConfig) -> Stage:
    """The stage that trains a kind of model.

    Raises:
        ConfigError: no stage of this version does.
    """
    for stage in STAGES.values():
        if stage.kind == config.kind:
            return stage
    kinds = ", ".join(stage.kind for stage in STAGES.values())
    raise ConfigError(
        f"model '{config.kind}' can't be trained by this version", hint=f"choose one of: {kinds}"
    )
