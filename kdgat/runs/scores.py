"""Evaluated models as history has them: one score a training run, one row a recipe.

A recipe is what a run was trained with, its seed apart: two runs of one recipe are repetitions.
Only scores of one arena compare: the same provenance, dataset content, protocol and test windows.
"""

from __future__ import annotations

from dataclasses import dataclass

from kdgat.errors import RunError, did_you_mean
from kdgat.runs.figures import Metric, metric_named
from kdgat.runs.history import History
from kdgat.runs.statistics import Estimate, from_moments


@dataclass(frozen=True)
class Question:
    """What is asked of evaluations."""

    metric: str = "f1"
    protocol: str = "zero_shot"
    attack_type: str = "all"
    scenario: str | None = None
    """One scenario, or the mean over all of them."""
    dataset: str | None = None
    include_simulated: bool = False
    """Simulated data too; a dataset asked for by name is never left out."""
    runs: tuple[str, ...] = ()
    """Only these training runs; empty for all."""

    @property
    def figure(self) -> Metric:
        """The metric that is asked for."""
        return metric_named(self.metric)

    @property
    def wanted(self) -> str:
        """The figure in words."""
        where = self.scenario or "mean over scenarios"
        of = "" if self.attack_type == "all" else f" on {self.attack_type}"
        return f"{self.figure.label}{of}, {where}"

    def narrowing(self) -> tuple[object, ...]:
        """The values of `JUDGED`, in its order."""
        everything = self.include_simulated or self.dataset is not None or bool(self.runs)
        return (
            self.metric, self.protocol, self.attack_type, self.scenario, self.dataset, everything,
            list(self.runs),
        )  # fmt: skip


@dataclass(frozen=True, order=True)
class Arena:
    """Where scores compare: nothing of this may differ within one table."""

    provenance: str
    dataset: str
    dataset_hash: str
    windows_key: int
    """Stands for the scenarios and the number of windows and attack windows in each."""


@dataclass(frozen=True)
class Recipe:
    """What was trained with one config, over its seeds."""

    arena: Arena
    model: str
    size: str
    distilled: bool
    key: int
    score: Estimate | None
    """None where the figure is undefined in a scenario in which others have it."""
    configs: int
    """Recipes of this model, size and distillation in the arena: one was chosen of so many."""
    runs: tuple[str, ...]
    """Training runs, best first, one a seed."""
    evaluations: tuple[str, ...]
    """The evaluation of each."""

    @property
    def name(self) -> str:
        """Dataset, model, size, and kd where a teacher took part."""
        kd = "-kd" if self.distilled else ""
        return f"{self.arena.dataset}-{self.model}-{self.size}{kd}"


FIGURES = """
figures AS (
    SELECT
        run_id,
        round(avg(value) FILTER (name = $1), 12) AS score,
        count(value) FILTER (name = $1) AS scored,
        coalesce(bit_xor(hash(hash(scenario, name, value))) FILTER (name <> $1), 0) AS windows_key
    FROM metrics
    WHERE protocol = $2 AND attack_type = $3 AND ($4 IS NULL OR scenario = $4)
        AND ($5 IS NULL OR dataset = $5)
        AND name IN ($1, 'windows', 'attack_windows')
    GROUP BY run_id
    HAVING count(*) FILTER (name = $1) > 0
)"""
"""Of each evaluation the mean over scenarios, and what stands for its test windows.

The hash is hashed again: DuckDB joins the hashes of several columns by xor, so that in an xor over
rows equal values would cancel, and values that changed places would not be seen.
"""

JUDGED = (
    "WITH"
    + FIGURES
    + """,
judged AS MATERIALIZED (
    SELECT
        s.provenance, s.dataset, e.dataset_hash, f.windows_key, s.model, s.size, s.distilled,
        s.seed, s.teacher, s.stage_version, s.run_id AS subject, e.run_id AS evaluation,
        f.scored, f.score,
        hash(s.provenance, s.dataset, e.dataset_hash, f.windows_key) AS arena
    FROM runs e
    JOIN figures f ON f.run_id = e.run_id
    JOIN runs s ON s.run_id = e.subject
    WHERE e.state = 'completed' AND s.state = 'completed' AND NOT e.archived AND NOT s.archived
        AND ($5 IS NULL OR s.dataset = $5)
        AND ($6 OR s.provenance <> 'simulated')
        AND (len($7::VARCHAR[]) = 0 OR s.run_id IN (SELECT unnest($7::VARCHAR[])))
    QUALIFY row_number() OVER (
        PARTITION BY e.subject ORDER BY e.stage_version DESC, e.created_at DESC, e.run_id DESC
    ) = 1
)"""
)
"""One row a training run: its newest evaluation by the newest version of the evaluation's code.

Parameters: metric, protocol, attack type, scenario or NULL, dataset or NULL, simulated too,
training runs or [].
"""

HASHES = """
SELECT
    run_id,
    bit_xor(leaf) FILTER (NOT kd) AS plain,
    coalesce(bit_xor(leaf) FILTER (kd), 0) AS kd
FROM (
    SELECT run_id, hash(hash(name, value)) AS leaf, starts_with(name, 'distillation.') AS kd
    FROM {rows}
    WHERE name NOT IN ('seed', 'dataset.citation', 'distillation.teacher', 'model.scorers')
        AND NOT starts_with(name, 'resources.') AND NOT starts_with(name, 'evaluation.')
)
GROUP BY run_id
"""
"""What stands for a run's config, and apart from the rest for how it was distilled.

Other runs that it names are left out: they differ from seed to seed.
"""

NAMED = """
weighed AS MATERIALIZED (
    SELECT p.run_id, unnest(regexp_extract_all(p.value, '"([^"]+)"', 1)) AS scorer
    FROM params p WHERE p.name = 'model.scorers' AND p.run_id IN (SELECT subject FROM judged)
),
hashes AS MATERIALIZED ({hashes}),
scorers AS MATERIALIZED (
    SELECT w.run_id, hash(list_sort(list(coalesce(hash(h.plain, h.kd), hash(scorer))))) AS made_of
    FROM weighed w LEFT JOIN hashes h ON h.run_id = w.scorer
    GROUP BY w.run_id
)"""
"""After `JUDGED`: the hashes of runs' configs, and what stands for those of the models that a
fusion weighs, so that fusions of equally trained models are one recipe."""
AMONG = """run_id IN (
    SELECT subject FROM judged UNION ALL SELECT teacher FROM judged UNION ALL
    SELECT scorer FROM weighed
)"""
"""The runs whose hashes `NAMED` needs."""

_RECIPES = (
    JUDGED
    + """,
{named},
cooked AS (
    SELECT
        subject, evaluation, seed, arena, score, scored,
        max(scored) OVER (PARTITION BY arena) AS most,
        hash(arena, model, size, distilled) AS family,
        CASE WHEN distilled
            THEN hash(h.plain, h.kd, coalesce(t.plain, hash(teacher)), made_of, stage_version)
            ELSE hash(coalesce(h.plain, hash(subject)), made_of, stage_version)
        END AS recipe
    FROM judged
    LEFT JOIN hashes h ON h.run_id = subject
    LEFT JOIN hashes t ON t.run_id = teacher
    LEFT JOIN scorers c ON c.run_id = subject
),
repeated AS MATERIALIZED (
    SELECT
        recipe, max(subject) AS subject,
        arg_max(family, subject) AS family, arg_max(evaluation, subject) AS evaluation,
        arg_max({{'score': CASE WHEN scored = most THEN score END}}, subject).score AS score
    FROM cooked
    GROUP BY arena, recipe, seed
),
averaged AS (
    SELECT
        family, recipe, count(score) AS n, round(avg(score), 12) AS mean,
        round(stddev_samp(score), 12) AS spread, min(subject) AS first
    FROM repeated
    GROUP BY family, recipe
),
families AS (
    SELECT
        family, count(*) AS configs,
        arg_min(recipe, {{
            'none': mean IS NULL, 'mean': coalesce(-({sign} * mean), 0), 'n': -n, 'first': first
        }}) AS best
    FROM averaged
    GROUP BY family
),
listed AS (
    SELECT
        a.first, a.recipe, a.n, a.mean, a.spread, f.configs,
        list(r.subject ORDER BY {sign} * r.score DESC NULLS LAST, r.subject) AS runs,
        list(r.evaluation ORDER BY {sign} * r.score DESC NULLS LAST, r.subject) AS evaluations
    FROM averaged a
    JOIN families f ON f.family = a.family AND ({every} OR f.best = a.recipe)
    JOIN repeated r ON r.family = a.family AND r.recipe = a.recipe
    GROUP BY a.family, a.first, a.recipe, a.n, a.mean, a.spread, f.configs
)
SELECT
    provenance, dataset, dataset_hash, windows_key, model, size, distilled,
    recipe, n, mean, spread, runs, evaluations, configs
FROM listed
JOIN judged ON subject = first
ORDER BY provenance, dataset, {sign} * mean DESC NULLS LAST, n DESC, runs[1]
"""
)
"""Recipes of one model, size and distillation in one arena are a `family`. Text is carried along no
further than it must be: to group by it takes several times as long as by its hash."""


def recipes(history: History, question: Question, *, best_only: bool = False) -> list[Recipe]:
    """The evaluated recipes of every arena, best first within it.

    A seed that was trained or judged several times counts once, with its newest. Where a figure is
    undefined for some models in a scenario, those have no score rather than a mean over fewer.

    Args:
        history: the open history.
        question: which figure of which runs.
        best_only: only the best of each model, size and distillation.

    Raises:
        RunError: there is no such metric, or nothing to compare.
    """
    figure = question.figure
    sign = 1 if figure.higher_is_better else -1
    sql = _RECIPES.format(sign=sign, named=named(history), every=not best_only)
    rows = history.query(sql, question.narrowing()).rows
    if not rows:
        raise nothing_to_compare(history, question)
    return [_recipe(figure, row) for row in rows]


def named(history: History) -> str:
    """`NAMED` with the hashes that it needs."""
    return NAMED.format(hashes=history.digest("hashes", "params", HASHES, among=AMONG))


def _recipe(figure: Metric, row: tuple) -> Recipe:
    *arena, model, size, distilled, key, n, mean, spread, runs, evaluations, configs = row
    score = from_moments(n, mean, spread).within(figure.low, figure.high) if n else None
    return Recipe(
        Arena(*arena), model, size, distilled, key, score, configs, tuple(runs), tuple(evaluations)
    )


def nothing_to_compare(history: History, question: Question) -> RunError:
    """Why no evaluation fits, with the next step."""
    asked = {
        "dataset": question.dataset,
        "protocol": question.protocol,
        "attack_type": question.attack_type,
        "scenario": question.scenario,
    }
    for column, value in asked.items():
        known = _known(history, column)
        if value is not None and known and value not in known:
            what = column.replace("_", " ")
            return RunError(
                f"no evaluation has the {what} '{value}'", hint=did_you_mean(value, known)
            )
    simulated = history.query(
        "SELECT count(*) FROM runs WHERE subject IS NOT NULL AND state = 'completed'"
        " AND provenance = 'simulated' AND NOT archived"
    ).rows[0][0]
    if simulated and not question.include_simulated and question.dataset is None:
        return RunError(
            "no model was judged on real data yet",
            hint=f"{simulated} evaluations are of simulated data: add --include-simulated",
        )
    return RunError(
        "no evaluation fits, so there is nothing to compare",
        hint="`kdgat evaluate latest` judges the newest trained run; archived runs are left out",
    )


def scenario_named(history: History, beginning: str) -> str:
    """The scenario with this name, or the one whose name begins so: `test_04` will do.

    Raises:
        RunError: no evaluation has such a scenario, or several fit.
    """
    known = _known(history, "scenario")
    fitting = [name for name in known if name.startswith(beginning)]
    if beginning in known or not known:
        return beginning
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise RunError(
            f"'{beginning}' fits {len(fitting)} scenarios",
            hint=f"choose: {', '.join(sorted(fitting))}",
        )
    hint = did_you_mean(beginning, known)
    raise RunError(f"no evaluation has the scenario '{beginning}'", hint=hint)


def _known(history: History, column: str) -> list[str]:
    sql = (
        f"SELECT DISTINCT {column} FROM metrics WHERE {column} IS NOT NULL AND subject IS NOT NULL"
    )
    return [row[0] for row in history.query(sql).rows]
