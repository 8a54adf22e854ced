"""A curriculum for a classifier: all attacks in every epoch, benign windows from easy to hard.

Which windows are hard is decided once, before training, from the training windows alone: a benign
window is the harder the farther its mean node and edge features lie from those of the mean benign
window, each feature in units of its own spread. No torch: a memory plan asks for the windows of an
epoch too.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int64

from kdgat.configs.model import GatConfig, MlpConfig
from kdgat.configs.run import RunConfig

if TYPE_CHECKING:
    from kdgat.data.store import GraphStore


@dataclass(frozen=True, eq=False)
class Curriculum:
    """Which windows of a store each epoch takes."""

    attacks: Int64[np.ndarray, "attacks"]
    """Positions of the windows that every epoch takes."""
    benign: Int64[np.ndarray, "benign"]
    """Positions of the others, from easy to hard."""
    start_share: float
    """Share of the benign windows in the first epoch."""
    epochs: int
    """The number of the first epoch that takes every window."""

    def share(self, epoch: int) -> float:
        """Share of the benign windows in an epoch: it grows evenly from `start_share` to 1."""
        return self.start_share + (1 - self.start_share) * min(1.0, epoch / self.epochs)

    def chosen(self, epoch: int) -> Int64[np.ndarray, "taken"]:
        """Positions of an epoch's windows, in the store's order."""
        count = math.ceil(self.share(epoch) * len(self.benign))
        return np.sort(np.concatenate((self.attacks, self.benign[:count])))

    def digest(self) -> str:
        """What tells it from another one."""
        found = hashlib.sha256(f"{self.start_share!r} {self.epochs} {len(self.attacks)}".encode())
        found.update(np.concatenate((self.attacks, self.benign)).tobytes())
        return found.hexdigest()


def curriculum_of(config: RunConfig, store: GraphStore) -> Curriculum | None:
    """The curriculum of a run on its training windows, which lie on the host.

    There is none where the config asks for none, and none for models that learn without attacks.
    """
    training = config.training
    if training.curriculum == "none" or not isinstance(config.model, GatConfig | MlpConfig):
        return None
    attack = store.y.numpy() > 0
    distance = benign_distance(window_means(store), ~attack)
    return Curriculum(
        np.flatnonzero(attack),
        easy_to_hard(distance, ~attack),
        training.curriculum_start,
        training.curriculum_epochs,
    )


def easy_to_hard(
    distance: Float64[np.ndarray, "windows"], benign: Bool[np.ndarray, "windows"]
) -> Int64[np.ndarray, "benign"]:
    """Positions of the benign windows, the nearest to the mean first; ties keep their order."""
    places = np.flatnonzero(benign)
    return places[np.argsort(distance[places], kind="stable")]


def benign_distance(
    means: Float64[np.ndarray, "windows features"], benign: Bool[np.ndarray, "windows"]
) -> Float64[np.ndarray, "windows"]:
    """Distance of each window from the mean benign one, in spreads of the benign windows."""
    if not benign.any():
        return np.zeros(len(means))
    center, spread = means[benign].mean(axis=0), means[benign].std(axis=0)
    # A feature that never varies says nothing.
    scaled = (means - center) / np.where(spread > 0, spread, np.inf)
    return np.sqrt(np.square(scaled).sum(axis=1))


def window_means(store: GraphStore) -> Float64[np.ndarray, "windows features"]:
    """Mean node and edge features of each window."""
    parts = ((store.x, store.node_ptr), (store.edge_attr, store.edge_ptr))
    return np.concatenate([_means(x.numpy(), pointer.numpy()) for x, pointer in parts], axis=1)


def _means(
    rows: np.ndarray, pointer: Int64[np.ndarray, "pointers"]
) -> Float64[np.ndarray, "windows features"]:
    """Mean of each window's rows; nothing for a window without any."""
    sizes = np.diff(pointer)
    found = np.zeros((len(sizes), rows.shape[1]))
    full = sizes > 0
    if full.any():
        sums = np.add.reduceat(rows, pointer[:-1][full], axis=0, dtype=np.float64)
        found[full] = sums / sizes[full, None]
    return found
