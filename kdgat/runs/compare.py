"""Runs side by side: the config fields that differ, then the figures that differ."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from kdgat.errors import RunError, did_you_mean
from kdgat.runs.figures import COSTS, METRICS
from kdgat.runs.history import History
from kdgat.runs.protocols import protocol_place, protocols

Value = str | float | None
_SAME_UP_TO = 1e-9
"""Relative difference below which two figures are equal."""
_ORDER = (*METRICS, *COSTS)
_Held = dict[tuple[str | None, str | None, str], dict[str, float | None]]
"""Values by scenario, protocol and name, then by training run."""


@dataclass(frozen=True)
class ComparedRun:
    """One of the runs, and the evaluation that its figures are from."""

    run_id: str
    name: str
    dataset: str
    provenance: str
    dataset_hash: str
    state: str
    seed: int
    evaluation: str | None


@dataclass(frozen=True)
class ConfigRow:
    """A field whose value differs; one value a run, None where a run has no such field."""

    field: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class FigureRow:
    """A figure that differs; `difference` is the last run's less the first one's."""

    scenario: str | None
    """None for a figure of the whole run."""
    protocol: str | None
    metric: str
    values: tuple[float | None, ...]
    difference: float | None


@dataclass(frozen=True)
class TestedOn:
    """What the figures of one protocol are of, in the first run that was judged under it."""

    protocol: str
    windows: int
    scenarios: int


@dataclass(frozen=True)
class Comparison:
    """What differs between some runs; what is equal only as a count."""

    runs: tuple[ComparedRun, ...]
    config: tuple[ConfigRow, ...]
    equal_fields: int
    figures: tuple[FigureRow, ...]
    """Those of each protocol together."""
    equal_figures: int
    tested: tuple[TestedOn, ...]
    """One a protocol that there are figures of; they are of test windows, always."""
    cautions: tuple[str, ...]
    """What to know before reading the figures side by side."""


def compare(history: History, run_ids: Sequence[str], protocol: str | None = None) -> Comparison:
    """Compare training runs; an evaluation stands for the run it judged.

    Figures of simulated and real data, or of different datasets, are not put side by side.

    Args:
        history: the open history.
        run_ids: whole ids, in the order to show them.
        protocol: only the figures under this one, and those of whole runs.

    Raises:
        RunError: fewer than two different runs, or one is unknown to history; no run was judged
            under the protocol.
    """
    known = protocols(history)
    if protocol is not None and protocol not in known:
        raise RunError(
            f"no evaluation has the protocol '{protocol}'", hint=did_you_mean(protocol, known)
        )
    runs = _runs(history, run_ids)
    config, equal_fields = _config(history, [run.run_id for run in runs])
    apart = {(run.provenance, run.dataset, run.dataset_hash) for run in runs}
    held = _held(history, runs, protocol) if len(apart) == 1 else {}
    figures, equal_figures = _figures(held, runs)
    return Comparison(
        runs, config, equal_fields, figures, equal_figures, _tested(held), _cautions(runs, figures)
    )


def _runs(history: History, run_ids: Sequence[str]) -> tuple[ComparedRun, ...]:
    """The training runs, each with its newest whole evaluation or the one that was named."""
    sql = """
        SELECT s.run_id, s.name, s.dataset, s.provenance, s.dataset_hash, s.state, s.seed, (
            SELECT max(e.run_id) FROM runs e WHERE e.subject = s.run_id AND e.state = 'completed'
        ), a.run_id, a.subject
        FROM runs a JOIN runs s ON s.run_id = coalesce(a.subject, a.run_id)
        WHERE a.run_id IN (SELECT unnest($1::VARCHAR[]))"""
    found: dict[str, ComparedRun] = {}
    for row in history.query(sql, (list(run_ids),)).rows:
        *_, newest, asked, subject = row
        found[asked] = ComparedRun(*row[:7], evaluation=asked if subject else newest)
    for run in run_ids:
        if run not in found:
            raise RunError(f"history has no run '{run}'", hint="`kdgat runs list` shows every run")
    runs = tuple(dict.fromkeys(found[run] for run in run_ids))
    if len(runs) < 2:
        raise RunError(
            f"'{runs[0].run_id}' alone can't be compared" if runs else "no run was named",
            hint="name two runs or more; `kdgat runs list` shows them",
        )
    return runs


def _config(history: History, run_ids: list[str]) -> tuple[tuple[ConfigRow, ...], int]:
    sql = """SELECT run_id, name, value, number FROM params
        WHERE run_id IN (SELECT unnest($1::VARCHAR[]))"""
    held: dict[str, dict[str, Value]] = {}
    for run, name, text, number in history.query(sql, (run_ids,)).rows:
        held.setdefault(name, {})[run] = text if number is None else number
    rows = [ConfigRow(name, tuple(map(held[name].get, run_ids))) for name in sorted(held)]
    differing = tuple(row for row in rows if len(set(row.values)) > 1)
    return differing, len(rows) - len(differing)


def _held(history: History, runs: Sequence[ComparedRun], protocol: str | None) -> _Held:
    """Figures of the evaluations in each scenario, and those of the trainings."""
    held: _Held = {}
    subject: dict[str, str] = {
        each.evaluation: each.run_id for each in runs if each.evaluation is not None
    }
    sql = """
        SELECT run_id, scenario, protocol, name, value FROM metrics
        WHERE run_id IN (SELECT unnest($1::VARCHAR[])) AND coalesce(attack_type, 'all') = 'all'
            AND NOT contains(name, '/')
            AND ($2 IS NULL OR coalesce(protocol, $2) = $2)
        ORDER BY subject NULLS FIRST"""
    asked = [*(run.run_id for run in runs), *subject]
    for run, *key, value in history.query(sql, (asked, protocol)).rows:
        scenario, under, name = key
        owner = subject.get(run, str(run))
        held.setdefault((scenario, under, name), {})[owner] = value
    return held


def _figures(held: _Held, runs: Sequence[ComparedRun]) -> tuple[tuple[FigureRow, ...], int]:
    keys = sorted(held, key=_place)
    rows = [_figure(key, [held[key].get(run.run_id) for run in runs]) for key in keys]
    differing = tuple(row for row in rows if not _equal(row.values))
    return differing, len(rows) - len(differing)


def _tested(held: _Held) -> tuple[TestedOn, ...]:
    windows: dict[str, list[float]] = {}
    for (_, protocol, name), values in held.items():
        if protocol is not None and name == "windows":
            known = [value for value in values.values() if value is not None]
            windows.setdefault(protocol, []).extend(known[:1])
    return tuple(
        TestedOn(name, int(sum(windows[name])), len(windows[name]))
        for name in sorted(windows, key=protocol_place)
    )


def _place(key: tuple[str | None, str | None, str]) -> tuple[Hashable, ...]:
    """Scenarios before figures of whole runs; the figures people rank by first."""
    scenario, protocol, name = key
    rank = _ORDER.index(name) if name in _ORDER else len(_ORDER)
    return scenario is None, protocol_place(protocol or ""), scenario or "", rank, name


def _figure(key: tuple[str | None, str | None, str], values: list[float | None]) -> FigureRow:
    first, last = values[0], values[-1]
    difference = None if first is None or last is None else last - first
    return FigureRow(*key, tuple(values), difference)


def _equal(values: Sequence[float | None]) -> bool:
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        return not known
    return max(known) - min(known) <= _SAME_UP_TO * max(map(abs, known))


def _cautions(runs: Sequence[ComparedRun], figures: Sequence[FigureRow]) -> tuple[str, ...]:
    notes = []
    if len({run.provenance for run in runs}) > 1:
        each = ", ".join(f"{run.run_id} {run.provenance}" for run in runs)
        notes.append(f"figures are left out, provenance differs: {each}")
    elif len({run.dataset for run in runs}) > 1:
        each = ", ".join(f"{run.run_id} {run.dataset}" for run in runs)
        notes.append(f"figures are left out, datasets differ: {each}")
    elif len({run.dataset_hash for run in runs}) > 1:
        notes.append(f"figures are left out, the captures of '{runs[0].dataset}' changed between")
    for run in runs:
        if run.state != "completed":
            notes.append(f"{run.run_id} is {run.state}, not completed")
        elif run.evaluation is None:
            notes.append(f"{run.run_id} was not judged yet: kdgat evaluate {run.run_id}")
    if any(row.metric in ("windows", "attack_windows") for row in figures):
        notes.append("test windows differ, so figures are not of the same windows")
    return tuple(notes)
