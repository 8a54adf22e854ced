"""Cost against size: CSV to graphs to 13 million rows, batches and training to a million graphs.

Run by hand (about half an hour; the figures and the picture are written to --out):

    uv run python tests/benchmarks/linear.py --out linear

Rows are the simulation's, repeated with later times. Each size is built in a process of its own,
which tells how much memory it had resident at most. Seconds are the process's own time on one
thread; each size's seconds a graph is given as a ratio to the smallest size's, which a linear cost
keeps at one.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
warnings.filterwarnings("ignore", message=".*torch.jit.*", category=FutureWarning)

SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
ROWS = (400_000, 1_300_000, 4_000_000, 13_000_000)
MOST_RESIDENT_GB = 2.0
_STEPS = 60


@dataclass(frozen=True)
class Point:
    """One size, and what it cost."""

    what: str
    size: int
    seconds: float
    resident_gb: float


def build(size: int) -> Point:
    """Graphs of `size` rows, read from CSV and written to a store in chunks of one capture."""
    import polars as pl

    from kdgat.configs.data import DataConfig
    from kdgat.configs.dataset import DatasetConfig, SimulationConfig
    from kdgat.data.simulate import simulate
    from kdgat.stages.ingest import ingest
    from kdgat.stages.prepare import prepare

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        once = folder / "once"
        simulate(SimulationConfig(capture_s=60.0, attack_free_s=60.0), once)
        captures = sorted(once.rglob("train*/*.csv*"))
        left = size
        for number in range(10_000):
            if left <= 0:
                break
            frame = pl.read_csv(captures[number % len(captures)]).head(left)
            # A copy that repeats another would be left out of training.
            first = frame.columns[0]
            frame = frame.with_columns(pl.col(first) * (1 + 1e-6 * number))
            target = folder / "raw" / "train_01" / f"capture-{number}.csv"
            target.parent.mkdir(parents=True, exist_ok=True)
            frame.write_csv(target)
            left -= len(frame)
        start = time.process_time()
        config = DatasetConfig(name="linear", provenance="simulated")
        ingest(config, folder / "raw", folder / "data")
        prepare(folder / "data", DataConfig())
        seconds = time.process_time() - start
    return Point("CSV to graphs, rows", size, seconds, resident_gb())


def train(size: int) -> list[Point]:
    """An epoch's batches and steps over `size` random graphs."""
    import torch

    from kdgat.configs.model import model_preset
    from kdgat.configs.training import DistillationConfig, TrainingConfig
    from kdgat.data.batches import BatchLoader
    from kdgat.memory.affine import Shape
    from kdgat.models.table import build_model
    from kdgat.training.compare import own_epoch
    from kdgat.training.optimizer import build_optimizer
    from kdgat.training.scoring import score_parts
    from kdgat.training.tasks import Classification, Objective
    from tests.unit.memory.runs import FEATURES, random_store

    torch.set_num_threads(1)
    store = random_store(Shape(32 * size, 57 * size, size))
    config = TrainingConfig(max_graphs=512)
    model_config = model_preset("gat", "small")
    model = build_model(model_config, *FEATURES)
    points = []

    def timed(what: str, start: float) -> None:
        points.append(Point(what, size, time.process_time() - start, resident_gb()))

    start = time.process_time()
    for _ in BatchLoader(store, 512, seed=0):
        pass
    timed("batches of an epoch, graphs", start)
    objective = Objective(Classification(), DistillationConfig())
    optimizer = build_optimizer(model.parameters(), config)
    start = time.process_time()
    loader = BatchLoader(store, 512, seed=0)
    # The plan is the whole epoch's; of a large one only some steps are made, and counted up.
    steps = min(len(loader), _STEPS)
    planned = time.process_time() - start
    start = time.process_time()
    for _ in islice(own_epoch(model, objective, loader, config, optimizer), steps):
        pass
    spent = planned + (time.process_time() - start) * len(loader) / steps
    points.append(Point("epoch of the student, graphs", size, spent, resident_gb()))
    if size <= SIZES[2]:
        start = time.process_time()
        score_parts(model, model_config, store, 512)
        timed("scoring, graphs", start)
    return points


def resident_gb() -> float:
    """The most memory that this process had resident."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def draw(points: list[Point], path: Path) -> None:
    """Seconds against size, both by powers of ten."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.2), layout="constrained")
    for what in dict.fromkeys(point.what for point in points):
        chosen = [point for point in points if point.what == what]
        sizes = [point.size for point in chosen]
        per = [point.seconds / point.size for point in chosen]
        axes.plot(sizes, [each / per[0] for each in per], marker="o", label=what)
    axes.axhline(1.0, color="0.6", linewidth=1)
    axes.set(xscale="log", ylim=(0, 2), xlabel="rows or graphs")
    axes.set_ylabel("cost of one, against the smallest size")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> int:
    """Measure, print a table, write it and a picture; 1 where memory is not bounded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("linear"))
    parser.add_argument("--quick", action="store_true", help="The smaller sizes.")
    given = parser.parse_args()
    rows, sizes = (ROWS[:2], SIZES[:3]) if given.quick else (ROWS, SIZES)
    points: list[Point] = []
    for job, what in ((build, rows), (train, sizes)):
        for size in what:
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                found = pool.submit(job, size).result()
            points += found if isinstance(found, list) else [found]
    print("| what | size | cost of one, against the smallest | resident GB |")
    print("|---|---|---|---|")
    for point in points:
        base = next(each for each in points if each.what == point.what)
        ratio = point.seconds / point.size / (base.seconds / base.size)
        print(f"| {point.what} | {point.size:,} | {ratio:.2f} | {point.resident_gb:.2f} |")
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "linear.json").write_text(json.dumps([asdict(each) for each in points], indent=1))
    draw(points, given.out / "linear.png")
    built = [each for each in points if each.what.startswith("CSV")]
    return int(max(each.resident_gb for each in built) > MOST_RESIDENT_GB)


if __name__ == "__main__":
    sys.exit(main())
