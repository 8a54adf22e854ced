"""The profile detector: what its trees never saw, its limits find."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from kdgat.configs.model import ProfileConfig
from kdgat.errors import ConfigError, DataError
from kdgat.models.profile import ProfileDetector
from tests.unit.models.bus import (
    Bus,
    Traffic,
    everything,
    features_of,
    flooded,
    strange_id,
    strange_payload,
)

BUS = Bus()
Made = Callable[[int, int], Traffic]
SMALL = ProfileConfig(iterations=20, max_leaf_nodes=6)


def _trained(seed: int = 0, train: Traffic | None = None, bus: Bus = BUS) -> ProfileDetector:
    """A detector that was shown floods and nothing else."""
    stores = bus.store(train or flooded(3, 240), 0.25), bus.store(flooded(4, 120), 0.25)
    model = ProfileDetector(SMALL, *features_of(stores[0]))
    model.know(bus.names, bus.scaler)
    model.fit(model.pooled(stores[0]), model.pooled(stores[1]), seed)
    return model.eval()


@pytest.fixture(scope="module")
def detector() -> ProfileDetector:
    return _trained()


def _scores(detector: ProfileDetector, traffic: Traffic) -> tuple[Tensor, Tensor]:
    """Scores of attack windows and of benign ones."""
    store = BUS.store(traffic)
    score = detector(everything(store))[:, 0]
    assert ((score >= 0) & (score < 1)).all()
    return score[store.y > 0], score[store.y == 0]


@pytest.mark.parametrize("kind", [flooded, strange_id, strange_payload])
def test_attacks_alarm_that_it_was_and_was_never_shown(
    detector: ProfileDetector, kind: Made
) -> None:
    attack, quiet = _scores(detector, kind(5, 240))
    assert (attack >= 0.5).all()
    assert (quiet >= 0.5).float().mean() < 0.03


@pytest.mark.parametrize("kind", [strange_id, strange_payload])
def test_the_trees_alone_would_miss_what_the_limits_find(
    detector: ProfileDetector, kind: Made
) -> None:
    store = BUS.store(kind(5, 120))
    by_trees = detector.trees(detector.pool(everything(store))).sigmoid() >= 0.5
    assert by_trees[store.y > 0].float().mean() < 0.5


def test_the_odds_are_even_where_the_excess_is_the_margin(detector: ProfileDetector) -> None:
    batch = everything(BUS.store(strange_id(5, 20)))
    vectors = detector.pool(batch)
    excess = detector.excess(vectors)
    line = ProfileDetector(SMALL, batch.x.shape[1], batch.edge_attr.shape[1])
    line.load_state_dict(detector.state_dict())
    line.keep("margin", float(excess[1]))
    line.trees.keep("baseline", -100.0)
    assert line.judge(vectors)[1, 0].item() == pytest.approx(0.5)


def test_a_window_without_a_profile_has_no_score(detector: ProfileDetector) -> None:
    store = BUS.store(flooded(5, 30), unprofiled_share=1.0)
    assert (detector(everything(store)) == 0).all()


def test_only_departures_from_the_profile_are_read(detector: ProfileDetector) -> None:
    batch = everything(BUS.store(flooded(5, 30)))
    others = [i for i, name in enumerate(BUS.names) if not name.startswith("profile_")]
    x = batch.x.clone()
    x[:, others] = torch.randn(len(x), len(others))
    assert torch.equal(detector(replace(batch, x=x)), detector(batch))


def test_limits_and_margin_know_no_attack_window() -> None:
    stores = BUS.store(flooded(3, 240)), BUS.store(flooded(4, 120))
    model = ProfileDetector(SMALL, *features_of(stores[0]))
    model.know(BUS.names, BUS.scaler)
    train, validation = (model.pooled(store) for store in stores)
    model.fit(train, validation, 0)
    limit, margin = model.limit, model.margin
    wild = [
        replace(each, features=np.where(each.labels[:, None] > 0, 9.0, each.features))
        for each in (train, validation)
    ]
    model.fit(replace(wild[0], features=wild[0].features.astype(np.float32)), validation, 0)
    assert torch.equal(model.limit, limit)
    model.fit(train, replace(wild[1], features=wild[1].features.astype(np.float32)), 0)
    assert torch.equal(model.margin, margin)


def test_the_margin_is_what_each_vehicle_needs_beyond_the_others() -> None:
    store = BUS.store(flooded(3, 240))
    model = ProfileDetector(SMALL, *features_of(store))
    model.know(BUS.names, BUS.scaler)
    train = model.pooled(store)
    model.fit(train, train, 0)
    alone = float(model.margin)
    other = (np.arange(len(train.labels)) >= 120) & (train.labels == 0)
    features = train.features.copy()
    features[other, 0] += 3.0
    two = replace(train, features=features, vehicle=np.where(other, "other", "bus").astype(object))
    model.fit(two, two, 0)
    assert float(model.margin) > alone
    model.fit(replace(two, vehicle=train.vehicle), two, 0)
    assert float(model.margin) == alone


def test_a_saved_state_is_the_whole_model(detector: ProfileDetector) -> None:
    batch, saved = everything(BUS.store(flooded(5, 30))), io.BytesIO()
    torch.save(detector.state_dict(), saved)
    saved.seek(0)
    fresh = ProfileDetector(SMALL, batch.x.shape[1], batch.edge_attr.shape[1])
    fresh.load_state_dict(torch.load(saved, weights_only=True))
    assert torch.equal(fresh(batch), detector(batch))


def test_the_same_seed_gives_the_same_detector() -> None:
    one, other = _trained(1).state_dict(), _trained(1).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_without_profile_features_the_config_is_refused() -> None:
    names = [name for name in BUS.names if not name.startswith("profile_")]
    with pytest.raises(ConfigError, match="no 'profile'"):
        ProfileDetector(SMALL, 6, 3).know(names, BUS.scaler)


def test_training_windows_without_any_profile_are_refused() -> None:
    store = BUS.store(flooded(3, 30), unprofiled_share=1.0)
    model = ProfileDetector(SMALL, *features_of(store))
    model.know(BUS.names, BUS.scaler)
    windows = model.pooled(store)
    with pytest.raises(DataError, match="has a profile to be measured against"):
        model.fit(windows, windows, 0)
