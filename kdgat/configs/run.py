"""`RunConfig`: everything one run depends on, and the digest that is its identity."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import Field

from kdgat.configs.data import DataConfig
from kdgat.configs.dataset import DATASETS, DatasetConfig
from kdgat.configs.evaluation import EvaluationConfig
from kdgat.configs.model import ModelConfig, Size, model_preset
from kdgat.configs.schema import Config
from kdgat.configs.training import DistillationConfig, ResourcesConfig, TrainingConfig


class RunConfig(Config):
    """The config of one run; frozen, so what a run keeps is what it ran with."""

    dataset: DatasetConfig = DATASETS["simulated"]
    """Which traffic."""
    model: ModelConfig = model_preset("gat", "large")
    """Which model, and its numbers."""
    size: Size = "large"
    """`large` is the teacher, `small` the student."""
    distillation: DistillationConfig = DistillationConfig()
    """What a student takes from its teacher."""
    training: TrainingConfig = TrainingConfig()
    """Optimisation and stopping."""
    data: DataConfig = DataConfig()
    """Windows, features and the split."""
    resources: ResourcesConfig = ResourcesConfig()
    """Where the run computes; not part of its identity."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """How the run is judged; not part of its identity."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Seed of the weights, the order of the batches, the dropout and the sampled latents."""

    def identity(self) -> dict[str, Any]:
        """What makes two runs the same experiment: all but resources, judging, unused weights."""
        return identity_of(self.model_dump(mode="json"))

    def digest(self) -> str:
        """16 hex digits of the identity; references such as `latest` must be resolved before."""
        return json_digest(self.identity())


def identity_of(values: dict[str, Any]) -> dict[str, Any]:
    """`RunConfig.identity` of a config as plain values, such as a run keeps.

    Raises:
        KeyError: it lacks a part.
    """
    unused = {"resources", "evaluation"} | (
        {"distillation"} if values["distillation"]["teacher"] is None else set()
    )
    identity = {name: value for name, value in values.items() if name not in unused}
    dataset = identity["dataset"]
    identity["dataset"] = {name: dataset[name] for name in dataset if name != "citation"}
    return identity


def json_digest(value: object) -> str:
    """16 hex digits of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
