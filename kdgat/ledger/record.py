"""`run.json`: what a run is, where it stands, and what it ran on and with."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from kdgat.errors import RunError
from kdgat.ledger.states import State

_RUN_ID = re.compile(r"\d{8}-\d{6}-\d{3}[0-9a-f]{4}")


@dataclass(frozen=True)
class RunRecord:
    """One run. Times are ISO 8601 in UTC; `digest` is the identity of its resolved config."""

    run_id: str
    stage: str
    stage_version: int
    dataset: str
    provenance: str
    model: str
    size: str
    digest: str
    dataset_hash: str
    seed: int
    created_at: str
    state: State = State.PLANNED
    graphs: str | None = None
    """Names the graphs it was trained on: captures, data config, and how graphs are made."""
    teacher: str | None = None
    scorers: tuple[str, ...] = ()
    """The runs whose models a fusion weighs."""
    subject: str | None = None
    """The run whose model an evaluation judged."""
    job: str | None = None
    """The job (kdgat's id) that works on it, or did last; None for a run without a scheduler."""
    started_at: str | None = None
    ended_at: str | None = None
    host: str | None = None
    pid: int | None = None
    attempts: int = 0
    reason: str | None = None
    metrics: dict[str, float | None] = field(default_factory=dict)
    artifacts: dict[str, str] = field(default_factory=dict)
    """Path within the run's folder, and its SHA-256."""
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def distilled(self) -> bool:
        """Whether a teacher took part."""
        return self.teacher is not None

    @property
    def name(self) -> str:
        """A name to read: dataset, model, size, and kd where a teacher took part."""
        return f"{self.dataset}-{self.model}-{self.size}{'-kd' if self.distilled else ''}"

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return asdict(self)

    def with_changes(self, **changes: Any) -> RunRecord:
        """A copy with some fields changed."""
        return replace(self, **changes)


def record_from(path: Path) -> RunRecord:
    """Read a `run.json`.

    Raises:
        RunError: it is missing, no JSON, or a field is absent or of the wrong type; names the
            file and the fault.
    """
    hint = f"move the folder '{path.parent}' away, or restore the file; other runs are not affected"
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"'{path}' is missing", hint=hint) from error
    except (OSError, ValueError) as error:
        raise RunError(f"'{path}' can't be read: {error}", hint=hint) from error
    if not isinstance(values, dict):
        raise RunError(f"'{path}' holds {type(values).__name__}, not a run", hint=hint)
    known = {f.name for f in fields(RunRecord)}
    try:
        record = RunRecord(**{name: values[name] for name in known & set(values)})
        record = record.with_changes(state=State(record.state), scorers=_run_ids(record.scorers))
        _check_types(record)
        return record
    except (TypeError, ValueError) as error:
        fault = str(error).replace("RunRecord.__init__() ", "")
        raise RunError(f"'{path}' is no whole run record: {fault}", hint=hint) from error


def _run_ids(value: object) -> tuple[str, ...]:
    """Run ids as JSON has them, which knows no tuples; nothing where there are none."""
    if value == ():
        return ()
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return tuple(value)
    raise TypeError(f"scorers = {value!r} is no list of run ids")


def _check_types(record: RunRecord) -> None:
    """A value of the wrong type is told here, by its file, and not far away by a traceback."""
    for name, kind in _field_types().items():
        value = getattr(record, name)
        if not isinstance(value, kind):
            raise TypeError(f"{name} = {value!r} is no {getattr(kind, '__name__', kind)}")


@cache
def _field_types() -> dict[str, Any]:
    """The type of each field, worked out once: it takes longer than reading a record."""
    hints = get_type_hints(RunRecord)
    return {
        name: get_origin(kind) if get_origin(kind) in (dict, tuple) else kind
        for name, kind in hints.items()
    }


def new_run_id(now: datetime | None = None) -> str:
    """A run id that sorts by time and never meets another: `20261121-074455-123f9a2`.

    The last part is the millisecond and four random digits.
    """
    now = now or datetime.now(UTC)
    return f"{now:%Y%m%d-%H%M%S}-{now.microsecond // 1000:03d}{secrets.token_hex(2)}"


def is_run_id(text: str) -> bool:
    """Whether a text has the form of a whole run id, so that it is no other way to name a run."""
    return _RUN_ID.fullmatch(text) is not None


def utc_now() -> str:
    """The time now, ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
