"""A trained run with what it takes to use it on other messages than its dataset's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdgat.errors import RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.record import RunRecord, refuse_imported
from kdgat.ledger.states import State
from kdgat.ops.experiment import check_unchanged
from kdgat.progress import Progress, quiet
from kdgat.runs.registry import run_named
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.stages.prepare import Prepared
    from kdgat.training.checkpoint import TrainedModel


@dataclass(frozen=True)
class UsableRun:
    """A completed training, its model, and the data side of it: scaling, profiles, graphs."""

    folder: RunFolder
    record: RunRecord
    model: TrainedModel
    prepared: Prepared


def usable_run(ws: Workspace, run: str, progress: Progress = quiet) -> UsableRun:
    """The run that a user names, ready to score windows.

    Raises:
        RunError: there is no such run, it is not completed, or it is no training run.
        DataError: the dataset is gone, or changed since the training.
        CheckpointError: the run's best checkpoint is damaged.
    """
    folder = run_named(ws, run, lambda record: record.subject is None)
    record = folder.current()
    refuse_imported(record)
    if record.subject is not None:
        raise RunError(
            f"run '{record.run_id}' is an evaluation, and its model is that of '{record.subject}'",
            hint=f"name '{record.subject}' instead",
        )
    if record.state is not State.COMPLETED:
        raise RunError(
            f"run '{record.run_id}' is {record.state.value}, not completed",
            hint="train it to its end first; the same overrides resume it",
        )
    check_unchanged(ws, folder, record)
    # torch takes seconds to import: a mistake in the name is told before.
    from kdgat.stages.prepare import prepare
    from kdgat.training.checkpoint import BEST, load_best

    model = load_best(folder.checkpoints / BEST)
    prepared = prepare(ws.dataset(record.dataset), model.config.data, progress)
    return UsableRun(folder, record, model, prepared)
