"""The leaderboard as a page: real and simulated data under headings of their own."""

from __future__ import annotations

from kdgat.ops.analytics import Leaderboard
from kdgat.reference.markdown import code, prose, table
from kdgat.runs.leaderboard import LeaderboardTable, Standing, short_names
from kdgat.runs.statistics import Estimate

_HEAD = "---\nhide:\n  - navigation\n---\n\n# Leaderboard"
_INTRO = (
    "Made from the history of this workspace when the site was built: `kdgat leaderboard` shows "
    "the same. One row for each model, its best config, the mean over its seeds; only official "
    "test captures count. What the columns and intervals mean is in the "
    "[guide](guide/analytics.md#leaderboard)."
)
_EMPTY = (
    '!!! info "No run has been evaluated here yet"\n'
    "    `kdgat quickstart` trains and judges three models on simulated traffic within minutes; "
    "build the site again and they stand here."
)
_KINDS = {
    "real": ("Real cars", "Recorded on cars."),
    "imported": ("Imported", "Brought in with figures or captures that kdgat did not check."),
    "simulated": (
        "Simulated traffic",
        "These figures show that the code works. They say nothing of a real car.",
    ),
}


def leaderboard_page(board: Leaderboard | None) -> str:
    """The page; None where nothing was judged."""
    parts = [_HEAD, _INTRO]
    if board is None or not board.tables:
        return "\n\n".join((*parts, _EMPTY)) + "\n"
    kinds = {**_KINDS, **{each.provenance: (each.provenance, "") for each in board.tables
                          if each.provenance not in _KINDS}}  # fmt: skip
    for kind, (title, meaning) in kinds.items():
        tables = [each for each in board.tables if each.provenance == kind]
        if tables:
            parts += [f"## {title}", *filter(None, (meaning,)), *map(_standings, tables)]
    if board.notes:
        parts += ["## Before believing it", "\n".join(f"- {prose(note)}" for note in board.notes)]
    return "\n\n".join(parts) + "\n"


def _standings(found: LeaderboardTable) -> str:
    """Ranks and figures, what the models cost, what the scenarios' short names stand for."""
    names = [scenario.name for scenario in found.scenarios]
    short = short_names(names)
    several = len(names) > 1
    ranks = table(
        ("#", "model", f"{found.metric}, mean" if several else found.metric, "95 % interval",
         *(short if several else ()), "seeds"),
        ((row.rank or "-", row.name, f"**{_mean(row.score)}**", _interval(row.score),
          *(_mean(row.scenarios.get(name)) for name in names if several), row.seeds)
         for row in found.rows),
    )  # fmt: skip
    costs = table(
        ("model", "parameters", "ms a window", "configs tried", "run of the best seed"),
        ((row.name, _count(row.parameters), _latency(row), row.configs, code(row.run_id))
         for row in found.rows),
    )  # fmt: skip
    scenarios = (
        f"- {code(name)}: {_count(each.windows)} windows, "
        f"{_count(each.attack_windows)} with attacks"
        for name, each in zip(names, found.scenarios, strict=True)
    )
    head = f"### {found.dataset}: {found.metric}, {prose(found.protocol)}"
    beaten = "\n".join(f"- **Baseline ahead.** {prose(each.words(found.metric))}"
                       for each in found.beaten)  # fmt: skip
    parts = (head, prose(found.title) + ".", ranks, costs, "\n".join(scenarios), beaten)
    return "\n\n".join(filter(None, parts))


def _mean(score: Estimate | None) -> str:
    return "-" if score is None else f"{score.mean:.4f}"


def _interval(score: Estimate | None) -> str:
    if score is None or score.low is None or score.high is None:
        return "-"
    return f"{score.low:.4f} to {score.high:.4f}"


def _latency(row: Standing) -> str:
    return "-" if row.latency_ms is None else f"{row.latency_ms:.2f}"


def _count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}"
