"""MODELS: what can be built from its config alone, by its `kind`.

A fusion can't: it is made of models that other runs trained (`kdgat.training.scorers`).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from kdgat.configs.model import ModelConfig
from kdgat.errors import ConfigError
from kdgat.models.gat import GatClassifier
from kdgat.models.id_frequency import IdFrequency
from kdgat.models.mlp import WindowMlp
from kdgat.models.profile import ProfileDetector
from kdgat.models.trees import BoostedTrees
from kdgat.models.vgae import VariationalGraphAutoencoder

MODELS: dict[str, Callable[..., nn.Module]] = {
    "gat": GatClassifier,
    "vgae": VariationalGraphAutoencoder,
    "gradient_boosting": BoostedTrees,
    "mlp": WindowMlp,
    "profile": ProfileDetector,
    "id_frequency": IdFrequency,
}


def build_model(config: ModelConfig, node_features: int, edge_features: int) -> nn.Module:
    """A model with fresh weights.

    Raises:
        ConfigError: a model of that kind needs more than its config.
    """
    if config.kind not in MODELS:
        raise ConfigError(
            f"a {config.kind} is made of the models of other runs, and can't be built alone",
            hint=f"choose one of: {', '.join(MODELS)}",
        )
    return MODELS[config.kind](config, node_features, edge_features)


def parameter_count(model: nn.Module) -> int:
    """Numbers that a model has learnt, frozen or not.

    Beside what gradients train these are the buffers that a checkpoint keeps, such as the nodes of
    trees and the tables of baselines.
    """
    return sum(each.numel() for each in model.state_dict().values())
