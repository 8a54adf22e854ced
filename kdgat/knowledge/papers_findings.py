"""Runs that beat a figure a paper prints: what the paper might say, if its authors want it to.

Only what was judged on the same windows of the same captures, under the same protocol and in the
same scenario, stands against a figure; simulated and real never do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kdgat.knowledge.papers import PaperValue
from kdgat.knowledge.papers_numbers import Printed
from kdgat.knowledge.papers_values import Answer
from kdgat.runs.figures import METRICS
from kdgat.runs.scores import Recipe
from kdgat.runs.statistics import Estimate

MOST = 3
"""Findings a value, best first."""


@dataclass(frozen=True)
class Figure:
    """A value as the paper prints it."""

    place: str
    """File and line."""
    text: str
    number: Printed
    runs: tuple[str, ...]
    """The runs that it was filled from, as far as a generated file tells."""


@dataclass(frozen=True)
class Finding:
    """A recipe that is better than a printed figure."""

    value: str
    """The paper's name of the figure."""
    place: str
    printed: str
    figure: str
    """The recipe's, in the paper's format."""
    low: str | None
    high: str | None
    """Its 95 % interval; None with one seed."""
    clear: bool | None
    """Whether the whole interval is better than the printed figure; None without one."""
    model: str
    seeds: int
    tried: int
    """Recipes of this model that were judged there; the best of many looks better than it is."""
    runs: tuple[str, ...]
    evaluations: tuple[str, ...]
    arena: str
    """What both figures are of."""


def why_not(value: PaperValue, answer: Answer | None, figures: Sequence[Figure]) -> str | None:
    """Why no run can stand against a value; None where it can."""
    if value.sql is not None:
        return "it is SQL, so what it compares with is not known"
    if value.metric not in METRICS or value.statistic != "mean":
        return "it is no figure that models are ranked by"
    if answer is None:
        return "history has no answer for it"
    if not figures:
        return "it is printed nowhere yet"
    return None


def better_than(
    name: str,
    value: PaperValue,
    answer: Answer,
    figures: Sequence[Figure],
    rivals: Iterable[Recipe],
    *,
    any_model: bool = False,
) -> list[Finding]:
    """The recipes that beat a value wherever the paper prints it, best first.

    Args:
        name: the value's name.
        value: its question.
        answer: what history says of it now.
        figures: where it is printed.
        rivals: evaluated recipes of the same dataset, metric, protocol and scenario.
        any_model: other models too, not only this model in this size, distilled or not alike.
    """
    mine, metric = answer.recipe, METRICS[str(value.metric)]
    if mine is None:
        return []
    sign = 1 if metric.higher_is_better else -1
    style = value.style
    printed_runs = {run for figure in figures for run in figure.runs}
    # The best that is printed: what beats it beats the others.
    shown = max(figures, key=lambda figure: sign * style.base(figure.number))
    bar = shown.number.number
    found: list[tuple[float, Finding]] = []
    for rival in rivals:
        alike = (rival.model, rival.size, rival.distilled) == (
            mine.model,
            mine.size,
            mine.distilled,
        )
        if rival.arena != mine.arena or rival.score is None or not (alike or any_model):
            continue
        # Rounded as the paper rounds: less than its last digit is no news.
        ahead = sign * (style.at(shown.number, rival.score.mean) - bar)
        if ahead > 0 and not set(rival.runs) <= printed_runs:
            finding = _finding(name, value, shown, rival, rival.score, sign)
            found.append((sign * rival.score.mean, finding))
    found.sort(key=lambda each: -each[0])
    return [finding for _, finding in found[:MOST]]


def _finding(
    name: str, value: PaperValue, shown: Figure, rival: Recipe, score: Estimate, sign: int
) -> Finding:
    style, bar, arena = value.style, shown.number.number, rival.arena
    ends = () if score.low is None or score.high is None else (score.low, score.high)
    return Finding(
        value=name,
        place=shown.place,
        printed=shown.text,
        figure=style.show(score.mean),
        low=style.show(ends[0]) if ends else None,
        high=style.show(ends[1]) if ends else None,
        clear=all(sign * (style.at(shown.number, end) - bar) > 0 for end in ends) if ends else None,
        model=rival.name,
        seeds=len(rival.runs),
        tried=rival.configs,
        runs=rival.runs,
        evaluations=rival.evaluations,
        arena=f"{arena.dataset} ({arena.provenance} data {arena.dataset_hash[:8]}), "
        f"{value.protocol} protocol, {value.scenario or 'mean over scenarios'}",
    )
