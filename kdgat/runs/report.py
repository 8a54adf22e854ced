"""The report: what history says of some runs as one HTML page that needs nothing beside it.

The page has no script, loads nothing, and says so to the browser (Content-Security-Policy).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from kdgat.runs.drawing import MOST_SERIES
from kdgat.runs.figures import METRICS, Metric, cost_named
from kdgat.runs.history import History
from kdgat.runs.leaderboard import LeaderboardTable, Standing, short_names, tables
from kdgat.runs.pareto import Cost, ParetoFront, front_of
from kdgat.runs.pareto_plot import figure_range, pareto_plot
from kdgat.runs.plots import Bars, Curve, learning_curves, scenario_bars
from kdgat.runs.protocols import each_protocol
from kdgat.runs.scores import Question, recipes
from kdgat.runs.statistics import Estimate

_MOST_POINTS = 300
"""Dominated points that a plot draws, and a table lists."""
_NONE = "\N{EN DASH}"
_LOSSES = ("val_task_loss", "train_task_loss")


@dataclass(frozen=True)
class Provenance:
    """Where one run comes from: enough to find its code, its data and its config, and repeat it."""

    run_id: str
    name: str
    stage: str
    provenance: str
    seed: int
    digest: str
    dataset: str
    dataset_hash: str
    git_commit: str | None
    git_dirty: bool | None
    torch: str | None
    host: str | None
    started_at: str
    duration_s: float | None
    state: str
    archived: bool
    command: str | None
    """As it was typed; None where the run's record does not tell."""


@dataclass(frozen=True)
class Picture:
    """A plot and what to say under it."""

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Section:
    """One table of comparable models with its plots."""

    table: LeaderboardTable
    figure: Metric
    short: tuple[str, ...]
    bars: Picture
    pareto: tuple[Picture, ...]
    fronts: tuple[ParetoFront, ...]
    curves: tuple[Picture, ...]
    chosen: bool
    """Whether a row is the best of several recipes."""

    @property
    def simulated(self) -> bool:
        """Whether its figures say nothing of a real car."""
        return self.table.provenance == "simulated"


@dataclass(frozen=True)
class ReportPage:
    """All that the page shows."""

    sections: tuple[Section, ...]
    runs: tuple[str, ...]
    """Every run shown: trainings and the evaluations of them."""


def gather(history: History, question: Question, protocol: str | None = None) -> ReportPage:
    """The sections for a question; with runs named every one of them is shown, not only the best.

    Args:
        history: the open history.
        question: what is asked; its protocol does not count.
        protocol: what the models may know of a test capture; None for every protocol that there is,
            in sections of its own.

    Raises:
        RunError: there is no such metric, or nothing to compare.
    """
    pairs = each_protocol(_tables, history, question, protocol)
    pairs.sort(key=lambda pair: pair[0].provenance != "real")
    sections = tuple(
        _section(history, question, number, table, whole)
        for number, (table, whole) in enumerate(pairs, start=1)
    )
    rows = [row for section in sections for row in section.table.rows]
    runs = [run for row in rows for run in (*row.runs, row.evaluation)]
    return ReportPage(sections, tuple(dict.fromkeys(runs)))


def _tables(
    history: History, question: Question
) -> tuple[tuple[LeaderboardTable, LeaderboardTable], ...]:
    """Each table to show, and the same with every recipe."""
    every = recipes(history, question)
    best = every if question.runs else recipes(history, question, best_only=True)
    shown, whole = tables(history, question, best), tables(history, question, every)
    return tuple(zip(shown, whole, strict=True))


def _section(
    history: History,
    question: Question,
    number: int,
    table: LeaderboardTable,
    whole: LeaderboardTable,
) -> Section:
    costs: tuple[Cost, ...] = ("parameters", "latency_ms")
    fronts = tuple(front_of(history, question.figure, cost, whole) for cost in costs)
    short = tuple(short_names([scenario.name for scenario in table.scenarios]))
    return Section(
        table=table,
        figure=question.figure,
        short=short,
        bars=_bars(f"s{number}-bars", question.figure, table, short),
        pareto=tuple(
            _front_picture(f"s{number}-{front.cost}", question.figure, front)
            for front in fronts
            if front.front
        ),
        fronts=fronts,
        curves=_curves(history, f"s{number}-curve", table.rows),
        chosen=any(row.configs > 1 for row in table.rows),
    )


def _bars(key: str, figure: Metric, table: LeaderboardTable, short: Sequence[str]) -> Picture:
    rows = table.rows[:MOST_SERIES]
    models = [
        Bars(label, tuple(row.scenarios[each.name] for each in table.scenarios))
        for label, row in zip(_labels(rows), rows, strict=True)
    ]
    names = []
    for code, scenario in zip(short, table.scenarios, strict=True):
        words = scenario.name.removeprefix(code).strip("_").split("_")
        half = (len(words) + 1) // 2
        names.append("\n".join([code, " ".join(words[:half]), " ".join(words[half:])]).strip())
    better = "Higher" if figure.higher_is_better else "Lower"
    caption = f"{figure.label} in each test scenario. {better} is better; bars begin at zero."
    if any(row.seeds > 1 for row in rows):
        caption += (
            " Lines with caps are 95 % t-intervals over seeds; a bar without one is a single seed."
        )
    else:
        caption += " Every bar is a single seed, so there are no intervals."
    return Picture(scenario_bars(key, figure, names, models), caption + _cut(len(table.rows)))


def _front_picture(key: str, figure: Metric, front: ParetoFront) -> Picture:
    cost = cost_named(front.cost)
    dominated = front.dominated[:_MOST_POINTS]
    caption = (
        f"{figure.label}, mean over scenarios, against {cost.title}. {_on_the_front(front)} "
        f"{_shown_range(figure, front)}"
    )
    if len(front.front) > 1:
        caption += " The blue steps join the front."
    if any(point.score.low is not None for point in (*front.front, *dominated)):
        caption += " Grey lines with caps are 95 % t-intervals over seeds."
    if len(dominated) < len(front.dominated):
        caption += f" Of those beaten, the best {_MOST_POINTS} are drawn."
    return Picture(
        pareto_plot(key, figure, cost, front.front, dominated),
        " ".join([caption, *(f"{note[:1].upper()}{note[1:]}." for note in front.cautions)]),
    )


def _on_the_front(front: ParetoFront) -> str:
    """How many are, in a sentence."""
    count, all_of_them = len(front.front), len(front.front) + len(front.dominated)
    if all_of_them == 1:
        return "There is one config, so it is the front."
    many = f"{count} of {all_of_them} configs {'is' if count == 1 else 'are'} on the front:"
    return f"{many} no other is at least as good at both and better at one."


def _shown_range(figure: Metric, front: ParetoFront) -> str:
    """What the vertical axis shows, where that is a part of what the figure can be."""
    low, high = figure_range(figure, (*front.front, *front.dominated[:_MOST_POINTS]))
    if figure.low is None or low <= figure.low:
        return "The vertical axis is whole."
    if figure.high is None:
        return f"The vertical axis does not begin at {figure.low:g}, but at {low:.3g}."
    told = f"{low:.2f} to {min(high, figure.high):.2f}"
    return f"The vertical axis shows {told} of the whole {figure.low:g} to {figure.high:g}."


def _curves(history: History, key: str, rows: Sequence[Standing]) -> tuple[Picture, ...]:
    """One picture for each stage: losses of different kinds share no axis."""
    runs = [row.run_id for row in rows]
    stages, best = _stages(history, runs), _best_epochs(history, runs)
    epochs = _epochs(history, runs)
    panels: dict[str, list[Curve]] = defaultdict(list)
    for style, (row, label) in enumerate(zip(rows[:MOST_SERIES], _labels(rows), strict=False)):
        if row.run_id in epochs:
            curve = _curve(label, style, epochs[row.run_id], best.get(row.run_id))
            panels[stages[row.run_id]].append(curve)
    pictures = []
    for stage, curves in panels.items():
        caption = (
            f"Task loss of each {stage}'s best seed. Solid: validation; dashed: training; ringed: "
            f"the epoch whose weights are judged.{_cut(len(rows))}"
        )
        if any(len(curve.epochs) == 1 for curve in curves):
            caption += " Of a single epoch, filled: validation; hollow: training."
        svg = learning_curves(f"{key}-{len(pictures) + 1}", stage, curves)
        pictures.append(Picture(svg, caption))
    return tuple(pictures)


def _curve(
    label: str, style: int, epochs: dict[int, dict[str, float | None]], best: float | None
) -> Curve:
    order = sorted(epochs)
    validation, training = _LOSSES
    return Curve(
        label=label,
        style=style,
        epochs=tuple(order),
        validation=tuple(epochs[epoch].get(validation) for epoch in order),
        training=tuple(epochs[epoch].get(training) for epoch in order),
        best_epoch=None if best is None else int(best),
    )


def _stages(history: History, runs: list[str]) -> dict[str, str]:
    sql = "SELECT run_id, stage FROM runs WHERE run_id IN (SELECT unnest($1::VARCHAR[]))"
    return dict(history.query(sql, (runs,)).rows)


def _best_epochs(history: History, runs: list[str]) -> dict[str, float]:
    sql = """SELECT run_id, value FROM metrics
        WHERE name = 'best_epoch' AND scenario IS NULL
            AND run_id IN (SELECT unnest($1::VARCHAR[]))"""
    return dict(history.query(sql, (runs,)).rows)


def _epochs(history: History, runs: list[str]) -> dict[str, dict[int, dict[str, float | None]]]:
    sql = """SELECT run_id, epoch, name, value FROM epochs
        WHERE run_id IN (SELECT unnest($1::VARCHAR[])) AND name IN (SELECT unnest($2::VARCHAR[]))"""
    found: dict[str, dict[int, dict[str, float | None]]] = defaultdict(lambda: defaultdict(dict))
    for run, epoch, name, value in history.query(sql, (runs, list(_LOSSES))).rows:
        found[run][epoch][name] = value
    return found


def _labels(rows: Sequence[Standing]) -> list[str]:
    """Model names without the dataset's, with the run's id where two are alike."""
    names = [row.name.partition("-")[2] or row.name for row in rows]
    return [
        f"{name} {row.run_id}" if names.count(name) > 1 else name
        for name, row in zip(names, rows, strict=True)
    ]


def _cut(count: int) -> str:
    return f" Of {count} models the best {MOST_SERIES} are drawn." if count > MOST_SERIES else ""


def render(page: ReportPage, provenance: Sequence[Provenance], about: dict[str, Any]) -> str:
    """The page as HTML. Whatever a name holds is shown as text.

    Args:
        page: what to show.
        provenance: of every run shown.
        about: `title`, `generated_at`, `version`, `scope` of the report.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("kdgat.runs", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(figure=_figure, whole=_whole, interval=_interval)
    template = environment.get_template("report.html.j2")
    return template.render(page=page, provenance=provenance, metrics=METRICS, **about)


def _figure(value: float | None) -> str:
    """Three digits that count, or a dash."""
    if value is None:
        return _NONE
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4f}"


def _whole(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.0f}"


def _interval(score: Estimate | None) -> str:
    if score is None or score.low is None:
        return "no interval"
    return f"{_figure(score.low)} to {_figure(score.high)}"
