"""What is kept in the home folder: runs, and caches that are made again when they are deleted."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from kdgat.errors import KdgatError, StorageError
from kdgat.ops.checkup.finding import Found, Surroundings, note, of_error, problem
from kdgat.workspace import Workspace

_PARQUET = b"PAR1"


def look_at_runs(here: Surroundings) -> Iterator[Found]:
    """What among the runs is no whole run."""
    from kdgat.ledger.journal import Journal
    from kdgat.ledger.repair import Fault, find_faults, mend

    def repair(fault: Fault) -> Callable[[], str]:
        def run() -> str:
            done = mend(fault)
            if done.action == "left":
                raise StorageError(
                    f"'{here.ws.show(done.path)}': {done.fault}", hint=done.next_step
                )
            return f"{done.action}: {here.ws.show(done.path)}"

        return run

    for fault in find_faults(here.ws.runs, Journal(here.ws.journal)):
        where = here.ws.show(fault.path)
        what = f"'{where}': {fault.fault}"
        if fault.action == "left":
            say = note if fault.next_step.startswith("nothing needs") else problem
            yield say("runs", what, fault.next_step, where=where)
        else:
            yield problem("runs", what, "kdgat runs repair", where=where, mend=repair(fault))


def look_at_history(here: Surroundings) -> Iterator[Found]:
    """Whether the compacted history is whole; it is made again from the runs."""
    from kdgat.runs.manifest import manifest_path, newest_numbers, read_manifest

    history = here.ws.history
    newest = next(iter(newest_numbers(history)), None)
    if newest is None:
        return
    manifest = read_manifest(history, newest)
    parts = [] if manifest is None else [
        path for part in manifest.parts for path in _broken_parts(history, part.id)
    ]  # fmt: skip
    damaged = [manifest_path(history, newest)] if manifest is None else parts
    if damaged:
        where = here.ws.show(damaged[0])
        more = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        what = f"the compacted history is damaged: '{where}'{more}"
        fix = f"rm -r {here.ws.show(history)}; it is made again from the runs"
        yield problem("history", what, fix, where=where, mend=lambda: _drop_history(here.ws))


def look_at_indexes(here: Surroundings) -> Iterator[Found]:
    """Whether indexes of documentation can be read, and clones are there."""
    from kdgat.knowledge.index import open_index
    from kdgat.knowledge.sources import listed

    for path in sorted((here.ws.knowledge / "indexes").glob("[!.]*.db")):
        index = open_index(path)
        if index is not None:
            index.database.close()
            continue
        where = here.ws.show(path)
        what = f"the index '{where}' is damaged, or of another version of kdgat"
        fix = f"rm {where}; the next search makes it again"
        yield problem("docs", what, fix, where=where, mend=_deletion(here.ws, path))
    for source in listed(here.ws):
        if source.git and not (here.ws.knowledge / "clones" / source.name).is_dir():
            what = f"the documentation source '{source.name}' was not cloned yet"
            yield note("docs", what, "kdgat docs sync", where="knowledge/sources.toml")


def look_at_memory(here: Surroundings) -> Iterator[Found]:
    """Whether measurements of GPUs can be read."""
    from kdgat.memory.calibration import load_calibrations

    path = here.ws.memory / "calibration.json"
    try:
        load_calibrations(path)
    except KdgatError as error:
        where = here.ws.show(path)
        found = of_error("memory", error)
        fix = found.finding.fix
        yield problem("memory", error.problem, fix, where=where, mend=_deletion(here.ws, path))


def look_at_mlflow(here: Surroundings) -> Iterator[Found]:
    """Whether the MLflow store can be read, and has every run."""
    from kdgat.runs.tracking import NO_SYNC, pending

    if not here.ws.mlflow.is_dir():
        return
    where = here.ws.show(here.ws.mlflow)
    try:
        waiting = pending(here.ws)
    except sqlite3.Error as error:
        what = f"the MLflow store can't be read: {error}"
        yield problem("mlflow", what, "kdgat runs sync --rebuild", where=where)
        return
    if waiting and here.environ.get(NO_SYNC) != "1":
        several = f"{len(waiting)} run{'s' * (len(waiting) > 1)}"
        what = f"MLflow does not have {several} as they are now, such as '{waiting[0]}'"
        yield note("mlflow", what, "kdgat runs sync", where=where)


def _broken_parts(history: Path, part: str) -> Iterator[Path]:
    """Files of a part that are cut off; its folder where there is none at all."""
    files = sorted((history / "parts").glob(f"{part}-*.parquet"))
    if not files:
        yield history / "parts"
    for path in files:
        with path.open("rb") as file:
            begin = file.read(4)
            file.seek(max(0, path.stat().st_size - 4))
            if (begin, file.read(4)) != (_PARQUET, _PARQUET):
                yield path


def _drop_history(ws: Workspace) -> str:
    """Delete manifests and parts, while nobody compacts.

    Raises:
        StorageError: somebody does.
    """
    from kdgat.runs.lease import hold_lease

    with hold_lease(ws.history / "lease", "the history"):
        for path in ws.history.glob("manifest-*.json"):
            path.unlink()
        shutil.rmtree(ws.history / "parts", ignore_errors=True)
    return f"deleted the damaged history in {ws.show(ws.history)}: the next question makes it again"


def _deletion(ws: Workspace, path: Path) -> Callable[[], str]:
    def mend() -> str:
        path.unlink(missing_ok=True)
        return f"deleted {ws.show(path)}, which is made again"

    return mend
