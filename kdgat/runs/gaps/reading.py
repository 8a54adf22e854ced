"""The facts that gaps are found in, read from the history: the SQL of `kdgat suggest`.

Only completed, unarchived runs on captures that did not change since; the history's views leave
removed ones out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kdgat.runs.gaps.facts import (
    METRIC,
    Arena,
    AxisRow,
    DatasetRow,
    DurationRow,
    EffectRow,
    Facts,
    Family,
    Judged,
    ModelRow,
    UseRow,
    WaitingRow,
)
from kdgat.runs.gaps.finding import SHOWN_RUNS
from kdgat.runs.gaps.settings import FEWEST_PAIRS
from kdgat.runs.history import History
from kdgat.runs.scores import JUDGED, Question, named

_MOST_VALUES = 50
"""Values of a field that are compared with each other; of more, a sweep is no longer by hand."""
NEWEST = 10
"""Trainings of a family that say what is in use."""

_CURRENT = """
current AS MATERIALIZED (
    SELECT r.* EXCLUDE (name)
    FROM runs r LEFT JOIN datasets d ON d.name = r.dataset
    WHERE NOT archived AND (d.content_hash IS NULL OR r.dataset_hash = d.content_hash)
)"""
"""Runs that count."""
_COOKED = (
    JUDGED
    + """,
{named},
figured AS (
    SELECT run_id,
        max(value) FILTER (name = 'parameters' AND scenario IS NULL) AS parameters,
        avg(value) FILTER (name = $1 AND contains(scenario, 'known_vehicle')
            AND NOT contains(scenario, 'unknown_vehicle')) AS known,
        avg(value) FILTER (name = $1 AND contains(scenario, 'unknown_vehicle')) AS unknown,
        avg(value) FILTER (
            name = 'auroc' AND contains(scenario, 'unknown_vehicle')) AS unknown_auroc
    FROM metrics
    WHERE subject IS NOT NULL AND name IN ($1, 'auroc', 'parameters')
        AND (scenario IS NULL OR (protocol = $2 AND attack_type = $3))
    GROUP BY run_id
),
cooked AS MATERIALIZED (
    SELECT
        j.*, h.plain, h.kd, coalesce(t.plain, hash(j.teacher)) AS of_teacher, c.made_of,
        CASE WHEN scored = max(scored) OVER (PARTITION BY arena) THEN j.score END AS figure,
        f.parameters, f.known, f.unknown, f.unknown_auroc, r.created_at, r.digest, r.graphs
    FROM judged j
    JOIN runs r ON r.run_id = j.subject
    LEFT JOIN datasets d ON d.name = j.dataset
    LEFT JOIN figured f ON f.run_id = j.evaluation
    LEFT JOIN hashes h ON h.run_id = j.subject
    LEFT JOIN hashes t ON t.run_id = j.teacher
    LEFT JOIN scorers c ON c.run_id = j.subject
    WHERE d.content_hash IS NULL OR j.dataset_hash = d.content_hash
)"""
)
_JUDGED = (
    _COOKED
    + """
SELECT
    provenance, dataset, dataset_hash, windows_key, model, size, distilled, subject, seed,
    CASE WHEN distilled THEN hash(plain, kd, of_teacher, made_of, stage_version)
        ELSE hash(coalesce(plain, hash(subject)), made_of, stage_version) END,
    figure, digest, graphs, teacher, stage_version, created_at, parameters, known, unknown,
    unknown_auroc
FROM cooked ORDER BY subject"""
)
_EFFECTS = (
    _COOKED
    + """,
leaves AS (
    SELECT c.*, p.name AS field, coalesce(p.value, 'null') AS value,
        hash(hash(p.name, p.value)) AS leaf, starts_with(p.name, 'distillation.') AS of_kd
    FROM cooked c JOIN params p ON p.run_id = c.subject
    WHERE figure IS NOT NULL AND plain IS NOT NULL AND p.name IN (SELECT unnest($8::VARCHAR[]))
),
cells AS (
    SELECT
        arena, field, value, seed, hash(model, size, distilled) AS family,
        hash(
            CASE WHEN of_kd THEN plain ELSE xor(plain, leaf) END,
            CASE WHEN distilled THEN CASE WHEN of_kd THEN xor(kd, leaf) ELSE kd END END,
            CASE WHEN distilled THEN of_teacher END,
            made_of, stage_version
        ) AS rest,
        max(subject) AS subject, arg_max(figure, subject) AS figure,
        arg_max(parameters, subject) AS parameters, max(created_at) AS created_at
    FROM leaves
    WHERE distilled OR NOT of_kd
    GROUP BY ALL
),
pairs AS (
    SELECT
        arena, family, field, a.value AS one, b.value AS two, count(*) AS n,
        avg(b.figure - a.figure) AS mean, stddev_samp(b.figure - a.figure) AS spread,
        coalesce(avg(b.parameters - a.parameters), 0) AS parameters,
        max(greatest(a.created_at, b.created_at)) AS since,
        list(a.subject ORDER BY a.subject DESC) AS runs_one,
        list(b.subject ORDER BY b.subject DESC) AS runs_two
    FROM cells a JOIN cells b USING (arena, family, field, seed, rest)
    WHERE a.value < b.value
    GROUP BY ALL
    HAVING n >= $9
),
places AS (
    SELECT arena, hash(model, size, distilled) AS family,
        any_value((provenance, dataset, dataset_hash, windows_key, model, size, distilled)) AS place
    FROM cooked GROUP BY ALL
),
compared AS (
    SELECT place, pairs.*, count(*) OVER (PARTITION BY place[1]) AS compared
    FROM pairs JOIN places USING (arena, family)
)
SELECT place, field, one, two, n, mean, spread, parameters, since, runs_one[:{shown}],
    runs_two[:{shown}], compared
FROM compared WHERE abs(mean) > 2 * spread / sqrt(n)"""
)
"""`rest` stands for all of a config but one field: its leaf is taken out of the hash of them all.
What is nearer to zero than two standard errors can't count after any correction."""
_AXES = f"""
WITH {_CURRENT}
SELECT provenance, dataset, model, size, distilled, name,
    count(DISTINCT coalesce(value, 'null')), any_value(value)
FROM current JOIN params USING (run_id)
WHERE subject IS NULL AND state = 'completed'
    AND name NOT IN ('seed', 'size', 'model.kind', 'distillation.teacher', 'model.scorers')
    AND NOT starts_with(name, 'resources.') AND NOT starts_with(name, 'dataset.')
    AND NOT starts_with(name, 'evaluation.')
    AND (distilled OR NOT starts_with(name, 'distillation.'))
GROUP BY ALL"""
_IN_USE = f"""
WITH {_CURRENT},
newest AS (
    SELECT * FROM current WHERE subject IS NULL
    QUALIFY row_number() OVER (
        PARTITION BY provenance, dataset, model, size, distilled ORDER BY run_id DESC
    ) <= $1
)
SELECT provenance, dataset, model, size, distilled, name, coalesce(value, 'null'), run_id,
    created_at
FROM newest JOIN params USING (run_id) WHERE name IN (SELECT unnest($2::VARCHAR[]))"""
_UNJUDGED = f"""
WITH {_CURRENT},
losses AS (
    SELECT run_id, min(value) AS loss FROM metrics WHERE name = 'best_val_task_loss' GROUP BY run_id
)
SELECT provenance, dataset, model, size, distilled, count(*),
    arg_min(run_id, (coalesce(loss, 'infinity'), -epoch(created_at))), 'completed', NULL
FROM current LEFT JOIN losses USING (run_id)
WHERE subject IS NULL AND state = 'completed' AND run_id NOT IN (
    SELECT subject FROM runs WHERE subject IS NOT NULL
        AND state IN ('completed', 'planned', 'submitted', 'running'))
GROUP BY ALL"""
_BROKEN = f"""
WITH {_CURRENT},
tries AS (
    SELECT *, state IN ('failed', 'timeout', 'preempted', 'lost') AS broke,
        state IN ('completed', 'planned', 'submitted', 'running') AS well,
        (dataset, dataset_hash, digest) AS experiment
    FROM current WHERE subject IS NULL
),
ended AS (
    SELECT *, bool_or(well) OVER later AS mended, count(*) OVER later AS tries_later
    FROM tries
    WINDOW later AS (
        PARTITION BY experiment ORDER BY run_id ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    )
)
SELECT provenance, dataset, model, size, distilled,
    count(*) FILTER (tries_later = 0), max(run_id) FILTER (tries_later = 0),
    arg_max(state, run_id) FILTER (tries_later = 0),
    arg_max(reason, run_id) FILTER (tries_later = 0),
    count(*) FILTER (tries_later > 0), count(*) FILTER (tries_later > 0 AND mended)
FROM ended WHERE broke GROUP BY ALL"""
_DURATIONS = f"""
WITH {_CURRENT}
SELECT provenance, dataset, model, size, distilled, subject IS NOT NULL AS judges,
    median(duration_s), count(*),
    count(*) FILTER (run_id IN (
        SELECT run_id FROM metrics WHERE name = 'measured_allocated_bytes')) > 0
FROM current WHERE state = 'completed' AND duration_s IS NOT NULL
GROUP BY ALL"""
_MODELS = """
SELECT model, version, run_id, list_contains(string_split(aliases, ','), 'champion')
FROM models WHERE run_id IS NOT NULL ORDER BY model, version"""
_MEMORY = f"""
WITH {_CURRENT},
taken AS (
    SELECT run_id, sum(value) AS bytes FROM metrics
    WHERE name IN ('measured_reserved_bytes', 'measured_context_bytes') AND scenario IS NULL
    GROUP BY run_id
)
SELECT provenance, dataset, model, size, distilled, max(run_id), arg_max(folder, run_id),
    max(bytes), count(*), arg_max(seed, run_id)
FROM current JOIN taken USING (run_id)
WHERE subject IS NULL AND state = 'completed' GROUP BY ALL"""


def read_facts(history: History) -> Facts:
    """All that the history tells; memory, cards, questions and stages are joined by the caller."""
    axes = _axes(history)
    varied = sorted({row.field for row in axes if 1 < row.values <= _MOST_VALUES})
    protocols = [
        row[0]
        for row in history.query(
            "SELECT DISTINCT protocol FROM metrics WHERE protocol IS NOT NULL ORDER BY protocol"
        ).rows
    ]
    judged = tuple(row for each in protocols for row in _judged(history, each))
    effects = tuple(row for each in protocols for row in _effects(history, each, varied))
    broken = history.query(_BROKEN).rows
    return Facts(
        trainings=history.query(
            "SELECT count(*) FROM runs WHERE subject IS NULL AND NOT archived"
        ).rows[0][0],
        judged=judged,
        axes=axes,
        effects=effects,
        in_use=_in_use(history, sorted({row.field for row in effects})),
        unjudged=tuple(map(_waiting, history.query(_UNJUDGED).rows)),
        broken=tuple(_waiting(row[:9]) for row in broken if row[5]),
        retried=sum(row[9] for row in broken),
        mended=sum(row[10] for row in broken),
        durations=tuple(
            DurationRow(Family(*row[:5]), *row[5:]) for row in history.query(_DURATIONS).rows
        ),
        models=tuple(ModelRow(*row) for row in history.query(_MODELS).rows),
        datasets=tuple(
            DatasetRow(*row)
            for row in history.query(
                "SELECT name, provenance, content_hash, vehicles FROM datasets "
                "ORDER BY provenance <> 'real', name"
            ).rows
        ),
    )


def measured(history: History) -> list[tuple[Family, str, str, float, int, int]]:
    """What families took of GPUs: newest run, its folder, most bytes, runs, seed of the newest."""
    return [(Family(*row[:5]), *row[5:]) for row in history.query(_MEMORY).rows]


def params_of(history: History, runs: Iterable[str]) -> dict[str, dict[str, str | None]]:
    """The configs of some runs, by run and dotted name."""
    sql = "SELECT run_id, name, value FROM params WHERE run_id IN (SELECT unnest($1::VARCHAR[]))"
    found: dict[str, dict[str, str | None]] = {}
    for run, name, value in history.query(sql, (sorted(set(runs)),)).rows:
        found.setdefault(run, {})[name] = value
    return found


def _judged(history: History, protocol: str) -> tuple[Judged, ...]:
    narrowing = _question(protocol).narrowing()
    rows = history.query(_with_hashes(history, _JUDGED), narrowing).rows
    return tuple(
        Judged._make((_arena(row, protocol), Family._make((*row[:2], *row[4:7])), *row[7:]))
        for row in rows
    )


def _effects(history: History, protocol: str, fields: list[str]) -> tuple[EffectRow, ...]:
    if not fields:
        return ()
    values = (*_question(protocol).narrowing(), fields, FEWEST_PAIRS)
    return tuple(
        _effect(protocol, *row)
        for row in history.query(_with_hashes(history, _EFFECTS), values).rows
    )


def _effect(protocol: str, place: tuple[Any, ...], *row: Any) -> EffectRow:
    family = Family._make((*place[:2], *place[4:]))
    *figures, one, two, compared = row
    return EffectRow._make(
        (_arena(place, protocol), family, *figures, tuple(one), tuple(two), compared)
    )


def _arena(row: tuple[Any, ...], protocol: str) -> Arena:
    return Arena._make((*row[:4], protocol))


def _question(protocol: str) -> Question:
    return Question(METRIC, protocol, include_simulated=True)


def _with_hashes(history: History, sql: str) -> str:
    return sql.replace("{named}", named(history)).replace("{shown}", str(SHOWN_RUNS))


def _axes(history: History) -> tuple[AxisRow, ...]:
    return tuple(AxisRow(Family(*row[:5]), *row[5:]) for row in history.query(_AXES).rows)


def _in_use(history: History, fields: list[str]) -> tuple[UseRow, ...]:
    if not fields:
        return ()
    rows = history.query(_IN_USE, (NEWEST, fields)).rows
    return tuple(UseRow(Family(*row[:5]), *row[5:]) for row in rows)


def _waiting(row: tuple[Any, ...]) -> WaitingRow:
    return WaitingRow(Family(*row[:5]), *row[5:])
