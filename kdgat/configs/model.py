"""The models a run can train, told apart by `kind`, and the numbers of each size.

`large` is the teacher, `small` the student that fits an ECU. Their parameter budgets are the
predecessor's own counts: VGAE 185,850 and 9,186, GAT 311,138 and 49,202 (from the project's design
brief).
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field

from kdgat.configs.schema import Config

Size = Literal["large", "small"]
Kind = Literal["vgae", "gat", "fusion", "gradient_boosting", "mlp"]
SIZES: tuple[Size, ...] = get_args(Size)
KINDS: tuple[Kind, ...] = get_args(Kind)


class GatConfig(Config):
    """Graph attention network that classifies a window as benign or attack (GATv2)."""

    kind: Literal["gat"] = "gat"
    """Which model this is."""
    hidden: int = Field(default=32, ge=1, le=1024)
    """Width of one attention head."""
    heads: int = Field(default=4, ge=1, le=32)
    """Attention heads a layer; the layer's width is `hidden * heads`."""
    layers: int = Field(default=3, ge=1, le=12)
    """Attention layers; also how many hops a node sees."""
    readout: int = Field(default=128, ge=1, le=4096)
    """Width of the classifier's hidden layer, after pooling."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Probability of dropping a unit while training."""


class VgaeConfig(Config):
    """Variational graph autoencoder that learns benign windows and scores how odd one is."""

    kind: Literal["vgae"] = "vgae"
    """Which model this is."""
    hidden: int = Field(default=32, ge=1, le=1024)
    """Width of one attention head in the encoder."""
    heads: int = Field(default=4, ge=1, le=32)
    """Attention heads of each of the encoder's two layers."""
    latent: int = Field(default=32, ge=1, le=1024)
    """Width of a node's latent."""
    decoder: int = Field(default=128, ge=1, le=4096)
    """Width of the decoder's hidden layer."""
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Probability of dropping a unit while training."""
    negatives_per_edge: int = Field(default=2, ge=1, le=64)
    """Absent edges sampled for each observed one; the decoder never scores all pairs."""
    kl_weight: float = Field(default=1e-3, ge=0.0, le=10.0)
    """Weight of the divergence from the prior, beside the reconstruction."""
    edge_weight: float = Field(default=0.2, ge=0.0, le=10.0)
    """Weight of the edges' reconstruction, beside the node features'."""
    threshold_quantile: float = Field(default=0.995, gt=0.5, lt=1.0)
    """Quantile of the scores of benign validation windows from which on a window is an attack."""


class FusionConfig(Config):
    """Policy that weighs the autoencoder's score against the classifier's."""

    kind: Literal["fusion"] = "fusion"
    """Which model this is."""
    method: Literal["dqn", "mlp", "bandit", "weighted_average"] = "dqn"
    """How the weight is chosen."""
    hidden: int = Field(default=128, ge=1, le=4096)
    """Width of the policy's hidden layers."""
    layers: int = Field(default=2, ge=1, le=8)
    """Hidden layers of the policy."""
    actions: int = Field(default=21, ge=2, le=201)
    """Weights to choose from, evenly spaced from 0 to 1."""


class GradientBoostingConfig(Config):
    """Gradient-boosted trees on window features, a baseline without a graph."""

    kind: Literal["gradient_boosting"] = "gradient_boosting"
    """Which model this is."""
    iterations: int = Field(default=200, ge=1, le=10_000)
    """Trees."""
    max_leaf_nodes: int = Field(default=31, ge=2, le=1024)
    """Leaves of one tree."""
    learning_rate: float = Field(default=0.1, gt=0.0, le=1.0)
    """Shrinkage of each tree."""


class MlpConfig(Config):
    """Multilayer perceptron on window features, a baseline without a graph."""

    kind: Literal["mlp"] = "mlp"
    """Which model this is."""
    hidden: int = Field(default=128, ge=1, le=4096)
    """Width of the hidden layers."""
    layers: int = Field(default=2, ge=1, le=8)
    """Hidden layers."""
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Probability of dropping a unit while training."""


ModelConfig = Annotated[
    GatConfig | VgaeConfig | FusionConfig | GradientBoostingConfig | MlpConfig,
    Field(discriminator="kind"),
]


def model_preset(kind: Kind, size: Size) -> ModelConfig:
    """The numbers of one model at one size."""
    large = size == "large"
    match kind:
        case "gat":
            return GatConfig() if large else GatConfig(hidden=12, heads=4, layers=2, readout=64)
        case "vgae":
            return VgaeConfig() if large else VgaeConfig(hidden=8, heads=4, latent=12, decoder=32)
        case "fusion":
            return FusionConfig() if large else FusionConfig(hidden=32)
        case "gradient_boosting":
            return GradientBoostingConfig() if large else GradientBoostingConfig(iterations=40)
        case "mlp":
            return MlpConfig() if large else MlpConfig(hidden=32)
