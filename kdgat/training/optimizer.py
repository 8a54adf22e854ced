"""The optimiser of every run."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.optim import AdamW

from kdgat.configs.training import TrainingConfig


def build_optimizer(
    parameters: Iterable[nn.Parameter], config: TrainingConfig, *, foreach: bool | None = None
) -> AdamW:
    """AdamW, all of a weight's arithmetic in one kernel where precision allows.

    In half precision Lightning clips no gradient of an optimiser that unscales by itself, as the
    fused one would. Then `foreach` None lets torch choose by the device: all weights at once on a
    GPU.
    """
    fused = config.precision == "32"
    return AdamW(
        parameters,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=fused,
        foreach=None if fused else foreach,
    )
