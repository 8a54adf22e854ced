"""The sections of facts that a mode may ask for, each from the history and the ledger beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from itertools import groupby, islice
from pathlib import Path

from kdgat.agent.session import MOST_LINES, FactSection, plain, quoted
from kdgat.errors import RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.jobs import JobFolder
from kdgat.runs.history import History
from kdgat.runs.scores import Question, Recipe, recipes
from kdgat.workspace import Workspace

_ROWS = MOST_LINES
_REASON = 110
_TITLE = 120
_OF_AN_ARENA = 2

_FAILED = f"""
    select run_id, name, state, coalesce(ended_at, started_at, created_at), reason,
        count(*) over ()
    from runs as failed
    where state in ('failed', 'timeout', 'preempted', 'lost') and not archived and not exists (
        select 1 from runs as later
        where later.digest = failed.digest and later.stage = failed.stage
            and later.dataset_hash = failed.dataset_hash
            and later.subject is not distinct from failed.subject
            and later.state = 'completed' and later.run_id > failed.run_id)
    order by run_id desc limit {_ROWS}
"""
_QUEUE = f"""
    select run_id, name, state, coalesce(started_at, created_at), host, folder,
        count(*) filter (state = 'running') over (), count(*) over ()
    from runs where state in ('planned', 'submitted', 'running') and not archived
    order by state = 'running' desc, run_id desc limit {_ROWS}
"""
_LAST = f"""
    with last as (
        select * from runs where not archived order by run_id desc limit {_ROWS}
    )
    select last.run_id, name, stage, state, coalesce(ended_at, started_at, created_at),
        duration_s, last.provenance, told.f1
    from last left join (
        select run_id, avg(value) as f1 from metrics
        where name = 'f1' and protocol = 'zero_shot' and attack_type = 'all'
            and run_id in (select run_id from last)
        group by run_id
    ) as told on told.run_id = last.run_id
    order by last.run_id desc
"""
_OLD_CODE = """
    select stage, newest, count(*), max(run_id) from (
        select stage, stage_version, run_id, max(stage_version) over (partition by stage) as newest
        from runs where state = 'completed' and not archived
    ) where stage_version < newest group by stage, newest order by stage
"""
_OF_DATA = """
    select dataset, count(*), count(*) filter (dataset_hash <> ?), max(run_id)
    from runs where dataset = ? and state = 'completed' and not archived group by dataset
"""


def _failures(_ws: Workspace, history: History) -> FactSection:
    rows = history.query(_FAILED).rows
    title = (
        f"Failed and not done since: {rows[0][5]}" if rows else "Failed and not done since: none"
    )
    lines = tuple(
        f"{run} {name} {state} {_time(at)}: "
        + (quoted(reason, _REASON) if reason else "nobody said why")
        for run, name, state, at, reason, _ in rows
    )
    return FactSection("failures", title, lines, "kdgat runs list")


def _queue(ws: Workspace, history: History) -> FactSection:
    rows = history.query(_QUEUE).rows
    if not rows:
        return FactSection("queue", "Queue: empty, as far as the ledger knows", (), "kdgat status")
    running, every = rows[0][6], rows[0][7]
    lines = tuple(
        f"{run} {name} {state} since {_time(at)}{_where(ws, folder, host)}"
        for run, name, state, at, host, folder, _, _ in rows
    )
    title = f"Queue, as the ledger last heard: {running} running, {every - running} waiting"
    return FactSection("queue", title, lines, "kdgat status")


def _where(ws: Workspace, folder: str, host: str | None) -> str:
    """The scheduler's id and word of a run's job, or the machine it runs on."""
    with suppress(RunError):
        record = RunFolder(ws.home / folder).record()
        if record.job is not None:
            job = JobFolder(ws.jobs / record.job).record()
            number = job.task_of(record.run_id)
            named = job.scheduler_task(number) or job.job_id
            word = job.tasks[number].state or job.state.value
            return plain(f", job {named} on {job.cluster} ({word})", 80)
    return f", on {plain(host, 40)}" if host else ""


def _last_runs(_ws: Workspace, history: History) -> FactSection:
    rows = history.query(_LAST).rows
    lines = tuple(
        f"{run} {name} {stage} {state} {_time(at)}"
        + (f", {_lasted(seconds)}" if seconds is not None else "")
        + (f", mean f1 {f1:.4f}" if f1 is not None else "")
        + _unreal(provenance)
        for run, name, stage, state, at, seconds, provenance, f1 in rows
    )
    return FactSection("last_runs", "Last runs" if rows else "Last runs: none yet", lines,
                       "kdgat runs list")  # fmt: skip


def _best_runs(_ws: Workspace, history: History) -> FactSection:
    try:
        judged = recipes(history, Question(include_simulated=True), best_only=True)
    except RunError:
        title = "Best runs: no model was judged yet"
        return FactSection("best_runs", title, (), "kdgat evaluate latest")
    champions = dict(
        history.query(
            "select run_id, model || '@' || version from models where aliases like '%champion%'"
        ).rows
    )
    judged.sort(key=lambda each: each.arena.provenance != "real")
    arenas = groupby(judged, key=lambda each: each.arena)
    best = [each for _, group in arenas for each in islice(group, _OF_AN_ARENA)]
    lines = tuple(_standing(each, champions) for each in best if each.score is not None)
    title = "Best runs: mean f1 over test scenarios and seeds with its 95 % interval, zero_shot"
    return FactSection("best_runs", title, lines, "kdgat leaderboard --include-simulated")


def _standing(recipe: Recipe, champions: dict[str, str]) -> str:
    assert recipe.score is not None
    low, high, n = recipe.score.low, recipe.score.high, recipe.score.n
    interval = "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"
    champion = next((champions[run] for run in recipe.runs if run in champions), None)
    return (
        f"{recipe.name} {recipe.score.mean:.4f}{interval} ({n} seed{'s' * (n != 1)}, "
        f"best {recipe.runs[0]}{f', champion {champion}' if champion else ''}), "
        f"data {recipe.arena.dataset_hash[:8]}{_unreal(recipe.arena.provenance)}"
    )


def _stale(ws: Workspace, history: History) -> FactSection | None:
    lines = []
    for path in sorted(ws.data.glob("*/captures.json")):
        name, content = path.parent.name, _content_hash(path)
        for dataset, runs, other, last in history.query(_OF_DATA, [content, name]).rows:
            if content and other:
                lines.append(
                    f"{other} of {runs} runs on {dataset} are of other captures than those "
                    f"ingested now (the last is {last})"
                )
    for stage, newest, runs, last in history.query(_OLD_CODE).rows:
        lines.append(
            f"{runs} runs of stage {stage} are by older code than version {newest} "
            f"(the last is {last})"
        )
    if not lines:
        return None
    return FactSection("stale", "Stale: figures that compare with no newer ones", tuple(lines),
                       "kdgat runs list")  # fmt: skip


def _content_hash(manifest: Path) -> str | None:
    """The identity of a dataset, without the check of its whole manifest, which takes longer."""
    try:
        return str(json.loads(manifest.read_bytes())["content_hash"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _questions(ws: Workspace, _history: History) -> FactSection:
    from kdgat.ops.questions import list_questions

    found = list_questions(ws, status="open", limit=_ROWS)
    lines = tuple(
        f"{each.id} {quoted(each.title, _TITLE)}"
        + (" (its trigger fired)" if each.trigger and each.trigger.fired else "")
        + (f", {each.runs} runs" if each.runs else "")
        for each in found.items
    )
    title = f"Open questions: {found.total or 'none'}{', by relevance now' * bool(found.total)}"
    return FactSection("questions", title, lines, "kdgat questions list --status open")


def _time(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else "at some time"


def _lasted(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def _unreal(provenance: str) -> str:
    return "" if provenance == "real" else f" [{provenance}]"


MADE: dict[str, Callable[[Workspace, History], FactSection | None]] = {
    "failures": _failures,
    "queue": _queue,
    "last_runs": _last_runs,
    "best_runs": _best_runs,
    "stale": _stale,
    "questions": _questions,
}
"""Every section that a mode may name; None where there is nothing to tell."""
