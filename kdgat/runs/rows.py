"""One run's folder as rows of the history's views: JSON in, plain tuples out.

Thousands of folders are read at once, so nothing here goes through pydantic; what a record must
hold is the same as for `kdgat.ledger.record.record_from`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import MISSING, fields
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from kdgat.errors import RunError
from kdgat.ledger.files import read_lines
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.record import RunRecord
from kdgat.ledger.states import State

Row = tuple[Any, ...]
_HINT = "`kdgat runs repair` names every such folder; other runs are not affected"
_PLACE = ("scenario", "attack_type", "protocol", "variant")
_REPORT = Path("artifacts") / "evaluation.json"
_LIVING = frozenset({State.PLANNED.value, State.SUBMITTED.value, State.RUNNING.value})
"""States in which a run may be lost by now: its folder is asked for signs of life."""


def read_record(folder: Path) -> dict[str, Any]:
    """The values of a folder's `run.json`, with `lost` for a run that shows no sign of life.

    Raises:
        RunError: it can't be read, lacks a field, or a field is of another type; or the folder is
            named otherwise than its run.
    """
    path = folder / "run.json"
    values = {**_defaults(), **_read_object(path)}
    for name, kind in _kinds().items():
        if name not in values:
            raise RunError(f"'{path}' is no whole run record: it has no '{name}'", hint=_HINT)
        if not isinstance(values[name], kind):
            raise RunError(
                f"'{path}' is no whole run record: {name} = {values[name]!r:.80}", hint=_HINT
            )
    if values["state"] not in _states():
        raise RunError(f"'{path}': no run is ever '{values['state']:.80}'", hint=_HINT)
    if values["run_id"] != folder.name:
        raise RunError(f"'{folder}' holds another run, '{values['run_id']:.80}'", hint=_HINT)
    if values["state"] in _LIVING:
        current = RunFolder(folder).current()
        values.update({**current.to_json(), "state": current.state.value})
    return values


def run_row(record: dict[str, Any], folder: str) -> Row:
    """The row of `runs`; whether it is archived is known to the journal alone."""
    environment = record["environment"]
    packages = environment.get("packages")
    started, ended = when(record["started_at"]), when(record["ended_at"])
    distilled = record["teacher"] is not None
    return (
        record["run_id"],
        f"{record['dataset']}-{record['model']}-{record['size']}{'-kd' if distilled else ''}",
        record["dataset"],
        record["provenance"],
        record["model"],
        record["size"],
        record["stage"],
        record["stage_version"],
        distilled,
        record["state"],
        record["seed"],
        record["digest"],
        record["dataset_hash"],
        record["graphs"],
        record["teacher"],
        record["subject"],
        when(record["created_at"]),
        started,
        ended,
        (ended - started).total_seconds() if started and ended else None,
        record["host"],
        record["attempts"],
        record["reason"],
        _text(environment.get("git_commit")),
        _flag(environment.get("git_dirty")),
        _text(packages.get("torch")) if isinstance(packages, dict) else None,
        False,
        folder,
    )


def param_rows(folder: Path) -> list[Row]:
    """The rows of `params`.

    Raises:
        RunError: `config.json` can't be read.
    """
    config = _read_object(folder / "config.json")
    return [(folder.name, *leaf) for leaf in _leaves(config, "")]


def metric_rows(folder: Path, record: dict[str, Any]) -> list[Row]:
    """The rows of `metrics`: the record's figures, and for an evaluation those of its report.

    Raises:
        RunError: the report of an evaluation can't be read.
    """
    head = _head(record)
    whole = {name: number(value) for name, value in _numbers(record["metrics"])}
    path = folder / _REPORT
    if record["subject"] is None or not path.exists():
        return [(*head, None, None, None, name, value) for name, value in whole.items()]
    report = _read_object(path)
    whole.update((name, number(value)) for name, value in _numbers(report))
    rows: list[Row] = [(*head, None, None, None, *item) for item in whole.items()]
    for (*place, variant), figures in _results(report, path):
        if not variant:
            rows += [(*head, *place, name, number(value)) for name, value in _numbers(figures)]
    return rows


def variant_rows(folder: Path, record: dict[str, Any]) -> list[Row]:
    """The rows of `variants`: what an evaluation tried beside its headline.

    Raises:
        RunError: the report of an evaluation can't be read.
    """
    path = folder / _REPORT
    if record["subject"] is None or not path.exists():
        return []
    head = _head(record)
    return [
        (*head, *place, name, number(value))
        for place, figures in _results(_read_object(path), path)
        if place[-1]
        for name, value in _numbers(figures)
    ]


def _head(record: dict[str, Any]) -> tuple[Any, ...]:
    return record["run_id"], record["subject"], record["dataset"], record["provenance"]


def _results(
    report: dict[str, Any], path: Path
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """Scenario, attack type, protocol and variant of each row of a report, and its figures."""
    for result in _listed(report, "scenarios", path):
        # A report of an evaluation that knew no variants has headlines alone.
        named = {"variant": "", **result}
        place = tuple(named.get(part) for part in _PLACE)
        figures = result.get("metrics")
        if not all(isinstance(part, str) for part in place) or not isinstance(figures, dict):
            raise RunError(f"'{path}': a scenario without a name or figures", hint=_HINT)
        yield tuple(map(str, place)), figures


def epoch_rows(folder: Path) -> list[Row]:
    """The rows of `epochs`; of an epoch that was trained twice the later line counts."""
    lines: dict[int, dict[str, Any]] = {}
    for line in read_lines(folder / "metrics.jsonl"):
        epoch = line.get("epoch")
        if isinstance(epoch, int) and 0 <= epoch < 2**31:
            lines[epoch] = line
    return [
        (folder.name, epoch, when(line.get("time")), name, number(value))
        for epoch, line in lines.items()
        for name, value in _numbers(line)
        if name != "epoch"
    ]


def when(text: object) -> datetime | None:
    """A time of the ledger, in UTC and without a zone; None where it is none."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None


def number(value: object) -> float | None:
    """A figure as a float; None where it is none, not finite, or too large to be one."""
    if not isinstance(value, int | float):
        return None
    try:
        figure = float(value)
    except OverflowError:
        return None
    return figure if math.isfinite(figure) else None


def _numbers(values: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The named figures, those without a value too; no text, list or mapping."""
    return (item for item in values.items() if item[1] is None or isinstance(item[1], int | float))


def _leaves(value: Any, name: str) -> Iterator[tuple[str, str | None, float | None]]:
    match value:
        case dict() if value or not name:
            for key, inner in value.items():
                yield from _leaves(inner, f"{name}.{key}" if name else key)
        case None:
            yield name, None, None
        case bool() | list() | dict():
            yield name, json.dumps(value, ensure_ascii=False), None
        case int() | float():
            yield name, str(value), number(value)
        case _:
            yield name, str(value), None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"'{path}' is missing", hint=_HINT) from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"'{path}' can't be read: {error}", hint=_HINT) from error
    if not isinstance(values, dict):
        raise RunError(f"'{path}' holds {type(values).__name__}, not an object", hint=_HINT)
    return values


def _listed(report: dict[str, Any], name: str, path: Path) -> list[dict[str, Any]]:
    items = report.get(name)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise RunError(f"'{path}' has no list of {name}", hint=_HINT)
    return items


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


@cache
def _kinds() -> dict[str, Any]:
    """What type each field of a record must have."""
    hints = get_type_hints(RunRecord)
    plain = {dict: dict, tuple: (list, tuple)}
    kinds = {name: plain.get(get_origin(kind), kind) for name, kind in hints.items()}
    return {**kinds, "state": str}


@cache
def _defaults() -> dict[str, Any]:
    """The fields a `run.json` may leave out; mappings are never changed in place."""
    plain = {f.name: f.default for f in fields(RunRecord) if f.default is not MISSING}
    made = {f.name: f.default_factory for f in fields(RunRecord)}
    return {
        **plain,
        "state": State.PLANNED.value,
        **{name: make() for name, make in made.items() if make is not MISSING},
    }


@cache
def _states() -> frozenset[str]:
    return frozenset(state.value for state in State)
