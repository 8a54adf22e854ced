"""The operation that shows the whole job once, on simulated traffic."""

from __future__ import annotations

import time
from dataclasses import dataclass

from kdgat.ops.data import ingest_data, prepare_data
from kdgat.ops.evaluation import EvaluationSummary, evaluate
from kdgat.ops.simulation import (
    SIMULATED,
    is_whole,
    simulate_data,
    simulated_raw,
    simulation_mark,
)
from kdgat.ops.training import TrainingSummary, train
from kdgat.progress import Progress, quiet
from kdgat.workspace import Workspace

_COMMON = (f"dataset={SIMULATED}", "training.max_epochs=6", "training.patience_epochs=3")
_MODELS = (
    ("model=vgae", "size=large"),
    ("model=gat", "size=large"),
    ("model=gat", "size=small", "distillation.teacher=latest"),
)


@dataclass(frozen=True)
class QuickstartResult:
    """The three models trained, each judged on the four test scenarios."""

    messages: int
    train_graphs: int
    trained: tuple[TrainingSummary, ...]
    evaluated: tuple[EvaluationSummary, ...]
    seconds: float
    next_steps: tuple[str, ...]


def quickstart(ws: Workspace, *, progress: Progress = quiet) -> QuickstartResult:
    """Simulate, ingest, prepare, train autoencoder, teacher and distilled student, evaluate.

    What is done already is not done again, so a second call is quick and a broken-off one goes on.
    Captures that were simulated before, with whatever config, are taken as they are.
    """
    start = time.monotonic()
    mark = simulation_mark(simulated_raw(ws))
    if mark is None or not is_whole(mark):
        simulate_data(ws, progress=progress)
    data = ingest_data(ws, SIMULATED, progress=progress)
    prepared = prepare_data(ws, overrides=_COMMON, progress=progress)
    trained, evaluated = [], []
    for overrides in _MODELS:
        run = train(ws, overrides=(*_COMMON, *overrides), progress=progress)
        trained.append(run)
        evaluated.append(evaluate(ws, run.run_id, progress=progress))
    student = trained[-1].run_id
    return QuickstartResult(
        messages=data.rows,
        train_graphs=prepared.train_graphs,
        trained=tuple(trained),
        evaluated=tuple(evaluated),
        seconds=time.monotonic() - start,
        next_steps=next_steps(student),
    )


def next_steps(student: str) -> tuple[str, ...]:
    """Commands to go on with, each to be pasted into a shell."""
    return (
        f"uv run kdgat runs show {student}",
        f"uv run kdgat evaluate {student}",
        f"uv run kdgat train -m dataset={SIMULATED} model=gat size=small 'seed=range(3)'",
        "uv run kdgat data ingest hcrl_sa --raw DIR",
        "uv run kdgat experiments",
    )
