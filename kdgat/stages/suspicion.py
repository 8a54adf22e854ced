"""Which ids of a window are the most suspicious, the same way for every kind of model.

An id is as suspicious as the feature of its node that is furthest from benign training traffic, in
standard deviations, as the model gets them (a departure from a profile counts as none where there
is no profile). Ids that share the largest distance come in the order of their mean one. The model
itself is not asked: what one id contributes to a score would take a pass for each id.
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
    feature: str
    """The feature that is furthest from benign traffic."""
    distance: float
    """How far, with its sign, in standard deviations; what `data.scale_clip` is stands for more."""


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
    size = np.abs(distance)
    furthest = size.argmax(axis=1)
    worst = np.lexsort((-size.mean(axis=1), -size.max(axis=1)))[:most]
    return tuple(
        Suspect(
            id=f"{ids[node]:03X}",
            feature=str(names[columns[furthest[node]]]),
            distance=float(distance[node, furthest[node]]),
        )
        for node in worst
    )
