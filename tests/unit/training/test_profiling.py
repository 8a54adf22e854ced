"""The profile of a training: shares that add up, and a trace that opens."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from kdgat.configs.model import model_preset
from kdgat.configs.run import RunConfig
from kdgat.configs.training import ResourcesConfig, TrainingConfig
from kdgat.data.store import GraphStore
from kdgat.models.table import build_model
from kdgat.training.fit import _quiet_lightning, _run, _trainer
from kdgat.training.module import TrainingModule
from kdgat.training.profiling import SUMMARY, TRACE, StepProfile
from kdgat.training.tasks import Objective, task_of

Stores = tuple[GraphStore, GraphStore]


def profiled(stores: Stores, folder: Path, steps: int, **given: int) -> StepProfile:
    """A training of that many steps with a profile."""
    training = TrainingConfig(
        max_epochs=1, max_graphs=len(stores[0]) // steps, min_steps_per_epoch=steps
    )
    config = RunConfig(
        model=model_preset("gat", "small"),
        size="small",
        training=training,
        resources=ResourcesConfig(accelerator="cpu"),
    )
    model = build_model(config.model, stores[0].x.shape[1], stores[0].edge_attr.shape[1])
    objective = Objective(task_of(config.model), config.distillation)
    module = TrainingModule(model, objective, stores, training, seed=0)
    profile = StepProfile(folder / "profile", **given)
    with _quiet_lightning():
        _run(_trainer(config, [profile], folder), module, None)
    return profile


def test_a_training_tells_where_its_steps_time_goes_in_five_lines(
    stores: Stores, tmp_path: Path
) -> None:
    profile = profiled(stores, tmp_path, steps=12, measured=6, traced=2)
    shares = profile.shares
    assert shares is not None
    assert shares.steps == 6
    parts = (shares.data, shares.forward, shares.backward, shares.optimizer, shares.idle)
    assert min(parts) > 0
    assert sum(parts) == pytest.approx(1)
    assert shares.forward + shares.backward > 0.3
    assert [line.split()[0] for line in shares.lines()] == [
        "data", "forward", "backward", "optimizer", "idle",
    ]  # fmt: skip
    written = json.loads((profile.folder / SUMMARY).read_bytes())
    assert written["backward"] == shares.backward
    with gzip.open(profile.folder / TRACE) as file:
        names = {event.get("name", "") for event in json.load(file)["traceEvents"]}
    assert any(name.startswith("aten::mm") for name in names)
    assert not torch.autograd.profiler._is_profiler_enabled


def test_a_training_too_short_to_be_timed_writes_no_shares(stores: Stores, tmp_path: Path) -> None:
    profile = profiled(stores, tmp_path, steps=3)
    assert profile.shares is None
    assert not (profile.folder / SUMMARY).exists()
