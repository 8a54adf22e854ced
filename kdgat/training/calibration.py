"""How a model's score of a window becomes a decision, from validation windows alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from kdgat.configs.model import VgaeConfig


@dataclass(frozen=True)
class Calibration:
    """Centre and spread of each part of the score on benign windows, and the threshold."""

    center: Sequence[float]
    spread: Sequence[float]
    threshold: float

    def scores(self, parts: Float64[np.ndarray, "windows parts"]) -> Float64[np.ndarray, "windows"]:
        """One score a window: the largest of its standardised parts."""
        standard = (parts - np.asarray(self.center)) / np.asarray(self.spread)
        return standard.max(axis=1)


PROBABILITY = Calibration((0.0,), (1.0,), 0.5)
"""A classifier's: its probability of attack is taken as it is."""


def calibrate(
    config: VgaeConfig, benign_parts: Float64[np.ndarray, "windows parts"]
) -> Calibration:
    """Calibration of an autoencoder from its score parts on benign validation windows.

    Parts are measured in standard deviations of benign windows, and the threshold is a quantile of
    the benign scores.
    """
    center = benign_parts.mean(axis=0)
    spread = np.maximum(benign_parts.std(axis=0), 1e-9)
    unset = Calibration(center.tolist(), spread.tolist(), 0.0)
    threshold = float(np.quantile(unset.scores(benign_parts), config.threshold_quantile))
    return Calibration(unset.center, unset.spread, threshold)
