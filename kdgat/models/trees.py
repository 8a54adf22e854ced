"""Gradient-boosted trees: scikit-learn grows them, torch evaluates them.

The trees are copied into buffers, so that a checkpoint holds numbers and no pickled estimator, and
a window's score takes no scikit-learn.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

from kdgat.configs.model import GradientBoostingConfig, ProfileConfig
from kdgat.data.batches import GraphBatch
from kdgat.models.fitted import FittedModel, PooledWindows, SizedByState
from kdgat.models.windows import WindowFeatures


class Trees(SizedByState):
    """Boosted trees for two classes, all nodes in one row; a leaf is its own child.

    Of a node that is no leaf, a vector goes to `left` where its `feature` is at most `threshold`.
    Both are compared in double precision, as scikit-learn does.
    """

    feature: Tensor
    threshold: Tensor
    left: Tensor
    right: Tensor
    value: Tensor
    root: Tensor
    depth: Tensor
    baseline: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("feature", "left", "right", "root"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.int32))
        for name in ("threshold", "value"):
            self.register_buffer(name, torch.zeros(0, dtype=torch.float64))
        self.register_buffer("depth", torch.tensor(0))
        self.register_buffer("baseline", torch.tensor(0.0, dtype=torch.float64))

    def forward(self, x: Float[Tensor, "windows width"]) -> Float64[Tensor, "windows"]:
        """Log odds of an attack: the sum of one leaf of every tree."""
        x = x.double()
        feature, left, right = (each.long() for each in (self.feature, self.left, self.right))
        place = self.root.long().expand(len(x), -1)
        for _ in range(int(self.depth)):
            down = x.gather(1, feature[place]) <= self.threshold[place]
            place = torch.where(down, left[place], right[place])
        return self.baseline + self.value[place].sum(dim=1)

    def fit(
        self,
        features: Float32[np.ndarray, "windows width"],
        labels: Int64[np.ndarray, "windows"],
        config: GradientBoostingConfig | ProfileConfig,
        seed: int,
    ) -> None:
        """Grow new trees; the labels hold both classes.

        All of `iterations` are grown: scikit-learn's early stopping would put aside windows that
        overlap with those it keeps.
        """
        from sklearn.ensemble import HistGradientBoostingClassifier

        model = HistGradientBoostingClassifier(
            max_iter=config.iterations,
            max_leaf_nodes=config.max_leaf_nodes,
            learning_rate=config.learning_rate,
            early_stopping=False,  # pyright: ignore[reportArgumentType]
            categorical_features=None,  # pyright: ignore[reportArgumentType]
            random_state=seed,
        )
        self._copy(model.fit(features, labels))

    def _copy(self, model: object) -> None:
        """Take over a fitted model; scikit-learn has no public way to its trees."""
        trees = [each[0].nodes for each in model._predictors]  # pyright: ignore[reportAttributeAccessIssue]
        baseline = model._baseline_prediction  # pyright: ignore[reportAttributeAccessIssue]
        nodes = np.concatenate(trees)
        sizes = np.array([len(tree) for tree in trees])
        first = np.cumsum(sizes) - sizes
        leaf, own = nodes["is_leaf"].astype(bool), np.arange(len(nodes))
        offset = np.repeat(first, sizes)
        self.keep("feature", nodes["feature_idx"])
        self.keep("threshold", np.where(leaf, 0.0, nodes["num_threshold"]))
        self.keep("left", np.where(leaf, own, nodes["left"] + offset))
        self.keep("right", np.where(leaf, own, nodes["right"] + offset))
        self.keep("value", np.where(leaf, nodes["value"], 0.0))
        self.keep("root", first)
        self.keep("depth", int(nodes["depth"].max()))
        self.keep("baseline", float(np.ravel(baseline)[0]))


class BoostedTrees(FittedModel):
    """Logits of benign and attack for each graph of a batch, by trees on its pooled features."""

    def __init__(
        self,
        config: GradientBoostingConfig,
        node_features: int,  # noqa: ARG002
        edge_features: int,  # noqa: ARG002
    ) -> None:
        super().__init__()
        self.config = config
        self.features = WindowFeatures()
        self.trees = Trees()

    def pool(self, batch: GraphBatch) -> Float[Tensor, "graphs width"]:
        """Every node and edge feature, pooled."""
        return self.features(batch)

    def fit(self, train: PooledWindows, validation: PooledWindows, seed: int) -> None:  # noqa: ARG002
        """Grow the trees on the training windows; validation windows choose nothing."""
        self.trees.fit(train.features, train.labels, self.config, seed)

    def judge(self, pooled: Float[Tensor, "graphs width"]) -> Float64[Tensor, "graphs 2"]:
        """Logits of (benign, attack), in double precision: trees that are sure differ late."""
        odds = self.trees(pooled)
        return torch.stack((torch.zeros_like(odds), odds), dim=1)

    def probability(self, answer: Float[Tensor, "graphs 2"]) -> Float[Tensor, "graphs"]:
        """Probability of attack."""
        return answer.softmax(dim=1)[:, 1]
