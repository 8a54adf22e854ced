"""A small periodic bus, its profile, and attacks on it, as graphs whose features are scaled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from kdgat.configs.data import DataConfig, FeatureGroup
from kdgat.data.batches import GraphBatch, collate
from kdgat.data.features import feature_names
from kdgat.data.graphs import Graphs
from kdgat.data.measured import Share, graphs_of_shares
from kdgat.data.profiles import VehicleProfile, make_profile
from kdgat.data.scaling import Scaler
from kdgat.data.store import CaptureLabel, GraphStore
from kdgat.data.windows import Messages, window_attacks, window_starts

WINDOW = 24
IDS = np.array([0x100, 0x110, 0x120, 0x200, 0x300, 0x400], np.uint32)
EVERYTHING: tuple[FeatureGroup, ...] = ("rate", "timing", "profile")
CONFIG = DataConfig(window_messages=WINDOW, stride_messages=WINDOW, features=EVERYTHING)


@dataclass(frozen=True)
class Traffic:
    """Messages, and which of them are attacks."""

    messages: Messages
    attack: np.ndarray


def benign(seed: int, windows: int) -> Traffic:
    """Six ids in turn a millisecond apart, with a noisy sensor in the payload's second byte."""
    rng = np.random.default_rng(seed)
    count = windows * WINDOW
    ids = IDS[np.arange(count) % len(IDS)]
    payload = rng.integers(0, 256, count, dtype=np.uint64) << np.uint64(48)
    time_s = np.cumsum(0.001 * rng.uniform(0.95, 1.05, count))
    messages = Messages(time_s, ids, np.full(count, 8, np.uint8), payload)
    return Traffic(messages, np.zeros(count, dtype=bool))


def flooded(seed: int, windows: int) -> Traffic:
    """Every third window has a flood of an id from the highest priority."""
    plain = benign(seed, windows)
    place = np.arange(len(plain.attack))
    hit = (place // WINDOW % 3 == 2) & (place % 2 == 0)
    return _changed(plain, hit, ids=0, payload=0)


def strange_id(seed: int, windows: int) -> Traffic:
    """In every second window one message has an id of its own, in the place of another."""
    plain = benign(seed, windows)
    place = np.arange(len(plain.attack))
    hit = (place // WINDOW % 2 == 1) & (place % WINDOW == 7)
    return _changed(plain, hit, ids=0x555)


def strange_payload(seed: int, windows: int) -> Traffic:
    """In every second window one message of an ordinary id has bits set that never were."""
    plain = benign(seed, windows)
    place = np.arange(len(plain.attack))
    hit = (place // WINDOW % 2 == 1) & (place % WINDOW == 7)
    return _changed(plain, hit, payload=0x00FF_FFFF)


def _changed(
    plain: Traffic, hit: np.ndarray, ids: int | None = None, payload: int | None = None
) -> Traffic:
    messages = plain.messages
    if ids is not None:
        changed = np.where(hit, np.uint32(ids), messages.arbitration_id)
        messages = replace(messages, arbitration_id=changed)
    if payload is not None:
        messages = replace(messages, payload=np.where(hit, np.uint64(payload), messages.payload))
    return Traffic(messages, hit)


@dataclass(frozen=True)
class Bus:
    """What a training leaves: profile and scaling of the bus, and the names of its features."""

    profile: VehicleProfile = field(default_factory=lambda: make_profile(benign(0, 200).messages))
    config: DataConfig = CONFIG

    @property
    def names(self) -> tuple[str, ...]:
        """Node features in their order."""
        return feature_names(self.config.features)

    @property
    def scaler(self) -> Scaler:
        """Of benign windows, a quarter of them without a profile."""
        graphs, _, _ = self._graphs(benign(1, 80), 0.25)
        return Scaler.fit(graphs.x, graphs.edge_attr, 10.0, self.names)

    def store(self, traffic: Traffic, unprofiled_share: float = 0.0) -> GraphStore:
        """Graphs of some traffic, the first of them measured against nothing."""
        graphs, reference, attacks = self._graphs(traffic, unprofiled_share)
        scaler = self.scaler
        scaled = {"x": scaler.nodes(graphs.x), "edge_attr": scaler.edges(graphs.edge_attr)}
        arrays = {**vars(graphs), **scaled, "reference": reference, "attack_messages": attacks}
        return GraphStore(
            **{name: torch.from_numpy(array) for name, array in arrays.items()},
            capture=torch.zeros(len(graphs), dtype=torch.int32),
            captures=(CaptureLabel("made/0", "flood", "bus"),),
            window_messages=WINDOW,
        )

    def _graphs(
        self, traffic: Traffic, unprofiled_share: float
    ) -> tuple[Graphs, np.ndarray, np.ndarray]:
        starts = window_starts(len(traffic.attack), WINDOW, WINDOW)
        cut = round(unprofiled_share * len(starts))
        place = np.arange(len(starts))
        shares: Sequence[Share] = (
            Share(place[:cut], None, 0),
            Share(place[cut:], self.profile if "profile" in self.config.features else None, 2),
        )
        graphs, reference = graphs_of_shares(traffic.messages, starts, shares, self.config)
        return graphs, reference, window_attacks(traffic.attack, starts, WINDOW)


def features_of(store: GraphStore) -> tuple[int, int]:
    """Node and edge features."""
    return store.x.shape[1], store.edge_attr.shape[1]


def everything(store: GraphStore) -> GraphBatch:
    """All of a store as one batch."""
    return collate(store, torch.arange(len(store)))
