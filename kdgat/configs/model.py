"""The models a run can train, told apart by `kind`, and the numbers of each size.

`large` is the teacher, `small` the student that fits an ECU, `medium` a step between them for a
cascade. The budgets of the two are the predecessor's own parameter counts: VGAE 185,850 and 9,186,
GAT 311,138 and 49,202, fusion 689,493 and 32,341 (from the project's design brief).
"""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from kdgat.configs.schema import Config

Size = Literal["large", "medium", "small"]
Kind = Literal["vgae", "gat", "fusion", "gradient_boosting", "mlp", "profile", "id_frequency"]
ONE_CLASS: tuple[Kind, ...] = ("vgae", "id_frequency")
"""Models that learn what benign traffic is and have no even odds: their thresholds come from benign
scores."""
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


class FusionConfig(Config):
    """Policy that weighs several models' scores of a window against each other."""

    kind: Literal["fusion"] = "fusion"
    """Which model this is."""
    method: Literal["dqn", "mlp", "bandit", "weighted_average"] = "dqn"
    """How the weight is chosen."""
    scorers: tuple[str, ...] = ("vgae", "gat")
    """The models whose scores are weighed: run ids, or kinds; a kind is its newest completed run
    with this one's dataset, data, size and distillation."""
    hidden: int = Field(default=128, ge=1, le=4096)
    """Width of the policy's hidden layers."""
    layers: int = Field(default=2, ge=1, le=8)
    """Hidden layers of the policy."""
    actions: int = Field(default=21, ge=2, le=201)
    """Values of one weight to choose from, evenly spaced from 0 to 1; all weights sum to 1."""
    epochs: int = Field(default=20, ge=1, le=10_000)
    """Passes of the policy over the training windows."""
    batch_windows: int = Field(default=512, ge=1, le=1_000_000)
    """Windows in one step of the policy."""
    learning_rate: float = Field(default=1e-3, gt=0.0, le=1.0)
    """Step size of the policy's AdamW."""
    discount: float = Field(default=0.5, ge=0.0, lt=1.0)
    """Worth of the next window's reward beside this one's (dqn)."""
    exploration: float = Field(default=0.1, ge=0.0, le=1.0)
    """Probability of a random action at the end of training; it falls to it from 1 (dqn,
    bandit)."""
    target_steps: int = Field(default=100, ge=1, le=100_000)
    """Steps after which the target network is renewed (dqn)."""
    blind_share: float = Field(default=0.3, ge=0.0, le=1.0)
    """Share of attack windows on which a scorer that was trained with labels is shown, in
    training, with what it says of a benign window."""

    @field_validator("scorers")
    @classmethod
    def _several_scorers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) < 2 or len(set(value)) < len(value):
            raise ValueError("name two scorers or more, each once")
        return value


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


class ProfileConfig(Config):
    """Trees and one-class thresholds on a window's departure from its vehicle's profile, a
    baseline without a graph."""

    kind: Literal["profile"] = "profile"
    """Which model this is."""
    iterations: int = Field(default=200, ge=1, le=10_000)
    """Trees."""
    max_leaf_nodes: int = Field(default=31, ge=2, le=1024)
    """Leaves of one tree."""
    learning_rate: float = Field(default=0.1, gt=0.0, le=1.0)
    """Shrinkage of each tree."""


class IdFrequencyConfig(Config):
    """How often each arbitration id came against how often it should, a baseline without training
    on attacks."""

    kind: Literal["id_frequency"] = "id_frequency"
    """Which model this is."""


ModelConfig = Annotated[
    GatConfig
    | VgaeConfig
    | FusionConfig
    | GradientBoostingConfig
    | MlpConfig
    | ProfileConfig
    | IdFrequencyConfig,
    Field(discriminator="kind"),
]


def model_preset(kind: Kind, size: Size) -> ModelConfig:
    """The numbers of one model at one size; `id_frequency` has none, and is the same at each."""
    match kind, size:
        case "gat", "large":
            return GatConfig()
        case "gat", "medium":
            return GatConfig(hidden=20, heads=4, layers=3, readout=96)
        case "gat", _:
            return GatConfig(hidden=10, heads=4, layers=2, readout=48)
        case "vgae", "large":
            return VgaeConfig()
        case "vgae", "medium":
            return VgaeConfig(hidden=16, heads=4, latent=20, decoder=64)
        case "vgae", _:
            return VgaeConfig(hidden=8, heads=4, latent=12, decoder=32)
        case "fusion", _:
            return FusionConfig(hidden={"large": 256, "medium": 64, "small": 32}[size])
        case "gradient_boosting", _:
            return GradientBoostingConfig(iterations=_TREES[size])
        case "mlp", _:
            return MlpConfig(hidden={"large": 128, "medium": 64, "small": 32}[size])
        case "profile", _:
            return ProfileConfig(iterations=_TREES[size])
        case _:
            return IdFrequencyConfig()


_TREES: dict[Size, int] = {"large": 200, "medium": 100, "small": 40}
