"""Judged runs in a ledger: what analytics read, written as training and evaluation write it."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

from kdgat.ledger.files import write_json
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.record import RunRecord, new_run_id
from kdgat.ledger.states import State
from kdgat.workspace import Workspace
from tests.unit.ledger.made import new_record

START = datetime(2026, 11, 21, 7, 44, 55, tzinfo=UTC)
SCENARIOS = ("test_01_known_vehicle", "test_02_unknown_vehicle")
WINDOWS = {"windows": 1000, "attack_windows": 300}
_minutes = itertools.count()


def trained(ws: Workspace, *, config: dict[str, Any] | None = None, **changes: Any) -> RunRecord:
    """A completed training run; `config` holds dotted leaves that differ from the usual ones."""
    now = START + timedelta(minutes=next(_minutes))
    record = new_record(
        run_id=new_run_id(now),
        seed=0,
        created_at=now.isoformat(),
        started_at=now.isoformat(),
        ended_at=(now + timedelta(seconds=42)).isoformat(),
        state=State.COMPLETED,
        host="node1",
        metrics={"best_epoch": 1, "parameters": 1000},
        environment={"argv": ["train", "model=gat"], "git_commit": "c0ffee" * 6, "git_dirty": True},
    ).with_changes(**changes)
    folder = RunFolder.create(ws.runs, record, _config(record, config or {}))
    for epoch, loss in enumerate((0.9, 0.4, 0.5)):
        folder.log_metrics(epoch, {"val_task_loss": loss, "train_task_loss": loss / 2})
    return record


def judge(
    ws: Workspace,
    of: RunRecord,
    f1: float | dict[str, float | None] | None,
    *,
    windows: dict[str, int] | None = None,
    parameters: int = 1000,
    latency_ms: float = 1.0,
    protocols: dict[str, float] | None = None,
    variants: dict[str, float] | None = None,
    config: dict[str, Any] | None = None,
    **changes: Any,
) -> RunRecord:
    """An evaluation of a training run: one F1 for all scenarios, or one for each.

    `protocols` has the same by other protocols, `variants` one F1 by variant of `adapted`.
    """
    shown = [("zero_shot", "", f1), *((name, "", one) for name, one in (protocols or {}).items()),
             *(("adapted", name, one) for name, one in (variants or {}).items())]  # fmt: skip
    now = START + timedelta(minutes=next(_minutes))
    record = of.with_changes(
        run_id=new_run_id(now), stage="evaluation", subject=of.run_id, metrics={},
        created_at=now.isoformat(),
    ).with_changes(**changes)  # fmt: skip
    folder = RunFolder.create(ws.runs, record, _config(record, config or {}))
    figures = [
        {
            "scenario": name,
            "attack_type": kind,
            "protocol": protocol,
            "variant": variant,
            "metrics": {**WINDOWS, **(windows or {}), "f1": score, "delay_s": score and 1 - score},
        }
        for protocol, variant, one in shown
        for name, score in (one if isinstance(one, dict) else dict.fromkeys(SCENARIOS, one)).items()
        for kind in ("all", "dos")
    ]
    report = {"threshold": 0.5, "parameters": parameters, "latency_ms": latency_ms}
    path = folder.artifacts / "evaluation.json"
    write_json(path, {**report, "checkpoint_bytes": 4 * parameters, "scenarios": figures})
    return record


def judged(
    ws: Workspace,
    f1: float | dict[str, float | None] | None,
    *,
    config: dict[str, Any] | None = None,
    parameters: int = 1000,
    latency_ms: float = 1.0,
    windows: dict[str, int] | None = None,
    protocols: dict[str, float] | None = None,
    variants: dict[str, float] | None = None,
    **changes: Any,
) -> RunRecord:
    """A training run with its evaluation; the training's record."""
    record = trained(ws, config=config, **changes)
    judge(
        ws, record, f1, parameters=parameters, latency_ms=latency_ms, windows=windows,
        protocols=protocols, variants=variants,
    )  # fmt: skip
    return record


def _config(record: RunRecord, leaves: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {
        "dataset": {"name": record.dataset, "citation": "somebody"},
        "model": {"kind": record.model, "hidden": 32, "dropout": 0.1},
        "size": record.size,
        "distillation": {"teacher": record.teacher, "alpha": 0.7},
        "training": {"learning_rate": 0.001},
        "data": {"window_messages": 100, "features": ["bytes"]},
        "resources": {"threads": 1},
        "evaluation": {"threshold": "auto", "alpha": 0.005},
        "seed": record.seed,
    }
    for name, value in leaves.items():
        part, _, leaf = name.partition(".")
        if leaf:
            config[part][leaf] = value
        else:
            config[part] = value
    return config
