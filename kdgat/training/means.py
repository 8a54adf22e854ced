"""Means of an epoch's figures that an interruption in the middle of the epoch does not change.

Lightning's own means are gone with the process; these are part of the checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


class EpochMeans:
    """Running means of figures over an epoch's batches, each weighted by its graphs.

    Sums are kept in 64 bits on the figures' own device, so that no step waits for a GPU.
    """

    def __init__(self) -> None:
        self._names: tuple[str, ...] = ()
        self._sums: Tensor | None = None
        self._weight = 0.0

    def add(self, figures: Mapping[str, Tensor], weight: int) -> None:
        """One batch's figures; every batch of an epoch has the same ones."""
        values = torch.stack([value.detach().double() for value in figures.values()]) * weight
        if self._sums is None:
            self._names, self._sums, self._weight = tuple(figures), values, weight
        else:
            self._sums = self._sums.to(values.device) + values
            self._weight += weight

    def take(self, total: Callable[[Tensor], Tensor] = lambda own: own) -> dict[str, float]:
        """The means, by name, and begin anew.

        Args:
            total: the sum of a tensor over all ranks.
        """
        if self._sums is None:
            return {}
        names, (*sums, weights) = self._names, self._totals(total)
        self._names, self._sums, self._weight = (), None, 0.0
        return {name: each / weights for name, each in zip(names, sums, strict=True)}

    def state_dict(self, total: Callable[[Tensor], Tensor] = lambda own: own) -> dict[str, Any]:
        """What all ranks added so far, as plain values; for one of them to go on with."""
        return {"names": list(self._names), "totals": self._totals(total)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self._names = tuple(state["names"])
        if self._names:
            *sums, self._weight = state["totals"]
            self._sums = torch.tensor(sums, dtype=torch.double)

    def _totals(self, total: Callable[[Tensor], Tensor]) -> list[float]:
        """The sums and, last, the weight."""
        if self._sums is None:
            return []
        return total(functional.pad(self._sums, (0, 1), value=self._weight)).tolist()
