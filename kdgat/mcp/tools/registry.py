"""The tool `registry`: model versions, and models held against each other.

Promotion is not here: whom others are compared with is the user's to decide, with his reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from kdgat.errors import RunError
from kdgat.mcp.answers import Cursor, Limit
from kdgat.mcp.tools.tables import TableAnswer, table
from kdgat.workspace import Workspace

Action = Literal["list", "show", "diff", "leaderboard", "pareto", "effect"]
_EVENTS = 5
"""Decisions on a model that are told, newest first."""


def registry(
    ws: Workspace,
    *,
    action: Action = "list",
    models: Annotated[
        list[str], Field(description="show: MODEL or MODEL@3; diff: two, or @champion")
    ] = [],  # noqa: B006 nobody changes it
    field: Annotated[str, Field(description="effect: such as model.hidden")] = "",
    dataset: str = "",
    metric: str = "f1",
    cursor: Cursor = "",
    limit: Limit = 20,
) -> TableAnswer:
    """Models: registered versions, the leaderboard, figure against size, a field's effect.

    Use when asked which model is best, what a champion is made of, what a setting does.
    Not when single runs are wanted (runs). Promoting is the user's: `kdgat models promote`.
    """
    if action == "list":
        return _listed(ws, cursor, limit)
    if action == "show":
        return _shown(ws, _named(models, 1)[0], cursor, limit)
    if action == "diff":
        return _differing(ws, _named(models, 2), cursor, limit)
    if action == "leaderboard":
        return _leaderboard(ws, dataset or None, metric, cursor, limit)
    if action == "pareto":
        return _pareto(ws, dataset or None, metric, cursor, limit)
    return _effect(ws, field, dataset or None, metric, cursor, limit)


def _listed(ws: Workspace, cursor: str, limit: int) -> TableAnswer:
    from kdgat.ops.models import list_models

    rows = [
        (each.model, each.provenance, each.versions, each.newest, each.champion, each.challenger)
        for each in list_models(ws).items
    ]
    columns = ("model", "provenance", "versions", "newest", "champion", "challenger")
    hint = "" if rows else "the user registers a run's model with `kdgat models register RUN`"
    return table("registered models", columns, rows, cursor, limit, hint=hint)


def _shown(ws: Workspace, model: str, cursor: str, limit: int) -> TableAnswer:
    from kdgat.ops.models import show_model

    view = show_model(ws, model)
    tags = ("teacher", "seed", "provenance", "commit", "digest")
    rows = [
        (each.version, each.run_id, each.aliases, each.registered_at, *map(each.tags.get, tags))
        for each in view.versions
    ]
    columns = ("version", "run_id", "aliases", "registered_at", *tags)
    notes = []
    for event in view.history[: -_EVENTS - 1 : -1]:
        which = f" version {event.version}" if event.version else ""
        said = (event.time[:10], event.kind + which, event.alias, event.reason)
        notes.append(" ".join(filter(None, said)))
    return table(f"model {view.model}", columns, rows, cursor, limit, notes=notes)


def _differing(ws: Workspace, models: Sequence[str], cursor: str, limit: int) -> TableAnswer:
    from kdgat.ops.models import diff_models

    found = diff_models(ws, models[0], models[1])
    parts = (("metrics", found.metrics), ("params", found.config), ("lineage", found.lineage))
    rows = [
        (f"{part}.{each.name}", each.first, each.second)
        for part, differences in parts
        for each in differences
    ]
    columns = ("what", found.first.reference, found.second.reference)
    return table("what two versions don't share", columns, rows, cursor, limit)


def _leaderboard(
    ws: Workspace, dataset: str | None, metric: str, cursor: str, limit: int
) -> TableAnswer:
    from kdgat.ops.analytics import leaderboard

    found = leaderboard(ws, dataset=dataset, metric=metric)
    rows: list[Sequence[Any]] = []
    for number, board in enumerate(found.tables, 1):
        for row in board.rows:
            score = row.score
            of_score = (score.mean, score.low, score.high) if score else (None, None, None)
            rows.append((
                number, row.rank, row.name, row.run_id, *of_score, row.seeds, row.configs,
                row.parameters, row.latency_ms,
            ))  # fmt: skip
    columns = (
        "board", "rank", "name", "run_id", metric, "low", "high", "seeds", "configs",
        "parameters", "latency_ms",
    )  # fmt: skip
    boards = [f"board {number}: {each.title}" for number, each in enumerate(found.tables, 1)]
    beaten = [
        f"board {number}: {each.words(board.metric)}"
        for number, board in enumerate(found.tables, 1)
        for each in board.beaten
    ]
    notes = (*boards, *beaten, *found.notes)
    return table("leaderboard", columns, rows, cursor, limit, notes=notes)


def _pareto(
    ws: Workspace, dataset: str | None, metric: str, cursor: str, limit: int
) -> TableAnswer:
    from kdgat.ops.analytics import pareto

    found = pareto(ws, dataset=dataset, metric=metric)
    rows = [
        (number, point.name, point.run_id, point.cost, point.score.mean, point.dominated_by)
        for number, front in enumerate(found.fronts, 1)
        for point in (*front.front, *front.dominated)
    ]
    columns = ("front", "name", "run_id", "parameters", metric, "dominated_by")
    fronts = [f"front {number}: {each.title}" for number, each in enumerate(found.fronts, 1)]
    cautions = dict.fromkeys(each for front in found.fronts for each in front.cautions)
    notes = (*fronts, *cautions, *found.notes)
    return table(f"{metric} against parameters", columns, rows, cursor, limit, notes=notes)


def _effect(
    ws: Workspace, field: str, dataset: str | None, metric: str, cursor: str, limit: int
) -> TableAnswer:
    from kdgat.ops.analytics import effect

    found = effect(ws, field, dataset=dataset, metric=metric)
    paired = {each.value: each for each in found.paired}
    rows: list[Sequence[Any]] = []
    for each in found.values:
        pair = paired.get(each.value)
        change = pair.difference if pair else None
        of_change = (change.mean, change.low, change.high) if change else (None, None, None)
        score = each.score
        seen = (each.value, score.mean, score.low, score.high, score.n)
        rows.append((*seen, *of_change, pair.pairs if pair else None))
    columns = (
        found.axis, found.metric, "low", "high", "runs",
        "paired_difference", "paired_low", "paired_high", "pairs",
    )  # fmt: skip
    confounded = ", ".join(each.field for each in found.confounders)
    notes = (f"confounded with {confounded}",) if confounded else ()
    title = (
        f"{found.axis} against {found.what}, {found.dataset} ({found.provenance}, {found.protocol})"
    )
    return table(title, columns, rows, cursor, limit, notes=(*notes, *found.cautions))


def _named(models: Sequence[str], count: int) -> Sequence[str]:
    if len(models) != count:
        asked = "one model is shown" if count == 1 else "two models are held against each other"
        raise RunError(
            f"{asked} at a time, and `models` names {len(models)}",
            hint="registry(action='list') names them; give MODEL, MODEL@3 or MODEL@champion",
        )
    return models
