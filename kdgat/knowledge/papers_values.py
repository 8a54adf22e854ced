"""What the history says of a paper's values: for each one figure, and the runs it is of."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from kdgat.errors import KdgatError, KnowledgeError
from kdgat.knowledge.papers import Paper, PaperValue
from kdgat.runs.figures import COSTS
from kdgat.runs.guard import guarded
from kdgat.runs.history import History, ask
from kdgat.runs.scores import Question, Recipe, recipes, scenario_named

_COUNTS = ("parameters", "checkpoint_bytes")
"""Costs that are whole numbers, which every column of figures holds as doubles."""
_RUN_COLUMNS = ("run_id", "runs")
_NUMERIC = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?")
_SHOWN_TOGETHER = 3


@dataclass(frozen=True)
class Answer:
    """One value, and where it comes from."""

    name: str
    text: str
    """As the paper prints it."""
    value: int | float | str
    """As the history has it."""
    runs: tuple[str, ...]
    """Training runs, best first; what the SQL named, or nothing."""
    evaluations: tuple[str, ...]
    configs: tuple[str, ...]
    """Digests of the runs' configs."""
    dataset_hashes: tuple[str, ...]
    provenance: str
    query: str
    """Stands for the question."""
    recipe: Recipe | None
    """What was chosen, where the question is no SQL."""


@dataclass(frozen=True)
class Answers:
    """All that could be answered, and why the rest could not."""

    found: dict[str, Answer]
    faults: tuple[KnowledgeError, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Raw:
    """A value before it is printed."""

    value: Any
    runs: tuple[str, ...]
    evaluations: tuple[str, ...] = ()
    recipe: Recipe | None = None


class Asker:
    """Asks one open history; alike questions once."""

    def __init__(self, history: History, trained: Callable[[str], str]) -> None:
        """`trained` gives the whole id of the training run that a reference means."""
        self._history = history
        self._trained = trained
        self._recipes = cache(self._all_recipes)

    def answers(self, paper: Paper) -> Answers:
        """Every value of a paper."""
        found: dict[str, Answer] = {}
        faults: list[KnowledgeError] = []
        warnings: dict[str, None] = dict.fromkeys(self._history.warnings)
        for name, value in paper.config.values.items():
            try:
                found[name] = self._answer(name, value, warnings)
            except KdgatError as error:
                faults.append(
                    KnowledgeError(
                        f"'{paper.shown}', value '{name}': {error.problem}", hint=error.hint
                    )
                )
        return Answers(found, tuple(faults), tuple(warnings))

    def rivals(self, value: PaperValue) -> list[Recipe]:
        """Every evaluated recipe that a value's question could have been about, and others'."""
        return self._recipes(self._question(value, ()))

    def _answer(self, name: str, value: PaperValue, warnings: dict[str, None]) -> Answer:
        raw = self._of_sql(value.sql, warnings) if value.sql else self._of_model(value)
        plain = _plain(raw.value)
        of = self._origins(raw.runs, value.provenance)
        try:
            text = value.style.show(plain)
        except ValueError as error:
            raise KnowledgeError(str(error), hint="change its format or decimals") from error
        return Answer(
            name=name,
            text=text,
            value=plain,
            runs=raw.runs,
            evaluations=raw.evaluations,
            configs=tuple(dict.fromkeys(each[1] for each in of)),
            dataset_hashes=tuple(dict.fromkeys(each[2] for each in of if each[2])),
            provenance=value.provenance,
            query=value.key,
            recipe=raw.recipe,
        )

    def _of_sql(self, sql: str, warnings: dict[str, None]) -> _Raw:
        table = ask(self._history, guarded(sql), max_rows=2)
        warnings.update(dict.fromkeys(table.warnings))
        if len(table.rows) != 1:
            raise _not_one(len(table.rows), "add a WHERE, or an aggregate such as avg()")
        row = dict(zip(table.columns, table.rows[0], strict=True))
        others = [column for column in row if column not in _RUN_COLUMNS]
        column = "value" if "value" in others else others[0] if len(others) == 1 else None
        if column is None:
            raise KnowledgeError(
                f"the question gives the columns {', '.join(row)}, and a value is one",
                hint="name it: select ... as value; beside it only run_id or runs are read",
            )
        runs = [run for name in _RUN_COLUMNS for run in _listed(row.get(name))]
        return _Raw(row[column], tuple(dict.fromkeys(runs)))

    def _of_model(self, value: PaperValue) -> _Raw:
        asked = tuple(dict.fromkeys(map(self._trained, value.runs)))
        every = self._recipes(self._question(value, asked))
        fitting = [each for each in every if _fits(each, value)]
        # Of another provenance alone, the fault to tell is that.
        fitting = [each for each in fitting if each.arena.provenance == value.provenance] or fitting
        judged = {run for each in fitting for run in each.runs}
        for run in asked:
            if run not in judged:
                raise KnowledgeError(
                    f"run '{run}' has no figure to print: it is of another model, was not judged, "
                    "or a newer run of the same config and seed stands for it",
                    hint=f"`kdgat evaluate {run}` judges it; or name another",
                )
        families = {(each.arena, each.model, each.size, each.distilled) for each in fitting}
        if len(families) != 1:
            raise _not_one(len(families), _narrower(fitting))
        if asked and len(fitting) > 1:
            raise _not_one(len(fitting), "name runs of one config, which differ in the seed alone")
        # The first is the best of its arena.
        best = fitting[0]
        return _Raw(self._figure(value, best), best.runs, best.evaluations, best)

    def _figure(self, value: PaperValue, recipe: Recipe) -> int | float | None:
        if value.metric in COSTS:
            sql = """SELECT value FROM metrics
                WHERE run_id = $1 AND scenario IS NULL AND name = $2"""
            rows = self._history.query(sql, (recipe.evaluations[0], value.metric)).rows
            cost = rows[0][0] if rows else None
            return int(cost) if cost is not None and value.metric in _COUNTS else cost
        score = recipe.score
        if value.statistic == "seeds":
            return len(recipe.runs)
        if score is None or value.statistic == "mean":
            return score and score.mean
        if score.low is None or score.high is None:
            raise KnowledgeError(
                f"one seed has no interval, so there is no {value.statistic}",
                hint="train more seeds: kdgat train -m ... 'seed=range(3)'",
            )
        if value.statistic == "half_width":
            # An interval is cut at the range of its figure, at one side.
            return max(score.high - score.mean, score.mean - score.low)
        return score.low if value.statistic == "low" else score.high

    def _question(self, value: PaperValue, runs: tuple[str, ...]) -> Question:
        scenario = value.scenario and scenario_named(self._history, value.scenario)
        metric = "f1" if value.metric in COSTS else str(value.metric)
        return Question(
            metric=metric,
            protocol=value.protocol,
            attack_type=value.attack_type,
            scenario=scenario,
            dataset=value.dataset,
            include_simulated=True,
            runs=runs,
        )

    def _all_recipes(self, question: Question) -> list[Recipe]:
        return recipes(self._history, question)

    def _origins(self, runs: Sequence[str], provenance: str) -> list[tuple[str, str, str]]:
        """Run, config digest and data of each training run, all of the provenance asked for."""
        sql = """
            SELECT a.run_id, s.digest, s.dataset_hash, s.provenance
            FROM runs a JOIN runs s ON s.run_id = coalesce(a.subject, a.run_id)
            WHERE a.run_id IN (SELECT unnest($1::VARCHAR[])) ORDER BY a.run_id"""
        rows = self._history.query(sql, (list(runs),)).rows if runs else ()
        for run in runs:
            if run not in {row[0] for row in rows}:
                raise KnowledgeError(
                    f"history has no run '{run}'", hint="`kdgat runs list` shows every run"
                )
        for run, _, _, found in rows:
            if found != provenance:
                raise KnowledgeError(
                    f"run '{run}' is of {found} data, and {provenance} is asked for",
                    hint=f'say so where it is meant: provenance = "{found}"',
                )
        return [row[:3] for row in rows]


def _fits(recipe: Recipe, value: PaperValue) -> bool:
    return (
        (value.model is None or recipe.model == value.model)
        and (value.size is None or recipe.size == value.size)
        and (value.distilled is None or recipe.distilled == value.distilled)
        and recipe.arena.dataset_hash.startswith(value.dataset_hash or "")
    )


def _narrower(fitting: Sequence[Recipe]) -> str:
    """What would tell the recipes apart."""
    told = {
        "model": {each.model for each in fitting},
        "size": {each.size for each in fitting},
        "distilled": {str(each.distilled).lower() for each in fitting},
        "dataset_hash": {each.arena.dataset_hash[:12] for each in fitting},
    }
    for key, values in told.items():
        if len(values) > 1:
            return f"say {key}: {' or '.join(sorted(values)[:_SHOWN_TOGETHER])}"
    if fitting:
        return "they were judged on different test windows: name the runs"
    return "`kdgat leaderboard --dataset NAME` shows the models that were judged"


def _not_one(count: int, hint: str) -> KnowledgeError:
    said = "no row" if count == 0 else "several rows"
    return KnowledgeError(f"the question gives {said}, and a value is one", hint=hint)


def _plain(value: object) -> int | float | str:
    """A value that can be printed.

    Raises:
        KnowledgeError: it is NULL, or no number and no text.
    """
    match value:
        case None:
            raise KnowledgeError(
                "the answer is NULL: nothing is known of it", hint="ask `kdgat history sql` why"
            )
        case float() if not math.isfinite(value):
            raise KnowledgeError(f"the answer is {value}, which is no figure", hint="mend the SQL")
        case bool():
            return str(value).lower()
        case int() | float():
            return value
        case str() if _NUMERIC.fullmatch(value):
            # DuckDB's decimals are told as text.
            return int(value) if value.lstrip("-").isdigit() else float(value)
        case str():
            return value
        case _:
            raise KnowledgeError(
                f"the answer is a {type(value).__name__}, and a value is a number or a text",
                hint="select one figure",
            )


def _listed(value: object) -> list[str]:
    if value is None:
        return []
    return [str(each) for each in value] if isinstance(value, list | tuple) else [str(value)]
