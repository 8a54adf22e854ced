"""The operation that shows what a dataset is like: figures of every capture, and one picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from kdgat.data.captures import CaptureRecord, load_manifest, load_messages
from kdgat.ledger.files import atomic_path
from kdgat.ops.data import DatasetSummary, check_name, summarise
from kdgat.progress import Progress, quiet
from kdgat.workspace import Workspace

_COLUMNS = 3
_BIN_S = 1.0


@dataclass(frozen=True)
class CaptureFigures:
    """One capture in figures."""

    key: str
    attack_type: str
    vehicle: str
    rows: int
    ids: int
    duration_s: float
    rate_per_s: float
    attack_share: float
    busiest_id: str
    """Arbitration id with most messages, in hexadecimal."""
    busiest_share: float
    oddities: dict[str, int]
    duplicate_of: str | None


@dataclass(frozen=True)
class DatasetDescription:
    """A dataset in figures, and the file of its picture."""

    summary: DatasetSummary
    captures: tuple[CaptureFigures, ...]
    plot: str


def describe_dataset(
    ws: Workspace, dataset: str, *, progress: Progress = quiet
) -> DatasetDescription:
    """Rows, ids, rates, label balance and oddities of every capture, and a plot of them in time.

    Raises:
        ConfigError: no dataset can have that name.
        DataError: the dataset is not ingested, or a capture of it is damaged.
    """
    check_name(dataset)
    folder = ws.dataset(dataset)
    manifest = load_manifest(folder)
    figures, series = [], []
    for number, record in enumerate(manifest.captures):
        progress(f"reading {record.key}", number, len(manifest.captures))
        messages = load_messages(folder, record)
        figures.append(_figures(record, messages))
        series.append((record, *_per_second(messages)))
    plot = folder / "describe.png"
    with atomic_path(plot) as aside:
        _draw(f"{dataset} ({manifest.provenance})", series, aside)
    progress("described", len(figures), len(figures))
    return DatasetDescription(summarise(manifest), tuple(figures), ws.show(plot))


def _figures(record: CaptureRecord, messages: pl.DataFrame) -> CaptureFigures:
    counts = messages["arbitration_id"].value_counts(sort=True)
    busiest = int(counts["arbitration_id"][0]) if len(counts) else 0
    most = int(counts["count"][0]) if len(counts) else 0
    return CaptureFigures(
        key=record.key,
        attack_type=record.attack_type,
        vehicle=record.vehicle,
        rows=record.rows,
        ids=record.ids,
        duration_s=record.duration_s,
        rate_per_s=record.rows / record.duration_s if record.duration_s else 0.0,
        attack_share=record.attack_rows / max(record.rows, 1),
        busiest_id=f"{busiest:03X}",
        busiest_share=most / max(record.rows, 1),
        oddities={oddity.kind: oddity.count for oddity in record.oddities},
        duplicate_of=record.duplicate_of,
    )


def _per_second(messages: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Messages and attack messages in each second of a capture."""
    time_s = messages["timestamp"].to_numpy()
    second = ((time_s - time_s.min()) / _BIN_S).astype(int) if len(time_s) else np.zeros(0, int)
    attack = messages["attack"].to_numpy()
    return np.bincount(second), np.bincount(second, weights=attack)


def _draw(
    title: str, series: list[tuple[CaptureRecord, np.ndarray, np.ndarray]], path: Path
) -> None:
    """One small plot a capture: messages per second, those of the attack in red."""
    rows = max(1, math.ceil(len(series) / _COLUMNS))
    figure = Figure(figsize=(4.2 * _COLUMNS, 1.9 * rows + 0.6), layout="constrained")
    axes = figure.subplots(rows, _COLUMNS, squeeze=False, sharey=True).ravel()
    for axis, (record, every, attack) in zip(axes, series, strict=False):
        second = np.arange(len(every))
        axis.fill_between(second, every, step="mid", color="#9db8d2", linewidth=0)
        axis.fill_between(second, attack, step="mid", color="#c0392b", linewidth=0)
        axis.set_title(f"{record.folder}\n{record.name}", fontsize=8, loc="left")
        axis.set_xlim(0, max(1, len(every) - 1))
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(series) :]:
        axis.set_visible(False)
    figure.suptitle(f"{title}: messages per second, attack messages in red", fontsize=11)
    figure.supxlabel("seconds since the capture began", fontsize=9)
    FigureCanvasAgg(figure)
    figure.savefig(path, format="png", dpi=130)
