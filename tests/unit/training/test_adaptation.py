"""A trained model adapted to a capture by its prefix: scores move, weights never do."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch

from kdgat.configs.model import (
    FusionConfig,
    GatConfig,
    MlpConfig,
    ModelConfig,
    VgaeConfig,
)
from kdgat.configs.run import RunConfig
from kdgat.data.batches import subset
from kdgat.data.measured import OWN
from kdgat.data.store import GraphStore
from kdgat.models.fusion import FusionModel
from kdgat.models.table import build_model
from kdgat.training.adaptation import adapted, adapts
from kdgat.training.calibration import calibrate
from kdgat.training.checkpoint import TrainedModel, fused_model
from kdgat.training.scoring import score_parts

VGAE = VgaeConfig(hidden=2, heads=1, latent=2, decoder=4)
GAT = GatConfig(hidden=2, heads=1, layers=1, readout=2)
FUSION = FusionConfig(hidden=4, layers=1, actions=3)


@pytest.fixture
def own(stores: tuple[GraphStore, GraphStore]) -> GraphStore:
    """Training windows as if each were measured against its own capture."""
    store, _ = stores
    reference = torch.full_like(store.reference, OWN)
    return GraphStore(**{**vars(store), "reference": reference})


@pytest.fixture
def prefix(own: GraphStore) -> GraphStore:
    """Windows of another car, on which everything is a little higher."""
    some = subset(own, torch.arange(60))
    return GraphStore(**{**vars(some), "x": some.x + 0.5, "attack_messages": None})


def trained(model: ModelConfig, store: GraphStore, seed: int = 0) -> TrainedModel:
    """A model as it was born, calibrated."""
    torch.manual_seed(seed)
    features = (store.x.shape[1], store.edge_attr.shape[1])
    made = build_model(model, *features).eval()
    calibration = calibrate(model, score_parts(made, model, store, 64), store)
    return TrainedModel(made, RunConfig(model=model), features, 0, calibration)


def fused(store: GraphStore, *scorers: TrainedModel) -> TrainedModel:
    torch.manual_seed(1)
    model = fused_model(FUSION, scorers).eval()
    calibration = calibrate(FUSION, score_parts(model, FUSION, store, 64), store)
    config = RunConfig(model=FUSION)
    return TrainedModel(model, config, scorers[0].features, 0, calibration, tuple(scorers))


def scores(subject: TrainedModel, store: GraphStore) -> np.ndarray:
    assert subject.calibration is not None
    return subject.calibration.scores(score_parts(subject.model, subject.config.model, store, 64))


def weights(subject: TrainedModel) -> list[torch.Tensor]:
    return [each.clone() for each in subject.model.state_dict().values()]


def test_one_class_models_and_fusions_of_one_adapt(own: GraphStore) -> None:
    one_class, labelled = trained(VGAE, own), trained(GAT, own)
    assert adapts(one_class)
    assert not adapts(labelled)
    assert adapts(fused(own, one_class, labelled))
    assert not adapts(fused(own, labelled, trained(GatConfig(hidden=3, heads=1, layers=1), own)))
    assert not adapts(trained(MlpConfig(hidden=2, layers=1), own))


def test_an_autoencoders_scores_come_to_where_training_had_them(
    own: GraphStore, prefix: GraphStore
) -> None:
    subject = trained(VGAE, own)
    usual, before = (np.median(scores(subject, each)) for each in (own, prefix))
    after = np.median(scores(adapted(subject, prefix), prefix))
    assert abs(after - usual) < 0.5 * abs(before - usual)


def test_no_weight_changes_and_the_model_that_was_given_is_left_alone(
    own: GraphStore, prefix: GraphStore
) -> None:
    for subject in (trained(VGAE, own), fused(own, trained(VGAE, own), trained(GAT, own))):
        before, answers = weights(subject), scores(subject, own)
        moved = adapted(subject, prefix)
        assert moved is not subject
        for now, then, old in zip(weights(moved), weights(subject), before, strict=True):
            torch.testing.assert_close(now, old, rtol=0, atol=0)
            torch.testing.assert_close(then, old, rtol=0, atol=0)
        np.testing.assert_array_equal(scores(subject, own), answers)


def test_a_fusion_is_adapted_through_its_one_class_scorers(
    own: GraphStore, prefix: GraphStore
) -> None:
    one_class, labelled = trained(VGAE, own), trained(GAT, own)
    subject = fused(own, one_class, labelled)
    moved = adapted(subject, prefix)
    assert moved.scorers[0].calibration == adapted(one_class, prefix).calibration
    assert moved.scorers[0].calibration != one_class.calibration
    assert moved.scorers[1] is labelled
    model, before = cast(FusionModel, moved.model), cast(FusionModel, subject.model)
    assert model.policy is before.policy
    assert not model.training
    assert not np.allclose(scores(moved, prefix), scores(subject, prefix))
    assert moved.calibration is subject.calibration


def test_a_classifier_and_an_empty_prefix_change_nothing(
    own: GraphStore, prefix: GraphStore
) -> None:
    labelled, one_class = trained(GAT, own), trained(VGAE, own)
    assert adapted(labelled, prefix) is labelled
    nothing = subset(prefix, torch.zeros(0, dtype=torch.int64))
    assert adapted(one_class, nothing) is one_class


def test_a_prefix_needs_no_labels_and_its_labels_change_nothing(
    own: GraphStore, prefix: GraphStore
) -> None:
    subject = trained(VGAE, own)
    labels = torch.arange(len(prefix)) % 2
    labelled = GraphStore(**{**vars(prefix), "attack_messages": labels})
    assert prefix.attack_messages is None
    assert adapted(subject, prefix).calibration == adapted(subject, labelled).calibration
