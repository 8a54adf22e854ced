"""Which models nobody beats at both: a figure, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from kdgat.runs.figures import Metric, cost_named
from kdgat.runs.history import History
from kdgat.runs.leaderboard import LeaderboardTable, Standing, tables
from kdgat.runs.namesakes import told_apart
from kdgat.runs.scores import Question, recipes
from kdgat.runs.statistics import Estimate

Cost = Literal["parameters", "latency_ms", "checkpoint_bytes"]


@dataclass(frozen=True)
class Point:
    """One recipe; the cost is of its best seed's run, the figure the mean over its seeds."""

    name: str
    run_id: str
    cost: float
    score: Estimate
    dominated_by: str | None
    """The run of the front that is no worse at either and better at one; None on the front."""
    differs: str = ""
    """What tells it from others of its name; empty where it is the only one."""


@dataclass(frozen=True)
class ParetoFront:
    """The front of one table of comparable models, and those that it dominates."""

    title: str
    provenance: str
    dataset: str
    metric: str
    cost: Cost
    front: tuple[Point, ...]
    """Cheapest first."""
    dominated: tuple[Point, ...]
    """Best first."""
    unplaced: tuple[str, ...]
    """Runs without one of the two figures."""
    cautions: tuple[str, ...]


def pareto(history: History, question: Question, cost: Cost) -> tuple[ParetoFront, ...]:
    """The front of every arena, over all recipes and not only each model's best.

    Raises:
        RunError: there is no such metric or cost, or nothing to compare.
    """
    cost_named(cost)
    made = tables(history, question, recipes(history, question))
    return tuple(front_of(history, question.figure, cost, table) for table in made)


def front_of(history: History, figure: Metric, cost: Cost, table: LeaderboardTable) -> ParetoFront:
    """The front among the rows of one table."""
    placed = [row for row in table.rows if row.score and getattr(row, cost) is not None]
    words = told_apart(history, {row.run_id: row.name for row in placed})
    points = split(figure, [_point(row, cost, words.get(row.run_id, "")) for row in placed])
    kept = {row.run_id for row in placed}
    unplaced = tuple(row.run_id for row in table.rows if row.run_id not in kept)
    return ParetoFront(
        title=table.title,
        provenance=table.provenance,
        dataset=table.dataset,
        metric=figure.name,
        cost=cost,
        front=tuple(point for point in points if point.dominated_by is None),
        dominated=tuple(sorted(
            (point for point in points if point.dominated_by is not None),
            key=lambda point: -point.score.mean if figure.higher_is_better else point.score.mean,
        )),
        unplaced=unplaced,
        cautions=_cautions(history, figure, cost, placed),
    )  # fmt: skip


def split(figure: Metric, points: Sequence[Point]) -> list[Point]:
    """The points, cheapest first, each with the run that dominates it.

    A point is dominated by one that is no worse at both and better at one; equal points dominate
    each other not. Going from cheap to dear, only the best so far can dominate the next.
    """
    sign = 1 if figure.higher_is_better else -1
    ordered = sorted(points, key=lambda point: (point.cost, -sign * point.score.mean))
    marked: list[Point] = []
    best: Point | None = None
    for point in ordered:
        beaten = best is not None and not figure.better(point.score.mean, best.score.mean)
        same = best is not None and (best.cost, best.score.mean) == (point.cost, point.score.mean)
        by = best.run_id if best is not None and beaten and not same else None
        marked.append(replace(point, dominated_by=by))
        best = best if beaten else point
    return marked


def _point(row: Standing, cost: Cost, differs: str) -> Point:
    assert row.score is not None
    return Point(row.name, row.run_id, float(getattr(row, cost)), row.score, None, differs)


def _cautions(
    history: History, figure: Metric, cost: Cost, rows: Sequence[Standing]
) -> tuple[str, ...]:
    notes = [f"{figure.title}: {figure.caution}"] if figure.caution else []
    if cost == "latency_ms":
        sql = "SELECT DISTINCT host FROM runs WHERE run_id IN (SELECT unnest($1::VARCHAR[]))"
        evaluations = [row.evaluation for row in rows]
        hosts = sorted(str(row[0]) for row in history.query(sql, (evaluations,)).rows)
        if len(hosts) > 1:
            notes.append(f"latency was measured on {len(hosts)} hosts: {', '.join(hosts)}")
    return tuple(notes)
