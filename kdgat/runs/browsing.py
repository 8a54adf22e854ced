"""What a SQLite copy of the history has beside the history's own views, and what each table means.

`FIGURES` and `STANDINGS` are tables that only the copy has, `READY` its SQL views. `metadata_of`
says all of it in the words of Datasette's metadata file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kdgat.runs.figures import COSTS, METRICS
from kdgat.runs.views import VIEWS, Column, View

MARK = "kdgat history export"
"""The `source` of a metadata file that was written here."""
_UNITS = {"_s": "s", "_ms": "ms", "_min": "min", "_bytes": "bytes"}
"""Units by the ends of names; `bytes` is one by itself."""
_MOST_LATEST = 200


@dataclass(frozen=True)
class Ready:
    """An SQL view of the copy, for a question that is asked often."""

    name: str
    meaning: str
    columns: tuple[Column, ...]
    sql: str


def _columns(text: str) -> tuple[Column, ...]:
    """Columns from lines of `name KIND meaning`."""
    lines = (line.split(None, 2) for line in text.strip().splitlines())
    return tuple(Column(each[0], each[1], each[2]) for each in lines)


FIGURES = View("figures", "what the names of figures in metrics mean", _columns("""
    name VARCHAR as in metrics.name
    title VARCHAR for the head of a column
    unit VARCHAR its unit; empty for a share or a coefficient
    higher_is_better BOOLEAN whether more of it is better
    low DOUBLE least possible value
    high DOUBLE greatest possible value; NULL where there is none
    caution VARCHAR what to know before ranking by it
"""))  # fmt: skip
STANDINGS = View("standings", "ranks by every figure, as `kdgat leaderboard` has them", _columns("""
    metric VARCHAR the figure that is ranked by
    provenance VARCHAR real, simulated or imported; never compare across
    dataset VARCHAR the dataset's name
    dataset_hash VARCHAR identity of the data; never compare across
    protocol VARCHAR zero_shot or adapted; never compare across
    title VARCHAR what the figures are of; ranks hold within one title
    rank INTEGER 1 is the best; NULL where the figure is undefined
    name VARCHAR dataset-model-size, with -kd where a teacher took part
    model VARCHAR kind of the model
    mean DOUBLE mean over seeds of the model's best config, and over test scenarios
    low DOUBLE lower end of the 95 % interval over seeds; NULL with one seed
    high DOUBLE upper end of it
    seeds INTEGER how many seeds were judged
    configs INTEGER how many configs this one is the best of
    parameters BIGINT trainable parameters
    checkpoint_bytes BIGINT size of the checkpoint
    latency_ms DOUBLE time of one window, where it was judged
    run_id VARCHAR the training run with the best seed
    evaluation VARCHAR the evaluation of it
"""))  # fmt: skip

READY = (
    Ready("leaderboard", "models ranked by F1; compare within one title", _columns("""
        title VARCHAR what the figures are of; ranks hold within one title
        rank INTEGER 1 is the best
        name VARCHAR dataset-model-size, with -kd where a teacher took part
        f1 DOUBLE mean over seeds and test scenarios
        low DOUBLE lower end of the 95 % interval over seeds
        high DOUBLE upper end of it
        seeds INTEGER how many seeds were judged
        configs INTEGER how many configs this one is the best of
        parameters BIGINT trainable parameters
        latency_ms DOUBLE time of one window, where it was judged
        provenance VARCHAR real, simulated or imported; never compare across
        protocol VARCHAR zero_shot or adapted; never compare across
        run_id VARCHAR the training run with the best seed
    """), """
        SELECT title, rank, name, mean AS f1, low, high, seeds, configs, parameters, latency_ms,
            provenance, protocol, run_id
        FROM standings WHERE metric = 'f1'
        ORDER BY provenance != 'real', dataset, protocol DESC, title, rank IS NULL, rank"""),
    Ready("latest_runs", f"the newest {_MOST_LATEST} runs, evaluations included", _columns("""
        run_id VARCHAR its id, which sorts by time
        name VARCHAR dataset-model-size, with -kd where a teacher took part
        stage VARCHAR classifier, evaluation, ...
        state VARCHAR where it is in its life
        seed BIGINT its random seed
        created_at TIMESTAMP when it was planned (UTC)
        duration_min DOUBLE from its first start to its end
        host VARCHAR where it ran last
        archived BOOLEAN put aside; leaderboards leave it out
        reason VARCHAR why it did not complete
    """), f"""
        SELECT run_id, name, stage, state, seed, created_at,
            round(duration_s / 60.0, 2) AS duration_min, host, archived, reason
        FROM runs ORDER BY run_id DESC LIMIT {_MOST_LATEST}"""),
    Ready("failures", "runs that ended without completing, newest first", _columns("""
        run_id VARCHAR its id, which sorts by time
        name VARCHAR dataset-model-size, with -kd where a teacher took part
        stage VARCHAR classifier, evaluation, ...
        state VARCHAR failed, timeout, preempted, lost or cancelled
        reason VARCHAR why it did not complete
        attempts INTEGER how often it was started
        epochs INTEGER epochs that were trained
        job_state VARCHAR the scheduler's word, where one had the run
        host VARCHAR where it ran last
        ended_at TIMESTAMP when it ended (UTC)
    """), """
        SELECT r.run_id, r.name, r.stage, r.state, r.reason, r.attempts,
            (SELECT count(DISTINCT e.epoch) FROM epochs e WHERE e.run_id = r.run_id) AS epochs,
            (SELECT j.state FROM jobs j WHERE j.run_id = r.run_id
             ORDER BY j.submitted_at DESC LIMIT 1) AS job_state,
            r.host, r.ended_at
        FROM runs r
        WHERE r.state IN ('failed', 'timeout', 'preempted', 'lost', 'cancelled')
        ORDER BY r.run_id DESC"""),
    Ready("evaluations", "figures by evaluation, protocol and scenario, all attacks", _columns("""
        run_id VARCHAR the evaluation
        subject VARCHAR the run it judged
        name VARCHAR dataset-model-size of that run
        provenance VARCHAR real, simulated or imported; never compare across
        protocol VARCHAR zero_shot or adapted; never compare across
        scenario VARCHAR test scenario
        f1 DOUBLE F1
        auroc DOUBLE AUROC; says nothing of the threshold
        precision DOUBLE precision
        recall DOUBLE recall
        mcc DOUBLE MCC
        false_alarms_per_hour DOUBLE false alarms
        delay_s DOUBLE detection delay, of detected attacks alone
    """), """
        SELECT m.run_id, m.subject, r.name, m.provenance, m.protocol, m.scenario,
            max(CASE m.name WHEN 'f1' THEN m.value END) AS f1,
            max(CASE m.name WHEN 'auroc' THEN m.value END) AS auroc,
            max(CASE m.name WHEN 'precision' THEN m.value END) AS precision,
            max(CASE m.name WHEN 'recall' THEN m.value END) AS recall,
            max(CASE m.name WHEN 'mcc' THEN m.value END) AS mcc,
            max(CASE m.name WHEN 'false_alarms_per_hour' THEN m.value END)
                AS false_alarms_per_hour,
            max(CASE m.name WHEN 'delay_s' THEN m.value END) AS delay_s
        FROM metrics m JOIN runs r ON r.run_id = m.run_id
        WHERE m.subject IS NOT NULL AND m.attack_type = 'all'
        GROUP BY m.run_id, m.subject, r.name, m.provenance, m.protocol, m.scenario
        ORDER BY m.run_id DESC, m.protocol DESC, m.scenario"""),
    Ready("durations", "how long completed runs took, by what they are of", _columns("""
        name VARCHAR dataset-model-size, with -kd where a teacher took part
        stage VARCHAR classifier, evaluation, ...
        host VARCHAR where they ran
        runs INTEGER completed runs
        mean_min DOUBLE mean duration
        longest_min DOUBLE longest duration
    """), """
        SELECT name, stage, host, count(*) AS runs, round(avg(duration_s) / 60.0, 2) AS mean_min,
            round(max(duration_s) / 60.0, 2) AS longest_min
        FROM runs WHERE state = 'completed' AND duration_s IS NOT NULL
        GROUP BY name, stage, host ORDER BY mean_min DESC"""),
    Ready("open_questions", "questions that nobody answered yet", _columns("""
        id VARCHAR the number of its file, such as 0003
        title VARCHAR the question
        hypothesis VARCHAR what may turn out wrong
        tags VARCHAR comma-separated
        runs INTEGER runs linked as evidence
        opened TIMESTAMP the day it was written down
    """), """
        SELECT id, title, hypothesis, tags, runs, opened
        FROM questions WHERE status = 'open' ORDER BY id"""),
)  # fmt: skip
"""The views that every copy has."""

TABLES = (*VIEWS.values(), FIGURES, STANDINGS)
"""The tables of a copy, with the history's own first."""
_FACETS = {
    "runs": ["dataset", "stage", "state"],
    "metrics": ["protocol", "provenance"],
    "standings": ["metric", "protocol", "provenance"],
    "evaluations": ["protocol", "provenance"],
    "failures": ["state"],
    "questions": ["status"],
}


def metadata_of(database: str, made: str) -> dict[str, Any]:
    """Datasette's metadata for a copy.

    Args:
        database: the name Datasette gives the file, which is its own without the ending.
        made: when and from what it was made, in words.
    """
    tables = {view.name: _described(view.name, view.meaning, view.columns) for view in TABLES}
    tables |= {each.name: _described(each.name, each.meaning, each.columns) for each in READY}
    tables["runs"] |= {"label_column": "name", "sort_desc": "run_id"}
    tables["figures"] |= {"label_column": "title"}
    return {
        "title": "kdgat: run history",
        "source": MARK,
        "description": f"{made} Times are UTC. Keep provenance, dataset_hash and protocol apart.",
        "databases": {database: {"description": made, "tables": tables}},
    }


def figure_rows() -> list[tuple[object, ...]]:
    """The rows of `figures`."""
    return [
        (each.name, each.title, each.unit, each.higher_is_better, each.low, each.high, each.caution)
        for each in (METRICS | COSTS).values()
    ]


def unit_of(column: str) -> str:
    """The unit that a column's name ends with; empty where it names none."""
    if column in METRICS or column in COSTS:
        return (METRICS | COSTS)[column].unit
    return next((unit for end, unit in _UNITS.items() if f"_{column}".endswith(end)), "")


def _described(name: str, meaning: str, columns: Iterable[Column]) -> dict[str, Any]:
    texts = {each.name: _with_unit(each) for each in columns}
    facets = {"facets": _FACETS[name]} if name in _FACETS else {}
    return {"description": f"{meaning[:1].upper()}{meaning[1:]}.", "columns": texts, **facets}


def _with_unit(column: Column) -> str:
    unit = unit_of(column.name)
    return f"{column.meaning} ({unit})" if unit else column.meaning
