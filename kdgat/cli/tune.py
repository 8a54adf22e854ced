"""`kdgat tune`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from kdgat.cli.options import AsJson, Overrides
from kdgat.cli.output import counted, print_json, print_table, progress_bar, say
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.tune import TuningPlan, TuningReport


def tune(
    overrides: Overrides = None,
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, help="Trials in all, earlier ones counted in; 20, or all of a grid.", metavar="N"
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="The study's name; by default one made of what is asked.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="A figure of the validation windows, smaller is better.")
    ] = "best_val_task_loss",
    timeout_min: Annotated[
        float | None, typer.Option(min=0, help="Minutes after which no trial is begun.")
    ] = None,
    sampler: Annotated[
        Literal["tpe", "random", "grid"], typer.Option(help="How a trial's values are chosen.")
    ] = "tpe",
    pruner: Annotated[
        Literal["none", "median"],
        typer.Option(help="median: stop a trial that is behind the earlier ones' median epoch."),
    ] = "none",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be searched, and train nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Search for a better config, trial by trial, by a figure of the validation windows.

    Fields with several values are searched: 8,12,16 or range(1,4) are choices, interval(0,1e-3) is
    every number between, log(1e-4,1e-2) the same on a logarithmic scale. Each trial is a run like
    any other. The same command goes on where it was stopped.

    Examples:
        kdgat tune dataset=hcrl_sa size=small 'training.learning_rate=log(1e-4,1e-2)' --trials 30
        kdgat tune model=vgae model.latent=8,12,16 'model.hidden=range(4,9)' --sampler grid
    """
    from kdgat.ops.tune import TuningRequest, plan_tuning, run_tuning

    ws = Workspace.find()
    asked = TuningRequest(
        overrides=tuple(overrides or ()),
        trials=trials,
        name=name,
        metric=metric,
        timeout_min=timeout_min,
        sampler=sampler,
        pruner=pruner,
    )
    if dry_run:
        plan = plan_tuning(ws, asked)
        return print_json(plan) if as_json else _print_plan(plan)
    with progress_bar() as listen:
        report = run_tuning(ws, asked, progress=listen)
    if as_json:
        print_json(report)
    else:
        _print_report(report)
    if report.best is None:
        raise typer.Exit(1)
    return None


def _print_plan(plan: TuningPlan) -> None:
    rows = plan.space.items()
    print_table(f"study {plan.name}, by {plan.metric}", ("field", "searched"), rows)
    counts = f"{counted(plan.trials, 'trial')}, {plan.done} done, {plan.to_do} to do"
    say(f"{plan.sampler} sampler, {plan.pruner} pruner: {counts}")
    say(f"fixed: {' '.join(plan.fixed) or 'nothing, all else is the default'}")
    say(f"kept in: {plan.folder}")


def _print_report(report: TuningReport) -> None:
    fields = tuple(report.space)
    rows = (
        (trial.number, trial.state, trial.value, *(trial.values[name] for name in fields),
         trial.run_id)
        for trial in report.trials
    )  # fmt: skip
    columns = ("trial", "state", report.metric, *fields, "run")
    print_table(f"study {report.name}, best first", columns, rows)
    failed = [trial for trial in report.trials if trial.problem]
    say(*(f"trial {trial.number} failed: {trial.problem}" for trial in failed))
    if report.importance:
        shares = ", ".join(f"{name} {share:.0%}" for name, share in report.importance.items())
        say(f"importance: {shares}")
    if report.left:
        say(f"{counted(report.left, 'trial')} left: the same command goes on")
    say(*(f"next: {each}" for each in report.next_steps))
