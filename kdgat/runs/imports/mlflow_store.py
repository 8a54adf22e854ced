"""Runs of an MLflow store, by MLflow's own client, from a copy of its database.

MLflow makes tables where a database has none and refuses one of an older version, so it is given a
copy: a store that is imported is never written to.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlparse

from kdgat.errors import RunError
from kdgat.ledger.states import State
from kdgat.runs.imports.found import Fault, FoundRun, as_bytes, found_runs
from kdgat.runs.imports.mapping import facts_of, figures_of
from kdgat.runs.imports.words import CHECKPOINTS
from kdgat.runs.store import RUN_ID, silent

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_SQLITE = "sqlite:///"
_STATES = {"FINISHED": State.COMPLETED, "FAILED": State.FAILED, "KILLED": State.CANCELLED}
_RUN = re.compile(r"[0-9a-f]{32}")
_PAGE = 1000
_MOST_POINTS = 20_000
"""Values of a run's curves that are asked for; beyond, the last ones alone are kept."""


def is_store(source: str) -> bool:
    """Whether a source is an MLflow store: an SQLite URI, or a folder laid out as `mlruns/`."""
    if source.startswith(_SQLITE):
        return True
    return any(Path(source).glob("*/meta.yaml"))


def read_store(source: str) -> Iterator[FoundRun | Fault]:
    """Every run of a store; runs that are copies of kdgat's own, or go on, are faults.

    Raises:
        RunError: there is no such store, or MLflow can't read it.
    """
    with silent(), _opened(source) as client:
        names = {}
        seen: set[str] = set()
        for experiment in _experiments(client):
            names[experiment.experiment_id] = experiment.name
        for run in _runs(client, list(names)):
            seen.add(run.info.run_id)
            try:
                yield from _found(client, run, names[run.info.experiment_id])
            except (ValueError, OSError) as error:
                yield Fault(_shown(run, names[run.info.experiment_id]), str(error))
    if not source.startswith(_SQLITE):
        yield from _damaged(Path(source), seen)


@contextmanager
def _opened(source: str) -> Iterator[MlflowClient]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    with tempfile.TemporaryDirectory(prefix="kdgat-import-") as aside:
        try:
            yield MlflowClient(tracking_uri=_copied(source, Path(aside)))
        except MlflowException as error:
            raise RunError(
                f"MLflow can't read '{source}': {' '.join(str(error).split())[:300]}",
                hint="check that it is an MLflow store: an mlruns folder, or sqlite:///FILE",
            ) from error


def _copied(source: str, aside: Path) -> str:
    """The store as a URI: a file store as it is, a database as a copy of today's version."""
    if not source.startswith(_SQLITE):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        return Path(source).resolve().as_uri()
    path = Path(source.removeprefix(_SQLITE))
    if not path.is_file():
        raise RunError(f"there is no database '{path}'", hint="write sqlite:///PATH/mlflow.db")
    import sqlite3
    from contextlib import closing

    copy = aside / "mlflow.db"
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as old:
            tables = {row[0] for row in old.execute("SELECT name FROM sqlite_master")}
        if not {"runs", "experiments"} <= tables:
            raise RunError(f"'{path}' is no MLflow database", hint="name the file MLflow writes")
        shutil.copyfile(path, copy)
    except sqlite3.Error as error:
        raise RunError(f"'{path}' can't be read: {error}", hint="name an SQLite file") from error
    import sqlalchemy
    from mlflow.store.db.utils import _upgrade_db

    uri = f"{_SQLITE}{copy}"
    engine = sqlalchemy.create_engine(uri)
    _upgrade_db(engine)
    engine.dispose()
    return uri


def _experiments(client: MlflowClient) -> Iterator[Any]:
    token = None
    while True:
        page = client.search_experiments(max_results=_PAGE, page_token=token)
        yield from page
        if not (token := page.token):
            return


def _runs(client: MlflowClient, experiments: list[str]) -> Iterator[Run]:
    token = None
    while experiments:
        page = client.search_runs(experiments, max_results=_PAGE, page_token=token)
        yield from page
        if not (token := page.token):
            return


def _found(client: MlflowClient, run: Run, experiment: str) -> list[FoundRun]:
    """The run as ours.

    Raises:
        ValueError: it is kdgat's own copy, goes on, or tells no dataset.
    """
    tags, info = run.data.tags, run.info
    if RUN_ID in tags:
        raise ValueError(f"a copy of kdgat's own run '{tags[RUN_ID]}'")
    if info.status not in _STATES:
        raise ValueError(f"its status is {info.status}: import it when it has ended")
    params = {name: _value(text) for name, text in run.data.params.items()}
    named = {name: tags[name] for name in ("dataset", "model_type", "scale") if name in tags}
    place = [experiment, str(tags.get("mlflow.runName", ""))]
    metrics = dict(run.data.metrics)
    curves = _curves(client, run)
    content = as_bytes({"run": info.run_id, "params": dict(run.data.params), "metrics": metrics})
    originals = {"params": params, "metrics": metrics, "tags": dict(tags)}
    return found_runs(
        _shown(run, experiment),
        [content],
        facts_of({**named, **params}, place),
        figures_of(metrics),
        datetime.fromtimestamp((info.end_time or info.start_time or 0) / 1000, UTC),
        state=_STATES[info.status],
        originals={f"{name}.json": as_bytes(value) for name, value in originals.items()},
        checkpoints=tuple(_checkpoints(info.artifact_uri)),
        epochs=curves,
    )


def _curves(client: MlflowClient, run: Run) -> tuple[dict[str, Any], ...]:
    """Figures by step, of metrics that were logged more than once."""
    rows: dict[int, dict[str, Any]] = {}
    points = 0
    for name in run.data.metrics:
        history = client.get_metric_history(run.info.run_id, name)
        points += len(history)
        if len(history) < 2 or points > _MOST_POINTS:
            continue
        for point in history:
            at = datetime.fromtimestamp(point.timestamp / 1000, UTC)
            row = rows.setdefault(int(point.step), {"epoch": int(point.step), "time": ""})
            row["time"] = max(row["time"], at.isoformat(timespec="milliseconds"))
            if point.value == point.value and abs(point.value) != float("inf"):
                row[name] = point.value
    return tuple(rows[step] for step in sorted(rows) if step >= 0)


def _checkpoints(uri: str | None) -> Iterator[Path]:
    """Checkpoints among the artifacts, where these lie on this machine."""
    place = urlparse(uri or "")
    folder = Path(unquote(place.path))
    if place.scheme in ("", "file") and folder.is_dir():
        yield from (p for p in sorted(folder.rglob("*")) if p.suffix in CHECKPOINTS and p.is_file())


def _damaged(store: Path, seen: set[str]) -> Iterator[Fault]:
    """Folders of runs that MLflow passed over, because their `meta.yaml` is gone or broken."""
    for path in sorted(store.glob("*/*/")):
        is_run = _RUN.fullmatch(path.name) is not None
        gone = "lifecycle_stage: deleted" in _text(path / "meta.yaml")
        if is_run and path.name not in seen and path.parent.name != ".trash" and not gone:
            why = "damaged" if (path / "meta.yaml").exists() else "missing"
            yield Fault(f"{path.parent.name}/{path.name}", f"its meta.yaml is {why}")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _shown(run: Run, experiment: str) -> str:
    return f"{experiment}/{run.data.tags.get('mlflow.runName') or run.info.run_id}"


def _value(text: str) -> Any:
    """A parameter as the number or truth that it was; MLflow keeps text."""
    words = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
