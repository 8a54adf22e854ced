"""`kdgat leaderboard`, `compare`, `effect`, `pareto` and `report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kdgat.cli.narrowing import Narrowing, narrowed
from kdgat.cli.options import AsJson, complete_dataset, complete_run
from kdgat.cli.output import cell, counted, print_json, print_table, say
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.analytics import Leaderboard, ParetoFronts
    from kdgat.runs.compare import Comparison, FigureRow
    from kdgat.runs.effect import Effect
    from kdgat.runs.leaderboard import LeaderboardTable
    from kdgat.runs.statistics import Estimate

Dataset = Annotated[
    str | None, typer.Option(help="Only this dataset's.", autocompletion=complete_dataset)
]
Scenario = Annotated[
    str | None, typer.Option(help="One test scenario, such as test_04, not the mean over all.")
]
Metric = Annotated[str, typer.Option(help="The figure, such as f1, auroc, false_alarms_per_hour.")]
Protocol = Annotated[
    str, typer.Option(help="What a model may know of a test capture: zero_shot or adapted.")
]
Protocols = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="What a model may know of a test capture: zero_shot or adapted; by default both, in "
        "tables of their own.",
    ),
]
AttackType = Annotated[str, typer.Option(help="Only captures with this attack, such as dos.")]
Simulated = Annotated[
    bool, typer.Option("--include-simulated", help="Simulated data too, in tables of their own.")
]
Runs = Annotated[
    list[str],
    typer.Argument(
        help="Two runs or more: ids, beginnings of them, or models such as "
        "simulated-gat-large@champion.",
        autocompletion=complete_run,
    ),
]
CostName = Literal["parameters", "latency_ms", "checkpoint_bytes"]


def leaderboard(
    narrowing: Narrowing = None,
    dataset: Dataset = None,
    scenario: Scenario = None,
    metric: Metric = "f1",
    protocol: Protocols = None,
    attack_type: AttackType = "all",
    include_simulated: Simulated = False,
    as_json: AsJson = False,
) -> None:
    """Rank models by a test figure: each one's best config, mean over its seeds.

    Simulated and real data, protocols, captures and test windows have tables of their own. Where a
    model without a graph is ahead of every graph model, a line below the table says so.

    Examples:
        kdgat leaderboard dataset=hcrl_sa --json
        kdgat leaderboard --metric auroc --scenario test_04 --protocol adapted
    """
    from kdgat.ops.analytics import leaderboard as rank

    asked = narrowed(
        narrowing,
        dataset=dataset,
        scenario=scenario,
        metric=metric,
        protocol=protocol,
        attack_type=attack_type,
    )
    found = rank(Workspace.find(), **asked, include_simulated=include_simulated)
    return print_json(found) if as_json else _print_leaderboard(found)


def compare(runs: Runs, protocol: Protocols = None, as_json: AsJson = False) -> None:
    """Put runs side by side: config fields that differ, then figures that differ.

    Example: kdgat compare 20261121-122338 20261121-122308
    """
    from kdgat.ops.analytics import compare_runs

    found = compare_runs(Workspace.find(), runs=runs, protocol=protocol)
    return print_json(found) if as_json else _print_comparison(found)


def effect(
    axis: Annotated[str, typer.Argument(help="A config field, such as model.hidden.")],
    dataset: Dataset = None,
    scenario: Scenario = None,
    metric: Metric = "f1",
    protocol: Protocol = "zero_shot",
    attack_type: AttackType = "all",
    where: Annotated[
        list[str] | None, typer.Option(help="Only runs with field=value; may be repeated.")
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="The value to compare with; the first one by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what one swept config field does to a figure, with intervals.

    Example: kdgat effect model.hidden --metric auroc --where model=gat --where size=small
    """
    from kdgat.ops.analytics import effect as measure

    found = measure(
        Workspace.find(),
        axis,
        dataset=dataset,
        scenario=scenario,
        metric=metric,
        protocol=protocol,
        attack_type=attack_type,
        where=where or (),
        baseline=baseline,
    )
    return print_json(found) if as_json else _print_effect(found)


def pareto(
    narrowing: Narrowing = None,
    dataset: Dataset = None,
    scenario: Scenario = None,
    metric: Metric = "f1",
    x: Annotated[
        CostName, typer.Option("--x", help="The cost to weigh it against.")
    ] = "parameters",
    protocol: Protocols = None,
    attack_type: AttackType = "all",
    include_simulated: Simulated = False,
    as_json: AsJson = False,
) -> None:
    """Show the models that no other one beats at both a figure and its cost.

    Example: kdgat pareto dataset=hcrl_sa --x latency_ms
    """
    from kdgat.ops.analytics import pareto as weigh

    asked = narrowed(
        narrowing,
        dataset=dataset,
        scenario=scenario,
        metric=metric,
        protocol=protocol,
        attack_type=attack_type,
    )
    found = weigh(Workspace.find(), **asked, cost=x, include_simulated=include_simulated)
    return print_json(found) if as_json else _print_fronts(found)


def report(
    runs: Annotated[
        list[str] | None,
        typer.Option(help="Only these runs; may be repeated.", autocompletion=complete_run),
    ] = None,
    dataset: Dataset = None,
    metric: Metric = "f1",
    protocol: Protocols = None,
    out: Annotated[
        str | None, typer.Option(help="The file to write; by default in the home folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one HTML file with leaderboard, curves, Pareto fronts, scenarios and provenance.

    It needs no network and nothing beside it: send it, print it, open it in any browser.

    Example: kdgat report --dataset hcrl_sa --out report.html
    """
    from kdgat.ops.report import write_report

    done = write_report(
        Workspace.find(),
        runs=runs or (),
        dataset=dataset,
        metric=metric,
        protocol=protocol,
        out=out,
    )
    if as_json:
        return print_json(done)
    return say(
        f"{counted(done.models, 'model')} of {', '.join(done.datasets)}, "
        f"{counted(done.runs, 'run')}, "
        f"{done.size_bytes / 1000:,.0f} kB: {done.path}"
    )


def _print_leaderboard(found: Leaderboard) -> None:
    for table in found.tables:
        _print_standings(table)
        rows = (
            (row.rank, row.name, row.parameters, row.checkpoint_bytes, row.latency_ms, row.configs,
             row.run_id)
            for row in table.rows
        )  # fmt: skip
        columns = ("#", "model", "parameters", "bytes", "ms a window", "configs", "best run")
        print_table("what they cost, and the run with the best seed", columns, rows)
    say(*(f"note: {note}" for note in found.notes))


def _print_standings(table: LeaderboardTable) -> None:
    """Ranks and figures; what the short names of scenarios stand for goes below."""
    from kdgat.runs.leaderboard import short_names

    names = [scenario.name for scenario in table.scenarios]
    short = short_names(names)
    several = len(names) > 1
    columns = (
        "#", "model", *(short if several else ()), "mean" if several else table.metric,
        "95 % interval", "seeds",
    )  # fmt: skip
    rows = (
        (row.rank, row.name, *(_mean(row.scenarios[name]) for name in names if several),
         _mean(row.score), _interval(row.score), row.seeds)
        for row in table.rows
    )  # fmt: skip
    print_table(f"{table.metric}: {table.title}", columns, rows)
    for code, scenario in zip(short, table.scenarios, strict=True):
        rest = scenario.name.removeprefix(code).replace("_", " ").strip()
        windows = f"{cell(scenario.windows)} windows, {cell(scenario.attack_windows)} with attacks"
        say(f"{code}: {rest + ', ' if rest else ''}{windows}")
    say(*(f"baseline ahead on {each.words(table.metric)}" for each in table.beaten), "")


def _print_comparison(found: Comparison) -> None:
    columns = [f"{run.name} {run.run_id}" for run in found.runs]
    if found.config:
        rows = ((row.field, *map(_value, row.values)) for row in found.config)
        print_table("config that differs", ("field", *columns), rows)
    say(f"{found.equal_fields} config fields are equal")
    figures = [row for row in found.figures if not _is_count(row)]
    what = f"{found.runs[0].dataset}, {found.runs[0].provenance} data"
    tested = {each.protocol: each for each in found.tested}
    for protocol in dict.fromkeys(row.protocol for row in figures):
        of = "whole runs" if protocol is None else f"{protocol} protocol, test split"
        if (test := tested.get(protocol or "")) is not None:
            of += f": {test.windows:,} windows in {counted(test.scenarios, 'scenario')}"
        rows = [row for row in figures if row.protocol == protocol]
        _print_figures(f"figures that differ, {what}, {of}", columns, rows)
    counts = len(found.figures) - len(figures)
    more = f"; {counts} counts of windows differ (--json)" if counts else ""
    say(f"{found.equal_figures} figures are equal{more}")
    say(*(f"note: {note}" for note in found.cautions))


def _print_figures(title: str, runs: list[str], rows: list[FigureRow]) -> None:
    last = ("difference",) if len(runs) == 2 else ()
    print_table(
        title,
        ("scenario", "figure", *runs, *last),
        (
            (_scenario(row.scenario) if row.scenario else "whole run", row.metric,
             *map(_value, row.values), *((_value(row.difference),) if last else ()))
            for row in rows
        ),
    )  # fmt: skip


def _print_effect(found: Effect) -> None:
    from kdgat.runs.effect import written

    say(
        f"{found.what}, on {found.dataset} ({found.provenance} data, {found.protocol} protocol)",
        "",
    )
    print_table(
        "all runs",
        (found.axis, "runs", "mean", "95 % interval"),
        (
            (written(row.value), row.score.n, row.score.mean, _interval(row.score))
            for row in found.values
        ),
    )
    if found.paired:
        print_table(
            f"difference from {written(found.paired[0].baseline)}, all else equal",
            (found.axis, "pairs", "settings", "difference", "95 % interval", "how"),
            (
                (written(row.value), row.pairs, row.recipes, _mean(row.difference),
                 _interval(row.difference), _how(row.difference, row.by_seed))
                for row in found.paired
            ),
        )  # fmt: skip
    for each in found.confounders:
        values = "; ".join(f"{name}: {', '.join(held)}" for name, held in each.values.items())
        say(f"confounded: {each.field} differs along with it ({values})")
    if found.balanced:
        say(f"balanced: {', '.join(found.balanced)} vary too, alike at every value")
    if found.without:
        say(f"{found.without} judged runs have no such field")
    say(*(f"note: {note}" for note in found.cautions))


def _print_fronts(found: ParetoFronts) -> None:
    for front in found.fronts:
        points = (*front.front, *front.dominated)
        apart = any(point.differs for point in points)
        columns = (
            "model", *(("differs in",) if apart else ()), front.cost, front.metric,
            "95 % interval", "seeds", "best run", "beaten by",
        )  # fmt: skip
        rows = (
            (point.name, *((point.differs or "-",) if apart else ()), _value(point.cost),
             point.score.mean, _interval(point.score), point.score.n, point.run_id,
             point.dominated_by or "nobody")
            for point in points
        )  # fmt: skip
        print_table(f"{front.metric} against {front.cost}: {front.title}", columns, rows)
        if front.unplaced:
            say(f"without both figures: {', '.join(front.unplaced)}")
        say(*(f"note: {note}" for note in front.cautions))
    say(*(f"note: {note}" for note in found.notes))


def _scenario(name: str) -> str:
    """`test_01 known vehicle known attack`, which a narrow column can break."""
    return name.replace("_", " ").replace("test ", "test_", 1)


def _mean(score: Estimate | None) -> float | None:
    return score.mean if score else None


def _interval(score: Estimate | None) -> str:
    if score is None or score.low is None:
        return "-"
    return f"{cell(score.low)} to {cell(score.high)}"


def _how(score: Estimate | None, by_seed: bool) -> str:
    if score is None:
        return "no two runs are alike in all else"
    pairs = "same seeds" if by_seed else "means over seeds"
    return f"{pairs}, {'one pair' if score.method == 'none' else score.method}"


def _value(value: str | float | None) -> str | float | None:
    """Whole numbers without a fraction."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return int(value)
    return value


def _is_count(row: FigureRow) -> bool:
    return row.metric.endswith(("_positives", "_negatives", "_spans"))
