"""What MLflow should hold of one run, worked out from its folder alone.

Times are milliseconds since 1970, as MLflow counts them; a metric's step is the ledger's epoch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from kdgat.errors import RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.record import RunRecord
from kdgat.ledger.states import State
from kdgat.runs.store import RUN_ID

MIRROR_VERSION = 1
"""Goes up when the same folder gives another MLflow run; every run is then synced again."""
STATUS = {
    State.PLANNED: "SCHEDULED",
    State.SUBMITTED: "SCHEDULED",
    State.RUNNING: "RUNNING",
    State.COMPLETED: "FINISHED",
    State.FAILED: "FAILED",
    State.TIMEOUT: "FAILED",
    State.LOST: "FAILED",
    State.CANCELLED: "KILLED",
    State.PREEMPTED: "KILLED",
}
"""MLflow's status of each state."""
SETTLED = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED, State.TIMEOUT})
"""States that only a write to run.json ends, so that its time of change says it all."""
_VALUE_CHARACTERS = 5000
"""Longest tag or parameter; MLflow cuts a parameter at 6,000 characters, a tag at 8,000."""
_NAME_CHARACTERS = 250
_PLOTS = frozenset({".png", ".svg", ".html", ".pdf"})
_LARGEST_PLOT_BYTES = 10_000_000


class Point(NamedTuple):
    """One value of one metric."""

    name: str
    value: float
    time_ms: int
    step: int


@dataclass(frozen=True)
class Mirror:
    """An MLflow run as it should be."""

    run_id: str
    experiment: str
    name: str
    status: str
    start_ms: int
    end_ms: int | None
    tags: dict[str, str]
    params: dict[str, str]
    points: frozenset[Point]
    dataset_hash: str
    provenance: str
    folder: Path
    files: tuple[str, ...]
    """Files to copy, relative to the folder."""


def mirror_of(folder: RunFolder, record: RunRecord, *, archived: bool, home: Path) -> Mirror:
    """The MLflow run that a folder makes.

    Raises:
        RunError: config.json can't be read, or a time in the record is none.
    """
    created = _milliseconds(record.created_at, folder)
    start = _milliseconds(record.started_at or record.created_at, folder)
    end = _milliseconds(record.ended_at, folder) if record.ended_at else None
    settled = STATUS[record.state] in ("FINISHED", "FAILED", "KILLED")
    return Mirror(
        run_id=record.run_id,
        experiment=record.dataset,
        name=f"{record.name} {record.stage}",
        status=STATUS[record.state],
        start_ms=start,
        end_ms=(end or start) if settled else None,
        tags=_tags(folder, record, archived, home),
        params=params_of(folder.config()),
        points=frozenset(_points(folder, record, end or created)),
        dataset_hash=record.dataset_hash,
        provenance=record.provenance,
        folder=folder.path,
        files=tuple(_files(folder)),
    )


def stamp_of(folder: RunFolder, *, archived: bool) -> str:
    """Names the present content of a folder by the size and time of change of its two files.

    The state is added by `with_state`: a run without a sign of life changes without a write.
    """
    parts = [str(MIRROR_VERSION), "archived" if archived else "-"]
    for name in ("run.json", "metrics.jsonl"):
        try:
            stat = (folder.path / name).stat()
            parts.append(f"{stat.st_size}.{stat.st_mtime_ns}")
        except OSError:
            parts.append("-")
    return ":".join(parts)


def with_state(stamp: str, state: State) -> str:
    """A stamp with the state that the run is in."""
    return f"{stamp}:{state.value}"


def is_settled(stamp: str, kept: str) -> bool:
    """Whether a kept stamp is this one in a state that lasts."""
    return any(kept == with_state(stamp, state) for state in SETTLED)


def params_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Every leaf of a config by its dotted name, as text."""
    return {name[:_NAME_CHARACTERS]: _text(value) for name, value in _leaves(config)}


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + str(name), value


def _text(value: object) -> str:
    """A value as text that MLflow takes whole."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    cut = "..."
    return text if len(text) <= _VALUE_CHARACTERS else text[: _VALUE_CHARACTERS - len(cut)] + cut


def _tags(folder: RunFolder, record: RunRecord, archived: bool, home: Path) -> dict[str, str]:
    environment = record.environment
    commit = environment.get("git_commit")
    best = record.artifacts.get("checkpoints/best.ckpt")
    place = folder.path.relative_to(home) if folder.path.is_relative_to(home) else folder.path
    facts = {
        RUN_ID: record.run_id,
        "kdgat.name": record.name,
        "kdgat.stage": record.stage,
        "kdgat.stage_version": record.stage_version,
        "kdgat.model": record.model,
        "kdgat.size": record.size,
        "kdgat.kd": record.distilled,
        "kdgat.provenance": record.provenance,
        "kdgat.digest": record.digest,
        "kdgat.dataset_hash": record.dataset_hash,
        "kdgat.graphs": record.graphs,
        "kdgat.teacher": record.teacher,
        "kdgat.subject": record.subject,
        "kdgat.state": record.state.value,
        "kdgat.reason": record.reason,
        "kdgat.seed": record.seed,
        "kdgat.host": record.host,
        "kdgat.attempts": record.attempts,
        "kdgat.commit": commit,
        "kdgat.dirty": environment.get("git_dirty"),
        "kdgat.lock_sha256": environment.get("lock_sha256"),
        "kdgat.archived": archived,
        "kdgat.folder": place.as_posix(),
        "kdgat.checkpoint_sha256": best,
        # Names that MLflow's own pages show.
        "mlflow.source.name": "kdgat",
        "mlflow.source.git.commit": commit,
    }
    # A tag can't be taken away in a batch, so what is unknown (again) is empty.
    return {name: "" if value is None else _text(value) for name, value in facts.items()}


def _points(folder: RunFolder, record: RunRecord, end_ms: int) -> Iterator[Point]:
    """Every epoch's figures, then the run's own, which have the time of its end and step 0."""
    epochs = {}
    for row in folder.metrics():
        if isinstance(row.get("epoch"), int) and isinstance(row.get("time"), str):
            epochs[row["epoch"]] = row
    names = set()
    for epoch, row in epochs.items():
        time_ms = _milliseconds(row["time"], folder)
        for name, value in row.items():
            if name not in ("epoch", "time") and _is_figure(value):
                names.add(name)
                yield Point(name, float(value), time_ms, epoch)
    figures = {**_scenario_figures(folder, record), **record.metrics}
    for name, value in figures.items():
        if _is_figure(value):
            yield Point(f"final/{name}" if name in names else name, float(value), end_ms, 0)


def _scenario_figures(folder: RunFolder, record: RunRecord) -> dict[str, Any]:
    """All figures of an evaluation's whole scenarios, under their protocol's name.

    What was tried beside the headline, and attack types, are in its artifact alone.
    """
    if record.subject is None:
        return {}
    try:
        report = json.loads((folder.artifacts / "evaluation.json").read_bytes())
        scenarios = {
            f"{row['protocol']}/{row['scenario']}/{name}": value
            for row in report["scenarios"]
            if row["attack_type"] == "all" and not row.get("variant")
            for name, value in row["metrics"].items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(
            f"'{folder.artifacts / 'evaluation.json'}' can't be read: {error!r}",
            hint=f"`kdgat evaluate {record.subject} --again` writes a new one",
        ) from error
    own = ("threshold", "parameters", "checkpoint_bytes", "latency_ms")
    return {**scenarios, **{name: report.get(name) for name in own}}


def _is_figure(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]


def _files(folder: RunFolder) -> Iterator[str]:
    """Config, evaluation and plots; checkpoints and scores stay where they are."""
    for name in ("config.json", "artifacts/evaluation.json", "artifacts/memory.json"):
        if (folder.path / name).is_file():
            yield name
    if folder.artifacts.is_dir():
        for path in sorted(folder.artifacts.rglob("*")):
            if path.suffix in _PLOTS and path.stat().st_size <= _LARGEST_PLOT_BYTES:
                yield path.relative_to(folder.path).as_posix()


def _milliseconds(time: str, folder: RunFolder) -> int:
    try:
        return round(datetime.fromisoformat(time).timestamp() * 1000)
    except (ValueError, TypeError) as error:
        raise RunError(
            f"run '{folder.path.name}' has the time {time!r}, which is none",
            hint=f"mend '{folder.path / 'run.json'}' or metrics.jsonl beside it",
        ) from error
