"""How a trained model is judged: threshold, prefix of a test capture, intervals."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kdgat.configs.names import PROTOCOLS as PROTOCOLS
from kdgat.configs.names import Protocol as Protocol
from kdgat.configs.schema import Config

Threshold = Literal["auto", "fixed", "benign_quantile", "vehicle", "conformal"]


class EvaluationConfig(Config):
    """Judging; never part of what a trained run is, always of what an evaluation is."""

    threshold: Threshold = "auto"
    """Where an alarm begins: `fixed` at even odds, from benign scores, or `auto`: fixed with
    labels, otherwise the strictest vehicle's quantile times `margin`."""
    margin: float = Field(default=3.0, ge=1.0, le=100.0)
    """How many times the vehicles' threshold an alarm of a one-class model begins at
    (`auto`): on another car benign scores reach further."""
    alpha: float = Field(default=0.005, gt=0.0, lt=0.5)
    """False-alarm rate that a threshold from benign scores aims at."""
    prefix_sweep_s: tuple[float, ...] = (5.0, 30.0)
    """Other lengths of the prefix, in seconds, that `adapted` is shown with."""
    poisoned: bool = True
    """Whether `adapted` is shown with attack traffic injected into the prefix, too."""
    resamples: int = Field(default=1000, ge=0, le=100_000)
    """Bootstrap samples of an interval; 0 leaves intervals out."""
    block_windows: int = Field(default=20, ge=1, le=10_000)
    """Consecutive windows that a bootstrap sample takes together, because neighbours are alike."""
    confidence: float = Field(default=0.95, gt=0.5, lt=1.0)
    """Coverage of an interval."""
