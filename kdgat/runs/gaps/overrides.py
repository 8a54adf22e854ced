"""A finding's trial as the command to paste: a run's config in overrides, with some changes.

Only what differs from the preset of its model and size is written, so the command stays short.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from copy import deepcopy
from itertools import product
from typing import Any

from kdgat.configs.dataset import DATASETS, DatasetConfig
from kdgat.configs.fields import leaves, validated
from kdgat.configs.model import KINDS, SIZES, model_preset
from kdgat.configs.run import RunConfig
from kdgat.errors import ConfigError
from kdgat.runs.effect import same_value
from kdgat.runs.gaps.finding import Trial

_GROUPS = ("dataset", "model", "size")


def command(trial: Trial, params: Mapping[str, str | None] | None = None) -> str | None:
    """The command, quoted for a shell; None where a run's config is none of this version's.

    Args:
        trial: what to try.
        params: the config of its base as the history has it, by dotted name.
    """
    words = ["kdgat", *trial.words]
    if trial.base is not None:
        overrides = _overrides(params or {}, trial.changes)
        if overrides is None:
            return None
        sweep = ["-m"] if any(len(values) > 1 for values in trial.changes.values()) else []
        words += [*sweep, *overrides]
    return shlex.join([*words, *trial.options])


def _overrides(
    params: Mapping[str, str | None], changes: Mapping[str, tuple[str, ...]]
) -> list[str] | None:
    kind, size = params.get("model.kind"), params.get("size")
    dataset = changes.get("dataset", (params.get("dataset.name"),))[0]
    if kind not in KINDS or size not in SIZES or not dataset:
        return None
    preset = RunConfig(
        dataset=DATASETS.get(dataset) or DatasetConfig(name=dataset),
        model=model_preset(kind, size),
        size=size,
    ).model_dump(mode="json")
    usual = {name: value for name, value in leaves(preset).items() if _is_own(name, params)}
    held = {
        name: params[name]
        for name, value in usual.items()
        if name in params and not same_value(params[name], _text(value))
    }
    given = {name: values for name, values in changes.items() if name not in _GROUPS}
    written: dict[str, tuple[str, ...]] = {
        **{name: (_value(text),) for name, text in held.items()},
        **{name: tuple(map(_value, values)) for name, values in given.items()},
    }
    if not all(written.values()) or not _fits(preset, written):
        return None
    chosen = (f"dataset={dataset}", f"model={kind}", f"size={size}")
    return [*chosen, *(f"{name}={','.join(values)}" for name, values in written.items())]


def _is_own(name: str, params: Mapping[str, str | None]) -> bool:
    """Whether a field is written out: no group, no resource, no weight of a teacher it lacks."""
    alone = params.get("distillation.teacher") is None
    return not (
        name in ("size", "model.kind")
        or name.startswith(("dataset.", "resources.", "evaluation."))
        or (alone and name.startswith("distillation."))
    )


def _text(value: Any) -> str:
    """A value as the history has it."""
    if value is None or isinstance(value, bool | list):
        return json.dumps(value)
    return str(value)


def _value(text: str | None) -> str:
    """A value of the history as an override writes it."""
    if text is None:
        return "null"
    values = _read(text)
    return f"[{','.join(map(str, values))}]" if isinstance(values, list) else text


def _fits(preset: dict[str, Any], written: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether every combination is a config of this version."""
    for combination in product(*written.values()):
        values = deepcopy(preset)
        for name, text in zip(written, combination, strict=True):
            *parents, leaf = name.split(".")
            part = values
            for parent in parents:
                part = part.get(parent, {})
            part[leaf] = text[1:-1].split(",") if text.startswith("[") else _read(text)
        try:
            validated(values, "the trial")
        except ConfigError:
            return False
    return True


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
