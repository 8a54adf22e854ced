"""The history as one SQLite file, for programs that read such files: Datasette, a notebook, R.

It is a copy of one moment, whole or not at all. The header's `application_id` tells a copy from
any other file, so that nothing else is ever overwritten.
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from kdgat.errors import HistoryError, RunError, StorageError
from kdgat.ledger.files import atomic_path, write_json
from kdgat.runs.browsing import FIGURES, MARK, READY, STANDINGS, TABLES, figure_rows, metadata_of
from kdgat.runs.figures import METRICS
from kdgat.runs.history import History
from kdgat.runs.leaderboard import leaderboard
from kdgat.runs.protocols import each_protocol
from kdgat.runs.scores import Question
from kdgat.runs.views import EPOCHS, PARAMS, VARIANTS, VIEWS, View
from kdgat.runs.views import METRICS as METRICS_VIEW

APPLICATION_ID = 0x6B646761
"""`kdga`, in the header of every copy."""
_AT = 68
"""Where SQLite's header has it."""
_PORTION = 500
"""Runs whose rows are read at once: epochs of all of them could be more than fits in memory."""
_BY_RUN = frozenset(view.name for view in (PARAMS, METRICS_VIEW, EPOCHS, VARIANTS))
_KINDS = {"VARCHAR": "TEXT", "DOUBLE": "REAL", "TIMESTAMP": "TEXT"}
_KEYS = {"runs": "run_id", "datasets": "name", "models": "model, version", "figures": "name"}
_POINTS = {
    "runs": {"teacher": "runs", "subject": "runs", "dataset": "datasets"},
    "params": {"run_id": "runs"},
    "metrics": {"run_id": "runs", "subject": "runs", "name": "figures"},
    "epochs": {"run_id": "runs"},
    "variants": {"run_id": "runs", "subject": "runs", "name": "figures"},
    "models": {"run_id": "runs"},
    "jobs": {"run_id": "runs"},
    "standings": {"run_id": "runs", "evaluation": "runs", "metric": "figures"},
}
"""Columns that name a row of another table. Not all name one that is there: a removed teacher."""
_INDEXES = {
    "params": ("run_id", "name"), "metrics": ("run_id", "subject", "name"), "epochs": ("run_id",),
    "variants": ("run_id",), "jobs": ("run_id",), "runs": ("subject", "dataset"),
}  # fmt: skip


@dataclass(frozen=True)
class Copy:
    """What a copy holds."""

    rows: dict[str, int]
    """By table."""
    views: tuple[str, ...]


def write_copy(history: History, path: Path, made: str) -> Copy:
    """Write the history to `path`, and what it means to `metadata_path(path)`.

    The metadata goes first: names that are not in the database yet are passed over by its readers.

    Raises:
        HistoryError: the compacted history is damaged.
        StorageError: the file can't be written.
    """
    try:
        with atomic_path(path) as aside, closing(sqlite3.connect(aside)) as database:
            rows = _fill(database, history)
            write_json(metadata_path(path), metadata_of(path.stem, made))
    except sqlite3.IntegrityError as error:
        raise HistoryError(
            f"two rows have the same key: {error}",
            hint="`kdgat runs repair --dry-run` tells of folders that are there twice",
        ) from error
    except sqlite3.Error as error:
        raise StorageError(
            f"can't write '{path}': {error}",
            hint="free some space, or name a file in a folder that you can write to",
        ) from error
    return Copy(rows, tuple(ready.name for ready in READY))


def _fill(database: sqlite3.Connection, history: History) -> dict[str, int]:
    """Make and fill every table; the number of rows of each."""
    rows: dict[str, int] = {}
    # No journal: a copy that was not finished is thrown away.
    database.execute("PRAGMA journal_mode = OFF")
    database.execute("PRAGMA synchronous = OFF")
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    for view in TABLES:
        database.execute(_create(view))
        marks = ", ".join("?" * len(view.columns))
        filled = database.executemany(
            f"INSERT INTO {view.name} VALUES ({marks})",
            map(_plain, _rows(history, view)),
        )
        rows[view.name] = max(filled.rowcount, 0)
    for table, names in _INDEXES.items():
        for name in names:
            database.execute(f"CREATE INDEX {table}_{name} ON {table} ({name})")
    for ready in READY:
        database.execute(f"CREATE VIEW {ready.name} AS {ready.sql}")
    database.commit()
    return rows


def metadata_path(path: Path) -> Path:
    """The metadata file beside a copy."""
    return path.with_name(f"{path.stem}.metadata.json")


def check_replaceable(path: Path, *, force: bool = False) -> None:
    """Refuse to overwrite what is no copy of the history.

    Raises:
        HistoryError: a folder, or a file of another kind without `force`, is in the way.
    """
    if path.is_dir():
        raise HistoryError(f"'{path}' is a folder", hint=f"name a file: {path / 'history.sqlite'}")
    for each, known in ((path, is_copy), (metadata_path(path), _is_our_metadata)):
        if each.exists() and not force and not known(each):
            raise HistoryError(
                f"'{each}' is there and is no export of the history",
                hint="name another file, or overwrite it with --force",
            )


def is_copy(path: Path) -> bool:
    """Whether a file is a SQLite copy that `write_copy` made."""
    try:
        with path.open("rb") as file:
            head = file.read(_AT + 4)
    except OSError:
        return False
    return head.startswith(b"SQLite format 3\0") and head[_AT:] == APPLICATION_ID.to_bytes(4, "big")


def _is_our_metadata(path: Path) -> bool:
    try:
        return f'"source": "{MARK}"' in path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


def _create(view: View) -> str:
    key, points = _KEYS.get(view.name), _POINTS.get(view.name, {})
    parts = [f"{column.name} {_KINDS.get(column.kind, 'INTEGER')}" for column in view.columns]
    parts += [f"PRIMARY KEY ({key})"] if key else []
    parts += [
        f"FOREIGN KEY ({column}) REFERENCES {table} ({_KEYS[table]})"
        for column, table in points.items()
    ]
    return f"CREATE TABLE {view.name} ({', '.join(parts)})"


def _rows(history: History, view: View) -> Iterator[Sequence[object]]:
    if view is FIGURES:
        yield from figure_rows()
    elif view is STANDINGS:
        yield from _standings(history)
    elif view.name in _BY_RUN:
        yield from _in_portions(history, view)
    else:
        yield from history.query(_select(view)).rows


def _in_portions(history: History, view: View) -> Iterator[Sequence[object]]:
    """The rows of a view of runs, some runs at a time; every row is of a run that is there."""
    runs = [str(row[0]) for row in history.query("SELECT run_id FROM runs ORDER BY run_id").rows]
    sql = f"{_select(view)} WHERE run_id BETWEEN $1 AND $2 ORDER BY run_id"
    for start in range(0, len(runs), _PORTION):
        portion = runs[start : start + _PORTION]
        yield from history.query(sql, (portion[0], portion[-1])).rows


def _select(view: View) -> str:
    return f"SELECT {', '.join(VIEWS[view.name].names)} FROM {view.name}"


def _standings(history: History) -> Iterator[Sequence[object]]:
    """Ranks by every metric, by the leaderboard's own rules; none where nothing was judged."""
    question = Question(next(iter(METRICS)), include_simulated=True)
    for metric in METRICS:
        try:
            asked = replace(question, metric=metric)
            tables = each_protocol(leaderboard, history, asked, None)
        except RunError:
            continue
        for table in tables:
            for row in table.rows:
                score = row.score
                yield (
                    metric, table.provenance, table.dataset, table.dataset_hash, table.protocol,
                    table.title, row.rank, row.name, row.model,
                    score.mean if score else None, score.low if score else None,
                    score.high if score else None, row.seeds, row.configs, row.parameters,
                    row.checkpoint_bytes, row.latency_ms, row.run_id, row.evaluation,
                )  # fmt: skip


def _plain(row: Iterable[object]) -> tuple[object, ...]:
    return tuple(map(_value, row))


def _value(value: object) -> object:
    """A value as SQLite has it; numbers that JSON lacks are NULL, as in `--json`."""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
