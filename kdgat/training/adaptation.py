"""A trained model adapted to one capture from its unlabelled prefix: nothing is trained again.

What a prefix teaches is the profile that windows are measured against (`kdgat.data.profiles`) and,
for one-class models, where their scores usually lie on this car (`Calibration.adapted`). A fusion
is adapted through its one-class scorers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from kdgat.configs.model import ONE_CLASS, FusionConfig
from kdgat.data.store import GraphStore
from kdgat.models.fusion import FusionModel
from kdgat.training.checkpoint import TrainedModel, fused_model
from kdgat.training.scoring import score_parts


def adapts(subject: TrainedModel) -> bool:
    """Whether a prefix's scores change anything about a model."""
    return subject.config.model.kind in ONE_CLASS or any(adapts(each) for each in subject.scorers)


def adapted(subject: TrainedModel, prefix: GraphStore) -> TrainedModel:
    """The model with its scores where they belong on the car of this prefix.

    Args:
        subject: a trained model; it is not changed.
        prefix: windows of the prefix, without labels, each measured against the rest of it.
    """
    if not adapts(subject) or len(prefix) == 0:
        return subject
    config = subject.config
    if isinstance(config.model, FusionConfig):
        scorers = tuple(adapted(each, prefix) for each in subject.scorers)
        model = fused_model(config.model, scorers)
        model.policy = cast(FusionModel, subject.model).policy
        return replace(subject, model=model.eval(), scorers=scorers)
    assert subject.calibration is not None
    parts = score_parts(subject.model, config.model, prefix, config.training.max_graphs)
    return replace(subject, calibration=subject.calibration.adapted(parts))
