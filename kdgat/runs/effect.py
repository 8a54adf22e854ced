"""One swept field of the config against a figure.

Two answers. The first is each value's mean over all runs that have it: what was seen, with the
other fields that went along named as confounded. The second compares only runs that differ in that
field alone, seed by seed where the seeds are shared.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from kdgat.errors import RunError, did_you_mean
from kdgat.runs.figures import Metric
from kdgat.runs.history import History
from kdgat.runs.scores import JUDGED, Question, nothing_to_compare
from kdgat.runs.statistics import Estimate, estimate, of_groups

SEED = "seed"
_SCORERS, _LISTED = "model.scorers", re.compile('"([^"]+)"')
_NOT_PART = ("resources.", "evaluation.", "dataset.citation")
"""Leaves that are no part of an experiment's identity."""
_SHORT = {"dataset": "dataset.name", "model": "model.kind"}
"""As in overrides: the name of a group stands for its choice."""
CAPTURES, WINDOWS, STAGE = "captures", "test windows", "version of the stage"
"""What also differs between runs and is no field of the config."""


@dataclass(frozen=True)
class ValueEffect:
    """The runs with one value of the axis."""

    value: str | None
    score: Estimate
    runs: tuple[str, ...]


@dataclass(frozen=True)
class PairedEffect:
    """One value against the baseline, in runs that differ in nothing else."""

    value: str | None
    baseline: str | None
    difference: Estimate | None
    """Of the figure, value less baseline; None where no two runs are alike in all else."""
    pairs: int
    """Differences that were averaged."""
    recipes: int
    """Settings of the other fields in which they were found."""
    by_seed: bool
    """Whether every pair shares its seed; otherwise means over seeds were compared."""


@dataclass(frozen=True)
class Confounder:
    """Another field that does not have the same values along the axis."""

    field: str
    values: dict[str, tuple[str, ...]]
    """Its values at each value of the axis."""


@dataclass(frozen=True)
class Effect:
    """An axis against a metric."""

    axis: str
    metric: str
    what: str
    dataset: str
    provenance: str
    protocol: str
    values: tuple[ValueEffect, ...]
    paired: tuple[PairedEffect, ...]
    confounders: tuple[Confounder, ...]
    balanced: tuple[str, ...]
    """Fields that vary too, equally at every value of the axis."""
    without: int
    """Judged runs that have no such field."""
    cautions: tuple[str, ...]


@dataclass(frozen=True)
class Observation:
    """One judged training run."""

    run_id: str
    seed: int
    score: float
    fields: Mapping[str, str | None]
    """Every field that varies among the runs, by its dotted name, the seed apart."""


def effect(
    history: History,
    axis: str,
    question: Question,
    *,
    where: Mapping[str, str] | None = None,
    baseline: str | None = None,
) -> Effect:
    """The effect of one config field on a metric, in one dataset.

    Args:
        history: the open history.
        axis: dotted name of a field, such as model.hidden; a group's name for its choice.
        question: which figure of which runs.
        where: other fields and the value they must have.
        baseline: the value to compare with; by default the first one (the smallest number).

    Raises:
        RunError: no such field, value or metric; runs of several datasets; nothing to compare.
    """
    figure, axis = question.figure, _SHORT.get(axis, axis)
    filters = {_SHORT.get(name, name): value for name, value in (where or {}).items()}
    dataset, provenance, seen = _observations(history, axis, question, filters)
    having = [each for each in seen if axis == SEED or axis in each.fields]
    groups = _by_value(axis, having)
    if len(groups) < 2:
        only = f"has the one value {written(next(iter(groups)))}" if groups else "is in no config"
        raise RunError(
            f"'{axis}' {only} among the {len(seen)} judged runs, so it has no effect to show",
            hint=f"sweep it: kdgat train -m {axis}=A,B 'seed=range(3)', then kdgat evaluate each",
        )
    reference = _baseline(groups, baseline)
    confounders, balanced = confounding(axis, groups)
    return Effect(
        axis=axis,
        metric=question.metric,
        what=question.wanted,
        dataset=dataset,
        provenance=provenance,
        protocol=question.protocol,
        values=tuple(
            ValueEffect(
                value,
                estimate([each.score for each in group]).within(figure.low, figure.high),
                tuple(each.run_id for each in group),
            )
            for value, group in groups.items()
        ),
        paired=paired(axis, groups, reference),
        confounders=confounders,
        balanced=balanced,
        without=len(seen) - len(having),
        cautions=_cautions(axis, figure, len(groups)),
    )


def _observations(
    history: History, axis: str, question: Question, filters: Mapping[str, str]
) -> tuple[str, str, list[Observation]]:
    """The judged runs that fit, of one dataset."""
    sql = (
        JUDGED
        + """
        SELECT subject, seed, score, dataset, provenance, dataset_hash, windows_key, stage_version
        FROM judged WHERE score IS NOT NULL
        QUALIFY scored = max(scored) OVER (PARTITION BY dataset, dataset_hash, windows_key)
        ORDER BY subject"""
    )
    rows = history.query(sql, question.narrowing()).rows
    if not rows:
        raise nothing_to_compare(history, question)
    fields = _fields(history, [row[0] for row in rows])
    _check_names(history, [axis, *filters])
    kept = [row for row in rows if _fits(fields.get(row[0], {}), filters)]
    if not kept:
        told = " ".join(f"{name}={value}" for name, value in filters.items())
        raise RunError(f"no judged run has {told}", hint="loosen --where")
    datasets = sorted({(row[3], row[4]) for row in kept})
    if len(datasets) > 1:
        names = ", ".join(f"{name} ({provenance})" for name, provenance in datasets)
        raise RunError(
            f"runs of {len(datasets)} datasets fit, and their figures don't mix: {names}",
            hint=f"choose one: --dataset {datasets[0][0]}",
        )
    return *datasets[0], [_observation(axis, row, fields.get(row[0], {})) for row in kept]


def _observation(axis: str, row: tuple, fields: Mapping[str, str | None]) -> Observation:
    run, seed, score, _dataset, _provenance, content, windows, version = row
    beyond = {CAPTURES: content[:8], STAGE: str(version)}
    # Other windows are what an axis such as data.window_messages does, not what goes along.
    if not axis.startswith("data."):
        beyond[WINDOWS] = f"{windows:016x}"[:8]
    return Observation(run, seed, score, {**_identity(fields), **beyond})


def _fields(history: History, runs: list[str]) -> dict[str, dict[str, str | None]]:
    """Every field of some runs."""
    sql = "SELECT run_id, name, value FROM params WHERE run_id IN (SELECT unnest($1::VARCHAR[]))"
    found: dict[str, dict[str, str | None]] = defaultdict(dict)
    for run, name, value in history.query(sql, (runs,)).rows:
        found[run][name] = value
    _name_scorers(history, found)
    return found


def _name_scorers(history: History, found: Mapping[str, dict[str, str | None]]) -> None:
    """Put the models that a fusion weighs in place of their runs, which differ with the seed."""
    weighing = {run: value for run, fields in found.items() if (value := fields.get(_SCORERS))}
    listed = {run: _LISTED.findall(value) for run, value in weighing.items()}
    sql = "SELECT run_id, name FROM runs WHERE run_id IN (SELECT unnest($1::VARCHAR[]))"
    wanted = sorted({each for scorers in listed.values() for each in scorers})
    names = dict(history.query(sql, (wanted,)).rows) if wanted else {}
    for run, scorers in listed.items():
        found[run][_SCORERS] = " ".join(names.get(each, each) for each in scorers)


def _identity(fields: Mapping[str, str | None]) -> dict[str, str | None]:
    """The fields that make two runs the same experiment, the seed apart."""
    alone = fields.get("distillation.teacher") is None
    return {
        name: value
        for name, value in fields.items()
        if name != SEED
        and not name.startswith(_NOT_PART)
        and not (alone and name.startswith("distillation.") and name != "distillation.teacher")
    }


def _check_names(history: History, names: Iterable[str]) -> None:
    known = {row[0] for row in history.query("SELECT DISTINCT name FROM params").rows}
    for name in names:
        if name not in known:
            raise RunError(
                f"no run's config has a field '{name}'",
                hint=did_you_mean(name, known, otherwise="`kdgat config show` lists every field"),
            )


def _fits(fields: Mapping[str, str | None], filters: Mapping[str, str]) -> bool:
    return all(
        name in fields and same_value(fields[name], wanted) for name, wanted in filters.items()
    )


def same_value(held: str | None, wanted: str) -> bool:
    """Whether a value of a config is what somebody wrote: 0.10 is 0.1, and null is no value."""
    if held is None:
        return wanted.lower() in ("null", "none")
    try:
        return held == wanted or float(held) == float(wanted)
    except ValueError:
        return held.lower() == wanted.lower()


def written(value: str | None) -> str:
    """A value as an override writes it."""
    return "null" if value is None else value


def _by_value(axis: str, seen: Iterable[Observation]) -> dict[str | None, list[Observation]]:
    """The runs of each value of the axis, numbers in their order, then text, then no value."""
    groups: dict[str | None, list[Observation]] = defaultdict(list)
    for each in seen:
        groups[str(each.seed) if axis == SEED else each.fields[axis]].append(each)
    return {value: groups[value] for value in sorted(groups, key=_place)}


def _place(value: str | None) -> tuple[int, float, str]:
    try:
        return 0, float(value or "none"), ""
    except ValueError:
        return (1, 0.0, value) if value is not None else (2, 0.0, "")


def _baseline(groups: Mapping[str | None, object], wanted: str | None) -> str | None:
    if wanted is None:
        return next(iter(groups))
    for value in groups:
        if same_value(value, wanted):
            return value
    known = [written(value) for value in groups]
    raise RunError(f"no judged run has the baseline '{wanted}'", hint=did_you_mean(wanted, known))


def paired(
    axis: str, groups: Mapping[str | None, Sequence[Observation]], baseline: str | None
) -> tuple[PairedEffect, ...]:
    """Each value against the baseline, in runs that are alike in all but the axis and the seed."""
    if axis == SEED:
        return ()
    alike = {value: _by_recipe(axis, group) for value, group in groups.items()}
    effects = []
    for value in groups:
        if value == baseline:
            continue
        shared = [key for key in alike[value] if key in alike[baseline]]
        each = [_differences(alike[value][key], alike[baseline][key]) for key in shared]
        effects.append(
            PairedEffect(
                value=value,
                baseline=baseline,
                difference=of_groups([numbers for numbers, _ in each]) if each else None,
                pairs=sum(len(numbers) for numbers, _ in each),
                recipes=len(each),
                by_seed=bool(each) and all(seeds for _, seeds in each),
            )
        )
    return tuple(effects)


def _by_recipe(
    axis: str, group: Iterable[Observation]
) -> dict[frozenset[tuple[str, str | None]], dict[int, float]]:
    """Scores by seed, of each setting of the other fields; the newest run of a seed counts."""
    found: dict[frozenset[tuple[str, str | None]], dict[int, float]] = defaultdict(dict)
    for each in sorted(group, key=lambda one: one.run_id):
        rest = frozenset((name, value) for name, value in each.fields.items() if name != axis)
        found[rest][each.seed] = each.score
    return found


def _differences(one: Mapping[int, float], base: Mapping[int, float]) -> tuple[list[float], bool]:
    """Seed by seed where seeds are shared; otherwise of the means, and False."""
    shared = sorted(one.keys() & base.keys())
    if shared:
        return [one[seed] - base[seed] for seed in shared], True
    return [sum(one.values()) / len(one) - sum(base.values()) / len(base)], False


def confounding(
    axis: str, groups: Mapping[str | None, Sequence[Observation]]
) -> tuple[tuple[Confounder, ...], tuple[str, ...]]:
    """Fields that vary along with the axis, and those that vary equally at each of its values."""
    names = {name for group in groups.values() for each in group for name in each.fields} - {axis}
    confounders, balanced = [], []
    for name in sorted(names):
        shares = [_shares(name, group) for group in groups.values()]
        if any(share != shares[0] for share in shares):
            values = {
                written(value): tuple(sorted(written(held) for held in share))
                for value, share in zip(groups, shares, strict=True)
            }
            confounders.append(Confounder(name, values))
        elif len(shares[0]) > 1:
            balanced.append(name)
    return tuple(confounders), tuple(balanced)


def _shares(name: str, group: Sequence[Observation]) -> dict[str | None, Fraction]:
    """How often each value of a field is among some runs; a missing field counts as no value."""
    counts = Counter(each.fields.get(name) for each in group)
    return {value: Fraction(count, len(group)) for value, count in counts.items()}


def _cautions(axis: str, figure: Metric, values: int) -> tuple[str, ...]:
    notes = [f"{figure.title}: {figure.caution}"] if figure.caution else []
    if axis.startswith("data."):
        notes.append(f"'{axis}' may change the test windows too: figures count other windows")
    if values > 2:
        notes.append(f"{values - 1} comparisons, each interval 95 % for itself alone")
    return tuple(notes)
