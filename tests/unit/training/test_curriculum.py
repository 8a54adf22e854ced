"""Which windows an epoch takes: all attacks, and benign ones from easy to hard."""

from __future__ import annotations

from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kdgat.configs.model import GatConfig, ModelConfig, VgaeConfig
from kdgat.configs.run import RunConfig
from kdgat.configs.training import TrainingConfig
from kdgat.data.batches import BatchLoader
from kdgat.data.packing import ByteLimit, PeakCost, epoch_order
from kdgat.data.store import GraphStore
from kdgat.ledger.folder import Paused
from kdgat.models.table import build_model
from kdgat.training.checkpoint import newest_valid
from kdgat.training.curriculum import (
    Curriculum,
    benign_distance,
    curriculum_of,
    easy_to_hard,
    window_means,
)
from kdgat.training.fit import fit
from kdgat.training.module import TrainingModule
from kdgat.training.tasks import Objective, task_of

GAT = GatConfig(hidden=4, heads=2, layers=2, readout=8, dropout=0.1)
CURRICULUM = {"curriculum": "hard_benign", "curriculum_start": 0.3, "curriculum_epochs": 4}
MADE = Curriculum(np.array([1, 5]), np.array([6, 0, 3, 2, 7, 4]), 0.5, 3)
Stores = tuple[GraphStore, GraphStore]


def config_of(model: ModelConfig = GAT, **training: Any) -> RunConfig:
    settings = {"max_epochs": 6, "patience_epochs": 6, "max_graphs": 16, "min_steps_per_epoch": 0}
    return RunConfig(model=model, training=TrainingConfig(**{**settings, **training}))


def curriculum(store: GraphStore, **training: Any) -> Curriculum:
    found = curriculum_of(config_of(**{**CURRICULUM, **training}), store)
    assert found is not None
    return found


def test_an_epoch_takes_all_attacks_and_a_growing_share_of_the_easiest_benign_windows() -> None:
    assert [MADE.chosen(epoch).tolist() for epoch in range(5)] == [
        [0, 1, 3, 5, 6],
        [0, 1, 2, 3, 5, 6],
        [0, 1, 2, 3, 5, 6, 7],
        list(range(8)),
        list(range(8)),
    ]
    assert [MADE.share(epoch) for epoch in (0, 3, 9)] == [0.5, 1.0, 1.0]


def test_a_real_stores_sample_set_changes_each_epoch_and_always_holds_all_attacks(
    stores: Stores,
) -> None:
    store = stores[0]
    attacks = set(torch.nonzero(store.y).squeeze(1).tolist())
    assert attacks
    taken = [set(curriculum(store).chosen(epoch).tolist()) for epoch in range(6)]
    assert all(attacks < each for each in taken)
    assert all(before < after for before, after in pairwise(taken[:5]))
    assert taken[4] == taken[5] == set(range(len(store)))
    benign = len(store) - len(attacks)
    assert len(taken[0] - attacks) == int(np.ceil(0.3 * benign))


def test_a_window_is_the_harder_the_farther_it_is_from_the_mean_benign_one() -> None:
    means = np.array([[0.0, 5.0], [4.0, 5.0], [2.0, 5.0], [2.2, 5.0], [50.0, -9.0]])
    benign = np.array([True, True, True, True, False])
    distance = benign_distance(means, benign)
    # The mean of the benign is 2.05; the second feature never varies among them.
    assert distance[:4] == pytest.approx(np.abs(means[:4, 0] - 2.05) / means[:4, 0].std())
    assert easy_to_hard(distance, benign).tolist() == [2, 3, 1, 0]
    assert easy_to_hard(np.zeros(5), benign).tolist() == [0, 1, 2, 3]


def test_a_window_is_told_by_the_means_of_its_nodes_and_its_edges(stores: Stores) -> None:
    store = stores[0]
    means = window_means(store)
    first, last = store.node_ptr[7:9].tolist()
    edges = store.edge_attr[store.edge_ptr[7] : store.edge_ptr[8]]
    expected = torch.cat((store.x[first:last].double().mean(0), edges.double().mean(0)))
    np.testing.assert_allclose(means[7], expected.numpy(), rtol=1e-6)
    assert means.shape == (len(store), store.x.shape[1] + store.edge_attr.shape[1])


def test_labels_of_other_windows_change_nothing_and_attacks_have_no_say(stores: Stores) -> None:
    store = stores[0]
    attack = (store.y > 0).numpy()
    means = window_means(store)
    moved = means.copy()
    moved[attack] += 1000
    before, after = (benign_distance(each, ~attack)[~attack] for each in (means, moved))
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
    ("model", "training"), [(GAT, {}), (VgaeConfig(hidden=4), CURRICULUM)], ids=["none", "vgae"]
)
def test_without_a_curriculum_or_attacks_to_learn_every_epoch_takes_all(
    model: ModelConfig, training: dict[str, Any], stores: Stores
) -> None:
    assert curriculum_of(config_of(model, **training), stores[0]) is None


def test_the_order_of_an_epoch_is_drawn_from_seed_and_epoch_over_the_chosen_alone() -> None:
    chosen = np.array([2, 3, 5, 7, 11])
    one, again, other = (epoch_order(4, epoch, 20, chosen) for epoch in (1, 1, 2))
    assert one.tolist() == again.tolist() != other.tolist()
    assert sorted(one.tolist()) == sorted(other.tolist()) == chosen.tolist()
    assert epoch_order(None, 1, 20, chosen).tolist() == chosen.tolist()
    assert sorted(epoch_order(4, 1, 20).tolist()) == list(range(20))


def test_a_loaders_length_is_exact_in_every_epoch_and_it_goes_on_in_the_middle(
    stores: Stores,
) -> None:
    limit = ByteLimit(PeakCost(np.array([[0, 100, 0, 50]])), 6_000)
    order = curriculum(stores[0])

    def loader(epoch: int) -> BatchLoader:
        made = BatchLoader(stores[0], 16, seed=3, limit=limit, min_steps=3, chosen=order.chosen)
        made.set_epoch(epoch)
        return made

    lengths = []
    for epoch in range(6):
        batches = [batch.index.tolist() for batch in loader(epoch)]
        assert len(batches) == len(loader(epoch))
        assert sorted(chain.from_iterable(batches)) == order.chosen(epoch).tolist()
        stopped = loader(epoch)
        next(iter(stopped))
        resumed = loader(epoch)
        resumed.load_state_dict(stopped.state_dict())
        assert [batch.index.tolist() for batch in resumed] == batches[1:]
        lengths.append(len(batches))
    assert lengths[0] < lengths[4]


class _Asked:
    """Asks to stop at every so many looks."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def __call__(self) -> bool:
        self.left -= 1
        return self.left <= 0


def test_a_training_takes_the_curriculums_windows_and_goes_on_to_the_same_numbers(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(**CURRICULUM)
    seen: dict[int, list[int]] = {}
    real = TrainingModule.training_step

    def noted(self: TrainingModule, batch: Any, batch_idx: int) -> Any:
        seen.setdefault(self.current_epoch, []).extend(batch.index.tolist())
        return real(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", noted)

    def train(folder: Path, looks: int) -> Any:
        torch.manual_seed(config.seed)
        model = build_model(GAT, 27, 3)
        objective = Objective(task_of(GAT), config.distillation)
        resume, _ = newest_valid(folder)
        return fit(
            model, objective, stores, config, folder, resume, lambda *_: None, asked=_Asked(looks)
        )

    whole = train(tmp_path / "whole", 10**9)
    order = curriculum(stores[0])
    expected = {epoch: order.chosen(epoch).tolist() for epoch in range(6)}
    assert {epoch: sorted(windows) for epoch, windows in seen.items()} == expected
    seen.clear()
    while True:
        try:
            ended = train(tmp_path / "paused", 3)
            break
        except Paused:
            continue
    assert ended == whole
    assert {epoch: sorted(windows) for epoch, windows in seen.items()} == expected
