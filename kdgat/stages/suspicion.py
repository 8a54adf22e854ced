"""Which ids of a window are the most suspicious, the same way for every kind of model.

An id is as suspicious as its node's features are far from benign training traffic: the mean of
their absolute values in standard deviations, as the model gets them (a departure from a profile
counts as none where there is no profile). What it is suspected for is the feature furthest away.
The model itself is not asked: what one id contributes to a score would take a pass for each id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, UInt32

from kdgat.data.features import FEATURE_NAMES, PROFILE_THERE

_NO_DEPARTURE = FEATURE_NAMES["profile"][PROFILE_THERE]
"""Says that there is a profile, and nothing about the id."""


@dataclass(frozen=True)
class Suspect:
    """An arbitration id of a window, and what is strange about it."""

    id: str
    """In hexadecimal, as buses are talked about."""
    departure: float
    """Mean distance of its features from benign traffic, in standard deviations."""
    feature: str
    """The feature furthest away."""
    distance: float
    """Its distance with its sign, in standard deviations; 10 stands for 10 and more."""


def suspects(
    x: Float32[np.ndarray, "nodes features"],
    ids: UInt32[np.ndarray, "nodes"],
    names: Sequence[str],
    most: int,
) -> tuple[Suspect, ...]:
    """The most suspicious ids of one window, the worst first.

    Args:
        x: scaled node features; columns after the named ones encode the id and don't count.
        ids: arbitration id of each node.
        names: features of the first columns.
        most: how many ids to name.
    """
    columns = [i for i, name in enumerate(names) if name != _NO_DEPARTURE]
    distance = x[:, columns]
    departure = np.abs(distance).mean(axis=1)
    worst = np.argsort(-departure, kind="stable")[:most]
    furthest = np.abs(distance[worst]).argmax(axis=1)
    return tuple(
        Suspect(
            id=f"{ids[node]:03X}",
            departure=float(departure[node]),
            feature=str(names[columns[column]]),
            distance=float(distance[node, column]),
        )
        for node, column in zip(worst, furthest, strict=True)
    )
