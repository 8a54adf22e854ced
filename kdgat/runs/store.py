"""The MLflow store of a workspace: an SQLite file and a folder of artifacts, made from the ledger.

MLflow takes seconds to import, so what is already there is asked of SQLite directly (`mirrored`),
and MLflow itself is opened only by a sync that has something to write.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kdgat.errors import StorageError
from kdgat.ledger.files import atomic_path

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

RUN_ID = "kdgat.run_id"
"""Tag by which a run is found again."""
STAMP = "kdgat.synced"
"""Tag, written last, that says of which state of the folder the MLflow run is a copy."""
SUPERSEDED = "kdgat.superseded"
"""Tag of an MLflow run whose ledger changed its past; another one took its place."""
LOCK_WAIT_S = 20.0
"""Seconds to wait for another program that is writing to the store."""
_TRIES = 4
_UPLOADING = ".artifact.uploading."
"""How MLflow's name of an artifact begins while it is being copied."""
_WARNINGS_OF_MLFLOW = (
    # Of 3.17 about itself: a loader strategy that SQLAlchemy 2.1 deprecates,
    "The ``noload`` loader strategy is deprecated",
    # a type hint of a class that kdgat does not use.
    r".*Any type hint is inferred as AnyType",
    # An example of input would make it load and try every model that is saved.
    r".*An input example was not provided",
)
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Mirrored:
    """An MLflow run that is a copy of one of ours."""

    mlflow_id: str
    active: bool
    stamp: str
    superseded: bool


def database(store: Path) -> Path:
    """The store's SQLite file."""
    return store / "mlflow.db"


def store_uri(store: Path) -> str:
    """The store as MLflow's `--backend-store-uri`."""
    return f"sqlite:///{database(store)}"


def artifact_root(store: Path) -> Path:
    """The folder of the store's artifacts."""
    return store / "artifacts"


def mirrored(store: Path) -> dict[str, list[Mirrored]]:
    """The MLflow runs by the id of our run, without importing MLflow.

    Raises:
        StorageError: the file is locked.
        sqlite3.Error: its tables are not those of the MLflow this was written for (3.17).
    """
    found: dict[str, list[Mirrored]] = defaultdict(list)
    for run_id, mlflow_id, stage, stamp, superseded in _read(store, _MIRRORED):
        found[run_id].append(
            Mirrored(mlflow_id, stage == "active", stamp or "", superseded is not None)
        )
    return found


_MIRRORED = f"""
    SELECT own.value, runs.run_uuid, runs.lifecycle_stage, stamp.value, superseded.value
    FROM runs JOIN tags own ON own.run_uuid = runs.run_uuid AND own.key = '{RUN_ID}'
    LEFT JOIN tags stamp ON stamp.run_uuid = runs.run_uuid AND stamp.key = '{STAMP}'
    LEFT JOIN tags superseded
        ON superseded.run_uuid = runs.run_uuid AND superseded.key = '{SUPERSEDED}'
    ORDER BY runs.start_time, runs.run_uuid
"""


def mirrored_by_search(client: MlflowClient, page_size: int = 1000) -> dict[str, list[Mirrored]]:
    """The same as `mirrored` through MLflow's own search.

    A search returns a page, and not everything, however large its `max_results`: the next page is
    asked for until there is none. Deleted experiments are searched too.
    """
    from mlflow.entities import ViewType

    found: dict[str, list[Mirrored]] = defaultdict(list)
    for experiment in _pages(
        lambda token: client.search_experiments(ViewType.ALL, page_size, page_token=token)
    ):
        for run in _pages(
            lambda token, of=experiment.experiment_id: client.search_runs(
                [of], "", ViewType.ALL, page_size, ["attributes.start_time"], token
            )
        ):
            tags = run.data.tags
            if RUN_ID in tags:
                active = run.info.lifecycle_stage == "active"
                copy = Mirrored(run.info.run_id, active, tags.get(STAMP, ""), SUPERSEDED in tags)
                found[tags[RUN_ID]].append(copy)
    return found


def model_stamps(store: Path) -> dict[str, str]:
    """The stamp of each registered model, without importing MLflow; see `mirrored`."""
    rows = _read(store, f"SELECT name, value FROM registered_model_tags WHERE key = '{STAMP}'")
    return dict(rows)


def check_place(store: Path) -> None:
    """Refuse a store that was moved or copied: MLflow keeps whole paths to its artifacts.

    Raises:
        StorageError: it was made elsewhere.
    """
    here = artifact_root(store).as_uri() + "/"
    for (place,) in _read(store, _PLACES):
        if not str(place).startswith(here):
            raise StorageError(
                f"the MLflow store in '{store}' was made elsewhere: it keeps artifacts in "
                f"'{place}'",
                hint="`kdgat runs sync --rebuild` makes it again here, from the runs",
            )


_PLACES = """
    SELECT artifact_location FROM experiments
    JOIN experiment_tags USING (experiment_id) WHERE key = 'kdgat.provenance'
"""


@contextmanager
def open_store(store: Path, lock_wait_s: float = LOCK_WAIT_S) -> Iterator[MlflowClient]:
    """MLflow on this store, which is made where there is none.

    MLflow's telemetry is off and its log is silent while the block lasts: what goes wrong is told
    by an exception.

    Raises:
        StorageError: another program keeps the store locked, or it is of another MLflow's version.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # A model would otherwise take the lock file of whatever project the current folder is in.
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
    with _silent(), _told(store):
        from mlflow.tracking import MlflowClient

        if not database(store).exists():
            create_store(store)
        wait_until_writable(store, lock_wait_s)
        yield MlflowClient(store_uri(store), store_uri(store))


def create_store(store: Path) -> None:
    """Make an empty store: MLflow's hundred migrations are done aside, then renamed."""
    with _silent(), atomic_path(database(store)) as aside:
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        made = SqlAlchemyStore(f"sqlite:///{aside}", artifact_root(store).as_uri())
        made.engine.dispose()
        SqlAlchemyStore._engine_map.pop(f"sqlite:///{aside}", None)


def delete_store(store: Path) -> None:
    """Delete database and artifacts; connections this process has to them are closed."""
    _forget_connections(store)
    for suffix in ("", "-journal", "-wal", "-shm"):
        database(store).with_name(f"mlflow.db{suffix}").unlink(missing_ok=True)
    shutil.rmtree(artifact_root(store), ignore_errors=True)
    remove_leftovers(store)


def remove_leftovers(store: Path) -> None:
    """Remove what a killed sync had written aside; only for the one that holds the lease."""
    names = (".partial-*", "artifacts/**/.partial-*", f"artifacts/**/{_UPLOADING}*")
    for path in (path for name in names for path in store.glob(name)):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def wait_until_writable(store: Path, wait_s: float) -> None:
    """Wait, at growing intervals, until nobody else writes to the store.

    Raises:
        StorageError: somebody still does after `wait_s` seconds.
    """
    path, deadline, pause_s = database(store), time.monotonic() + wait_s, 0.01
    while True:
        try:
            with closing(sqlite3.connect(path, timeout=0.0, isolation_level=None)) as connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.execute("ROLLBACK")
                return
        except sqlite3.Error as error:
            if "locked" not in str(error) or time.monotonic() + pause_s > deadline:
                raise _locked(path, error) from error
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 1.0)


def retried(store: Path, wait_s: float, work: Callable[[], _Result]) -> _Result:
    """The result of work that can be repeated, tried again while another program has the lock.

    Raises:
        StorageError: it has it for too long.
        MlflowException: MLflow refused for another reason.
    """
    from mlflow.exceptions import MlflowException

    for last in (False,) * (_TRIES - 1) + (True,):
        try:
            return work()
        except MlflowException as error:
            if not _is_lock(error):
                raise
            if last:
                raise _locked(database(store), error) from error
            wait_until_writable(store, wait_s)
    raise AssertionError("unreachable")


def _pages(page: Callable[[Any], Any]) -> Iterator[Any]:
    token = None
    while True:
        found = page(token)
        yield from found
        token = found.token
        if not token:
            return


def _read(store: Path, sql: str) -> list[tuple[Any, ...]]:
    """Rows of a query; none where there is no store yet."""
    path = database(store)
    if not path.exists():
        return []
    try:
        with closing(sqlite3.connect(path, timeout=LOCK_WAIT_S)) as connection:
            return connection.execute(sql).fetchall()
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise _locked(path, error) from error
        raise


def _locked(path: Path, error: Exception) -> StorageError:
    if "locked" not in str(error):
        return StorageError(
            f"'{path}' can't be used: {' '.join(str(error).split())[:200]}",
            hint="`kdgat runs sync --rebuild` makes the store again from the runs",
        )
    return StorageError(
        f"another program is writing to '{path}' and keeps it locked",
        hint="close it (an MLflow UI, another sync), then run `kdgat runs sync` again",
    )


def _is_lock(error: Exception) -> bool:
    return "database is locked" in str(error) or "database table is locked" in str(error)


@contextmanager
def _told(store: Path) -> Iterator[None]:
    """What MLflow refuses, as one sentence."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ != "MlflowException" or isinstance(error, StorageError):
            raise
        reason = " ".join(str(error).split())[:300]
        raise StorageError(
            f"MLflow refused the store '{database(store)}': {reason}",
            hint="`kdgat runs sync --rebuild` makes the store again from the runs",
        ) from error


@contextmanager
def _silent() -> Iterator[None]:
    """No log of MLflow's or its migrations', nor the warnings that its import gives."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    with warnings.catch_warnings(), contextlib.ExitStack() as levels:
        for message in _WARNINGS_OF_MLFLOW:
            warnings.filterwarnings("ignore", message=message)
        with contextlib.suppress(ImportError):
            # Imported first: it sets the level of its log when it is imported.
            import mlflow.utils.logging_utils  # noqa: F401
        for logger in loggers:
            levels.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.CRITICAL + 1)
        yield


def _forget_connections(store: Path) -> None:
    """Close this process's pooled connections, which would go on writing to a deleted file."""
    for registry in ("tracking", "model_registry"):
        module = sys.modules.get(f"mlflow.store.{registry}.sqlalchemy_store")
        engine = module.SqlAlchemyStore._engine_map.get(store_uri(store)) if module else None
        if engine is not None:
            engine.dispose()
