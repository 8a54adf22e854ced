"""The project's training against a plain PyG loop: the same losses, step after step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import jaxtyping
import pytest
import torch

from kdgat.configs.model import GatConfig, model_preset
from kdgat.configs.training import DistillationConfig, TrainingConfig
from kdgat.data.batches import BatchLoader
from kdgat.data.store import GraphStore
from kdgat.models.gat import GatClassifier
from kdgat.training.compare import Bench, both_models, compare, own_epoch
from kdgat.training.distillation import Answers, CachedAnswers
from kdgat.training.optimizer import build_optimizer
from kdgat.training.tasks import Classification, Objective
from kdgat.training.usual import as_data, usual_batches, usual_epoch

TRAINING = TrainingConfig(max_graphs=16, min_steps_per_epoch=0, learning_rate=0.01)
HALF = DistillationConfig(alpha=0.5, temperature=4.0)


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Without checks of types: the product makes no stores and batches in 64 bits."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def exact(store: GraphStore) -> GraphStore:
    """The store in 64 bits."""
    return replace(store, x=store.x.double(), edge_attr=store.edge_attr.double())


def bench_of(store: GraphStore) -> Bench:
    student, teacher = (model_preset("gat", size) for size in ("small", "large"))
    assert isinstance(student, GatConfig)
    assert isinstance(teacher, GatConfig)
    student, teacher = (each.model_copy(update={"dropout": 0.0}) for each in (student, teacher))
    return Bench(store, TRAINING, student, teacher, rounds=3, device=torch.device("cpu"))


@pytest.mark.parametrize("distilled", [False, True])
@pytest.mark.usefixtures("unchecked")
def test_losses_are_those_of_the_plain_loop_step_after_step(
    stores: tuple[GraphStore, GraphStore], distilled: bool
) -> None:
    bench = bench_of(exact(stores[0]))
    usual, own = (each.double() for each in both_models(bench.student, bench))
    teachers = [each.double().eval() for each in both_models(bench.teacher, bench)]
    objective = Objective(Classification(), HALF)
    if distilled:
        with torch.no_grad():
            logits = torch.cat([teachers[1](batch) for batch in BatchLoader(bench.store, 50)])
        kept = Answers({"logits": logits})
        objective = Objective(Classification(), HALF, teachers[1], CachedAnswers(kept, kept))
    theirs = torch.optim.AdamW(
        usual.parameters(), lr=TRAINING.learning_rate, weight_decay=TRAINING.weight_decay
    )
    ours = build_optimizer(own.parameters(), TRAINING)
    loader, graphs = BatchLoader(bench.store, 16, seed=3), as_data(bench.store)
    losses: tuple[list[float], list[float]] = ([], [])
    for epoch in range(4):
        loader.set_epoch(epoch)
        batches = usual_batches(graphs, torch.from_numpy(loader.order()), 16)
        teacher = teachers[0] if distilled else None
        losses[0].extend(usual_epoch(usual, batches, theirs, 1.0, teacher=teacher))
        losses[1].extend(map(float, own_epoch(own, objective, loader, TRAINING, ours)))
    assert len(losses[0]) == 4 * 6
    assert losses[0][-1] < losses[0][0] * 0.7
    assert losses[1] == pytest.approx(losses[0], rel=1e-9, abs=1e-12)


def test_both_models_have_the_same_weights_and_the_same_answer(
    stores: tuple[GraphStore, GraphStore],
) -> None:
    bench = bench_of(stores[0])
    usual, own = both_models(bench.student, bench)
    assert isinstance(own, GatClassifier)
    (batch,) = BatchLoader(bench.store, 1000)
    (data,) = usual_batches(as_data(bench.store), torch.arange(len(bench.store)), 1000)
    torch.testing.assert_close(usual.eval()(data), own.eval()(batch))


def test_a_comparison_gives_the_ratio_of_the_medians_of_turns(
    stores: tuple[GraphStore, GraphStore],
) -> None:
    turns: list[str] = []

    def busy(name: str, amount: int) -> None:
        turns.append(name)
        sum(range(amount))

    ways = (lambda: busy("usual", 3_000_000), lambda: busy("own", 300_000))
    found = compare("counting", "the long way", ways, bench_of(stores[0]), 5.0)
    assert turns == ["usual", "own"] * 4
    assert 4 < found.ratio < 30
    assert found.low <= found.ratio <= found.high
