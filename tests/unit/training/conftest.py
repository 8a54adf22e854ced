"""A bus of six ids with a flood now and then: small enough to train on in a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kdgat.configs.data import DataConfig
from kdgat.data.graphs import Graphs, build_graphs
from kdgat.data.scaling import Scaler
from kdgat.data.store import CaptureLabel, GraphStore, open_store, save_store
from kdgat.data.windows import Messages, window_attacks, window_starts

_WINDOW = 20


def _traffic(seed: int, messages: int) -> tuple[Messages, np.ndarray]:
    """Six ids in turn with noisy payloads; every fourth window is flooded with id 0."""
    rng = np.random.default_rng(seed)
    place = np.arange(messages)
    flooded = (place // _WINDOW % 4 == 3) & (rng.random(messages) < 0.5)
    ids = np.where(flooded, 0, 0x100 + 16 * (place % 6)).astype(np.uint32)
    payload = rng.integers(0, 2**16, messages, dtype=np.uint64) << np.uint64(8)
    payload[flooded] = 0
    time_s = np.cumsum(np.where(flooded, 0.0003, 0.001) * rng.uniform(0.9, 1.1, messages))
    return Messages(time_s, ids, np.full(messages, 8, np.uint8), payload), flooded


def _store(
    folder: Path, seed: int, windows: int, scaler: Scaler | None
) -> tuple[GraphStore, Scaler]:
    config = DataConfig(
        window_messages=_WINDOW,
        stride_messages=_WINDOW,
        features=("bytes", "entropy", "rate", "timing"),
    )
    messages, attack = _traffic(seed, windows * _WINDOW)
    starts = window_starts(len(messages), _WINDOW, _WINDOW)
    graphs = build_graphs(messages, starts, config)
    scaler = scaler or Scaler.fit(graphs.x, graphs.edge_attr, clip=10.0)
    scaled = {"x": scaler.nodes(graphs.x), "edge_attr": scaler.edges(graphs.edge_attr)}
    attacks = window_attacks(attack, starts, _WINDOW)
    label = CaptureLabel(f"made/{seed}", "flood", "none")
    capture = np.zeros(len(graphs), dtype=np.int32)
    save_store(folder, Graphs(**{**vars(graphs), **scaled}), capture, [label], attacks, _WINDOW)
    return open_store(folder, labels=True), scaler


@pytest.fixture(scope="session")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[GraphStore, GraphStore]:
    """Training and validation graphs, scaled alike."""
    folder = tmp_path_factory.mktemp("stores")
    train, scaler = _store(folder / "train", 1, 96, None)
    validation, _ = _store(folder / "validation", 2, 48, scaler)
    return train, validation
