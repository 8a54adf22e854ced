"""The operation that searches for a better config by figures of the validation windows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from kdgat.ops.search import TuningRequest, begin_study, checked, same_study
from kdgat.ops.trial import carry_out
from kdgat.progress import Progress, numbered, quiet
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class TuningPlan:
    """What a search would do."""

    name: str
    folder: str
    space: dict[str, str]
    fixed: tuple[str, ...]
    metric: str
    sampler: str
    pruner: str
    trials: int
    done: int
    to_do: int


@dataclass(frozen=True)
class TrialReport:
    """One trial of a search."""

    number: int
    state: Literal["done", "failed", "pruned"]
    value: float | None
    values: dict[str, str | int | float]
    run_id: str | None
    problem: str | None


@dataclass(frozen=True)
class TuningReport:
    """What a search has found so far."""

    name: str
    folder: str
    space: dict[str, str]
    metric: str
    trials: tuple[TrialReport, ...]
    """The best first; then those that were pruned or failed."""
    best: TrialReport | None
    importance: dict[str, float]
    left: int
    """Trials that are still to do."""
    seconds: float
    next_steps: tuple[str, ...]


def plan_tuning(ws: Workspace, asked: TuningRequest) -> TuningPlan:
    """What `run_tuning` would do; nothing is written.

    Raises:
        ConfigError, DataError, RunError: as `run_tuning`.
    """
    search = checked(ws, asked)
    same_study(search, asked)
    from kdgat.ops.study import look_at

    done = len(look_at(search.folder))
    return TuningPlan(
        name=search.name,
        folder=ws.show(search.folder),
        space=search.shown,
        fixed=search.fixed,
        metric=asked.metric,
        sampler=asked.sampler,
        pruner=asked.pruner,
        trials=search.trials,
        done=done,
        to_do=max(0, search.trials - done),
    )


def run_tuning(ws: Workspace, asked: TuningRequest, *, progress: Progress = quiet) -> TuningReport:
    """Search, one trial after the other, each a run of the ledger; goes on where it was stopped.

    Args:
        ws: the workspace.
        asked: what to search, and by what.
        progress: told of every batch, with the trial's number.

    Raises:
        ConfigError: an override is wrong, leaves nothing to search or what no search may choose;
            the figure is none of the validation windows; or the study's name is of another search.
        DataError: the dataset is not ingested.
        RunError: a teacher can't be found, or the study's journal can't be read.
        StorageError: another process works on the study, or the file system refused.
    """
    started = time.monotonic()
    search = checked(ws, asked)
    if not same_study(search, asked):
        begin_study(search, asked)
    from kdgat.ops.study import importance, next_trial, open_study, queue_grid, settled

    with open_study(search.folder, pruner=asked.pruner) as study:
        if asked.sampler == "grid":
            queue_grid(study, search.space)
        while (number := len(settled(study)) + 1) <= search.trials:
            passed_min = (time.monotonic() - started) / 60
            if asked.timeout_min is not None and passed_min >= asked.timeout_min:
                break
            trial = next_trial(study, search.space, asked.sampler, search.base.seed)
            place = f"trial {number} of {search.trials}"
            carry_out(ws, search, asked, study, trial, numbered(progress, place))
        trials = _sorted(settled(study))
        best = trials[0] if trials and trials[0].state == "done" else None
        return TuningReport(
            name=search.name,
            folder=ws.show(search.folder),
            space=search.shown,
            metric=asked.metric,
            trials=trials,
            best=best,
            importance=importance(study),
            left=max(0, search.trials - len(trials)),
            seconds=time.monotonic() - started,
            next_steps=(f"kdgat evaluate {best.run_id}",) if best else (),
        )


def _sorted(trials: tuple[FrozenTrial, ...]) -> tuple[TrialReport, ...]:
    states: dict[str, Literal["done", "failed", "pruned"]] = {
        "COMPLETE": "done",
        "FAIL": "failed",
        "PRUNED": "pruned",
    }
    order = list(states.values())
    reports = [
        TrialReport(
            number=trial.number,
            state=states[trial.state.name],
            value=trial.value if trial.state.name == "COMPLETE" else None,
            values=dict(trial.params),
            run_id=trial.user_attrs.get("run_id"),
            problem=trial.user_attrs.get("problem"),
        )
        for trial in trials
    ]
    return tuple(
        sorted(reports, key=lambda each: (order.index(each.state), each.value or 0.0, each.number))
    )
