"""Run folders of every kind, written as plain JSON, and what the history must tell of them."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kdgat.ledger.folder import RunFolder
from kdgat.runs.history import open_history
from kdgat.runs.views import FROM_FOLDERS
from kdgat.workspace import Workspace

START = datetime(2026, 11, 1, tzinfo=UTC)
Rows = dict[str, list[tuple[Any, ...]]]


def workspace(path: Path) -> Workspace:
    return Workspace(path, path / "home")


def run_id(number: int) -> str:
    return (
        f"20261101-{number // 3600 % 24:02d}{number // 60 % 60:02d}{number % 60:02d}-{number:07d}"
    )


def record(number: int, **changes: Any) -> dict[str, Any]:
    """A completed training run; the number decides what it is of."""
    created = START + timedelta(seconds=number)
    return {
        "run_id": run_id(number),
        "stage": "classifier",
        "stage_version": 1,
        "dataset": ("hcrl_sa", "set_01", "simulated")[number % 3],
        "provenance": ("real", "real", "simulated")[number % 3],
        "model": "gat",
        "size": "large" if number % 2 else "small",
        "digest": f"{number % 7:016x}",
        "dataset_hash": "d" * 64,
        "seed": number % 5,
        "created_at": created.isoformat(timespec="milliseconds"),
        "state": "completed",
        "teacher": None if number % 4 else run_id(1),
        "started_at": (created + timedelta(seconds=2)).isoformat(timespec="milliseconds"),
        "ended_at": (created + timedelta(seconds=62.5)).isoformat(timespec="milliseconds"),
        "host": "node07",
        "attempts": 1,
        "metrics": {"best_val_loss": 1 / (number + 1), "epochs": 3, "parameters": None},
        "environment": {"git_commit": "c0ffee", "git_dirty": False, "packages": {"torch": "2.8"}},
        **changes,
    }


def config(number: int) -> dict[str, Any]:
    return {
        "model": {"kind": "gat", "hidden": (32, 64)[number % 2], "dropout": 0.1 * (number % 3)},
        "training": {"max_epochs": 3, "precision": "32" if number % 2 else "bf16-mixed"},
        "data": {"features": ["bytes", "entropy"], "scale_clip": None},
        "seed": number % 5,
    }


def write_run(ws: Workspace, number: int, *, epochs: int = 3, **changes: Any) -> Path:
    """One run's folder, `run.json` renamed into it last."""
    values = record(number, **changes)
    kind = f"{values['size']}_{values['stage']}{'_kd' if values['teacher'] else ''}"
    folder = ws.runs / values["dataset"] / kind / values["run_id"]
    (folder / "artifacts").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config(number)))
    write_epochs(folder, epochs)
    if values.get("subject"):
        (folder / "artifacts" / "evaluation.json").write_text(json.dumps(evaluation(number)))
    write_record(folder, values)
    return folder


def write_record(folder: Path, values: dict[str, Any]) -> None:
    """As the ledger does: aside, then renamed."""
    aside = folder / ".partial-run.json"
    aside.write_text(json.dumps(values))
    aside.replace(folder / "run.json")


def write_epochs(folder: Path, epochs: int) -> None:
    lines = [
        {
            "epoch": epoch,
            "time": (START + timedelta(minutes=epoch)).isoformat(timespec="milliseconds"),
            "train_loss": 1 / (epoch + 1),
            "val_loss": None if epoch == 1 else 0.5 / (epoch + 1),
        }
        for epoch in range(epochs)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def evaluation(number: int) -> dict[str, Any]:
    return {
        "scenarios": [
            {
                "scenario": scenario,
                "attack_type": attack,
                "protocol": "zero_shot",
                "metrics": {"f1": (number % 90 + shift) / 100, "delay_s": None},
            }
            for shift, (scenario, attack) in enumerate(
                [("test_01", "all"), ("test_01", "dos"), ("test_02", "all")]
            )
        ],
        "threshold": 0.5,
        "parameters": 1000,
        "checkpoint_bytes": 4000,
        "latency_ms": 0.25,
    }


def write_evaluation(ws: Workspace, number: int, subject: int, **changes: Any) -> Path:
    of = record(subject)
    return write_run(
        ws, number, epochs=0, stage="evaluation", subject=of["run_id"], dataset=of["dataset"],
        provenance=of["provenance"], size=of["size"], teacher=of["teacher"],
        metrics={"test_01/f1": 0.5}, **changes,
    )  # fmt: skip


def rewrite(folder: Path, **changes: Any) -> None:
    """Change some fields of a run's record, as the ledger does."""
    write_record(folder, {**json.loads((folder / "run.json").read_text()), **changes})


def age(path: Path, seconds: float) -> None:
    """Let a file or folder look as if it was changed so long ago."""
    past = path.stat().st_mtime - seconds
    os.utime(path, (past, past))


def history_rows(ws: Workspace) -> Rows:
    """All rows of the views from run folders, sorted."""
    with open_history(ws) as history:
        return {
            view.name: sorted(history.query(f"select * from {view.name}").rows, key=repr)
            for view in FROM_FOLDERS
        }


def true_rows(ws: Workspace) -> Rows:
    """The same as the folders tell them, read as simply as can be."""
    rows: Rows = {view.name: [] for view in FROM_FOLDERS}
    for path in ws.runs.glob("*/*/*/run.json"):
        folder = path.parent
        values = {**json.loads(path.read_text())}
        head = (values["run_id"], values.get("subject"), values["dataset"], values["provenance"])
        state = RunFolder(folder).current().state.value
        rows["runs"].append(_run(values, state, str(folder.relative_to(ws.home))))
        rows["params"] += [
            (values["run_id"], *leaf)
            for leaf in _leaves(json.loads((folder / "config.json").read_text()))
        ]
        whole = dict(values["metrics"])
        if values.get("subject"):
            report = json.loads((folder / "artifacts" / "evaluation.json").read_text())
            whole |= {name: value for name, value in report.items() if name != "scenarios"}
            for each in report["scenarios"]:
                place = (each["scenario"], each["attack_type"], each["protocol"])
                rows["metrics"] += [(*head, *place, *item) for item in each["metrics"].items()]
        rows["metrics"] += [(*head, None, None, None, *item) for item in whole.items()]
        for line in (folder / "metrics.jsonl").read_text().splitlines():
            values = json.loads(line)
            moment = _moment(values.pop("time"))
            epoch = values.pop("epoch")
            rows["epochs"] += [(head[0], epoch, moment, *item) for item in values.items()]
    floats = {"params": 3, "metrics": 8, "epochs": 4}
    return {
        name: sorted((_with_float(row, floats.get(name)) for row in found), key=repr)
        for name, found in rows.items()
    }


def _with_float(row: tuple[Any, ...], at: int | None) -> tuple[Any, ...]:
    """The row with a float in the column whose numbers are floats in the history."""
    if at is None or at >= len(row) or row[at] is None or isinstance(row[at], str):
        return row
    return (*row[:at], float(row[at]), *row[at + 1 :])


def _run(v: dict[str, Any], state: str, folder: str) -> tuple[Any, ...]:
    started, ended = _moment(v.get("started_at")), _moment(v.get("ended_at"))
    name = f"{v['dataset']}-{v['model']}-{v['size']}{'-kd' if v['teacher'] else ''}"
    reason = "its process ended without a word" if state == "lost" else v.get("reason")
    return (
        v["run_id"], name, v["dataset"], v["provenance"], v["model"], v["size"], v["stage"],
        v["stage_version"], v["teacher"] is not None, state, v["seed"], v["digest"],
        v["dataset_hash"], v.get("graphs"), v["teacher"], v.get("subject"),
        _moment(v["created_at"]), started, ended,
        (ended - started).total_seconds() if started and ended else None,
        v.get("host"), v["attempts"], reason, "c0ffee", False, "2.8", False, folder,
    )  # fmt: skip


def _leaves(value: Any, name: str = "") -> list[tuple[str, str | None, float | None]]:
    if isinstance(value, dict):
        return [
            leaf
            for key, inner in value.items()
            for leaf in _leaves(inner, f"{name}.{key}" if name else key)
        ]
    if isinstance(value, list):
        return [(name, json.dumps(value), None)]
    if value is None:
        return [(name, None, None)]
    return [(name, str(value), float(value) if isinstance(value, int | float) else None)]


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text).replace(tzinfo=None) if text else None


def forget_history(ws: Workspace) -> None:
    """Delete what was compacted, so that the next look reads every folder."""
    shutil.rmtree(ws.history, ignore_errors=True)
