"""What a search is: its space, what stays fixed, and the study that it belongs to."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from kdgat.configs.compose import search_space
from kdgat.configs.fields import leaves
from kdgat.configs.run import RunConfig, json_digest
from kdgat.configs.space import Choices, Interval, Space
from kdgat.data.captures import load_manifest
from kdgat.errors import ConfigError, RunError
from kdgat.ledger.files import write_json
from kdgat.ledger.record import utc_now
from kdgat.ops.config import compose_config
from kdgat.ops.experiment import resolve_teacher
from kdgat.ops.scorers import resolve_scorers
from kdgat.stages.table import graphs_key, stage_of
from kdgat.workspace import Workspace

DEFAULT_TRIALS = 20
FROM_VALIDATION = ("val_", "best_val_")
"""Beginnings of the figures that a search may go by."""
_DEFINITION = "study.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_YARDSTICK = {
    "dataset": "their losses are of different windows",
    "data": "their losses are of different windows or features",
    "model": "their losses are of different kinds",
    "size": "the largest is the best, and what it costs is not in the figure",
    "seed": "the best of several seeds is the luckiest one",
    "resources": "it changes no figure",
    "evaluation": "it changes no figure of the training",
    "model.kl_weight": "it weighs the very loss that is the figure",
    "model.edge_weight": "it weighs the very loss that is the figure",
    "model.negatives_per_edge": "it changes the very loss that is the figure",
}
"""Fields, or groups of them, that no search may choose, and what is wrong with it."""
_PARTS = {
    "space": "other fields or values to search",
    "metric": "another figure to go by",
    "graphs": "other captures, or another data.*",
    "config": "another config, or other runs as teacher or scorers",
}
"""What makes two searches the same, as a person calls it."""


@dataclass(frozen=True)
class TuningRequest:
    """What is asked to be searched."""

    overrides: tuple[str, ...] = ()
    """Hydra overrides; those with several values, or an interval, are searched."""
    trials: int | None = None
    """Trials in all, earlier ones counted in; None means 20, or all of a grid."""
    name: str | None = None
    metric: str = "best_val_task_loss"
    timeout_min: float | None = None
    """Minutes after which no trial is begun."""
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    pruner: Literal["none", "median"] = "none"


@dataclass(frozen=True)
class Search:
    """A request that was checked."""

    name: str
    folder: Path
    fixed: tuple[str, ...]
    space: Space
    base: RunConfig
    """With the first value of every field that is searched, and runs named by their ids."""
    graphs: str
    trials: int

    @property
    def shown(self) -> dict[str, str]:
        """The space as a person reads it."""
        return {name: str(values) for name, values in self.space.items()}


def checked(ws: Workspace, asked: TuningRequest) -> Search:
    """The search that is asked for, every value of its space checked.

    Raises:
        ConfigError, DataError, RunError: as `run_tuning`.
    """
    fixed, space = _searched(asked)
    space = _typed(ws, fixed, space)
    base = composed(ws, fixed, {name: _ends(values)[0] for name, values in space.items()})
    stage_of(base.model)
    graphs = graphs_key(load_manifest(ws.dataset(base.dataset.name)), base.data)
    base, _ = resolve_scorers(ws, base, graphs)
    base, _ = resolve_teacher(ws, base, graphs)
    name = _study_name(asked, fixed, space, base)
    trials = asked.trials or DEFAULT_TRIALS
    if asked.sampler == "grid":
        from kdgat.ops.study import grid

        count = len(grid(space))
        trials = min(asked.trials or count, count)
    return Search(name, ws.tune / name, fixed, space, base, graphs, trials)


def _searched(asked: TuningRequest) -> tuple[tuple[str, ...], Space]:
    """What is fixed and what is searched, if it may be."""
    if not asked.metric.startswith(FROM_VALIDATION):
        raise ConfigError(
            f"'{asked.metric}' is no figure of the validation windows",
            hint="what is chosen by test windows can't be judged by them: leave --metric out, "
            "which is best_val_task_loss",
        )
    fixed, space = search_space(asked.overrides)
    if not space:
        raise ConfigError(
            "no override leaves anything to search",
            hint="give a field several values: model.hidden=8,12,16, or "
            "'training.learning_rate=log(1e-4,1e-2)'",
        )
    for name in space:
        for field, why in _YARDSTICK.items():
            if name == field or (name.startswith(f"{field}.") and field != "model"):
                raise ConfigError(
                    f"'{name}' can't be searched: {why}",
                    hint="compare its values by `kdgat train -m` and `kdgat effect`",
                )
    return fixed, space


def _study_name(asked: TuningRequest, fixed: tuple[str, ...], space: Space, base: RunConfig) -> str:
    """The name that is asked for, or one that is the same whenever the same is asked."""
    name = asked.name
    if name is None:
        words = json_digest([sorted(fixed), {key: str(space[key]) for key in space}, asked.metric])
        name = f"{base.dataset.name}-{base.model.kind}-{base.size}-{words[:6]}"
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"'{name}' is no name of a study",
            hint="use letters, digits, dots, dashes and underscores, 100 at most",
        )
    return name


def _typed(ws: Workspace, fixed: tuple[str, ...], space: Space) -> dict[str, Choices | Interval]:
    """The space with whole numbers where the field has them, every value of it checked."""
    known = leaves(compose_config(ws, fixed).model_dump())
    found: dict[str, Choices | Interval] = {}
    for name, values in space.items():
        whole = isinstance(known.get(name), int) and not isinstance(known[name], bool)
        if isinstance(values, Interval) and (whole or values.whole):
            values = replace(
                values, low=math.ceil(values.low), high=math.floor(values.high), whole=True
            )
            if not values.low < values.high:
                raise ConfigError(
                    f"the interval of '{name}' has no two whole numbers", hint="make it wider"
                )
        for value in _ends(values):
            composed(ws, fixed, {name: value})
        if name not in known:
            raise ConfigError(
                f"'{name}' is not one field", hint="search each of its fields by its own name"
            )
        found[name] = values
    return found


def _ends(values: Choices | Interval) -> tuple[str | float, ...]:
    """Values that are right if all are: every choice, or an interval's ends."""
    return values.values if isinstance(values, Choices) else (values.low, values.high)


def composed(ws: Workspace, fixed: tuple[str, ...], values: Mapping[str, object]) -> RunConfig:
    """The config with these values of the fields that are searched."""
    return compose_config(ws, (*fixed, *(f"{name}={value}" for name, value in values.items())))


def _identity(search: Search, asked: TuningRequest) -> dict[str, Any]:
    """What makes two searches the same."""
    return {
        "space": search.shown,
        "metric": asked.metric,
        "graphs": search.graphs,
        "config": search.base.digest(),
    }


def same_study(search: Search, asked: TuningRequest) -> bool:
    """Whether the study of this name was begun already.

    Raises:
        ConfigError: it was, with another search.
        RunError: what it was begun with can't be read.
    """
    path = search.folder / _DEFINITION
    try:
        begun = json.loads(path.read_bytes())
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise RunError(
            f"'{path}' can't be read: {error}", hint="restore the file, or give another --name"
        ) from error
    for part, now in _identity(search, asked).items():
        if begun.get(part) != now:
            raise ConfigError(
                f"study '{search.name}' was begun with {_PARTS[part]}",
                hint=f"give another --name; it was begun by: {begun.get('command')}",
            )
    return True


def begin_study(search: Search, asked: TuningRequest) -> None:
    """Keep what makes a study the same.

    Raises:
        StorageError: the file system refused.
    """
    begun = {**_identity(search, asked), "command": _command(asked), "begun": utc_now()}
    write_json(search.folder / _DEFINITION, begun)


def _command(asked: TuningRequest) -> str:
    metric = ("--metric", asked.metric) if asked.metric != TuningRequest.metric else ()
    return shlex.join(("kdgat", "tune", *asked.overrides, *metric))
