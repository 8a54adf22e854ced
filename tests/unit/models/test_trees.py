"""Boosted trees in torch against scikit-learn's own answers, and as a saved state."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from kdgat.configs.model import GradientBoostingConfig
from kdgat.models.trees import BoostedTrees, Trees
from tests.unit.models.bus import Bus, Traffic, everything, features_of, flooded

CONFIG = GradientBoostingConfig(iterations=30, max_leaf_nodes=12)
BUS = Bus()


def _data(seed: int, rows: int = 900) -> tuple[np.ndarray, np.ndarray]:
    """Noisy labels, so that trees grow deep; some columns have few values, as a clipped one has."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 7)).astype(np.float32)
    x[:, 3:5] = np.clip(np.round(x[:, 3:5] * 2) / 2, -1, 1)
    y = (x[:, 0] * x[:, 1] + x[:, 3] + rng.normal(0, 0.5, rows) > 0.3).astype(np.int64)
    return x, y


def _theirs(x: np.ndarray, y: np.ndarray, config: GradientBoostingConfig) -> np.ndarray:
    """scikit-learn's probability of an attack on windows that it was and was not fitted on."""
    model = HistGradientBoostingClassifier(
        max_iter=config.iterations,
        max_leaf_nodes=config.max_leaf_nodes,
        learning_rate=config.learning_rate,
        early_stopping=False,  # pyright: ignore[reportArgumentType]
        random_state=0,
    ).fit(x, y)
    return model.predict_proba(np.concatenate((x, _data(9)[0])))[:, 1]


@pytest.mark.parametrize(
    "config",
    [CONFIG, GradientBoostingConfig(iterations=1), GradientBoostingConfig(max_leaf_nodes=2)],
    ids=["usual", "one tree", "stumps"],
)
def test_probabilities_are_scikit_learns(config: GradientBoostingConfig) -> None:
    x, y = _data(1)
    trees = Trees()
    trees.fit(x, y, config, seed=0)
    ours = trees(torch.from_numpy(np.concatenate((x, _data(9)[0])))).sigmoid().numpy()
    assert np.abs(ours - _theirs(x, y, config)).max() < 1e-9
    assert ours.std() > 0.01


def test_values_on_a_threshold_go_the_way_they_do_in_scikit_learn() -> None:
    x = np.repeat(np.array([[0.0], [1.0], [np.float32(0.1)]], np.float32), 40, axis=0)
    y = np.repeat(np.array([0, 1, 1]), 40)
    trees = Trees()
    trees.fit(x, y, CONFIG, seed=0)
    inner = trees.left.long() != torch.arange(len(trees.left))
    exact = trees.threshold[inner]
    probe = torch.cat((exact, exact.nextafter(exact + 1)))[:, None]
    theirs = HistGradientBoostingClassifier(
        max_iter=CONFIG.iterations,
        max_leaf_nodes=CONFIG.max_leaf_nodes,
        early_stopping=False,  # pyright: ignore[reportArgumentType]
        random_state=0,
    ).fit(x, y)
    expected = theirs.predict_proba(probe.numpy())[:, 1]
    assert np.abs(trees(probe).sigmoid().numpy() - expected).max() < 1e-9
    assert len(np.unique(expected.round(6))) > 1


def _model(seed: int = 0, traffic: Traffic | None = None) -> BoostedTrees:
    store = BUS.store(traffic or flooded(3, 90))
    model = BoostedTrees(CONFIG, *features_of(store))
    model.know(BUS.names, BUS.scaler)
    windows = model.pooled(store)
    model.fit(windows, windows, seed)
    return model.eval()


def test_a_saved_state_alone_says_how_large_the_trees_are() -> None:
    model, batch = _model(), everything(BUS.store(flooded(4, 30)))
    saved = io.BytesIO()
    torch.save(model.state_dict(), saved)
    saved.seek(0)
    fresh = BoostedTrees(CONFIG, batch.x.shape[1], batch.edge_attr.shape[1])
    fresh.load_state_dict(torch.load(saved, weights_only=True))
    assert torch.equal(fresh(batch), model(batch))
    assert len(fresh.trees.root) == CONFIG.iterations
    other = _model(traffic=flooded(5, 40))
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(batch), model(batch))


def test_a_flood_is_told_from_benign_traffic_by_logits_of_the_two_classes() -> None:
    store = BUS.store(flooded(4, 60))
    logits = _model()(everything(store))
    assert logits.shape == (60, 2)
    assert (logits.argmax(dim=1) == store.y).all()


def test_the_same_seed_gives_the_same_trees() -> None:
    one, other = _model(7).state_dict(), _model(7).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_shuffled_labels_leave_nothing_to_learn() -> None:
    model = BoostedTrees(CONFIG, *features_of(BUS.store(flooded(3, 300))))
    train, validation = (model.pooled(BUS.store(flooded(seed, 300))) for seed in (3, 4))
    rng = np.random.default_rng(0)

    def auroc(labels: np.ndarray) -> float:
        windows = replace(train, labels=labels)
        model.fit(windows, validation, 0)
        attack = model.judge(torch.from_numpy(validation.features)).softmax(dim=1)[:, 1]
        return float(roc_auc_score(validation.labels, attack.numpy()))

    shuffled = np.mean([auroc(rng.permutation(train.labels)) for _ in range(8)])
    assert auroc(train.labels) == 1.0
    assert abs(shuffled - 0.5) < 0.1
