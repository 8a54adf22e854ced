"""The project's data path and steps against the usual way, timed side by side.

Both ways take turns, round by round, so that a slow minute of a shared machine hits both, and the
medians are compared. On a CPU the time is the process's own, on one thread; what others do on the
machine is in neither. No absolute time leaves this module: only ratios say something elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from kdgat.configs.model import GatConfig
from kdgat.configs.training import DistillationConfig, TrainingConfig
from kdgat.data.batches import BatchLoader
from kdgat.data.store import GraphStore
from kdgat.models.gat import GatClassifier
from kdgat.progress import Progress, quiet
from kdgat.training.distillation import Answers, CachedAnswers
from kdgat.training.means import EpochMeans
from kdgat.training.optimizer import build_optimizer
from kdgat.training.scoring import score_parts
from kdgat.training.tasks import Classification, Objective
from kdgat.training.usual import UsualGat, as_data, usual_batches, usual_epoch

Way = Callable[[], object]


@dataclass(frozen=True)
class Comparison:
    """One thing done both ways."""

    what: str
    usual: str
    ratio: float
    """Median time of the usual way over that of the project's."""
    low: float
    high: float
    """The least and the largest ratio of any round."""
    goal: float | None
    """What the ratio should reach; None where nothing was promised."""
    graphs: int
    rounds: int


@dataclass(frozen=True)
class Bench:
    """What comparisons share: graphs, models and how often."""

    store: GraphStore
    training: TrainingConfig
    student: GatConfig
    teacher: GatConfig
    rounds: int
    device: torch.device
    workers: int = 0
    """Processes of PyG's loader."""


def compare(
    what: str, usual: str, ways: tuple[Way, Way], bench: Bench, goal: float | None
) -> Comparison:
    """Time the usual way and the project's, in turns, after one of each that is not counted."""
    clock = _clock(bench.device)
    for way in ways:
        way()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(bench.rounds):
        for way, each in zip(ways, seconds, strict=True):
            start = clock()
            way()
            each.append(clock() - start)
    ratios = [theirs / ours for theirs, ours in zip(*seconds, strict=True)]
    ratio = median(seconds[0]) / median(seconds[1])
    return Comparison(
        what, usual, ratio, min(ratios), max(ratios), goal, len(bench.store), bench.rounds
    )


def comparisons(bench: Bench, progress: Progress = quiet) -> Iterator[Comparison]:
    """All of them, one after the other."""
    graphs = as_data(bench.store)
    where = bench.device.type
    on_gpu = where == "cuda"
    todo = [
        lambda: _batches(bench, graphs, 512, 8.0),
        lambda: _batches(bench, graphs, 64, 6.0),
        lambda: _epoch(bench, graphs, "student", 8.0 if on_gpu else 2.0),
        lambda: _epoch(bench, graphs, "teacher", 8.0 if on_gpu else None),
        lambda: _distillation(bench, graphs, 3.0),
        lambda: _inference(bench, graphs, 2.5),
    ]
    with _one_thread(where):
        for number, make in enumerate(todo):
            progress("comparing", number, len(todo))
            yield make()
    progress("compared", len(todo), len(todo))


def own_epoch(
    model: nn.Module, objective: Objective, loader: BatchLoader, training: TrainingConfig,
    optimizer: torch.optim.Optimizer,
) -> Iterator[Tensor]:  # fmt: skip
    """One epoch as the trainer makes it; each step's loss, for which no step waits."""
    model.train()
    means = EpochMeans()
    for batch in loader:
        terms = objective(model, batch)
        optimizer.zero_grad()
        terms["loss"].backward()
        nn.utils.clip_grad_norm_(model.parameters(), training.gradient_clip_norm)
        optimizer.step()
        means.add(terms, batch.num_graphs)
        yield terms["loss"].detach()


def both_models(config: GatConfig, bench: Bench) -> tuple[UsualGat, GatClassifier]:
    """The usual model and the project's, with the same weights."""
    features = (bench.store.x.shape[1], bench.store.edge_attr.shape[1])
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        usual = UsualGat(config, *features)
    own = GatClassifier(config, *features)
    own.load_state_dict(usual.state_dict())
    return usual.to(bench.device), own.to(bench.device)


def _batches(bench: Bench, graphs: list[Any], size: int, goal: float) -> Comparison:
    """Batch assembly alone."""
    order = torch.randperm(len(bench.store), generator=torch.Generator().manual_seed(0))
    loader = usual_batches(graphs, order, size)
    own = BatchLoader(bench.store.to(bench.device), size, seed=0)
    ways = (lambda: _drain(loader), lambda: _drain(own))
    return compare(f"batches of {size} graphs", "PyG DataLoader", ways, bench, goal)


def _epoch(bench: Bench, graphs: list[Any], role: str, goal: float | None) -> Comparison:
    """One epoch of training, batches and optimiser included."""
    models = both_models(getattr(bench, role), bench)
    ways = (_usual_way(bench, graphs, models[0]), _own_way(bench, models[1]))
    name = "PyG DataLoader, GATv2Conv, AdamW"
    return compare(f"an epoch of the {role}", name, ways, bench, goal)


def _distillation(bench: Bench, graphs: list[Any], goal: float) -> Comparison:
    """One epoch of the student, its teacher's answers kept or asked for at every batch."""
    models, teachers = (both_models(each, bench) for each in (bench.student, bench.teacher))
    usual = _usual_way(bench, graphs, models[0], teachers[0].eval())
    ways = (usual, _own_way(bench, models[1], teachers[1].eval()))
    name = "the same, teacher asked about every batch"
    return compare("an epoch of distillation", name, ways, bench, goal)


def _inference(bench: Bench, graphs: list[Any], goal: float) -> Comparison:
    """Scores of all windows by the student."""
    usual, own = both_models(bench.student, bench)
    usual.eval()
    order = torch.arange(len(graphs))
    size = bench.training.max_graphs
    store = bench.store.to(bench.device)

    def score() -> None:
        with torch.no_grad():
            for data in usual_batches(graphs, order, size, bench.workers):
                usual(data.to(bench.device)).softmax(dim=1)[:, 1].cpu()

    ways = (score, lambda: score_parts(own, bench.student, store, size))
    return compare("scoring by the student", "PyG DataLoader, GATv2Conv", ways, bench, goal)


def _usual_way(
    bench: Bench, graphs: list[Any], model: nn.Module, teacher: nn.Module | None = None
) -> Way:
    training = bench.training
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.learning_rate)
    order = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(0))

    def epoch() -> None:
        batches = usual_batches(graphs, order, training.max_graphs, bench.workers)
        _drain(
            usual_epoch(
                model, batches, optimizer, training.gradient_clip_norm, bench.device, teacher
            )
        )

    return epoch


def _own_way(bench: Bench, model: nn.Module, teacher: nn.Module | None = None) -> Way:
    store = bench.store.to(bench.device)
    objective = Objective(Classification(), DistillationConfig())
    if teacher is not None:
        with torch.no_grad():
            logits = torch.cat([teacher(batch) for batch in BatchLoader(store, 512)])
        answers = Answers({"logits": logits})
        objective = Objective(
            Classification(), DistillationConfig(), teacher, CachedAnswers(answers, answers)
        )
    optimizer = build_optimizer(model.parameters(), bench.training)
    loader = BatchLoader(store, bench.training.max_graphs, seed=0)

    def epoch() -> None:
        loader.set_epoch(loader.epoch + 1)
        _drain(own_epoch(model, objective, loader, bench.training, optimizer))

    return epoch


def _drain(steps: Any) -> None:
    for _ in steps:
        pass


def _clock(device: torch.device) -> Callable[[], float]:
    """Time of this process on a CPU; on a GPU that of the wall, when all work is done."""
    if device.type != "cuda":
        return time.process_time

    def wall() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return wall


@contextmanager
def _one_thread(device: str) -> Iterator[None]:
    """One thread for both ways on a CPU, where torch's count is put back afterwards."""
    threads = torch.get_num_threads()
    try:
        if device != "cuda":
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(threads)
