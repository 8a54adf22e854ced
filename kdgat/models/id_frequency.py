"""How often each arbitration id came against how often it should: nothing is learnt of attacks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from kdgat.configs.model import IdFrequencyConfig
from kdgat.data.batches import GraphBatch
from kdgat.data.scaling import Scaler
from kdgat.errors import ConfigError
from kdgat.models.fitted import FittedModel, PooledWindows, ProfileColumns
from kdgat.models.windows import largest, total

_COUNT, _SHARE = "profile_count", "share_of_window"


class IdFrequency(FittedModel):
    """Three score parts of a window, which calibration weighs against each other.

    The largest departure of an id's count from its vehicle's profile, and the ids that the profile
    lacks; of a window without a profile, the largest share of its messages that one id has instead.
    A part that does not apply is 0.
    """

    count: Tensor
    share: Tensor

    def __init__(
        self,
        config: IdFrequencyConfig,  # noqa: ARG002
        node_features: int,  # noqa: ARG002
        edge_features: int,  # noqa: ARG002
    ) -> None:
        super().__init__()
        self.profile = ProfileColumns()
        # Column (-1 where there is none), mean and standard deviation of each.
        self.register_buffer("count", torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))
        self.register_buffer("share", torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64))

    def know(self, names: Sequence[str], scaler: Scaler) -> None:
        """Find the columns that say how often an id came.

        Raises:
            ConfigError: there is none.
        """
        if _COUNT not in names and _SHARE not in names:
            raise ConfigError(
                "data.features has neither 'profile' nor 'rate', and id_frequency reads only these",
                hint="add one of them to data.features",
            )
        self.profile.know(names, scaler)
        for buffer, name in (("count", _COUNT), ("share", _SHARE)):
            if name in names:
                column = list(names).index(name)
                scale = (scaler.node_mean[column], scaler.node_std[column])
                self.keep(buffer, (column, *scale))

    def pool(self, batch: GraphBatch) -> Float[Tensor, "graphs 3"]:
        """Largest departure of a count, unknown ids, and largest share where no profile is."""
        there, unknown = self.profile(batch.x)
        departure = _unscaled(batch.x, self.count).abs() * there
        share = _unscaled(batch.x, self.share) * (1 - there)
        graph, graphs = batch.graph, batch.num_graphs
        most = largest(torch.stack((departure, share), dim=1), graph, graphs)
        strange = total(unknown[:, None], graph, graphs)
        return torch.cat((most[:, :1], strange, most[:, 1:]), dim=1)

    def fit(self, train: PooledWindows, validation: PooledWindows, seed: int) -> None:
        """Nothing is left to fit: a profile is part of the data."""

    def judge(self, pooled: Float[Tensor, "graphs 3"]) -> Float[Tensor, "graphs 3"]:
        """The parts as they were pooled."""
        return pooled


def _unscaled(x: Float[Tensor, "nodes features"], scale: Tensor) -> Float[Tensor, "nodes"]:
    """A column in its own unit; 0 where there is none."""
    column, mean, deviation = scale.tolist()
    if column < 0:
        return torch.zeros_like(x[:, 0])
    return x[:, int(column)] * deviation + mean
