"""The cells of a table: cut into columns of text, then times and labels, each fault by its line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Bool, Float64

from kdgat.configs.table import TableConfig
from kdgat.data.tables.mapping import DATASET_FILE
from kdgat.errors import DataError, did_you_mean

_PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
LINE = "\x01line"
"""Name of the column of line numbers; no text has this byte."""


def cut_cells(path: Path, text: bytes, table: TableConfig) -> pl.DataFrame:
    """The columns that `table` names, as text without spaces around it, and the lines' numbers.

    Raises:
        DataError: a column is not there, or a line has more fields than the header.
    """
    head = text.partition(b"\n")[0].decode().lstrip("\ufeff")
    names = [name.strip().strip('"').strip() for name in head.split(table.files.separator)]
    for name in table.columns.used:
        if name not in names:
            raise DataError(
                f"'{path}' has no column '{name}': it has {', '.join(names)[:200]}",
                hint=f"{did_you_mean(name, names, otherwise='')} mend [columns] in "
                f"{DATASET_FILE}".strip(),
            )
    try:
        frame = pl.read_csv(
            text,
            has_header=False,
            skip_rows=1,
            separator=table.files.separator,
            infer_schema=False,
            new_columns=[f"c{place}" for place in range(len(names))],
        )
    except pl.exceptions.NoDataError as error:
        raise DataError(f"'{path}' has a header and no row", hint="leave it out") from error
    except pl.exceptions.PolarsError as error:
        raise DataError(
            f"'{path}' can't be cut into columns: {' '.join(str(error).split())[:160]}",
            hint=f"check [files] separator = {table.files.separator!r} in {DATASET_FILE}",
        ) from error
    if frame.width != len(names):
        raise DataError(
            f"'{path}' has {len(names)} columns in its header and {frame.width} in its first row",
            hint="give the header a name for every column",
        )
    chosen = [
        pl.col(f"c{names.index(name)}").str.strip_chars().alias(name) for name in table.columns.used
    ]
    return frame.select(*chosen).with_row_index(LINE, offset=2)


def times_s(path: Path, cells: pl.DataFrame, table: TableConfig) -> Float64[np.ndarray, "rows"]:
    """The times in seconds.

    Raises:
        DataError: one is no number or no date, or is before the one above it and `sort` is not set.
    """
    name, unit = table.columns.time, table.time.unit
    text = cells[name]
    if unit == "date":
        moments = text.str.to_datetime(table.time.format, time_unit="us", strict=False)
        seconds = moments.dt.timestamp("us").cast(pl.Float64) / 1e6
        expected = f"a date like '{table.time.format}'"
    else:
        seconds = text.cast(pl.Float64, strict=False) / _PER_SECOND[unit]
        expected = f"a number of {unit}"
    bad = ~seconds.is_finite().fill_null(False)
    if bad.any():
        raise at_line(path, cells, bad, f"{name} '{{}}' is not {expected}", text,
                      f"mend the line, or [time] unit and format in {DATASET_FILE}")  # fmt: skip
    back = seconds.diff().fill_null(0.0) < 0
    if not table.time.sort and back.any():
        place = int(back.arg_true()[0])
        raise at_line(path, cells, back, f"{name} '{{}}' is before '{text[place - 1]}' above it",
                      text, f"set [time] sort = true in {DATASET_FILE}, or check the "
                      "column and its unit")  # fmt: skip
    return seconds.to_numpy()


def attacks(path: Path, cells: pl.DataFrame, table: TableConfig) -> Bool[np.ndarray, "rows"]:
    """Which rows are attacks.

    Raises:
        DataError: a label is neither named as attack nor as benign.
    """
    name = table.columns.label
    if name is None:
        return np.zeros(len(cells), dtype=bool)
    text = cells[name].fill_null("")
    benign = text.is_in(list(table.labels.benign))
    attack = ~benign if "*" in table.labels.attack else text.is_in(list(table.labels.attack))
    unknown = ~(benign | attack)
    if unknown.any():
        raise at_line(path, cells, unknown, f"the label '{{}}' of {name} has no meaning", text,
                      f"name it under [labels] attack or benign in {DATASET_FILE}")  # fmt: skip
    return attack.to_numpy()


def attack_name(cells: pl.DataFrame, attack: pl.Series, column: str | None) -> str | None:
    """The attack that the rows under attack name, joined where they name several.

    None where there is no such column, or no row is an attack.
    """
    if column is None or not attack.any():
        return None
    named = cells[column].filter(attack).drop_nulls().unique().to_list()
    words = sorted({re.sub(r"[^0-9a-z]+", "_", each.lower()).strip("_") for each in named})
    return "_and_".join(word for word in words if word) or None


def at_line(
    path: Path, cells: pl.DataFrame, bad: pl.Series, say: str, text: pl.Series, hint: str
) -> DataError:
    """The first fault of a column; `say` has a place for the value."""
    first = int(bad.arg_true()[0])
    value = "" if text[first] is None else str(text[first])[:80]
    more = f" ({int(bad.sum()):,} such lines)" if bad.sum() > 1 else ""
    return DataError(
        f"'{path}', line {cells[LINE][first]}: {say.replace('{}', value, 1)}{more}", hint=hint
    )
