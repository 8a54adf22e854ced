"""MODELS: what can be built, by the `kind` of its config."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from kdgat.configs.model import ModelConfig
from kdgat.errors import ConfigError
from kdgat.models.gat import GatClassifier
from kdgat.models.vgae import VariationalGraphAutoencoder

MODELS: dict[str, Callable[..., nn.Module]] = {
    "gat": GatClassifier,
    "vgae": VariationalGraphAutoencoder,
}


def build_model(config: ModelConfig, node_features: int, edge_features: int) -> nn.Module:
    """A model with fresh weights.

    Raises:
        ConfigError: this version has no model of that kind.
    """
    if config.kind not in MODELS:
        raise ConfigError(
            f"model '{config.kind}' can't be trained in this version",
            hint=f"choose one of: {', '.join(MODELS)}",
        )
    return MODELS[config.kind](config, node_features, edge_features)


def parameter_count(model: nn.Module) -> int:
    """Parameters of a model, frozen or not."""
    return sum(each.numel() for each in model.parameters())
