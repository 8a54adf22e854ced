"""What models have in common that a library fits in one go, instead of Lightning by gradients.

Such a model pools a window to one vector, and judges windows by these vectors. What it learnt lies
in buffers, whose sizes only the fit knows.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int8, Int64, Shaped
from torch import Tensor, nn

from kdgat.data.batches import BatchLoader, GraphBatch
from kdgat.data.scaling import Scaler
from kdgat.data.store import GraphStore

GRAPHS_AT_ONCE = 512
"""Windows that are pooled or judged together; none depends on the others."""
_THERE, _KNOWN = "profile_there", "profile_known"


@dataclass(frozen=True)
class PooledWindows:
    """Windows as a model pooled them, with what else a fit may know of them."""

    features: Float32[np.ndarray, "windows width"]
    labels: Int64[np.ndarray, "windows"]
    reference: Int8[np.ndarray, "windows"]
    """What a window's profile features measure it against, as `GraphStore.reference` says."""
    vehicle: Shaped[np.ndarray, "windows"]
    """Name of the vehicle that each window is of."""


class SizedByState(nn.Module):
    """A module whose own buffers take the sizes that a saved state has."""

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        for name, buffer in self.named_buffers(recurse=False):
            saved = state_dict.get(prefix + name)
            if isinstance(saved, Tensor):
                setattr(self, name, buffer.new_empty(saved.shape))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def keep(self, name: str, values: Any) -> None:
        """Put values into a buffer, in its type and on its device."""
        buffer = self.get_buffer(name)
        setattr(self, name, torch.as_tensor(values, dtype=buffer.dtype, device=buffer.device))


class FittedModel(SizedByState):
    """A model that `kdgat.stages.fitted` trains: `know`, then `fit`; an answer is `judge(pool)`."""

    def know(self, names: Sequence[str], scaler: Scaler) -> None:
        """Learn what the columns of `x` are, and how they were scaled.

        Raises:
            ConfigError: the data config leaves out a group of features that the model is made of.
        """

    @abstractmethod
    def pool(self, batch: GraphBatch) -> Float[Tensor, "graphs width"]:
        """One vector a window."""

    @abstractmethod
    def fit(self, train: PooledWindows, validation: PooledWindows, seed: int) -> None:
        """Fit the model to pooled training windows.

        Raises:
            DataError: they hold nothing to fit it to.
        """

    @abstractmethod
    def judge(self, pooled: Float[Tensor, "graphs width"]) -> Float[Tensor, "graphs parts"]:
        """What the model says of windows: logits, or score parts."""

    def probability(self, answer: Float[Tensor, "graphs parts"]) -> Tensor | None:  # noqa: ARG002
        """Probability of attack in an answer; None where the model was not trained with labels."""
        return None

    def pooled(self, store: GraphStore) -> PooledWindows:
        """All windows of a store with labels, in its order."""
        with torch.inference_mode():
            parts = [self.pool(batch).float() for batch in BatchLoader(store, GRAPHS_AT_ONCE)]
        vehicles = np.array([label.vehicle for label in store.captures], dtype=object)
        return PooledWindows(
            torch.cat(parts).numpy(),
            store.y.numpy(),
            store.reference.numpy(),
            vehicles[store.capture.numpy()],
        )

    def forward(self, batch: GraphBatch) -> Float[Tensor, "graphs parts"]:
        """What the model says of each graph of a batch."""
        return self.judge(self.pool(batch))


class ProfileColumns(SizedByState):
    """Which nodes have a profile to be measured against, and which ids that profile lacks.

    Both columns of `x` hold 0 or 1 before they are scaled; after, `middle` lies between the two.
    """

    column: Tensor
    middle: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("column", torch.full((2,), -1))
        self.register_buffer("middle", torch.zeros(2))

    def know(self, names: Sequence[str], scaler: Scaler) -> None:
        """Find the two columns; without them, no node has a profile."""
        if _THERE in names and _KNOWN in names:
            columns = [list(names).index(name) for name in (_THERE, _KNOWN)]
            self.keep("column", columns)
            self.keep("middle", [_middle(scaler, column) for column in columns])

    def forward(
        self, x: Float[Tensor, "nodes features"]
    ) -> tuple[Float[Tensor, "nodes"], Float[Tensor, "nodes"]]:
        """1 for each node whose window has a profile, and for each whose id that profile lacks."""
        there, known = self.column.tolist()
        if there < 0:
            nothing = torch.zeros_like(x[:, 0])
            return nothing, nothing
        measured = (x[:, there] > self.middle[0]).to(x.dtype)
        return measured, measured * (x[:, known] <= self.middle[1])


def _middle(scaler: Scaler, column: int) -> float:
    middle = (0.5 - scaler.node_mean[column]) / scaler.node_std[column]
    # A column that hardly varies has its middle beyond where scaled values are clipped.
    edge = 0.95 * scaler.clip
    return min(max(middle, -edge), edge)
