"""Features in standard deviations of benign training data, and nothing else's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

_SMALLEST_STD = 1e-3
"""A feature that hardly varies in benign traffic is not blown up by more than this."""


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of each node and edge feature."""

    node_mean: Sequence[float]
    node_std: Sequence[float]
    edge_mean: Sequence[float]
    edge_std: Sequence[float]
    clip: float
    """Largest scaled value."""

    @classmethod
    def fit(
        cls,
        x: Float32[np.ndarray, "nodes features"],
        edge_attr: Float32[np.ndarray, "edges edge_features"],
        clip: float,
    ) -> Scaler:
        """From the nodes and edges of benign training windows."""
        return cls(*_moments(x), *_moments(edge_attr), clip=clip)

    def nodes(
        self, x: Float32[np.ndarray, "nodes features"]
    ) -> Float32[np.ndarray, "nodes features"]:
        """Node features, scaled and clipped."""
        return _scaled(x, self.node_mean, self.node_std, self.clip)

    def edges(
        self, edge_attr: Float32[np.ndarray, "edges edge_features"]
    ) -> Float32[np.ndarray, "edges edge_features"]:
        """Edge features, scaled and clipped."""
        return _scaled(edge_attr, self.edge_mean, self.edge_std, self.clip)


def _moments(
    values: Float32[np.ndarray, "rows features"],
) -> tuple[list[float], list[float]]:
    mean = values.mean(axis=0, dtype=np.float64)
    std = np.maximum(values.std(axis=0, dtype=np.float64), _SMALLEST_STD)
    return mean.tolist(), std.tolist()


def _scaled(
    values: Float32[np.ndarray, "rows features"],
    mean: Sequence[float],
    std: Sequence[float],
    clip: float,
) -> Float32[np.ndarray, "rows features"]:
    scaled = (values - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.clip(scaled, -clip, clip, out=scaled)
