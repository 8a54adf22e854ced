"""The id-frequency detector's parts, on traffic whose counts are known by hand."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from kdgat.configs.model import IdFrequencyConfig
from kdgat.data.features import feature_names
from kdgat.data.store import GraphStore
from kdgat.errors import ConfigError
from kdgat.models.id_frequency import IdFrequency
from tests.unit.models.bus import (
    CONFIG,
    WINDOW,
    Bus,
    benign,
    everything,
    features_of,
    flooded,
    strange_id,
)

BUS = Bus()


def _model(bus: Bus, store: GraphStore) -> IdFrequency:
    model = IdFrequency(IdFrequencyConfig(), *features_of(store))
    model.know(bus.names, bus.scaler)
    windows = model.pooled(store)
    model.fit(windows, windows, 0)
    return model.eval()


def test_a_flood_departs_from_the_profile_and_is_an_unknown_id() -> None:
    store = BUS.store(flooded(3, 60))
    count, unknown, share = _model(BUS, store)(everything(store)).T
    attack = store.y > 0
    assert count[attack].min() > 2 * count[~attack].max()
    assert unknown.tolist() == store.y.tolist()
    assert (share == 0).all()


def test_the_departure_is_the_profiles_count_of_the_oddest_id() -> None:
    store = BUS.store(flooded(3, 60))
    column = BUS.names.index("profile_count")
    scaler = BUS.scaler
    raw = store.x[:, column] * scaler.node_std[column] + scaler.node_mean[column]
    first, last = store.node_ptr[2:4].tolist()
    count = _model(BUS, store)(everything(store))[2, 0]
    assert store.y[2] == 1
    assert count.item() == pytest.approx(raw[first:last].abs().max().item(), rel=1e-5)


def test_windows_without_a_profile_are_judged_by_the_share_of_the_loudest_id() -> None:
    store = BUS.store(flooded(3, 60), unprofiled_share=1.0)
    count, unknown, share = _model(BUS, store)(everything(store)).T
    assert (count == 0).all()
    assert (unknown == 0).all()
    benign_share = share[store.y == 0]
    assert benign_share == pytest.approx(4 / WINDOW, abs=1e-4)
    assert share[store.y > 0].min() > benign_share.max() + 0.005


def test_every_id_that_the_profile_lacks_is_counted() -> None:
    store = BUS.store(strange_id(3, 20))
    unknown = _model(BUS, store)(everything(store))[:, 1]
    assert unknown.tolist() == store.y.tolist()
    assert unknown.sum() == 10


def test_without_profile_features_the_share_is_left() -> None:
    bus = replace(BUS, config=CONFIG.model_copy(update={"features": ("timing", "rate")}))
    store = bus.store(flooded(3, 60))
    count, _, share = _model(bus, store)(everything(store)).T
    assert (count == 0).all()
    assert share[store.y > 0].min() > share[store.y == 0].max()


def test_without_any_frequency_the_config_is_refused() -> None:
    with pytest.raises(ConfigError, match="neither 'profile' nor 'rate'"):
        IdFrequency(IdFrequencyConfig(), 3, 3).know(feature_names(("timing",)), BUS.scaler)


def test_a_saved_state_is_the_whole_model() -> None:
    store = BUS.store(flooded(3, 30))
    model, saved = _model(BUS, store), io.BytesIO()
    torch.save(model.state_dict(), saved)
    saved.seek(0)
    fresh = IdFrequency(IdFrequencyConfig(), *features_of(store))
    fresh.load_state_dict(torch.load(saved, weights_only=True))
    assert torch.equal(fresh(everything(store)), model(everything(store)))


def test_benign_windows_are_alike_whatever_their_seed() -> None:
    store, other = BUS.store(benign(3, 60)), BUS.store(benign(4, 60))
    parts = [_model(BUS, store)(everything(each))[:, 0].numpy() for each in (store, other)]
    assert np.abs(parts[0].max() - parts[1].max()) < 0.1 * parts[0].max() + 0.1
