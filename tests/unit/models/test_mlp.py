"""The perceptron on pooled windows: what it reads, and that its memory can be planned."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from kdgat.configs.model import SIZES, MlpConfig, Size, model_preset
from kdgat.configs.run import RunConfig
from kdgat.memory.spec import Device, StepSpec
from kdgat.memory.steps import step_programs
from kdgat.models.mlp import WindowMlp
from tests.unit.models.bus import Bus, everything, features_of, flooded

STORE = Bus().store(flooded(3, 60))


def _mlp(config: MlpConfig | None = None) -> WindowMlp:
    torch.manual_seed(0)
    return WindowMlp(config or MlpConfig(hidden=16), *features_of(STORE)).eval()


def test_it_learns_what_a_flood_looks_like_from_pooled_features() -> None:
    model, batch = _mlp().train(), everything(STORE)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(batch), STORE.y).backward()
        optimizer.step()
    fresh = Bus().store(flooded(4, 60))
    assert (model.eval()(everything(fresh)).argmax(dim=1) == fresh.y).all()


def test_it_does_not_see_which_id_follows_which() -> None:
    model, batch = _mlp(), everything(STORE)
    turned = replace(batch, edge_index=batch.edge_index.flip(0))
    assert torch.equal(model(turned), model(batch))


def test_edge_features_reach_its_answer() -> None:
    model, batch = _mlp(), everything(STORE)
    assert not torch.allclose(model(replace(batch, edge_attr=batch.edge_attr + 1)), model(batch))


@pytest.mark.parametrize("layers", [1, 3])
def test_it_has_the_layers_that_its_config_names(layers: int) -> None:
    linear = [
        each
        for each in _mlp(MlpConfig(layers=layers)).modules()
        if isinstance(each, torch.nn.Linear)
    ]
    assert [each.out_features for each in linear] == [128] * layers + [2]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_its_steps_take_memory_that_can_be_foreseen(size: Size, device: Device) -> None:
    config = RunConfig(model=model_preset("mlp", size), size=size)
    programs = step_programs(StepSpec(config, features_of(STORE), device))
    assert programs.resident_bytes > 0
    assert len(programs.gradient_blocks) == len(list(_mlp().parameters()))
