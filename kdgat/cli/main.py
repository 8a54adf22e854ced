"""`kdgat`: the commands, and what every one of them does with a mistake."""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import version
from typing import Annotated

import typer

from kdgat.cli import (
    agent,
    analytics,
    bench,
    clusters,
    config,
    data,
    detect,
    docs,
    doctor,
    export,
    history,
    hook,
    jobs,
    mcp,
    memory,
    mode,
    models,
    paper,
    pipeline,
    plan,
    prior_art,
    questions,
    runs,
    site,
    submit,
    suggest,
    tracking,
    training,
    tune,
    work,
)
from kdgat.cli.output import print_error
from kdgat.errors import KdgatError

_USER_MISTAKE = 2

app = typer.Typer(
    name="kdgat",
    help="A research workspace for graph-based intrusion detection on the CAN bus.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("quickstart")(training.quickstart)
app.add_typer(data.app, name="data")
app.command("train")(training.train)
app.command("evaluate")(training.evaluate)
app.command("replay")(training.replay)
app.command("detect")(detect.detect)
app.command("export")(export.export)
app.command("pipeline")(pipeline.pipeline)
app.command("bench")(bench.bench)
app.command("tune")(tune.tune)
app.command("plan")(plan.plan)
app.command("submit")(submit.submit)
for watcher in (jobs.status, jobs.logs, jobs.cancel, jobs.queue, jobs.efficiency):
    app.command(watcher.__name__)(watcher)
app.command("work", hidden=True)(work.work)
app.command("work-here", hidden=True)(work.work_here)
app.command("hook", hidden=True)(hook.hook)
runs.app.command("query")(history.query)
runs.app.command("sync")(tracking.sync)
app.add_typer(runs.app, name="runs")
for face in (
    analytics.leaderboard,
    analytics.compare,
    analytics.effect,
    analytics.pareto,
    analytics.report,
):
    app.command(face.__name__)(face)
app.command("suggest")(suggest.suggest)
app.add_typer(models.app, name="models")
app.add_typer(history.app, name="history")
app.add_typer(tracking.app, name="mlflow")
app.add_typer(memory.app, name="memory")
docs.app.command("build")(site.build)
docs.app.command("serve")(site.serve)
app.add_typer(docs.app, name="docs")
app.add_typer(paper.app, name="paper")
app.add_typer(questions.app, name="questions")
app.command("prior-art")(prior_art.prior_art)
app.add_typer(site.app, name="reference")
app.add_typer(agent.app, name="agent")
app.command("doctor")(doctor.doctor)
app.command("mode")(mode.mode)
app.command("mcp")(mcp.mcp)
app.add_typer(clusters.app, name="clusters")
app.add_typer(config.app, name="config")
app.command("experiments")(config.experiments)


def main() -> None:
    """Run the command line; a user's mistake prints two lines and exits with 2."""
    # PyTorch Geometric 2.8 still defines TorchScript functions, which torch deprecates aloud.
    warnings.filterwarnings("ignore", message=".*torch.jit.*", category=FutureWarning)
    try:
        app()
    except KdgatError as error:
        print_error(error)
        sys.exit(_USER_MISTAKE)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"kdgat {version('kdgat')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """A research workspace for graph-based intrusion detection on the CAN bus."""


if __name__ == "__main__":
    main()
