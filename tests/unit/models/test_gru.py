"""The recurrent baseline: what it reads, that the order matters, and its memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from kdgat.configs.model import SIZES, GruConfig, Size, model_preset
from kdgat.configs.run import RunConfig
from kdgat.data.batches import collate
from kdgat.data.sequence_store import Source, made_sequences
from kdgat.data.sequences import MESSAGE_FEATURE_NAMES, MessageScaler, chunks
from kdgat.data.store import GraphStore
from kdgat.data.windows import window_starts
from kdgat.memory.spec import Device, StepSpec
from kdgat.memory.steps import step_programs
from kdgat.models.gru import RecurrentLayer, WindowGru
from tests.unit.models.bus import WINDOW, Bus, Traffic, benign, everything, features_of, flooded


def store_of(traffic: Traffic) -> GraphStore:
    """Graphs of some traffic with their windows' messages, scaled on benign traffic."""
    starts = window_starts(len(traffic.attack), WINDOW, WINDOW)
    scaler = MessageScaler.fit(chunks(benign(1, 80).messages, starts[:60], WINDOW), 10.0)
    sequences = made_sequences([Source(traffic.messages, starts)], scaler, WINDOW)
    return replace(Bus().store(traffic), sequences=sequences)


STORE = store_of(flooded(3, 60))


def gru(config: GruConfig | None = None) -> WindowGru:
    torch.manual_seed(0)
    return WindowGru(config or GruConfig(hidden=8, readout=8), *features_of(STORE)).eval()


@pytest.mark.parametrize("id_features", [True, False])
def test_it_learns_what_a_flood_looks_like(id_features: bool) -> None:
    config = GruConfig(hidden=8, readout=8, id_features=id_features)
    model, batch = gru(config).train(), everything(STORE)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(batch), STORE.y).backward()
        optimizer.step()
    fresh = store_of(flooded(4, 60))
    assert (model.eval()(everything(fresh)).argmax(dim=1) == fresh.y).all()


def test_it_makes_the_steps_of_the_usual_unit() -> None:
    torch.manual_seed(0)
    ours, theirs = RecurrentLayer(5, 7), nn.GRU(5, 7)
    with torch.no_grad():
        for name, layer in (("ih", ours.enter), ("hh", ours.stay)):
            layer.weight.copy_(getattr(theirs, f"weight_{name}_l0"))
            layer.bias.copy_(getattr(theirs, f"bias_{name}_l0"))
    steps = torch.randn(9, 4, 5)
    torch.testing.assert_close(ours(steps), theirs(steps)[0])


def test_the_order_of_messages_reaches_its_answer() -> None:
    model, batch = gru(), everything(STORE)
    assert batch.messages is not None
    assert batch.message_node is not None
    turned = replace(
        batch, messages=batch.messages.flip(1), message_node=batch.message_node.flip(1)
    )
    assert not torch.allclose(model(turned), model(batch))


def test_it_does_not_see_the_graphs_edges() -> None:
    model, batch = gru(), everything(STORE)
    other = replace(batch, edge_attr=batch.edge_attr + 1, edge_index=batch.edge_index.flip(0))
    assert torch.equal(model(other), model(batch))


def test_without_id_features_a_message_says_its_own_alone() -> None:
    model, batch = gru(GruConfig(hidden=8, id_features=False)), everything(STORE)
    assert torch.equal(model(replace(batch, x=batch.x + 1)), model(batch))
    assert not torch.allclose(gru()(replace(batch, x=batch.x + 1)), gru()(batch))
    assert model.steps(batch).shape[2] == len(MESSAGE_FEATURE_NAMES)


def test_a_window_is_judged_alike_alone_and_among_others() -> None:
    model = gru()
    whole = model(everything(STORE))
    alone = torch.cat([model(collate(STORE, torch.tensor([i]))) for i in range(5)])
    torch.testing.assert_close(alone, whole[:5])


def test_a_batch_without_messages_is_a_mistake_of_ours() -> None:
    with pytest.raises(RuntimeError, match="without its messages"):
        gru()(everything(replace(STORE, sequences=None)))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("resident", [True, False])
def test_its_steps_take_memory_that_can_be_foreseen(
    size: Size, device: Device, resident: bool
) -> None:
    data = Bus().config
    config = RunConfig(model=model_preset("gru", size), size=size, data=data)
    programs = step_programs(StepSpec(config, features_of(STORE), device, resident=resident))
    assert programs.resident_bytes > 0
    assert len(programs.gradient_blocks) == len(list(gru().parameters()))
