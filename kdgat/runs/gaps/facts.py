"""The rows that gaps are found in, as the history, the registry and the clusters tell them.

Archived and removed runs are in none of them, nor are runs on captures that changed since.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

METRIC = "f1"
"""What is meant by a figure: the mean over test scenarios, all attack types."""


class Family(NamedTuple):
    """Runs of one kind of model on one dataset."""

    provenance: str
    dataset: str
    model: str
    size: str
    distilled: bool

    @property
    def name(self) -> str:
        """As a leaderboard calls it."""
        return f"{self.dataset}-{self.model}-{self.size}{'-kd' if self.distilled else ''}"


class Arena(NamedTuple):
    """Where figures compare; nothing of this may differ in one finding about figures."""

    provenance: str
    dataset: str
    dataset_hash: str
    windows_key: int
    protocol: str


class Judged(NamedTuple):
    """A training run and its newest evaluation under one protocol."""

    arena: Arena
    family: Family
    run_id: str
    seed: int
    recipe: int
    """Stands for all that it was trained with but the seed."""
    score: float | None
    """None where it is undefined in a scenario in which others have it."""
    digest: str
    graphs: str | None
    teacher: str | None
    stage_version: int
    created_at: datetime
    parameters: float | None
    known: float | None
    """F1 on vehicles of the training data."""
    unknown: float | None
    """F1 on other vehicles."""
    unknown_auroc: float | None


class AxisRow(NamedTuple):
    """How many values a config field has in the completed trainings of a family."""

    family: Family
    field: str
    values: int
    value: str | None
    """One of them."""


class EffectRow(NamedTuple):
    """Two values of a field in judged runs that are alike in all else, seed and teacher too."""

    arena: Arena
    family: Family
    field: str
    one: str
    two: str
    pairs: int
    mean: float
    """Of the figure, `two` less `one`."""
    spread: float
    """Standard deviation of the differences."""
    parameters: float
    """`two` less `one`."""
    since: datetime
    """When the newest of the runs was made."""
    runs_one: tuple[str, ...]
    runs_two: tuple[str, ...]
    compared: int
    """Pairs of values that were compared under this provenance and protocol, this one included."""


class UseRow(NamedTuple):
    """The value of a field in one of the newest trainings of a family."""

    family: Family
    field: str
    value: str
    run_id: str
    created_at: datetime


class WaitingRow(NamedTuple):
    """Trainings of a family that were not judged, or that broke off and never went on."""

    family: Family
    runs: int
    run_id: str
    """The most promising: lowest validation loss, else the newest."""
    state: str
    reason: str | None


class DurationRow(NamedTuple):
    """How long completed work took."""

    family: Family
    evaluation: bool
    median_s: float
    runs: int
    on_gpu: bool


class ModelRow(NamedTuple):
    """A registered version."""

    model: str
    version: int
    run_id: str
    champion: bool


class DatasetRow(NamedTuple):
    """An ingested dataset."""

    name: str
    provenance: str
    content_hash: str
    vehicles: int


class MemoryRow(NamedTuple):
    """What a family's trainings took of a GPU."""

    family: Family
    run_id: str
    """The newest of them."""
    gpu: str
    """Its card, by the catalogue's name."""
    most_bytes: float
    """Most that one of them took, allocator and context together."""
    runs: int
    precision: str
    seed: int


class Card(NamedTuple):
    """A partition's GPU."""

    cluster: str
    partition: str
    gpu: str
    max_time_s: int | None


class Fired(NamedTuple):
    """An open question whose trigger fired."""

    id: str
    title: str
    trigger: str
    runs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Facts:
    """All rows."""

    trainings: int = 0
    """Trainings that were ever begun and count."""
    judged: tuple[Judged, ...] = ()
    axes: tuple[AxisRow, ...] = ()
    effects: tuple[EffectRow, ...] = ()
    in_use: tuple[UseRow, ...] = ()
    unjudged: tuple[WaitingRow, ...] = ()
    broken: tuple[WaitingRow, ...] = ()
    retried: int = 0
    """Experiments that broke off and were tried again."""
    mended: int = 0
    """Those of them that then completed."""
    durations: tuple[DurationRow, ...] = ()
    models: tuple[ModelRow, ...] = ()
    datasets: tuple[DatasetRow, ...] = ()
    memory: tuple[MemoryRow, ...] = ()
    cards: tuple[Card, ...] = ()
    questions: tuple[Fired, ...] = ()
    trainable: frozenset[str] = frozenset()
    """Kinds of models that this version can train."""
