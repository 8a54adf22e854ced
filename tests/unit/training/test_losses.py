from __future__ import annotations

import math

import pytest
import torch

from kdgat.configs.model import VgaeConfig
from kdgat.data.batches import collate
from kdgat.data.store import GraphStore
from kdgat.models.vgae import Encoding, VariationalGraphAutoencoder
from kdgat.training.losses import absent_edges, edge_loss, kl_divergence, soft_label_loss


def test_soft_labels_follow_a_case_worked_by_hand() -> None:
    # At T = 2 the softened logits are (1, 0) and (0, 0).
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    p = 1 / (1 + math.exp(-1.0))
    by_hand = 4 * (p * math.log(p / 0.5) + (1 - p) * math.log((1 - p) / 0.5))
    assert soft_label_loss(student, teacher, 2.0).item() == pytest.approx(by_hand, rel=1e-6)


def test_soft_labels_are_nothing_for_equal_answers_and_compare_classes_not_graphs() -> None:
    answer = torch.tensor([[3.0, -1.0], [0.5, 0.2], [-2.0, 4.0]])
    assert soft_label_loss(answer, answer, 4.0).item() == pytest.approx(0.0, abs=1e-6)
    # A constant added to a graph's logits changes no probability over the classes.
    shifted = answer + torch.tensor([[5.0], [-3.0], [1.0]])
    assert soft_label_loss(shifted, answer, 4.0).item() == pytest.approx(0.0, abs=1e-5)


def test_soft_labels_average_over_graphs() -> None:
    one = soft_label_loss(torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]]), 3.0)
    three = soft_label_loss(torch.tensor([[0.0, 1.0]] * 3), torch.tensor([[1.0, 0.0]] * 3), 3.0)
    assert three.item() == pytest.approx(one.item(), rel=1e-6)


def test_divergence_from_the_prior_is_zero_at_the_prior_and_known_elsewhere() -> None:
    assert kl_divergence(Encoding(torch.zeros(3, 2), torch.zeros(3, 2))).item() == 0
    moved = kl_divergence(Encoding(torch.full((1, 1), 2.0), torch.full((1, 1), math.log(4.0))))
    assert moved.item() == pytest.approx(0.5 * (4 + 4 - 1 - math.log(4.0)), rel=1e-6)


def test_absent_edges_stay_in_their_graph_and_are_none_of_the_observed(
    stores: tuple[GraphStore, GraphStore],
) -> None:
    batch = collate(stores[0], torch.arange(16))
    pairs, absent = absent_edges(batch, negatives_per_edge=3)
    assert pairs.shape == (2, 3 * batch.edge_index.shape[1])
    assert torch.equal(batch.graph[pairs[0]], batch.graph[pairs[1]])
    observed = set(map(tuple, batch.edge_index.T.tolist()))
    for pair, counted in zip(pairs.T.tolist(), absent.tolist(), strict=True):
        assert (tuple(pair) not in observed) == bool(counted)
    assert 0 < absent.sum() < len(absent)


def test_edges_cost_grows_with_edges_and_not_with_pairs_of_nodes(
    stores: tuple[GraphStore, GraphStore],
) -> None:
    vgae = VariationalGraphAutoencoder(VgaeConfig(hidden=4, heads=1, latent=4), 27, 3)
    asked: list[int] = []
    decode = vgae.decode_edges

    def counting(z: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        asked.append(edge_index.shape[1])
        return decode(z, edge_index)

    vgae.decode_edges = counting
    for graphs in (8, 64):
        batch = collate(stores[0], torch.arange(graphs))
        asked.clear()
        edge_loss(vgae, vgae.encode(batch).mean, batch, negatives_per_edge=2)
        assert sum(asked) == 3 * batch.edge_index.shape[1]
