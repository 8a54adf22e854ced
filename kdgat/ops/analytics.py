"""Operations that compare runs: leaderboard, side by side, effect of a field, Pareto front."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from kdgat.errors import RunError
from kdgat.runs.compare import Comparison
from kdgat.runs.compare import compare as compare_ids
from kdgat.runs.effect import Effect
from kdgat.runs.effect import effect as effect_of
from kdgat.runs.history import History, open_history
from kdgat.runs.leaderboard import LeaderboardTable, Standing
from kdgat.runs.leaderboard import leaderboard as standings
from kdgat.runs.pareto import Cost, ParetoFront
from kdgat.runs.pareto import pareto as fronts_of
from kdgat.runs.protocols import each_protocol
from kdgat.runs.registry import run_named
from kdgat.runs.scores import Question, scenario_named
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class Leaderboard:
    """One table for each set of models that may be compared; real data first."""

    tables: tuple[LeaderboardTable, ...]
    notes: tuple[str, ...]
    """What is left out, and what to know before believing the ranks."""


@dataclass(frozen=True)
class ParetoFronts:
    """One front for each set of models that may be compared; real data first."""

    fronts: tuple[ParetoFront, ...]
    notes: tuple[str, ...]


def leaderboard(
    ws: Workspace,
    *,
    dataset: str | None = None,
    scenario: str | None = None,
    metric: str = "f1",
    protocol: str | None = None,
    attack_type: str = "all",
    include_simulated: bool = False,
) -> Leaderboard:
    """The best recipe of each model, ranked by its mean over seeds.

    Args:
        ws: the workspace.
        dataset: only this one's; one that is simulated need not be asked for otherwise.
        scenario: rank by this test scenario (the beginning of its name will do), not by the mean.
        metric: what to rank by, such as f1, auroc or false_alarms_per_hour.
        protocol: what the model may know of a test capture; None for every protocol that models
            were judged under, each with tables of its own.
        attack_type: only the captures with this attack.
        include_simulated: simulated data too, in tables of their own.

    Raises:
        RunError: there is no such metric, dataset, scenario or attack, or nothing to compare.
    """
    asked = Question(
        metric, attack_type=attack_type, scenario=scenario, dataset=dataset,
        include_simulated=include_simulated,
    )  # fmt: skip
    with _asking(ws, asked) as (history, question):
        found = each_protocol(standings, history, question, protocol)
        tables = tuple(sorted(found, key=lambda table: table.provenance != "real"))
        return Leaderboard(tables, _notes(history, question, tables))


def compare_runs(ws: Workspace, *, runs: Sequence[str], protocol: str | None = None) -> Comparison:
    """What differs between runs: config first, then figures; an evaluation stands for its subject.

    Args:
        ws: the workspace.
        runs: two or more of: a run id, the beginning of one, `latest`, `MODEL@champion`.
        protocol: only the figures under this one; None for all, each figure with its own.

    Raises:
        RunError: there is no such run, or fewer than two; none was judged under the protocol.
    """
    named = [run_named(ws, run).path.name for run in runs]
    with open_history(ws) as history:
        return compare_ids(history, named, protocol)


def effect(
    ws: Workspace,
    axis: str,
    *,
    dataset: str | None = None,
    scenario: str | None = None,
    metric: str = "f1",
    protocol: str = "zero_shot",
    attack_type: str = "all",
    where: Sequence[str] = (),
    baseline: str | None = None,
) -> Effect:
    """One swept config field against a figure, over all runs and pair by pair.

    Args:
        ws: the workspace.
        axis: dotted name of the field, such as model.hidden.
        dataset: only this one's.
        scenario: one test scenario (the beginning of its name will do), not the mean over all.
        metric: the figure.
        protocol: what the model may know of a test capture.
        attack_type: only the captures with this attack.
        where: `field=value`, each of which a run must have.
        baseline: the value to compare with; the first one by default.

    Raises:
        RunError: no such field, value or metric; runs of several datasets; nothing to compare.
    """
    asked = Question(metric, protocol, attack_type, scenario, dataset, include_simulated=True)
    with _asking(ws, asked) as (history, question):
        return effect_of(history, axis, question, where=_filters(where), baseline=baseline)


def pareto(
    ws: Workspace,
    *,
    dataset: str | None = None,
    scenario: str | None = None,
    metric: str = "f1",
    cost: Cost = "parameters",
    protocol: str | None = None,
    attack_type: str = "all",
    include_simulated: bool = False,
) -> ParetoFronts:
    """The recipes that no other one beats at both a figure and its cost.

    Args:
        ws: the workspace.
        dataset: only this one's.
        scenario: one test scenario (the beginning of its name will do), not the mean over all.
        metric: the figure.
        cost: parameters, latency_ms or checkpoint_bytes.
        protocol: what the model may know of a test capture; None for every one, each with fronts
            of its own.
        attack_type: only the captures with this attack.
        include_simulated: simulated data too, as a front of its own.

    Raises:
        RunError: there is no such metric or cost, or nothing to compare.
    """
    asked = Question(
        metric, attack_type=attack_type, scenario=scenario, dataset=dataset,
        include_simulated=include_simulated,
    )  # fmt: skip

    def fronts(history: History, question: Question) -> tuple[ParetoFront, ...]:
        return fronts_of(history, question, cost)

    with _asking(ws, asked) as (history, question):
        found = each_protocol(fronts, history, question, protocol)
        ordered = tuple(sorted(found, key=lambda front: front.provenance != "real"))
        return ParetoFronts(ordered, _left_out(history, question))


@contextmanager
def _asking(ws: Workspace, asked: Question) -> Iterator[tuple[History, Question]]:
    """The history, and the question with its metric known and its scenario spelt out."""
    _ = asked.figure
    with open_history(ws) as history:
        if asked.scenario is not None:
            asked = replace(asked, scenario=scenario_named(history, asked.scenario))
        yield history, asked


def _filters(where: Sequence[str]) -> dict[str, str]:
    parts = [text.partition("=") for text in where]
    for name, equals, _ in parts:
        if not (name and equals):
            raise RunError(
                f"'{name}' is no filter", hint="write field=value, such as --where size=large"
            )
    return {name: value for name, _, value in parts}


def _notes(
    history: History, question: Question, tables: Sequence[LeaderboardTable]
) -> tuple[str, ...]:
    rows = [row for table in tables for row in table.rows]
    notes = [question.figure.caution] if question.figure.caution else []
    if any(row.seeds == 1 for row in rows):
        notes.append("a figure of one seed has no interval; train more: 'seed=range(3)'")
    if any(row.configs > 1 for row in rows):
        notes.append(
            "configs > 1: the best of so many was chosen on these test windows, and looks better "
            "than it is"
        )
    return (*notes, *_judged_apart(history, rows), *_left_out(history, question))


def _judged_apart(history: History, rows: Sequence[Standing]) -> tuple[str, ...]:
    """That thresholds were set in several ways: of one run the newest evaluation counts."""
    sql = """
        SELECT string_agg(name || '=' || value, ' ' ORDER BY name) FROM params
        WHERE run_id IN (SELECT unnest($1::VARCHAR[]))
            AND name IN ('evaluation.threshold', 'evaluation.alpha', 'evaluation.margin')
        GROUP BY run_id"""
    evaluations = [row.evaluation for row in rows]
    ways = sorted({row[0] for row in history.query(sql, (evaluations,)).rows})
    if len(ways) < 2:
        return ()
    return (f"thresholds were set in {len(ways)} ways: {'; '.join(ways)}",)


def _left_out(history: History, question: Question) -> tuple[str, ...]:
    """That there are simulated evaluations which are not shown."""
    if question.include_simulated or question.dataset is not None:
        return ()
    sql = (
        "SELECT count(*) FROM runs WHERE subject IS NOT NULL AND state = 'completed' "
        "AND provenance = 'simulated' AND NOT archived"
    )
    count = history.query(sql).rows[0][0]
    what = "evaluation of simulated data is" if count == 1 else "evaluations of simulated data are"
    told = f"{count} {what} left out (--include-simulated)"
    return (told,) if count else ()
