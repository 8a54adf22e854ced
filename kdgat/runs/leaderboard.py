"""The leaderboard: the best recipe of each model, ranked among those that may be compared.

A model's figure is the mean over the seeds of its recipe, so that a lucky seed wins nothing. How
many recipes it was chosen from stands beside it, because the best of many looks better than it is.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Literal

from kdgat.configs.names import BASELINES
from kdgat.runs.figures import Metric
from kdgat.runs.history import History
from kdgat.runs.scores import Arena, Question, Recipe, recipes
from kdgat.runs.statistics import Estimate, estimate

SPLIT: Literal["test"] = "test"
"""Evaluations score the official test folders, and nothing else."""
_NUMBERED = re.compile(r"[a-z]+_[0-9]+(?=_|$)")
_WRONG = ("false_positives", "false_negatives")
_COUNTS = ("windows", "attack_windows", *_WRONG)
_COSTS = ("parameters", "checkpoint_bytes", "latency_ms")


@dataclass(frozen=True)
class Standing:
    """One model of a table."""

    rank: int | None
    """None where the score is undefined; equal scores share a rank."""
    name: str
    model: str
    """Kind of the model."""
    run_id: str
    """The training run with the best seed; costs are of its evaluation."""
    evaluation: str
    seeds: int
    configs: int
    """Recipes of this model that were judged; this is the best of them."""
    score: Estimate | None
    scenarios: dict[str, Estimate | None]
    wrong: dict[str, float | None]
    """Windows judged wrong in each scenario, mean over seeds."""
    parameters: int | None
    checkpoint_bytes: int | None
    latency_ms: float | None
    runs: tuple[str, ...]
    """Every seed's run, best first."""


@dataclass(frozen=True)
class Scenario:
    """A test scenario, and how many windows were scored in it."""

    name: str
    windows: int | None
    attack_windows: int | None


@dataclass(frozen=True)
class Beaten:
    """A scenario in which a model without a graph is ahead of every graph model."""

    scenario: str | None
    """None for the mean over all of them."""
    baseline: str
    score: Estimate
    wrong: float | None
    """Windows that it judges wrong, mean over seeds."""
    model: str
    """The best graph model there."""
    model_score: Estimate
    model_wrong: float | None

    def words(self, metric: str) -> str:
        """In a sentence."""
        where = (self.scenario or "the mean over scenarios").replace("_", " ")
        return (
            f"{where.replace('test ', 'test_', 1)}: the baseline {self.baseline} is ahead of every "
            f"graph model, {metric} {_told(self.score, self.wrong)} against "
            f"{_told(self.model_score, self.model_wrong)} of {self.model}"
        )


@dataclass(frozen=True)
class LeaderboardTable:
    """Models judged on the same windows of the same data."""

    title: str
    """What the figures are of: data, provenance, protocol, split, windows."""
    provenance: str
    dataset: str
    dataset_hash: str
    protocol: str
    split: Literal["test"]
    metric: str
    attack_type: str
    windows: int
    """Test windows of all scenarios."""
    scenarios: tuple[Scenario, ...]
    rows: tuple[Standing, ...]
    beaten: tuple[Beaten, ...]
    """Where a baseline beats the graph models; the whole truth belongs to the table."""


@dataclass(frozen=True)
class _Figures:
    """What the metrics view holds of some evaluations."""

    scenarios: dict[tuple[str, str, str], float | None]
    """By evaluation, scenario and name."""
    costs: dict[tuple[str, str], float | None]
    """By evaluation and name."""

    def names(self, evaluation: str) -> list[str]:
        return sorted({scenario for run, scenario, _ in self.scenarios if run == evaluation})


def leaderboard(history: History, question: Question) -> tuple[LeaderboardTable, ...]:
    """One table for each arena, real data first, best model first.

    Raises:
        RunError: there is no such metric, or nothing to compare.
    """
    return tables(history, question, recipes(history, question, best_only=True))


def tables(
    history: History, question: Question, chosen: Sequence[Recipe]
) -> tuple[LeaderboardTable, ...]:
    """The tables of some recipes, given best first within each arena."""
    figures = _figures(history, question, [run for each in chosen for run in each.evaluations])
    ordered = sorted(chosen, key=lambda each: each.arena)
    made = [_table(question, list(group), figures) for _, group in groupby(ordered, _arena_of)]
    return tuple(sorted(made, key=lambda table: table.provenance != "real"))


def _arena_of(recipe: Recipe) -> object:
    return recipe.arena


def _figures(history: History, question: Question, evaluations: list[str]) -> _Figures:
    """Two looks at the metrics of a few evaluations."""
    sql = """
        SELECT run_id, scenario, name, value FROM metrics
        WHERE run_id IN (SELECT unnest($1::VARCHAR[])) AND (
            (scenario IS NULL AND name IN (SELECT unnest($2::VARCHAR[]))) OR (
                protocol = $3 AND attack_type = $4 AND ($5 IS NULL OR scenario = $5)
                AND name IN (SELECT unnest($6::VARCHAR[]))))"""
    values = (
        evaluations, list(_COSTS), question.protocol, question.attack_type, question.scenario,
        [question.metric, *_COUNTS],
    )  # fmt: skip
    found = _Figures({}, {})
    for run, scenario, name, value in history.query(sql, values).rows:
        if scenario is None:
            found.costs[run, name] = value
        else:
            found.scenarios[run, scenario, name] = value
    return found


def _table(question: Question, group: list[Recipe], figures: _Figures) -> LeaderboardTable:
    arena, first = group[0].arena, group[0].evaluations[0]
    names = figures.names(first)
    ranks = _ranks([each.score and each.score.mean for each in group])
    rows = [
        _standing(question.figure, names, each, rank, figures)
        for rank, each in zip(ranks, group, strict=True)
    ]
    scenarios = tuple(
        Scenario(
            name,
            _whole(figures.scenarios.get((first, name, "windows"))),
            _whole(figures.scenarios.get((first, name, "attack_windows"))),
        )
        for name in names
    )
    windows = sum(scenario.windows or 0 for scenario in scenarios)
    return LeaderboardTable(
        title=_title(question, arena, windows, len(names)),
        provenance=arena.provenance,
        dataset=arena.dataset,
        dataset_hash=arena.dataset_hash,
        protocol=question.protocol,
        split=SPLIT,
        metric=question.metric,
        attack_type=question.attack_type,
        windows=windows,
        scenarios=scenarios,
        rows=tuple(rows),
        beaten=tuple(_beaten(question.figure, rows, names)),
    )


def _beaten(figure: Metric, rows: Sequence[Standing], names: Sequence[str]) -> Iterator[Beaten]:
    """Each scenario, and the mean over several, whose best model is a baseline."""
    for name in (*names, *((None,) if len(names) > 1 else ())):
        scored = [(row, score) for row in rows if (score := _score(row, name)) is not None]
        sides = [
            [each for each in scored if (each[0].model in BASELINES) is baseline]
            for baseline in (True, False)
        ]
        if not all(sides):
            continue
        (baseline, score), (model, own) = (_best(figure, side) for side in sides)
        if figure.better(score.mean, own.mean):
            yield Beaten(
                name, baseline.name, score, _mistakes(baseline, name),
                model.name, own, _mistakes(model, name),
            )  # fmt: skip


def _best(figure: Metric, side: list[tuple[Standing, Estimate]]) -> tuple[Standing, Estimate]:
    sign = 1 if figure.higher_is_better else -1
    return max(side, key=lambda each: sign * each[1].mean)


def _score(row: Standing, scenario: str | None) -> Estimate | None:
    return row.score if scenario is None else row.scenarios[scenario]


def _mistakes(row: Standing, scenario: str | None) -> float | None:
    wrong = list(row.wrong.values()) if scenario is None else [row.wrong[scenario]]
    known = [each for each in wrong if each is not None]
    return sum(known) if len(known) == len(wrong) else None


def _title(question: Question, arena: Arena, windows: int, scenarios: int) -> str:
    attack = "" if question.attack_type == "all" else f", captures with {question.attack_type}"
    return (
        f"{arena.dataset} ({arena.provenance} data {arena.dataset_hash[:8]}), "
        f"{question.protocol} protocol, {SPLIT} split: {windows:,} windows in "
        f"{scenarios} scenario{'s' * (scenarios != 1)}{attack}"
    )


def _standing(
    figure: Metric, names: Iterable[str], recipe: Recipe, rank: int | None, figures: _Figures
) -> Standing:
    by_scenario: dict[str, list[float]] = defaultdict(list)
    wrong: dict[str, list[float | None]] = defaultdict(list)
    for name in names:
        for evaluation in recipe.evaluations:
            value = figures.scenarios.get((evaluation, name, figure.name))
            by_scenario[name] += [] if value is None else [value]
            counts = [figures.scenarios.get((evaluation, name, each)) for each in _WRONG]
            wrong[name].append(None if None in counts else math.fsum(filter(None, counts)))
    best = recipe.evaluations[0]
    costs = {name: figures.costs.get((best, name)) for name in _COSTS}
    return Standing(
        rank=rank,
        name=recipe.name,
        model=recipe.model,
        run_id=recipe.runs[0],
        evaluation=best,
        seeds=len(recipe.runs),
        configs=recipe.configs,
        score=recipe.score,
        scenarios={name: _over_seeds(figure, by_scenario[name]) for name in names},
        wrong={name: _average(wrong[name]) for name in names},
        parameters=_whole(costs["parameters"]),
        checkpoint_bytes=_whole(costs["checkpoint_bytes"]),
        latency_ms=costs["latency_ms"],
        runs=recipe.runs,
    )


def _over_seeds(figure: Metric, values: list[float]) -> Estimate | None:
    return estimate(values).within(figure.low, figure.high) if values else None


def _average(counts: Sequence[float | None]) -> float | None:
    known = [each for each in counts if each is not None]
    return fmean(known) if known and len(known) == len(counts) else None


def _told(score: Estimate, wrong: float | None) -> str:
    """A figure with its interval, and windows judged wrong."""
    if score.low is None or score.high is None:
        interval = "one seed"
    else:
        interval = f"{score.low:.4f} to {score.high:.4f}, {score.n} seeds"
    counts = "" if wrong is None else f", {wrong:,.4g} windows wrong"
    return f"{score.mean:.4f} ({interval}{counts})"


def _ranks(scores: list[float | None]) -> list[int | None]:
    """Places of scores that come best first; equal ones share a place, undefined have none."""
    ranks: list[int | None] = []
    for place, score in enumerate(scores, start=1):
        shared = place > 1 and score == scores[place - 2]
        ranks.append(None if score is None else ranks[-1] if shared else place)
    return ranks


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def short_names(scenarios: Sequence[str]) -> list[str]:
    """`test_01` of `test_01_known_vehicle_known_attack`, where that still tells them apart."""
    short = [match[0] if (match := _NUMBERED.match(name)) else name for name in scenarios]
    return short if len(set(short)) == len(short) else list(scenarios)
