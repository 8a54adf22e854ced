"""Ten thousand runs of fifty epochs: the history against `mlflow.search_runs`, and from the cold.

pytest -m benchmarks -s tests/benchmarks/test_history_speed.py
"""

from __future__ import annotations

import json
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from kdgat.ops.analytics import leaderboard
from kdgat.ops.history import query_runs
from kdgat.runs.compact import compact
from kdgat.runs.history import open_history
from kdgat.workspace import Workspace
from tests.unit.runs.folders import config, record, workspace, write_record
from tests.unit.runs.judged import judged

RUNS = 10_000
FRESH = 50
EPOCHS = 50
WARM_S = 0.025
COLD_S = 0.5
RATIO = 40
WHERE = "metrics.f1 > 0.5 and params.model.hidden = 32"
ORDER = "metrics.f1 desc"
FILTER = "metrics.f1 > 0.5 and params.`model.hidden` = '32'"
BOARD = """
select runs.name, count(*) as runs, max(value) as best, avg(value) as mean
from metrics join runs using (run_id)
where metrics.name = 'f1' and state = 'completed' and not archived
group by all order by best desc limit 20
"""


def figure(number: int) -> float:
    return (number * 7919 % RUNS) / RUNS


def epoch_line(epoch: int) -> str:
    values = {"train_loss": 1 / (epoch + 1), "val_loss": 0.9 / (epoch + 1), "val_f1": epoch / 50}
    return json.dumps({"epoch": epoch, "time": "2026-11-01T00:00:00.000+00:00", **values}) + "\n"


LINES = "".join(map(epoch_line, range(EPOCHS)))


def write(ws: Workspace, number: int) -> None:
    values = record(number, metrics={"f1": figure(number), "epochs": EPOCHS, "parameters": 1e5})
    kind = f"{values['size']}_{values['stage']}{'_kd' if values['teacher'] else ''}"
    folder = ws.runs / values["dataset"] / kind / values["run_id"]
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config(number)))
    (folder / "metrics.jsonl").write_text(LINES)
    write_record(folder, values)


def fill_mlflow(store: Path, numbers: range) -> str:
    """The same runs in MLflow's own SQLite store, whose rows are written in bulk."""
    from mlflow import MlflowClient

    uri = f"sqlite:///{store}"
    experiment = MlflowClient(tracking_uri=uri).create_experiment("runs")
    lines = [json.loads(line) for line in LINES.splitlines()]
    tables: dict[str, list[dict[str, object]]] = {
        name: [] for name in ("runs", "params", "tags", "metrics", "latest_metrics")
    }
    for number in numbers:
        values, uuid = record(number), f"{number:032x}"
        tables["runs"].append({
            "run_uuid": uuid, "name": values["run_id"], "source_type": "LOCAL", "user_id": "u",
            "status": "FINISHED", "start_time": number, "end_time": number + 1,
            "lifecycle_stage": "active", "artifact_uri": "x", "experiment_id": int(experiment),
        })  # fmt: skip
        for group, inner in config(number).items():
            leaves = inner.items() if isinstance(inner, dict) else [(None, inner)]
            for key, value in leaves:
                name = f"{group}.{key}" if key else group
                tables["params"].append({"key": name, "value": str(value), "run_uuid": uuid})
        for key in ("run_id", "dataset", "stage", "size", "provenance", "digest"):
            tables["tags"].append({"key": key, "value": str(values[key]), "run_uuid": uuid})
        final = {"f1": figure(number), "epochs": EPOCHS, "parameters": 1e5}
        last = {k: v for k, v in lines[-1].items() if k not in ("epoch", "time")}
        for key, value in {**final, **last}.items():
            tables["latest_metrics"].append({
                "key": key, "value": value, "timestamp": number, "step": EPOCHS - 1,
                "is_nan": False, "run_uuid": uuid,
            })  # fmt: skip
        points = [(k, v, e["epoch"]) for e in lines for k, v in e.items() if k in last]
        for key, value, step in [*points, *((k, v, 0) for k, v in final.items())]:
            tables["metrics"].append({
                "key": key, "value": value, "timestamp": number, "step": step, "is_nan": False,
                "run_uuid": uuid,
            })  # fmt: skip
        if number % 1000 == 999 or number == numbers[-1]:
            _insert(store, tables)
    return uri


def _insert(store: Path, tables: dict[str, list[dict[str, object]]]) -> None:
    with sqlite3.connect(store) as database:
        for table, rows in tables.items():
            names = list(rows[0]) if rows else []
            marks = ", ".join(f":{name}" for name in names)
            if rows:
                database.executemany(
                    f"insert into {table} ({', '.join(names)}) values ({marks})", rows
                )
            rows.clear()
    database.close()


def median_s(what: Callable[[], object], times: int) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        what()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def fill_judged(root: Path) -> Workspace:
    """As many runs, of which half are evaluations of the others; a few are fresh."""
    ws = workspace(root)

    def make(numbers: range) -> None:
        for number in numbers:
            rate, seed = number // 40 % 25 / 1000, number % 5
            judged(
                ws, figure(number), seed=seed,
                config={"model.hidden": 16 << number % 4, "training.learning_rate": rate},
                model=("gat", "vgae", "dqn")[number % 3], size=("large", "small")[number // 3 % 2],
                dataset=("set_01", "set_02")[number // 7 % 2],
            )  # fmt: skip

    make(range(RUNS // 2))
    compact(ws)
    make(range(RUNS // 2, (RUNS + FRESH) // 2))
    return ws


def ask_board(ws: Workspace) -> None:
    with open_history(ws) as history:
        assert len(history.query(BOARD).rows) > 3


@pytest.mark.benchmarks
@pytest.mark.filterwarnings("ignore")
def test_history_answers_quickly_and_much_quicker_than_mlflow(tmp_path: Path) -> None:
    ws = workspace(tmp_path)
    (tmp_path / "pyproject.toml").write_text('[tool.kdgat]\nhome = "home"\n')
    for number in range(RUNS):
        write(ws, number)
    start = time.perf_counter()
    compact(ws)
    compaction_s = time.perf_counter() - start
    for number in range(RUNS, RUNS + FRESH):
        write(ws, number)
    evaluated = fill_judged(tmp_path / "judged")
    # What was just written may change again within a tick of the clock, so it is looked at anew.
    time.sleep(3)

    def ours() -> int:
        return len(query_runs(ws, where=WHERE, order_by=ORDER, limit=RUNS).rows)

    first_s = median_s(ours, 1)
    # Rows are taken into memory once a process has asked a few times.
    median_s(ours, 3)
    warm_s = median_s(ours, 25)
    top_s = median_s(lambda: query_runs(ws, where=WHERE, order_by=ORDER, limit=50), 25)
    board_s = median_s(lambda: ask_board(ws), 25)
    standings_first_s = median_s(lambda: leaderboard(evaluated), 1)
    median_s(lambda: leaderboard(evaluated), 3)
    standings_s = median_s(lambda: leaderboard(evaluated), 25)

    import mlflow

    uri = fill_mlflow(tmp_path / "mlflow.db", range(RUNS + FRESH))
    mlflow.set_tracking_uri(uri)

    def theirs(limit: int = 50_000) -> int:
        found = mlflow.search_runs(
            experiment_names=["runs"], filter_string=FILTER, order_by=["metrics.f1 DESC"],
            max_results=limit,
        )  # fmt: skip
        return len(found)

    assert theirs() == ours()
    theirs_s = median_s(theirs, 3)
    theirs_top_s = median_s(lambda: theirs(50), 3)
    command = [sys.executable, "-c", COLD, str(tmp_path)]
    cold_s = median_s(lambda: subprocess.run(command, check=True, capture_output=True), 5)
    again_s = median_s(ours, 25)
    print(
        f"\n{RUNS} runs of {EPOCHS} epochs, {FRESH} of them fresh; duckdb {version('duckdb')}, "
        f"mlflow {version('mlflow')}, pyarrow {version('pyarrow')}\n"
        f"compaction of all                    {compaction_s:9.1f} s\n"
        f"first question of a process          {1e3 * first_s:9.1f} ms\n"
        f"runs query, all that fit             {1e3 * warm_s:9.1f} ms (again {1e3 * again_s:.1f})\n"
        f"runs query, the best 50              {1e3 * top_s:9.1f} ms\n"
        f"SQL like a leaderboard's             {1e3 * board_s:9.1f} ms\n"
        f"leaderboard of evaluations           {1e3 * standings_s:9.1f} ms"
        f" (first {1e3 * standings_first_s:.1f})\n"
        f"mlflow.search_runs, all that fit     {1e3 * theirs_s:9.1f} ms  x{theirs_s / warm_s:.0f}\n"
        f"mlflow.search_runs, the best 50      {1e3 * theirs_top_s:9.1f} ms"
        f"  x{theirs_top_s / top_s:.0f}\n"
        f"runs query from a cold process       {1e3 * cold_s:9.1f} ms"
    )
    # What a person asks; all that fit are over a thousand rows to make Python objects of.
    assert top_s < WARM_S
    assert board_s < WARM_S
    assert theirs_s / warm_s > RATIO
    assert cold_s < COLD_S


COLD = f"""
import sys
from pathlib import Path
from kdgat.ops.history import query_runs
from kdgat.workspace import Workspace
root = Path(sys.argv[1])
query_runs(Workspace(root, root / "home"), where={WHERE!r}, order_by={ORDER!r}, limit=50)
"""
