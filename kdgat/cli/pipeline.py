"""`kdgat pipeline`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson, Overrides
from kdgat.cli.output import cell, counted, print_json, print_table, progress_bar, say, warn
from kdgat.errors import ConfigError
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.pipeline import Figure, PipelinePlan, PipelineReport, StepReport


def pipeline(
    overrides: Overrides = None,
    seeds: Annotated[
        str | None,
        typer.Option(help="Seeds with commas between; each has models and teachers of its own."),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines", help="Also the models without a graph, and each graph model alone."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what there is and what is to do, and do nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train and judge what is missing of a dataset's table, and nothing twice.

    Autoencoder, classifier, their fusion and its evaluation: large, small, and small distilled from
    large. Overrides are every run's. A step that fails stops only those that need it.

    Examples:
        kdgat pipeline dataset=hcrl_sa --dry-run
        kdgat pipeline dataset=hcrl_sa training.max_epochs=3 --seeds 42,1,2 --baselines
    """
    from kdgat.ops.pipeline import plan_pipeline, run_pipeline

    ws, words = Workspace.find(), overrides or ()
    numbers = _numbers(seeds)
    if dry_run:
        plan = plan_pipeline(ws, overrides=words, seeds=numbers, baselines=baselines)
        return print_json(plan) if as_json else _print_plan(plan)
    with progress_bar() as listen:
        report = run_pipeline(
            ws, overrides=words, seeds=numbers, baselines=baselines, progress=listen
        )
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if report.failed:
        raise typer.Exit(1)
    return None


def _numbers(seeds: str | None) -> tuple[int, ...]:
    parts = [] if seeds is None else [part.strip() for part in seeds.split(",")]
    wrong = next((each for each in parts if not (each.isdecimal() and int(each) < 2**32)), None)
    if wrong is not None:
        raise ConfigError(
            f"--seeds has '{wrong}', and a seed is a whole number from 0 to {2**32 - 1}",
            hint="write them with commas between: --seeds 42,1,2",
        )
    return tuple(map(int, parts))


def _print_plan(plan: PipelinePlan) -> None:
    rows = (
        (number, step.work, step.name, step.seed, step.state, step.run_id, step.waits_for or None)
        for number, step in enumerate(plan.steps, 1)
    )
    columns = ("#", "work", "model", "seed", "state", "run", "waits for")
    print_table(f"pipeline of {plan.dataset}", columns, rows)
    say(f"{plan.to_do} of {counted(len(plan.steps), 'step')} to do")


def _print_report(report: PipelineReport) -> None:
    rows = (
        (number, step.work, step.name, step.seed, step.outcome, step.run_id, _duration(step))
        for number, step in enumerate(report.steps, 1)
    )
    columns = ("#", "work", "model", "seed", "outcome", "run", "time")
    print_table(f"pipeline of {report.dataset}", columns, rows)
    for protocol in dict.fromkeys(figure.protocol for figure in report.figures):
        own = [figure for figure in report.figures if figure.protocol == protocol]
        _print_figures(f"{report.dataset} ({report.provenance} data), {protocol} protocol", own)
    warn(*report.warnings)
    failed: dict[str, list[str]] = {}
    for number, step in enumerate(report.steps, 1):
        if step.outcome == "failed":
            why = f"{_first_line(step.problem)}; {step.hint}"
            failed.setdefault(why, []).append(str(number))
    for why, steps in failed.items():
        warn(f"step{'s' * (len(steps) > 1)} {', '.join(steps)} failed: {why}")
    say(*(f"next: {each}" for each in report.next_steps))


def _print_figures(title: str, figures: list[Figure]) -> None:
    """A row a model, a column a scenario; errors as counts, because few windows decide."""
    from kdgat.runs.leaderboard import short_names

    scenarios = {figure.scenario: figure for figure in figures}
    short = short_names(list(scenarios))
    found = {(each.name, each.seed, each.scenario): each for each in figures}
    rows = (
        (name, seed, *(_told(found.get((name, seed, scenario))) for scenario in scenarios))
        for name, seed in dict.fromkeys((each.name, each.seed) for each in figures)
    )
    print_table(f"F1 on the test windows of {title}", ("model", "seed", *short), rows)
    for code, one in zip(short, scenarios.values(), strict=True):
        rest = one.scenario.removeprefix(code).replace("_", " ").strip()
        windows = f"{cell(one.windows)} windows, {cell(one.attack_windows)} with attacks"
        say(f"{code}: {rest + ', ' if rest else ''}{windows}")
    say("")


def _told(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    return f"{cell(figure.f1)} ({figure.false_positives} FP, {figure.false_negatives} FN)"


def _duration(step: StepReport) -> str | None:
    return None if step.outcome == "left out" else f"{step.seconds:,.0f} s"


def _first_line(text: str | None) -> str:
    return next(iter((text or "").splitlines()), "")
