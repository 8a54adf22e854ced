"""One trial of a search: a training, told to the study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from kdgat.configs.model import FusionConfig
from kdgat.configs.run import RunConfig
from kdgat.errors import ConfigError, KdgatError
from kdgat.ledger.folder import Paused, RunFolder
from kdgat.ops.experiment import earlier_run, resolve_teacher
from kdgat.ops.pipeline import must_stop
from kdgat.ops.scorers import resolve_scorers, with_scorers
from kdgat.ops.search import FROM_VALIDATION, Search, TuningRequest, composed
from kdgat.ops.training import TrainingSummary, train_config
from kdgat.progress import Progress
from kdgat.runs.registry import run_named
from kdgat.stages.table import stage_of
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    import optuna
    from optuna.trial import Trial

_EPOCH_FIGURE = "val_task_loss"


def carry_out(
    ws: Workspace,
    search: Search,
    asked: TuningRequest,
    study: optuna.Study,
    trial: Trial,
    progress: Progress,
) -> None:
    """Train what a trial asks for; a run that fails is a trial that fails.

    Raises:
        ConfigError: runs of this kind have no such figure as is asked for.
        StorageError: the file system refused; the trial is queued again.
    """
    from kdgat.ops.study import end_trial, fail_trial, prune_trial, queue_cut_off

    try:
        config = _trial_config(ws, search, trial.params)
        pruned = asked.pruner != "none"
        listen = _pruning(ws, search, config, trial, progress) if pruned else progress
        run = train_config(ws, config, progress=listen)
        trial.set_user_attr("run_id", run.run_id)
    except Paused:
        prune_trial(study, trial)
        return
    except KdgatError as error:
        if must_stop(error):
            queue_cut_off(study)
            raise
        fail_trial(study, trial, error.problem)
        return
    except (RuntimeError, MemoryError) as error:  # Such as memory that ran out: others may fit.
        fail_trial(study, trial, repr(error))
        return
    except BaseException:
        queue_cut_off(study)
        raise
    figures = _figures(ws, run)
    if asked.metric not in figures:
        problem = f"run '{run.run_id}' ({run.name}) has no figure '{asked.metric}'"
        fail_trial(study, trial, problem)
        there = sorted(name for name in figures if name.startswith(FROM_VALIDATION))
        raise ConfigError(problem, hint=f"choose one of: {', '.join(there)}")
    value = figures[asked.metric]
    if value is None or not math.isfinite(value):
        fail_trial(study, trial, f"run '{run.run_id}' ends with {asked.metric} = {value}")
    else:
        end_trial(study, trial, value)


def _trial_config(ws: Workspace, search: Search, values: Mapping[str, object]) -> RunConfig:
    """A trial's config; the runs that it rests on are the same in every trial."""
    config = composed(ws, search.fixed, values)
    if "distillation.teacher" not in search.space:
        teacher = search.base.distillation.teacher
        distillation = config.distillation.model_copy(update={"teacher": teacher})
        config = config.model_copy(update={"distillation": distillation})
    if isinstance(search.base.model, FusionConfig) and "model.scorers" not in search.space:
        config = with_scorers(config, search.base.model.scorers)
    config, _ = resolve_scorers(ws, config, search.graphs)
    return resolve_teacher(ws, config, search.graphs)[0]


def _figures(ws: Workspace, run: TrainingSummary) -> dict[str, float | None]:
    """The figures of a run and of its best epoch."""
    best = run.metrics.get("best_epoch")
    epochs = [row for row in run_named(ws, run.run_id).metrics() if row["epoch"] == best]
    return {**(epochs[-1] if epochs else {}), **run.metrics}


def _pruning(
    ws: Workspace, search: Search, config: RunConfig, trial: Trial, progress: Progress
) -> Progress:
    """A listener that tells the study of every epoch, and stops a run that is behind."""
    stage = stage_of(config.model)
    folder: RunFolder | None = None
    before, reported = "", -1

    def listen(what: str, done: int, total: int) -> None:
        nonlocal folder, before, reported
        progress(what, done, total)
        # Every epoch says something else.
        if what == before or done >= total:
            return
        before = what
        folder = folder or earlier_run(ws, config, stage, search.graphs)
        for row in [] if folder is None else folder.metrics():
            if row["epoch"] > reported and row.get(_EPOCH_FIGURE) is not None:
                reported = row["epoch"]
                trial.report(row[_EPOCH_FIGURE], reported)
        if reported >= 0 and trial.should_prune():
            raise Paused(f"after epoch {reported}, behind the other trials")

    return listen
