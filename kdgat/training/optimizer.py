"""The optimiser of every run."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from torch.optim import AdamW

from kdgat.configs.training import TrainingConfig


def build_optimizer(
    parameters: Iterable[nn.Parameter], config: TrainingConfig, *, foreach: bool | None = None
) -> AdamW:
    """AdamW; `foreach` None lets torch choose by the device: all at once on a GPU."""
    return AdamW(
        parameters,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        foreach=foreach,
    )
