"""Operations on configs: what one resolves to, why, how two differ, and the named ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from kdgat.configs.compose import compose, origins
from kdgat.configs.dataset import DatasetConfig
from kdgat.configs.experiments import experiments
from kdgat.configs.fields import field_docs, leaves
from kdgat.configs.run import RunConfig
from kdgat.data.captures import load_manifest
from kdgat.errors import DataError
from kdgat.ledger.record import is_run_id
from kdgat.ops.scorers import scorers_settled
from kdgat.runs.registry import run_named
from kdgat.stages.table import STAGES
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class ConfigView:
    """A resolved config and its identity."""

    digest: str | None
    """None where the teacher or a scorer is no whole run id: which run is meant decides it."""
    config: dict[str, Any]
    docs: dict[str, str]
    """One line on each field."""


@dataclass(frozen=True)
class FieldOrigin:
    """One field of a config: its value and where it comes from."""

    field: str
    value: Any
    origin: str
    doc: str


@dataclass(frozen=True)
class FieldDifference:
    """A field that two configs have different."""

    field: str
    first: Any
    second: Any


@dataclass(frozen=True)
class Experiment:
    """A named run, and whether this version has a stage that trains it."""

    name: str
    overrides: tuple[str, ...]
    trainable: bool


def ingested_datasets(ws: Workspace) -> dict[str, DatasetConfig]:
    """The datasets of this workspace, as they were ingested; a damaged one is passed over."""
    found = {}
    for path in sorted(ws.data.glob("*/captures.json")):
        try:
            dataset = DatasetConfig.model_validate(load_manifest(path.parent).dataset)
        except (DataError, ValidationError):
            continue
        found[dataset.name] = dataset
    return found


def compose_config(ws: Workspace, overrides: Sequence[str]) -> RunConfig:
    """One run's config, knowing the datasets of this workspace."""
    return compose(overrides, ingested_datasets(ws))


def show_config(ws: Workspace, *, overrides: Sequence[str] = ()) -> ConfigView:
    """The config that some overrides resolve to."""
    config = compose_config(ws, overrides)
    values = config.model_dump(mode="json")
    docs = field_docs(config.model.kind)
    teacher = config.distillation.teacher
    known = (teacher is None or is_run_id(teacher)) and scorers_settled(config)
    return ConfigView(config.digest() if known else None, values, docs)


def explain_config(ws: Workspace, *, overrides: Sequence[str] = ()) -> tuple[FieldOrigin, ...]:
    """Each field, and whether an override, a preset or a default set it."""
    config = compose_config(ws, overrides)
    docs, found = field_docs(config.model.kind), origins(overrides, ingested_datasets(ws))
    values = leaves(config.model_dump(mode="json"))
    return tuple(
        FieldOrigin(name, value, found[name], docs.get(name, "")) for name, value in values.items()
    )


def diff_configs(ws: Workspace, first: str, second: str) -> tuple[FieldDifference, ...]:
    """The fields in which two runs differ; each is a run id, or `latest`.

    Raises:
        RunError: there is no such run, or its config can't be read.
    """
    one, two = (leaves(run_named(ws, name).config()) for name in (first, second))
    return _differences(one, two)


def list_experiments(ws: Workspace) -> tuple[Experiment, ...]:  # noqa: ARG001
    """Every named experiment."""
    kinds = {stage.kind for stage in STAGES.values()}
    return tuple(
        Experiment(name, overrides, overrides[1].removeprefix("model=") in kinds)
        for name, overrides in experiments().items()
    )


def _differences(one: Mapping[str, Any], two: Mapping[str, Any]) -> tuple[FieldDifference, ...]:
    names = [*one, *(name for name in two if name not in one)]
    return tuple(
        FieldDifference(name, one.get(name), two.get(name))
        for name in names
        if one.get(name) != two.get(name)
    )
