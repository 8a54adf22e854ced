"""Small run folders, an empty MLflow store to copy, and everything a store says, to compare."""

from __future__ import annotations

import atexit
import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from kdgat.ledger.files import content_hash, write_json, write_text
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.states import State
from kdgat.runs.store import create_store, database
from kdgat.workspace import Workspace
from tests.unit.ledger.made import new_record

START = datetime(2026, 11, 21, 10, 0, 0, 123_000, tzinfo=UTC)
SCENARIO = "test_01_known_vehicle_known_attack"


@cache
def empty_store() -> Path:
    """An empty MLflow store: making one takes seconds, copying it nothing."""
    folder = Path(tempfile.mkdtemp(prefix="kdgat-empty-store-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    create_store(folder)
    return folder


def workspace(root: Path, *, with_store: bool = True) -> Workspace:
    """A workspace without runs."""
    ws = Workspace(root, root / ".kdgat")
    ws.mlflow.mkdir(parents=True)
    if with_store:
        shutil.copyfile(database(empty_store()), database(ws.mlflow))
    return ws


def run_id(number: int) -> str:
    return f"20261121-{number:06d}-0001abc"


def at(second: int) -> str:
    return (START + timedelta(seconds=second)).isoformat(timespec="milliseconds")


def make_run(
    ws: Workspace,
    number: int,
    *,
    epochs: int = 3,
    state: State = State.COMPLETED,
    dataset: str = "simulated",
    provenance: str = "simulated",
    size: str = "large",
    config: dict[str, Any] | None = None,
    checkpoint: bytes = b"weights",
    **changes: Any,
) -> RunFolder:
    """One run of so many epochs; times are made up and always the same."""
    record = new_record(
        run_id=run_id(number),
        dataset=dataset,
        provenance=provenance,
        size=size,
        digest=f"{number:016x}",
        dataset_hash="a" * 64,
        graphs="graphs01",
        seed=number,
        created_at=at(0),
        state=state,
        started_at=at(1),
        ended_at=at(59) if state is not State.RUNNING else None,
        host="node1",
        attempts=1,
        metrics={"best_val_f1": 0.5 + number / 1000, "epochs": epochs, "nothing": None},
        environment={"git_commit": "c0ffee", "git_dirty": False},
    )
    record = record.with_changes(**changes)
    folder = RunFolder.create(ws.runs, record, config or {"seed": number, "model": {"hidden": 4}})
    write_epochs(folder, range(epochs))
    if record.subject is None:
        path = folder.checkpoints / "best.ckpt"
        path.parent.mkdir()
        path.write_bytes(checkpoint + str(number).encode())
        folder.update(artifacts={"checkpoints/best.ckpt": content_hash(path)})
    return folder


def write_epochs(folder: RunFolder, epochs: Iterable[int], shift_s: int = 0) -> None:
    """Epochs behind those that are there; `shift_s` later than usual."""
    rows = [
        {"epoch": epoch, "time": at(2 + epoch + shift_s), "loss": 1 / (epoch + 1), "f1": epoch / 10}
        for epoch in epochs
    ]
    there = [json.dumps(row) + "\n" for row in folder.metrics()]
    write_text(
        folder.path / "metrics.jsonl", "".join([*there, *(json.dumps(row) + "\n" for row in rows)])
    )


def make_evaluation(
    ws: Workspace,
    number: int,
    subject: RunFolder,
    counts: tuple[int, int, int, int],
    **changes: Any,
) -> RunFolder:
    """An evaluation of a run with these true and false positives, false and true negatives."""
    judged = subject.record()
    folder = make_run(
        ws,
        number,
        epochs=0,
        stage="evaluation",
        subject=judged.run_id,
        dataset=judged.dataset,
        provenance=judged.provenance,
        metrics={},
        **changes,
    )
    write_evaluation(folder, counts)
    return folder


def write_evaluation(folder: RunFolder, counts: tuple[int, int, int, int]) -> None:
    hits, false, missed, quiet = counts
    metrics = {
        "windows": sum(counts),
        "true_positives": hits,
        "false_positives": false,
        "false_negatives": missed,
        "true_negatives": quiet,
        "f1": 2 * hits / (2 * hits + false + missed) if hits + missed else None,
    }
    place = {"scenario": SCENARIO, "attack_type": "all", "protocol": "zero_shot"}
    report = {
        "scenarios": [{**place, "metrics": metrics}],
        "threshold": 0.5,
        "parameters": 100,
        "checkpoint_bytes": 7,
        "latency_ms": 1.5,
    }
    write_json(folder.artifacts / "evaluation.json", report)


_RUNS = """
    SELECT experiments.name, own.value, runs.name, status, start_time, end_time,
           runs.lifecycle_stage
    FROM runs JOIN experiments USING (experiment_id)
    JOIN tags own ON own.run_uuid = runs.run_uuid AND own.key = 'kdgat.run_id'
"""
_OF_RUNS = """
    SELECT own.value, {columns} FROM {table} each
    JOIN runs ON runs.run_uuid = each.run_uuid AND runs.lifecycle_stage = 'active'
    JOIN tags own ON own.run_uuid = each.run_uuid AND own.key = 'kdgat.run_id'
"""
_INPUTS = """
    SELECT own.value, datasets.name, digest, dataset_profile FROM inputs
    JOIN datasets ON datasets.dataset_uuid = inputs.source_id
    JOIN runs ON runs.run_uuid = inputs.destination_id AND runs.lifecycle_stage = 'active'
    JOIN tags own ON own.run_uuid = inputs.destination_id AND own.key = 'kdgat.run_id'
"""
_COLUMNS = {
    "metrics": "each.key, each.value, timestamp, step, is_nan",
    "latest_metrics": "each.key, each.value, timestamp, step, is_nan",
    "params": "each.key, each.value",
    "tags": "each.key, each.value",
}


def contents(ws: Workspace, *, raw: bool = False) -> dict[str, list[tuple[Any, ...]]]:
    """Every row about our runs and models, by the ledger's ids in place of MLflow's.

    With `raw`, MLflow's own rows, ids and times of its own included.
    """
    if raw:
        tables = ("experiments", "runs", "inputs", "datasets", "model_versions",
                  "registered_models", "registered_model_aliases", *_COLUMNS)  # fmt: skip
        return {table: rows(ws, f"SELECT * FROM {table}") for table in tables}
    found = {"runs": rows(ws, _RUNS), "inputs": rows(ws, _INPUTS)}
    for table, columns in _COLUMNS.items():
        found[table] = rows(ws, _OF_RUNS.format(table=table, columns=columns))
    found["models"] = rows(ws, "SELECT name, version, current_stage FROM model_versions")
    found["aliases"] = rows(ws, "SELECT name, alias, version FROM registered_model_aliases")
    found["artifacts"] = _artifacts(ws)
    return found


def rows(ws: Workspace, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(database(ws.mlflow))) as connection:
        return sorted(connection.execute(sql).fetchall(), key=repr)


def _artifacts(ws: Workspace) -> list[tuple[Any, ...]]:
    """Every artifact of active runs, with its hash; MLmodel has a time and an id of its own."""
    sql = """
        SELECT runs.run_uuid, own.value FROM runs JOIN tags own
        ON own.run_uuid = runs.run_uuid AND own.key = 'kdgat.run_id'
        WHERE lifecycle_stage = 'active'
    """
    found = []
    for mlflow_id, own in rows(ws, sql):
        for folder in ws.mlflow.glob(f"artifacts/*/{mlflow_id}"):
            for path in sorted(folder.rglob("*")):
                if path.is_file():
                    content = b"" if path.name == "MLmodel" else path.read_bytes()
                    digest = hashlib.sha256(content).hexdigest()
                    found.append((own, path.relative_to(folder).as_posix(), digest))
    return sorted(found)
