"""A study kept on disk: the only module that knows Optuna.

The journal is Optuna's own, so that its dashboard reads it too. One process at a time works on a
study. What values a trial gets follows from the study's seed and the trials before it alone, so a
search that was stopped and taken up again tries what it would have tried.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from kdgat.configs.space import Choices, Interval, Space
from kdgat.errors import ConfigError, RunError
from kdgat.ledger.files import storage_error
from kdgat.runs.lease import hold_lease

Sampler = Literal["tpe", "random", "grid"]
Pruner = Literal["none", "median"]
Value = str | int | float
_JOURNAL = "trials.log"
_AGAIN = "again"
"""Attribute of a trial that does an earlier one again: the number of that one."""
_ENOUGH_FOR_IMPORTANCE = 10
_MOST_OF_A_GRID = 10_000


@contextmanager
def open_study(folder: Path, *, pruner: Pruner) -> Iterator[optuna.Study]:
    """The study in a folder, for one process; trials that were cut off are queued again.

    Raises:
        StorageError: another process works on it, or the file system refused.
        RunError: its journal can't be read.
    """
    with hold_lease(folder / "lease", f"study '{folder.name}'"):
        journal = folder / _JOURNAL
        try:
            _mend(journal)
            study = _load(folder)
            study.pruner = _pruner(pruner)
            queue_cut_off(study)
            yield study
        except OSError as error:
            raise storage_error(journal, error) from error


def look_at(folder: Path) -> tuple[FrozenTrial, ...]:
    """The trials of the study in a folder that came to an end; nothing is written.

    Raises:
        RunError: its journal can't be read.
    """
    return settled(_load(folder)) if (folder / _JOURNAL).is_file() else ()


def settled(study: optuna.Study) -> tuple[FrozenTrial, ...]:
    """The trials that came to an end; those that were cut off did not."""
    trials = study.get_trials(deepcopy=False)
    again = {trial.user_attrs.get(_AGAIN) for trial in trials}
    return tuple(
        trial for trial in trials if trial.state.is_finished() and trial.number not in again
    )


def queue_cut_off(study: optuna.Study) -> None:
    """End the trials that are under way as failed, and queue each anew, once."""
    trials = study.get_trials(deepcopy=False)
    again = {trial.user_attrs.get(_AGAIN) for trial in trials}
    for trial in trials:
        if trial.state is TrialState.RUNNING:
            if trial.number not in again:
                study.enqueue_trial(trial.params, user_attrs={_AGAIN: trial.number})
            study.tell(trial.number, state=TrialState.FAIL)


def queue_grid(study: optuna.Study, space: Space) -> None:
    """Queue every combination of a space that the study does not have yet."""
    trials = study.get_trials(deepcopy=False)
    there = [trial.system_attrs.get("fixed_params", trial.params) for trial in trials]
    for values in grid(space):
        if values not in there:
            study.enqueue_trial(values)


def grid(space: Space) -> list[dict[str, Value]]:
    """Every combination of a space's values.

    Raises:
        ConfigError: they can't be counted, or are too many.
    """
    every: list[list[Value]] = []
    for name, values in space.items():
        if isinstance(values, Choices):
            every.append(list(values.values))
        elif values.whole:
            every.append(list(range(math.ceil(values.low), math.floor(values.high) + 1)))
        else:
            raise ConfigError(
                f"the values of '{name}' can't be counted, as a grid needs",
                hint=f"write them out ({name}=A,B), or take --sampler tpe",
            )
    count = math.prod(map(len, every))
    if count > _MOST_OF_A_GRID:
        raise ConfigError(
            f"the grid has {count:,} combinations, and {_MOST_OF_A_GRID:,} is the most",
            hint="write fewer values, or take --sampler tpe",
        )
    return [dict(zip(space, values, strict=True)) for values in product(*every)]


def next_trial(study: optuna.Study, space: Space, sampler: Sampler, seed: int) -> Trial:
    """The next trial, with its values."""
    number = len(settled(study))
    if sampler == "tpe":
        study.sampler = optuna.samplers.TPESampler(seed=(seed + number) % 2**32)
    else:
        study.sampler = optuna.samplers.RandomSampler(seed=(seed + number) % 2**32)
    return study.ask({name: _distribution(values) for name, values in space.items()})


def end_trial(study: optuna.Study, trial: Trial, value: float) -> None:
    """Note what a trial came to."""
    study.tell(trial, value)


def fail_trial(study: optuna.Study, trial: Trial, problem: str) -> None:
    """Note that a trial came to nothing, and why."""
    trial.set_user_attr("problem", problem)
    study.tell(trial, state=TrialState.FAIL)


def prune_trial(study: optuna.Study, trial: Trial) -> None:
    """Note that a trial was stopped before its end."""
    study.tell(trial, state=TrialState.PRUNED)


def importance(study: optuna.Study) -> dict[str, float]:
    """How much of the difference between good and other trials each field makes, largest first.

    Empty where there are too few trials, or too few fields, to tell.
    """
    done = [trial for trial in settled(study) if trial.state is TrialState.COMPLETE]
    fields = {name for trial in done for name in trial.params}
    if len(done) < _ENOUGH_FOR_IMPORTANCE or len(fields) < 2:
        return {}
    try:
        return optuna.importance.get_param_importances(study)
    except (RuntimeError, ValueError):
        # Every trial came to the same.
        return {}


def _load(folder: Path) -> optuna.Study:
    optuna.logging.set_verbosity(logging.WARNING)
    journal = folder / _JOURNAL
    try:
        return optuna.create_study(
            study_name=folder.name,
            storage=JournalStorage(JournalFileBackend(str(journal))),
            load_if_exists=True,
        )
    except (ValueError, KeyError, AssertionError) as error:
        raise RunError(
            f"the journal of study '{folder.name}' can't be read: {error}",
            hint=f"give another --name; runs that are done are taken as they are ('{journal}')",
        ) from error


def _mend(journal: Path) -> None:
    """Take away what a process that was killed left half done: a lock, a line without an end."""
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
    if not journal.is_file():
        return
    whole = journal.read_bytes().rfind(b"\n") + 1
    if whole < journal.stat().st_size:
        with journal.open("rb+") as file:
            file.truncate(whole)


def _pruner(pruner: Pruner) -> optuna.pruners.BasePruner:
    if pruner == "median":
        return optuna.pruners.MedianPruner(n_warmup_steps=1)
    return optuna.pruners.NopPruner()


def _distribution(values: Choices | Interval) -> BaseDistribution:
    if isinstance(values, Choices):
        return CategoricalDistribution(values.values)
    if values.whole:
        return IntDistribution(math.ceil(values.low), math.floor(values.high), log=values.log)
    return FloatDistribution(values.low, values.high, log=values.log)
