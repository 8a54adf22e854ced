"""Features in standard deviations of benign training data, and nothing else's.

Departures from a profile are hardly ever seen in benign traffic, so their standard deviations say
little: they have a larger floor, and are 0 (nothing out of the ordinary) where there is no profile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

_SMALLEST_STD = 1e-3
"""A feature that hardly varies in benign traffic is not blown up by more than this."""
_SMALLEST_DEPARTURE = 0.25
"""The same for a departure from a profile: one wrong bit of 64 is not yet beyond all scales."""


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of each node and edge feature."""

    node_mean: Sequence[float]
    node_std: Sequence[float]
    edge_mean: Sequence[float]
    edge_std: Sequence[float]
    clip: float
    """Largest scaled value."""
    profile: Sequence[int] = ()
    """Columns of the departures from a profile, the first of which says whether there is one."""

    @classmethod
    def fit(
        cls,
        x: Float32[np.ndarray, "nodes features"],
        edge_attr: Float32[np.ndarray, "edges edge_features"],
        clip: float,
        names: Sequence[str] = (),
    ) -> Scaler:
        """From the nodes and edges of benign training windows.

        `names` are those of the first columns of `x`; the columns after them, which encode an id,
        are left as they are.
        """
        mean, std = _moments(x)
        profile = [i for i, name in enumerate(names) if name.startswith("profile_")]
        if profile:
            there = x[:, profile[0]] > 0
            measured = x[there][:, profile] if there.any() else x[:, profile]
            floor = _SMALLEST_DEPARTURE
            for i, (centre, spread) in zip(profile, _each(measured, floor), strict=True):
                mean[i], std[i] = centre, spread
            mean[profile[0]], std[profile[0]] = 0.0, 1.0
        for i in range(len(names), x.shape[1]) if names else ():
            mean[i], std[i] = 0.0, 1.0
        return cls(mean, std, *_moments(edge_attr), clip=clip, profile=profile)

    def nodes(
        self, x: Float32[np.ndarray, "nodes features"]
    ) -> Float32[np.ndarray, "nodes features"]:
        """Node features, scaled and clipped."""
        scaled = _scaled(x, self.node_mean, self.node_std, self.clip)
        if self.profile:
            first, last = self.profile[0], self.profile[-1] + 1
            scaled[x[:, first] == 0, first:last] = 0
        return scaled

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


def _each(values: Float32[np.ndarray, "rows features"], floor: float) -> list[tuple[float, float]]:
    mean, std = _moments(values)
    return [(centre, max(spread, floor)) for centre, spread in zip(mean, std, strict=True)]


def _scaled(
    values: Float32[np.ndarray, "rows features"],
    mean: Sequence[float],
    std: Sequence[float],
    clip: float,
) -> Float32[np.ndarray, "rows features"]:
    scaled = (values - np.array(mean, np.float32)) / np.array(std, np.float32)
    return np.clip(scaled, -clip, clip, out=scaled)
