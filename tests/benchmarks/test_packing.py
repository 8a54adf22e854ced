"""How batches fill a GPU and whether they fit: packing by bytes against the two usual ways.

Run by hand:

    uv run pytest tests/benchmarks/test_packing.py -m benchmarks -s

The graphs are the training windows of hcrl_sa where the captures are at hand, and random ones of
the same kind otherwise. Steps are a large GAT's, replayed through the simulated allocator; no GPU
is needed. The rivals are given what is known of a graph, as one measures it, and a safety factor:

- PyG's DynamicBatchSampler takes the nodes of as many mean graphs as fit, or 0.8 of them;
- a fixed batch takes 0.8 of the mean graphs that fit, or, always safe, as many as would be within
  our budget if each were the largest.

Validation comes after each epoch, in batches of ours whatever the way. A failure ends the process
in truth. Here the next batch finds an empty allocator.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.loader import DynamicBatchSampler

from kdgat.configs.data import DataConfig
from kdgat.configs.resources import gpu
from kdgat.configs.training import TrainingConfig
from kdgat.data.graphs import build_graphs
from kdgat.data.packing import EpochBatches, epoch_order
from kdgat.data.reading import read_capture
from kdgat.data.windows import Messages, window_starts
from kdgat.memory.affine import Shape
from kdgat.memory.plan import plan_memory
from kdgat.memory.planned import Device, MemoryPlan, Workload
from kdgat.memory.replay import PlannedBatch, replay
from kdgat.memory.spec import StepPrograms
from tests.unit.memory.runs import (
    planned,
    programs_of,
    random_work,
    spec_of,
    training_epoch,
    validation_batches,
)

pytestmark = pytest.mark.benchmarks

CARD = gpu("v100-16gb")
CAPACITY_MIB = 256
SEED = 7
LEAST_BATCHES = 500
CONFIG = TrainingConfig(max_graphs=1_000_000, min_steps_per_epoch=0)


@dataclass(frozen=True)
class Row:
    """One way to make batches, over some epochs."""

    name: str
    batches: int
    failures: int
    fill: float
    """Mean share of the planned budget."""
    twice: int
    """Graphs seen more than once in an epoch, on average."""
    never: int
    has_len: bool


@dataclass(frozen=True, eq=False)
class Setting:
    """What all ways share."""

    source: str
    work: Workload
    programs: StepPrograms
    plan: MemoryPlan

    @property
    def mean_graphs(self) -> float:
        """Mean graphs that would fill the capacity, if all that is in use were all it takes."""
        work = self.work
        mean = np.array([work.train_nodes.mean(), work.train_edges.mean(), 1])
        return self._copies(mean, self.plan.capacity_bytes - 2 * CARD.workspace_bytes)

    @property
    def largest_graphs(self) -> int:
        """Graphs of the most nodes and edges that are within our budget."""
        largest = np.array([self.work.train_nodes.max(), self.work.train_edges.max(), 1])
        return int(self._copies(largest, self.plan.budget_bytes))

    def _copies(self, graph: np.ndarray, nbytes: int) -> float:
        planes = self.programs.training_cost().planes
        return float(((nbytes - planes[:, 3]) / (planes[:, :3] @ graph).clip(1)).min())


@pytest.fixture(scope="module")
def setting() -> Setting:
    source, work = real_sizes() or ("random windows", random_work(64_000))
    programs = programs_of(spec_of("gat", "large", device="cuda"))
    capacity = CAPACITY_MIB << 20
    device = Device(CARD, capacity + CARD.context_bytes, CARD.context_bytes)
    return Setting(source, work, programs, plan_memory(programs, work, device, CONFIG, SEED))


def real_sizes() -> tuple[str, Workload] | None:
    """Windows of hcrl_sa's training captures, the last fifth of each to validate."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("KDGAT_REAL_DATA") or beside) / "hcrl_sa"
    if not folder.is_dir():
        return None
    sides: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    config = DataConfig()
    for path in sorted(folder.glob("train_*/*.csv.gz")):
        messages = Messages.from_frame(read_capture(path, "can_train_and_test").messages)
        starts = window_starts(
            len(messages), config.window_messages, config.training_stride_messages
        )
        graphs = build_graphs(messages, starts, config)
        sizes = np.stack((np.diff(graphs.node_ptr), np.diff(graphs.edge_ptr)))
        cut = sizes.shape[1] * 4 // 5
        for side, part in zip(sides, (sizes[:, :cut], sizes[:, cut:]), strict=True):
            side.append(part)
    train, validation = (np.concatenate(side, axis=1) for side in sides)
    return "hcrl_sa", Workload(train[0], train[1], validation[0], validation[1])


def test_packing_by_bytes_against_the_usual_ways(
    setting: Setting, capsys: pytest.CaptureFixture[str]
) -> None:
    epochs = -(-LEAST_BATCHES // setting.plan.steps_per_epoch)
    usual, safe = int(0.8 * setting.mean_graphs), setting.largest_graphs
    rows = [
        judged("kdgat, by bytes", setting, ours(setting, epochs), has_len=True),
        judged("PyG dynamic", setting, dynamic(setting, epochs, 1.0), has_len=False),
        judged("PyG dynamic x 0.8", setting, dynamic(setting, epochs, 0.8), has_len=False),
        judged("fixed x 0.8", setting, fixed(epochs, setting, usual), has_len=True),
        judged("fixed, always safe", setting, fixed(epochs, setting, safe), has_len=True),
    ]
    with capsys.disabled():
        print(table(setting, rows, epochs))
    kdgat = rows[0]
    assert kdgat.batches >= LEAST_BATCHES
    assert kdgat.failures == 0
    assert kdgat.fill >= 0.97
    assert (kdgat.twice, kdgat.never) == (0, 0)


def ours(setting: Setting, epochs: int) -> list[EpochBatches]:
    return [
        training_epoch(setting.work, setting.plan.limits, CONFIG, SEED, number)
        for number in range(epochs)
    ]


def dynamic(setting: Setting, epochs: int, factor: float) -> list[EpochBatches]:
    """With `skip_too_big`, as its documentation has it against running out of memory."""
    graphs = [Data(num_nodes=int(nodes)) for nodes in setting.work.train_nodes]
    nodes = int(factor * setting.mean_graphs * setting.work.train_nodes.mean())
    sampler = DynamicBatchSampler(graphs, nodes, shuffle=True, skip_too_big=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="undefined"):
        len(sampler)
    torch.manual_seed(SEED)
    return [batches_of(list(iter(sampler))) for _ in range(epochs)]


def fixed(epochs: int, setting: Setting, size: int) -> list[EpochBatches]:
    graphs = len(setting.work.train_nodes)
    starts = np.append(np.arange(0, graphs, size), graphs)
    return [EpochBatches(epoch_order(SEED, number, graphs), starts) for number in range(epochs)]


def batches_of(picked: Sequence[Sequence[int]]) -> EpochBatches:
    starts = np.cumsum([0, *map(len, picked)])
    return EpochBatches(np.concatenate([np.array(each, np.int64) for each in picked]), starts)


def judged(name: str, setting: Setting, epochs: Sequence[EpochBatches], *, has_len: bool) -> Row:
    work = setting.work
    checks = validation_batches(work, setting.plan.limits, CONFIG)
    batches: list[PlannedBatch] = []
    for epoch in epochs:
        batches += planned(epoch, work.train_nodes, work.train_edges, training=True) + checks
    peaks = [peak(setting, each.shape) for each in batches if each.training]
    counts = [np.bincount(each.order, minlength=len(work.train_nodes)) for each in epochs]
    return Row(
        name,
        len(peaks),
        failures(setting, batches),
        float(np.mean(peaks)) / setting.plan.budget_bytes,
        round(float(np.mean([(each > 1).sum() for each in counts]))),
        round(float(np.mean([(each == 0).sum() for each in counts]))),
        has_len,
    )


def peak(setting: Setting, shape: Shape) -> int:
    cost = setting.programs.training_cost()
    return int(cost.peak_bytes(shape.nodes, shape.edges, shape.graphs))


def failures(setting: Setting, batches: Sequence[PlannedBatch]) -> int:
    """Batches that do not fit; after each the allocator is empty again."""
    found = 0
    while batches:
        outcome = replay(
            setting.programs,
            batches,
            setting.plan.capacity_bytes,
            other_blocks=(CARD.workspace_bytes,) * 2,
        )
        found += outcome.failure is not None
        batches = batches[outcome.batches + 1 :]
    return found


def table(setting: Setting, rows: Sequence[Row], epochs: int) -> str:
    """The rows as a person reads them."""
    work, plan = setting.work, setting.plan
    lines = [
        f"\n\n{len(work.train_nodes):,} graphs of {setting.source} in {epochs} epochs "
        f"({work.train_nodes.mean():.0f} +- {work.train_nodes.std():.0f} nodes, "
        f"{work.train_edges.mean():.0f} +- {work.train_edges.std():.0f} edges)",
        f"a large GAT's steps in {CAPACITY_MIB} MiB, budget {plan.budget_bytes / 2**20:.1f} MiB",
        f"  {'':25} {'batches':>8} {'failures':>9} {'fill':>7} {'twice':>7} {'never':>7}  len()",
    ]
    lines += [
        f"  {row.name:25} {row.batches:8,} {row.failures:9,} {row.fill:7.1%} {row.twice:7,} "
        f"{row.never:7,}  {'yes' if row.has_len else 'no'}"
        for row in rows
    ]
    return "\n".join(lines)
