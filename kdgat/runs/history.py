"""The run history: SQL over what was compacted, the folders that were not yet, and the journal.

    with open_history(ws) as history:
        table = history.query("select run_id, state from runs order by run_id desc", max_rows=10)

`query` is for SQL of ours; that of users and agents goes through `user_query`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kdgat.errors import DataError, HistoryError
from kdgat.ledger.calls import call_rows
from kdgat.ledger.job_rows import job_rows
from kdgat.runs.database import Session, database_of
from kdgat.runs.held import HeldTables, quoted
from kdgat.runs.journal_views import archived_runs, model_rows, removed_runs
from kdgat.runs.manifest import part_path
from kdgat.runs.open_questions import question_rows
from kdgat.runs.plain import plain_rows
from kdgat.runs.rows import Row
from kdgat.runs.snapshot import Snapshot, take_snapshot
from kdgat.runs.tables import by_column, listed_sql
from kdgat.runs.views import FROM_FOLDERS, VIEWS

if TYPE_CHECKING:
    import duckdb

    from kdgat.workspace import Workspace

MAX_ROWS = 1_000
"""Rows that a question of a user gets, unless he asks for another number."""
TIMEOUT_S = 10.0
"""Seconds after which a question of a user is cut off."""
MEMORY_MB = 512
"""Megabytes that a question of a user may take inside DuckDB."""
MAX_CHARACTERS = 4_000_000
"""Characters of text that a question of a user gets."""
_OWN_MEMORY_MB = 2048
_FOLDER_VIEWS = frozenset(view.name for view in FROM_FOLDERS)
VIEW_NAMES = ", ".join(VIEWS)


@dataclass(frozen=True)
class Table:
    """An answer."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    truncated: bool
    """Whether there were more rows than asked for, or than a user gets."""
    warnings: tuple[str, ...] = ()
    total: int | None = None
    """How many rows there would be without a limit, where that was asked for."""


class History:
    """The history at one moment; use it in one thread."""

    def __init__(
        self,
        ws: Workspace,
        snapshot: Snapshot,
        session: Session,
        held: HeldTables,
        warnings: tuple[str, ...] = (),
    ) -> None:
        self.warnings = warnings
        """What could not be done, such as compacting on a read-only disk."""
        self._ws = ws
        self._snapshot = snapshot
        self._session = session
        self._database = session.duckdb
        self._held = held
        self._made = set(session.made)

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with run folders, as far as the questions so far had to read them."""
        return self._snapshot.faults()

    def query(
        self, sql: str, parameters: Sequence[Any] = (), *, max_rows: int | None = None
    ) -> Table:
        """Ask in SQL of ours: it may name views, and nothing a user wrote.

        Args:
            sql: one statement.
            parameters: values for its `?`.
            max_rows: cut the answer after so many rows.

        Raises:
            HistoryError: the SQL is wrong, or a file of the compacted history is damaged.
        """
        import duckdb

        self.prepare(sql)
        try:
            # So that no statement, whatever it is, changes what the next question reads.
            self._database.execute("begin transaction read only")
            cursor = self._database.execute(sql, list(parameters))
            rows = cursor.fetchall() if max_rows is None else cursor.fetchmany(max_rows + 1)
        except duckdb.Error as error:
            self._end()
            raise _told(error) from error
        columns = tuple(str(column[0]) for column in cursor.description or [])
        cut = max_rows is not None and len(rows) > max_rows
        if cut:
            # Closing waits for what is still being computed, which nobody asks for any more.
            self.interrupt()
        self._end()
        return Table(columns, tuple(rows[:max_rows]), cut, self.warnings)

    def _end(self) -> None:
        import duckdb

        # Not where the statement ended the transaction itself.
        with suppress(duckdb.TransactionException):
            self._database.execute("rollback")

    def prepare(self, sql: str) -> None:
        """Make the views that `sql` speaks of; a word that happens to be one costs little."""
        text = sql.lower()
        for name in VIEWS.keys() - self._made:
            if name in text:
                self._make(name)

    def digest(self, name: str, view: str, sql: str, *, among: str) -> str:
        """SQL of what one of our statements makes of each run's rows of a view.

        Of compacted runs this is made once, where the view's rows are held in the database.

        Args:
            name: stands for the statement, for good.
            view: the view.
            sql: the statement, grouped by `run_id`; `{rows}` in it stands for the view's rows.
            among: a condition on `run_id`, of runs that suffice.
        """
        self.prepare(view)
        if view not in self._session.made or not self._held.holds(view):
            return sql.format(rows=f"(SELECT * FROM {view} WHERE {among})")
        held = self._held.derived(name, self._database, view, sql)
        dead = self._listed("dead", self._snapshot.dead)
        removed = self._listed("removed", removed_runs(self._snapshot.events))
        # A run's rows are all of them compacted, or all fresh.
        rows = f"select * from {held}" + (f" where run_id not in {dead}" if dead else "")
        fresh = sql.format(rows=f'"_{view}"')
        rows = f"select * from ({rows} union all {fresh})"
        return rows + (f" where run_id not in {removed}" if removed else "")

    def interrupt(self) -> None:
        """Cut off the question that another thread waits for."""
        self._database.interrupt()

    def _make(self, name: str) -> None:
        import duckdb

        try:
            source = self._folder_view(name) if name in _FOLDER_VIEWS else self._own_view(name)
            self._database.execute(f"create or replace temporary view {name} as {source}")
        except duckdb.Error as error:
            raise _damaged() from error
        self._made.add(name)
        if name in _FOLDER_VIEWS and self._held.settled(name):
            self._session.made.add(name)

    def _own_view(self, name: str) -> str:
        rows: dict[str, Callable[[], list[Row]]] = {
            "datasets": lambda: _dataset_rows(self._ws),
            "models": lambda: model_rows(self._snapshot.events),
            "jobs": lambda: list(job_rows(self._ws.jobs)),
            "agent_calls": lambda: call_rows(self._ws.agent / "calls"),
            "questions": lambda: question_rows(self._ws),
        }
        return f"select * from {self._table(name, rows[name]())}"

    def _folder_view(self, name: str) -> str:
        """Compacted rows that still count and fresh ones, without those of removed runs."""
        columns = ", ".join(VIEWS[name].names)
        rows = self._fresh(name)
        if self._snapshot.manifest.parts:
            rows = f"select {columns} from {rows} union all {self._compacted(name, columns)}"
        else:
            rows = f"select {columns} from {rows}"
        removed = self._listed("removed", removed_runs(self._snapshot.events))
        where = f" where run_id not in {removed}" if removed else ""
        if name == "runs":
            archived = self._listed("archived", archived_runs(self._snapshot.events))
            if archived:
                put_away = f"run_id in {archived} as archived"
                columns = ", ".join(put_away if c == "archived" else c for c in VIEWS[name].names)
        return f"select {columns} from ({rows}){where}"

    def _compacted(self, name: str, columns: str) -> str:
        """Rows of compacted runs that were not changed since."""
        dead = self._listed("dead", self._snapshot.dead)
        rows = partial(self._in_parts, name, columns)
        source = self._held.table(name, self._database, rows) or f"({rows()})"
        return f"select {columns} from {source}" + (f" where run_id not in {dead}" if dead else "")

    def _in_parts(self, name: str, columns: str) -> str:
        """A select for the parts that are all alive, and one for each other part."""
        history, parts = self._snapshot.history, self._snapshot.manifest.parts
        whole = [part for part in parts if not part.dead]
        selects = []
        for group in [whole, *([part] for part in parts if part.dead)]:
            if not group:
                continue
            files = ", ".join(quoted(str(part_path(history, part.id, name))) for part in group)
            hidden = self._listed(f"dead_{group[0].id}", group[0].dead)
            selects.append(
                f"select {columns} from read_parquet([{files}], hive_partitioning = false)"
                + (f" where run_id not in {hidden}" if hidden else "")
            )
        return " union all ".join(selects)

    def _fresh(self, name: str) -> str:
        """The name of a table of the fresh folders' rows."""
        if name != "epochs":
            return self._table(name, self._snapshot.fresh_rows(name))
        # By far the most, and where nobody can compact there may be very many.
        if any(folder.record for folder in self._snapshot.fresh):
            self._database.register("_epochs", self._snapshot.fresh_table(name))
            return '"_epochs"'
        return self._table(name, [])

    def _table(self, name: str, rows: list[Row]) -> str:
        """The name of a new table of rows of a view."""
        filled = f'create or replace temporary table "_{name}" as {listed_sql(name)}'
        self._database.execute(filled, by_column(name, rows))
        return f'"_{name}"'

    def _listed(self, name: str, run_ids: Sequence[str] | frozenset[str]) -> str:
        """SQL of a list of run ids; empty when there are none."""
        if not run_ids:
            return ""
        if name not in self._session.lists:
            self._session.lists.add(name)
            filled = f'create temporary table "_{name}" as select unnest($1::VARCHAR[]) as run_id'
            self._database.execute(filled, [sorted(run_ids)])
        return f'(select run_id from "_{name}")'


@contextmanager
def open_history(ws: Workspace, *, memory_mb: int = _OWN_MEMORY_MB) -> Iterator[History]:
    """The history now. Compacts first when many fresh runs have ended, as far as that works."""
    from kdgat.runs.compact import compact_if_many

    snapshot = take_snapshot(ws)
    snapshot, warnings = compact_if_many(ws, snapshot)
    dead = tuple(part.dead for part in snapshot.manifest.parts)
    database = database_of(snapshot.files(), memory_mb, dead)
    state = (snapshot.fresh, snapshot.dead, snapshot.events)
    with database.session(state) as session:
        yield History(ws, snapshot, session, database.held, warnings)


def user_query(
    ws: Workspace,
    sql: str,
    *,
    max_rows: int = MAX_ROWS,
    timeout_s: float = TIMEOUT_S,
    memory_mb: int = MEMORY_MB,
) -> Table:
    """Ask in SQL of a user or an agent: one statement that reads the views and nothing else.

    Times are told as ISO 8601 text, in UTC. The answer is cut after `max_rows` rows.

    Raises:
        HistoryError: the statement is refused or wrong, or took too long or too much memory.
    """
    from kdgat.runs.guard import guarded

    with open_history(ws, memory_mb=memory_mb) as history:
        return ask(history, guarded(sql), max_rows=max_rows, timeout_s=timeout_s)


def ask(
    history: History, sql: str, *, max_rows: int = MAX_ROWS, timeout_s: float = TIMEOUT_S
) -> Table:
    """Ask what `guarded` let pass, cut off after a time and a number of rows.

    Raises:
        HistoryError: the statement is wrong, or took too long or too much memory.
    """
    history.prepare(sql)
    with _cut_off(history.interrupt, timeout_s) as late:
        try:
            table = history.query(sql, max_rows=max_rows)
        except HistoryError as error:
            if late.is_set():
                raise _too_slow(timeout_s) from error
            raise
    rows, cut = plain_rows(table.rows, MAX_CHARACTERS)
    warnings = (*table.warnings, *_of_faults(history.faults))
    return Table(table.columns, rows, table.truncated or cut, warnings)


def _of_faults(faults: tuple[str, ...]) -> tuple[str, ...]:
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return tuple(
        f"not whole, so left out: {fault}{more}; see `kdgat runs repair`" for fault in faults[:1]
    )


@contextmanager
def _cut_off(interrupt: Callable[[], None], timeout_s: float) -> Iterator[threading.Event]:
    """Interrupt the block after a time, again and again until it ends."""
    late, done = threading.Event(), threading.Event()

    def watch() -> None:
        if done.wait(timeout_s):
            return
        late.set()
        interrupt()
        # An interrupt that came before the statement began is forgotten by it.
        while not done.wait(0.1):
            interrupt()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield late
    finally:
        done.set()
        watcher.join()


def _dataset_rows(ws: Workspace) -> list[Row]:
    """A row for each dataset whose manifest can be read; `kdgat data list` names the others."""
    from kdgat.data.captures import load_manifest

    rows: list[Row] = []
    for path in sorted(ws.data.glob("*/captures.json")):
        try:
            manifest = load_manifest(path.parent)
        except DataError:
            continue
        used = [capture for capture in manifest.captures if capture.duplicate_of is None]
        rows.append((
            manifest.name,
            manifest.provenance,
            manifest.content_hash,
            len({capture.vehicle for capture in used if capture.vehicle}),
            len(manifest.captures),
            sum(capture.rows for capture in used),
            sum(capture.attack_rows for capture in used),
        ))  # fmt: skip
    return rows


def _too_slow(timeout_s: float) -> HistoryError:
    return HistoryError(
        f"the question took longer than {timeout_s:g} s and was cut off",
        hint="ask for less: add a WHERE or a LIMIT, and join on run_id",
    )


def _damaged() -> HistoryError:
    # Without DuckDB's words: they name the file's whole path, which is not an agent's to know.
    return HistoryError(
        "a file of the compacted history is damaged or gone",
        hint="delete the folder 'history' of the home folder; it is made again from the runs",
    )


def _told(error: duckdb.Error) -> HistoryError:
    """DuckDB's complaint in one sentence, with what to do."""
    import duckdb

    text = str(error).split("\n\nLINE ")[0]
    first = " ".join(text.split("\n")[0].split()).removesuffix(".")
    if isinstance(error, duckdb.OutOfMemoryException):
        return HistoryError(
            "the question needs more memory than it may take",
            hint="ask for less: add a WHERE, group by fewer columns, or select fewer of them",
        )
    if isinstance(error, duckdb.IOException) or ".parquet" in first:
        return _damaged()
    if "pytz" in first:
        return HistoryError(
            "the answer holds a time with a time zone",
            hint="cast it, such as now()::timestamp; the views' times are UTC without a zone",
        )
    return HistoryError(
        f"the question is wrong: {first}",
        hint=f"the views are {VIEW_NAMES}; `kdgat history tables` tells their columns",
    )
