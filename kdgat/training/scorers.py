"""Trained models as the scorers of a fusion: each with its task's score and its calibration."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from kdgat.configs.model import FusionConfig, ModelConfig
from kdgat.data.measured import REFERENCES
from kdgat.models.fusion import FusionModel, Scorer, ScoreScale
from kdgat.training.calibration import Calibration
from kdgat.training.tasks import score_of


def fuse(
    config: FusionConfig, scorers: Sequence[tuple[nn.Module, ModelConfig, Calibration]]
) -> FusionModel:
    """A fusion of trained models with a fresh policy.

    Args:
        config: the fusion's numbers.
        scorers: each model, its config, and how its scores become decisions.

    Raises:
        ConfigError: the policy would choose from too many weights.
    """
    made = [
        Scorer(model, score_of(kind), score_scale(calibration))
        for model, kind, calibration in scorers
    ]
    return FusionModel(config, made)


def score_scale(calibration: Calibration) -> ScoreScale:
    """What a calibration says of a score, as a fusion needs it."""
    center, spread = calibration.center, calibration.spread
    if calibration.even is not None:
        return ScoreScale(center, spread)
    # At the usual false-alarm rate, whatever the run is judged by: that is no part of a model.
    alarms = [calibration.threshold(references=(REFERENCES[each],)) for each in sorted(REFERENCES)]
    return ScoreScale(center, spread, alarms)
