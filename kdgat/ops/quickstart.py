"""The operation that shows the whole job once, on simulated traffic."""

from __future__ import annotations

import time
from dataclasses import dataclass

from kdgat.ops.data import SIMULATED, ingest_data, prepare_data, simulate_data
from kdgat.ops.evaluation import EvaluationSummary, evaluate
from kdgat.ops.training import TrainingSummary, train
from kdgat.progress import Progress, quiet
from kdgat.workspace import Workspace

_STEPS = (
    ("autoencoder", ("model=vgae", "size=large")),
    ("teacher", ("model=gat", "size=large")),
    ("student", ("model=gat", "size=small", "distillation.teacher=latest")),
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
    """
    start = time.monotonic()
    dataset = f"dataset={SIMULATED}"
    simulate_data(ws, progress=progress)
    data = ingest_data(ws, SIMULATED, progress=progress)
    prepared = prepare_data(ws, overrides=[dataset], progress=progress)
    trained, evaluated = [], []
    for _, overrides in _STEPS:
        run = train(ws, overrides=[dataset, *overrides], progress=progress)
        trained.append(run)
        evaluated.append(evaluate(ws, run.run_id, progress=progress))
    student = trained[-1].run_id
    return QuickstartResult(
        messages=data.rows,
        train_graphs=prepared.train_graphs,
        trained=tuple(trained),
        evaluated=tuple(evaluated),
        seconds=time.monotonic() - start,
        next_steps=(
            f"kdgat runs show {student}",
            "kdgat data ingest hcrl_sa --raw DIR && kdgat train dataset=hcrl_sa model=gat",
            f"kdgat train -m dataset={SIMULATED} model=gat size=small seed=range(3)",
            "kdgat experiments",
        ),
    )
