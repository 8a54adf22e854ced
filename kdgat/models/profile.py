"""Trees and one-class limits on how far a window departs from its vehicle's profile.

It rebuilds a trial that came before the graph models (issue 9): each id's intervals and payload
bits against benign traffic of the same vehicle, ids that traffic lacks, and no graph. The trees
know the attacks they were shown, the limits know none.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64
from torch import Tensor

from kdgat.configs.evaluation import EvaluationConfig
from kdgat.configs.model import ProfileConfig
from kdgat.data.batches import GraphBatch
from kdgat.data.measured import OWN
from kdgat.data.scaling import Scaler
from kdgat.errors import ConfigError, DataError
from kdgat.models.fitted import FittedModel, PooledWindows, ProfileColumns
from kdgat.models.trees import Trees
from kdgat.models.windows import largest, rows_of, smallest, total

_NO_DEPARTURES = ("profile_there", "profile_known")
"""Columns that say what there is to compare with."""
_USUAL = EvaluationConfig()
_FALSE_ALARMS = _USUAL.alpha
"""Share of benign windows that may be beyond the margin. Not a run's own `evaluation.alpha`: how a
run is judged is no part of its identity, so no model may depend on it."""
_LEAST_SPREAD = 0.1
"""In standard deviations of nodes: a statistic that benign windows all share has no spread."""
_LEAST_MARGIN = 1.0
"""In spreads of benign windows: where no benign windows leave what others show."""
_ROOM = _USUAL.margin
"""A vehicle never seen may leave the limits this much farther than the training vehicles leave each
other's: they are few."""
_FEWEST_OWN = 50
"""Benign windows measured against their own capture, from which on the limits are theirs alone."""


class ProfileDetector(FittedModel):
    """One score from 0 to 1 for each graph: what trees say, or one-class limits if they say more.

    A pooled vector holds, of every departure, its maximum, its negative minimum and its mean over
    the nodes, then the ids that the profile lacks, then whether there is a profile. A window
    without one has a score of 0: nothing here could tell anything of it.
    """

    columns: Tensor
    limit: Tensor
    spread: Tensor
    margin: Tensor

    def __init__(
        self,
        config: ProfileConfig,
        node_features: int,  # noqa: ARG002
        edge_features: int,  # noqa: ARG002
    ) -> None:
        super().__init__()
        self.config = config
        self.profile = ProfileColumns()
        self.trees = Trees()
        self.register_buffer("columns", torch.zeros(0, dtype=torch.long))
        for name in ("limit", "spread"):
            self.register_buffer(name, torch.ones(1, dtype=torch.float64))
        self.register_buffer("margin", torch.tensor(_LEAST_MARGIN, dtype=torch.float64))

    def know(self, names: Sequence[str], scaler: Scaler) -> None:
        """Find the columns that measure departures.

        Raises:
            ConfigError: there is none.
        """
        departures = [
            column
            for column, name in enumerate(names)
            if name.startswith("profile_") and name not in _NO_DEPARTURES
        ]
        if not departures:
            raise ConfigError(
                "data.features has no 'profile', and the profile detector reads nothing else",
                hint="add it to data.features",
            )
        self.profile.know(names, scaler)
        self.keep("columns", departures)

    def pool(self, batch: GraphBatch) -> Float[Tensor, "graphs width"]:
        """Departures pooled over each graph's nodes."""
        graph, graphs = batch.graph, batch.num_graphs
        x = batch.x[:, self.columns]
        there, unknown = self.profile(batch.x)
        pooled = (
            largest(x, graph, graphs),
            -smallest(x, graph, graphs),
            total(x, graph, graphs) / rows_of(graph, graphs).clamp(min=1),
            total(unknown[:, None], graph, graphs),
            largest(there[:, None], graph, graphs),
        )
        return torch.cat(pooled, dim=1)

    def fit(self, train: PooledWindows, validation: PooledWindows, seed: int) -> None:
        """Grow the trees, and set the limits to what benign training windows show.

        Their margin is `_ROOM` times how far benign windows go beyond limits that were set without
        them: those of each training vehicle beyond the others', and validation windows.

        Raises:
            DataError: too few windows have a profile.
        """
        profiled = train.features[:, -1] > 0
        labels = train.labels[profiled]
        if len(np.unique(labels)) < 2:
            what = "benign" if labels.any() else "attack"
            raise DataError(
                f"no {what} window for training has a profile to be measured against",
                hint="lower data.unprofiled_share, or ingest captures with more benign traffic",
            )
        self.trees.fit(train.features[profiled], labels, self.config, seed)
        usual = _usual(train)
        benign, vehicle = train.features[usual], train.vehicle[usual]
        beyond = []
        for held in np.unique(vehicle) if len(np.unique(vehicle)) > 1 else ():
            self._set_limits(benign[vehicle != held])
            beyond.append(self._usual_excess(benign[vehicle == held]))
        self._set_limits(benign)
        beyond.append(self._usual_excess(validation.features[_usual(validation)]))
        self.keep("margin", _ROOM * max(*beyond, _LEAST_MARGIN))

    def excess(self, pooled: Float[Tensor, "graphs width"]) -> Float64[Tensor, "graphs"]:
        """How far the farthest statistic is beyond every benign training window, in spreads."""
        beyond = (self._one_class(pooled) - self.limit) / self.spread
        return beyond.amax(dim=1).clamp(min=0)

    def judge(self, pooled: Float[Tensor, "graphs width"]) -> Float64[Tensor, "graphs 1"]:
        """Probability by the trees, or odds by the limits: even where the excess is the margin."""
        ratio = self.excess(pooled) / self.margin
        score = torch.maximum(self.trees(pooled).sigmoid(), ratio / (1 + ratio))
        return (score * (pooled[:, -1] > 0))[:, None]

    def probability(self, answer: Float[Tensor, "graphs 1"]) -> Float[Tensor, "graphs"]:
        """The score, which is one."""
        return answer[:, 0]

    def _set_limits(self, benign: Float32[np.ndarray, "windows width"]) -> None:
        statistics = self._one_class(torch.from_numpy(benign))
        self.keep("limit", statistics.amax(dim=0))
        self.keep("spread", statistics.std(dim=0, correction=0).clamp(min=_LEAST_SPREAD))

    def _usual_excess(self, benign: Float32[np.ndarray, "windows width"]) -> float:
        """Excess that hardly a benign window is beyond."""
        if not len(benign):
            return 0.0
        excess = self.excess(torch.from_numpy(benign)).numpy()
        return float(np.quantile(excess, 1 - _FALSE_ALARMS, method="higher"))

    def _one_class(self, pooled: Float[Tensor, "graphs width"]) -> Float64[Tensor, "graphs parts"]:
        """Statistics whose large values are odd: the extremes, and the ids that a profile lacks."""
        extremes = 2 * len(self.columns)
        return torch.cat((pooled[:, :extremes], pooled[:, -2:-1]), dim=1).double()


def _usual(windows: PooledWindows) -> Bool[np.ndarray, "windows"]:
    """Benign windows with a profile: of their own capture, where there are enough of these."""
    benign = (windows.labels == 0) & (windows.features[:, -1] > 0)
    own = benign & (windows.reference == OWN)
    return own if own.sum() >= _FEWEST_OWN else benign
