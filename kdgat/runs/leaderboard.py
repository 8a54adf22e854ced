"""The leaderboard: the best recipe of each model, ranked among those that may be compared.

A model's figure is the mean over the seeds of its recipe, so that a lucky seed wins nothing. How
many recipes it was chosen from stands beside it, because the best of many looks better than it is.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from kdgat.runs.figures import Metric
from kdgat.runs.history import History
from kdgat.runs.scores import Arena, Question, Recipe, recipes
from kdgat.runs.statistics import Estimate, estimate

SPLIT: Literal["test"] = "test"
"""Evaluations score the official test folders, and nothing else."""
_NUMBERED = re.compile(r"[a-z]+_[0-9]+(?=_|$)")
_COSTS = ("parameters", "checkpoint_bytes", "latency_ms")


@dataclass(frozen=True)
class Standing:
    """One model of a table."""

    rank: int | None
    """None where the score is undefined; equal scores share a rank."""
    name: str
    run_id: str
    """The training run with the best seed; costs are of its evaluation."""
    evaluation: str
    seeds: int
    configs: int
    """Recipes of this model that were judged; this is the best of them."""
    score: Estimate | None
    scenarios: dict[str, Estimate | None]
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
                AND name IN ($6, 'windows', 'attack_windows')))"""
    values = (
        evaluations, list(_COSTS), question.protocol, question.attack_type, question.scenario,
        question.metric,
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
    )


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
    for name in names:
        for evaluation in recipe.evaluations:
            value = figures.scenarios.get((evaluation, name, figure.name))
            by_scenario[name] += [] if value is None else [value]
    best = recipe.evaluations[0]
    costs = {name: figures.costs.get((best, name)) for name in _COSTS}
    return Standing(
        rank=rank,
        name=recipe.name,
        run_id=recipe.runs[0],
        evaluation=best,
        seeds=len(recipe.runs),
        configs=recipe.configs,
        score=recipe.score,
        scenarios={name: _over_seeds(figure, by_scenario[name]) for name in names},
        parameters=_whole(costs["parameters"]),
        checkpoint_bytes=_whole(costs["checkpoint_bytes"]),
        latency_ms=costs["latency_ms"],
        runs=recipe.runs,
    )


def _over_seeds(figure: Metric, values: list[float]) -> Estimate | None:
    return estimate(values).within(figure.low, figure.high) if values else None


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
