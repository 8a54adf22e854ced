"""`dataset.toml`: how a table of any domain is read as messages of entities.

A message is what one entity said at one moment: a control unit on a bus, a host in a network, a
sensor in a plant. The file says which columns hold that.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from kdgat.configs.schema import Config

PAYLOAD_BYTES = 8
"""Bytes of a message that the graph path understands."""
_NARROW_FROM = 5
"""So many values and more get one byte each, fewer get two."""
Unit = Literal["s", "ms", "us", "ns", "date"]
Column = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Folder = Annotated[str, StringConstraints(pattern=r"^(train|test)_[A-Za-z0-9_-]{1,80}$")]
Vehicle = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


def _stays_inside(pattern: str) -> str:
    path = PurePosixPath(pattern)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        raise ValueError("write a pattern of files below the folder of dataset.toml")
    return pattern


Pattern = Annotated[str, AfterValidator(_stays_inside)]


class FilesConfig(Config):
    """Which files are captures, and how they are cut."""

    suffixes: tuple[str, ...] = (".csv",)
    """Endings of a capture's name; `.gz` may follow."""
    separator: str = Field(default=",", min_length=1, max_length=1)
    """What stands between two columns."""


class ColumnsConfig(Config):
    """What each column is. Either `entity` names who speaks, or every sensor has a column."""

    time: Column
    """When it was said."""
    entity: Column | tuple[Column, ...] | None = None
    """Who said it: one column, or several that name it together."""
    sensors: tuple[Column, ...] = ()
    """Columns that are entities of their own, one value a row each."""
    values: tuple[Column, ...] = ()
    """Numbers that an entity says, at most eight."""
    payload: Column | None = None
    """Instead of values: what it says as hexadecimal bytes."""
    label: Column | None = None
    """Tells attacks; without it every row counts as benign."""
    attack_type: Column | None = None
    """Names the attack of a row; without it the file's name does."""

    @property
    def of_entity(self) -> tuple[str, ...]:
        """The columns that name the entity together."""
        return (self.entity,) if isinstance(self.entity, str) else self.entity or ()

    @property
    def numbers(self) -> tuple[str, ...]:
        """Columns of numbers."""
        return self.sensors or self.values

    @property
    def value_bytes(self) -> int:
        """Bytes that one value gets."""
        return 1 if len(self.values) >= _NARROW_FROM else 2

    @property
    def used(self) -> tuple[str, ...]:
        """Every column that is read, once."""
        single = (self.time, self.payload, self.label, self.attack_type)
        names = (*filter(None, single), *self.of_entity, *self.numbers)
        return tuple(dict.fromkeys(names))

    @model_validator(mode="after")
    def _one_layout(self) -> Self:
        if bool(self.of_entity) == bool(self.sensors):
            raise ValueError("name the column of the entity, or the columns of the sensors")
        if self.sensors and (self.values or self.payload):
            raise ValueError("a sensor's column is its value: leave values and payload out")
        if not self.sensors and bool(self.values) == (self.payload is not None):
            raise ValueError("name columns of values, or one of payload")
        if len(self.values) > PAYLOAD_BYTES:
            raise ValueError(
                f"{len(self.values)} values take {len(self.values)} bytes and a message has "
                f"{PAYLOAD_BYTES}: choose {PAYLOAD_BYTES}, or name them as sensors, each an entity"
            )
        for names in (self.values, self.sensors, self.of_entity):
            if len(set(names)) < len(names):
                raise ValueError(f"a column is named twice in {', '.join(names)}")
        return self


class TimeConfig(Config):
    """How times are written."""

    unit: Unit = "s"
    """Unit of a number, or `date` for text."""
    format: str = "%Y-%m-%d %H:%M:%S%.f"
    """How a date is written, in the letters of strftime; `%.f` is a fraction of a second."""
    sort: bool = False
    """Put rows in order of time; otherwise a step back is an error."""


class LabelsConfig(Config):
    """Which values of the label's column mean what."""

    attack: tuple[str, ...] = ()
    """Values that mean an attack; `*` is every value that is not named."""
    benign: tuple[str, ...] = ()
    """Values that mean none."""

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        if both := set(self.attack) & set(self.benign):
            raise ValueError(f"'{min(both)}' is named as attack and as benign")
        return self


class EncodingConfig(Config):
    """How numbers become bytes: in equal steps of the range of benign training rows."""

    log: tuple[Column, ...] = ()
    """Columns whose logarithm has the equal steps, such as counts of bytes."""
    ranges: dict[Column, tuple[float, float]] = Field(default={})
    """Ranges that are known and not taken from training rows, lowest and highest value."""
    codes: dict[Column, dict[str, float]] = Field(default={})
    """Numbers that words in a column stand for."""

    @model_validator(mode="after")
    def _ranges_are_not_empty(self) -> Self:
        for column, (low, high) in self.ranges.items():
            if not low < high:
                raise ValueError(f"the range of '{column}' is {low:g} to {high:g}")
        return self


class TableConfig(Config):
    """A dataset of another domain: its files, its columns, and what its words mean."""

    citation: str = ""
    """Whom to cite."""
    files: FilesConfig = FilesConfig()
    """Which files are captures."""
    columns: ColumnsConfig
    """What each column is."""
    time: TimeConfig = TimeConfig()
    """How times are written."""
    labels: LabelsConfig = LabelsConfig()
    """Which labels mean what."""
    encoding: EncodingConfig = EncodingConfig()
    """How numbers become bytes."""
    folders: dict[Folder, tuple[Pattern, ...]] = Field(default={})
    """Capture folders `train_*` and `test_*`, each with patterns of its files."""
    vehicles: dict[Vehicle, tuple[Pattern, ...]] = Field(default={})
    """What plays the vehicle's part (a network, a plant), each with patterns of its files."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        columns = self.columns
        if (columns.label is None) != (not (self.labels.attack or self.labels.benign)):
            raise ValueError("columns.label and [labels] go together: name both or neither")
        if columns.label is not None and not (self.labels.attack and self.labels.benign):
            raise ValueError("[labels] names values for attack and for benign")
        named = (*self.encoding.log, *self.encoding.ranges, *self.encoding.codes)
        for name in named:
            if name not in columns.numbers:
                raise ValueError(f"[encoding] speaks of '{name}', which is no column of numbers")
        return self
