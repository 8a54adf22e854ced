"""The operation that compares what runs on GPUs measured with what was predicted."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass

from kdgat.ledger.folder import RunFolder
from kdgat.ledger.scan import readable, run_folders
from kdgat.ledger.states import State
from kdgat.memory.calibration import Calibration, load_calibrations, save_calibrations
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class CalibrationReport:
    """Measured against predicted, by GPU type."""

    items: tuple[Calibration, ...]
    runs: int
    """Runs on a GPU that recorded a measurement."""
    file: str


def memory_calibrate(ws: Workspace, *, dry_run: bool = False) -> CalibrationReport:
    """Compare what runs on GPUs measured with what was predicted, and let plans use it.

    Args:
        ws: the workspace.
        dry_run: report, and leave the calibration as it is.
    """
    by_gpu: dict[str, list[dict[str, float]]] = defaultdict(list)
    versions: dict[str, str] = {}
    for folder, record in readable(run_folders(ws.runs)):
        kept = _measured(folder) if record.state is State.COMPLETED else None
        if kept is not None:
            card, figures = kept
            by_gpu[card].append(figures)
            # Runs come newest first.
            versions.setdefault(card, record.environment["packages"]["torch"])
    records = {card: _calibration(card, rows, versions[card]) for card, rows in by_gpu.items()}
    path = ws.memory / "calibration.json"
    if records and not dry_run:
        save_calibrations(path, {**load_calibrations(path), **records})
    runs = sum(map(len, by_gpu.values()))
    return CalibrationReport(tuple(records.values()), runs, ws.show(path))


def _measured(folder: RunFolder) -> tuple[str, dict[str, float]] | None:
    """The GPU a run was trained on and its figures in bytes, if it measured them."""
    try:
        kept = json.loads((folder.artifacts / "memory.json").read_bytes())
        figures = {name: float(value) for name, value in kept["measured"].items() if value}
        known = "measured_allocated_bytes" in figures
        return (str(kept["plan"]["gpu"]), figures) if known else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Trained before plans were kept, or broken off: nothing to compare.
        return None


def _calibration(card: str, rows: list[dict[str, float]], torch: str) -> Calibration:
    def largest(measured: str, predicted: str) -> float | None:
        ratios = [row[measured] / row[predicted] for row in rows if row.get(predicted)]
        return max(ratios, default=None)

    contexts = [row["measured_context_bytes"] for row in rows if "measured_context_bytes" in row]
    return Calibration(
        gpu=card,
        runs=len(rows),
        context_bytes=int(max(contexts)) if contexts else None,
        allocated_ratio=largest("measured_allocated_bytes", "predicted_allocated_bytes") or 1.0,
        reserved_ratio=largest("measured_reserved_bytes", "predicted_reserved_bytes"),
        torch=torch,
    )
