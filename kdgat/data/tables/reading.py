"""One table to the messages of its entities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl

from kdgat.configs.table import TableConfig
from kdgat.data.formats.payloads import decode_payloads
from kdgat.data.formats.text import read_text
from kdgat.data.messages import MESSAGE_SCHEMA, Capture
from kdgat.data.oddities import Oddity
from kdgat.data.tables.cells import LINE, at_line, attack_name, attacks, cut_cells, times_s
from kdgat.data.tables.encoding import Ranges, codes, missing, packed, ranges_of, scaled
from kdgat.data.tables.entities import as_array, entity_ids
from kdgat.data.tables.mapping import DATASET_FILE
from kdgat.errors import DataError

_JOINT = "|"


@dataclass(frozen=True)
class Table:
    """The rows of one file, not yet encoded; what is missing is NaN."""

    path: Path
    cells: pl.DataFrame
    time_s: np.ndarray
    attack: np.ndarray
    numbers: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class TableCapture:
    """A capture, the attack that its rows name, and the entities by name."""

    capture: Capture
    attack: str | None = None
    entities: Mapping[str, int] = field(default_factory=dict)


def read_rows(path: Path, table: TableConfig) -> Table:
    """The rows of one file.

    Raises:
        DataError: it can't be read, a column is not there, or a time, label or value is none.
    """
    cells = cut_cells(path, read_text(path), table)
    time_s, attack = times_s(path, cells, table), attacks(path, cells, table)
    if table.time.sort:
        order = np.argsort(time_s, kind="stable")
        cells, time_s, attack = cells[order], time_s[order], attack[order]
    numbers = {name: _numbers(path, cells, name, table) for name in table.columns.numbers}
    return Table(path, cells, time_s, attack, numbers)


def benign_ranges(rows: Table, table: TableConfig) -> Ranges:
    """What range the benign rows of one training capture have."""
    benign = ~rows.attack
    columns = {name: values[benign] for name, values in rows.numbers.items()}
    return ranges_of(columns, table.encoding)


def encode(rows: Table, table: TableConfig, ranges: Ranges) -> TableCapture:
    """The messages of a file's rows.

    Raises:
        DataError: a row names no entity.
    """
    if table.columns.sensors:
        messages, ids, odd = _of_sensors(rows, table, ranges)
    else:
        messages, ids, odd = _of_entities(rows, table, ranges)
    named = attack_name(rows.cells, pl.Series(rows.attack), table.columns.attack_type)
    if named is None and table.columns.attack_type and not rows.attack.any():
        named = "attack_free"
    found, moved = ids
    if moved:
        odd = (*odd, Oddity("entity id taken, the next one used", len(moved), None, moved[0]))
    frame = pl.DataFrame(messages).select(
        pl.col(name).cast(dtype) for name, dtype in MESSAGE_SCHEMA.items()
    )
    return TableCapture(Capture(frame, odd), named, found)


_Ids = tuple[dict[str, int], tuple[str, ...]]
_Made = tuple[dict[str, np.ndarray], _Ids, tuple[Oddity, ...]]


def _of_entities(rows: Table, table: TableConfig, ranges: Ranges) -> _Made:
    """A message a row."""
    columns = table.columns
    names = pl.Series(_named(rows, columns.of_entity))
    ids = entity_ids(names.unique().to_list())
    if columns.payload is not None:
        decoded = decode_payloads(_hex(rows.cells[columns.payload]), "")
        payload, dlc = decoded["payload"].to_numpy(), decoded["dlc"].to_numpy()
        bad, what = decoded["malformed"].to_numpy(), "odd payload, or wider than 8 bytes"
    else:
        size, values = columns.value_bytes, rows.numbers
        steps = [
            codes(scaled(values[name], name, table.encoding), ranges[name], size)
            for name in columns.values
        ]
        payload, dlc = packed(steps, size), np.full(len(names), size * len(steps), np.uint8)
        bad, what = missing(values.values()), "value missing, taken as 0"
    messages = {
        "timestamp": rows.time_s,
        "arbitration_id": names.replace_strict(ids[0], return_dtype=pl.UInt32).to_numpy(),
        "dlc": dlc,
        "payload": payload,
        "attack": rows.attack,
        "malformed": bad,
    }
    return messages, ids, _odd(rows, bad, what)


def _of_sensors(rows: Table, table: TableConfig, ranges: Ranges) -> _Made:
    """A message a row and sensor, in the order in which the sensors are named."""
    columns, count = table.columns, len(table.columns.sensors)
    ids = entity_ids(columns.sensors)
    size = columns.value_bytes
    steps = [
        packed([codes(scaled(rows.numbers[name], name, table.encoding), ranges[name], size)], size)
        for name in columns.sensors
    ]
    gaps = np.stack([np.isnan(rows.numbers[name]) for name in columns.sensors], axis=1)
    messages = {
        "timestamp": np.repeat(rows.time_s, count),
        "arbitration_id": np.tile(as_array([ids[0][name] for name in columns.sensors]),
                                  len(rows.time_s)),
        "dlc": np.full(count * len(rows.time_s), size, dtype=np.uint8),
        "payload": np.stack(steps, axis=1).ravel(),
        "attack": np.repeat(rows.attack, count),
        "malformed": gaps.ravel(),
    }  # fmt: skip
    return messages, ids, _odd(rows, np.asarray(gaps.any(axis=1)), "value missing, taken as 0")


def _named(rows: Table, columns: tuple[str, ...]) -> pl.Series:
    """The name of each row's entity."""
    for name in columns:
        empty = rows.cells[name].is_null() | (rows.cells[name] == "")
        if empty.fill_null(True).any():
            raise at_line(rows.path, rows.cells, empty.fill_null(True),
                          f"no entity in column {name}", rows.cells[name],
                          f"mend the line, or name another [columns] entity in "
                          f"{DATASET_FILE}")  # fmt: skip
    joined = pl.concat_str([pl.col(name) for name in columns], separator=_JOINT)
    return rows.cells.select(joined.alias("entity"))["entity"]


def _numbers(path: Path, cells: pl.DataFrame, name: str, table: TableConfig) -> np.ndarray:
    """A column's numbers, NaN where there is none."""
    text = cells[name]
    words = table.encoding.codes.get(name)
    if words is not None:
        given = {word: str(number) for word, number in words.items()}
        text = text.replace(list(given), list(given.values()))
    empty = text.is_null() | (text == "")
    numbers = text.cast(pl.Float64, strict=False)
    bad = numbers.is_null() & ~empty.fill_null(True)
    if bad.any():
        raise at_line(path, cells, bad, f"{name} '{{}}' is no number", cells[name],
                      f"say what words mean under [encoding.codes] in {DATASET_FILE}, or leave "
                      "the column out")  # fmt: skip
    return numbers.fill_null(float("nan")).to_numpy()


def _hex(text: pl.Series) -> pl.Series:
    """Hex digits alone: `0x` before them, and spaces, colons or dashes between, are left out."""
    return text.str.strip_prefix("0x").str.replace_all(r"[ :\-]", "")


def _odd(rows: Table, bad: np.ndarray, what: str) -> tuple[Oddity, ...]:
    if not bad.any():
        return ()
    line = int(rows.cells[LINE][int(np.flatnonzero(bad)[0])])
    return (Oddity(what, int(bad.sum()), line),)


def need_ranges(ranges: Ranges, table: TableConfig, raw: Path) -> None:
    """Refuse a table whose numbers have no range to be encoded by.

    Raises:
        DataError: no benign training row has a value of some column, and none was given.
    """
    lacking = [name for name in table.columns.numbers if name not in ranges]
    if lacking:
        raise DataError(
            f"no benign training row of '{raw}' has a value in column '{lacking[0]}', so its range "
            "is not known",
            hint=f"add benign rows to a train_ folder, or write [encoding.ranges] '{lacking[0]}' = "
            f"[lowest, highest] in {DATASET_FILE}",
        )
