"""`kdgat runs sync` and `kdgat mlflow ui`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from kdgat.cli.options import AsJson, complete_run
from kdgat.cli.output import counted, print_json, progress_bar, say, warn
from kdgat.errors import KdgatError
from kdgat.workspace import Workspace

app = typer.Typer(help="Look at the runs in MLflow.", no_args_is_help=True)


def sync(
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            help="Only these runs; none for all.",
            autocompletion=complete_run,
            show_default=False,
        ),
    ] = None,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Delete the store and make it again from the runs.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring MLflow up to date with the runs and the registered models.

    Example: kdgat runs sync
    """
    from kdgat.ops.tracking import sync as sync_op

    with progress_bar() as progress:
        done = sync_op(Workspace.find(), runs=runs or (), rebuild=rebuild, progress=progress)
    if as_json:
        return print_json(done)
    say(
        f"{done.store}: {counted(len(done.created), 'run')} new, {len(done.updated)} updated, "
        f"{len(done.deleted)} deleted, {done.unchanged} unchanged"
    )
    say(*(f"model {name} is up to date" for name in done.models))
    say(*(f"note: {note}" for note in done.notes))
    return say(*(f"not synced: {problem}" for problem in done.failed))


@app.command()
def ui(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve on.")] = 5000,
    host: Annotated[str, typer.Option(help="Address to serve on.")] = "127.0.0.1",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the command.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the command as JSON, and don't run it.")
    ] = False,
) -> None:
    """Bring MLflow up to date and serve its own pages on the runs, until interrupted.

    Example: kdgat mlflow ui --port 5001
    """
    import shlex

    from kdgat.ops.tracking import mlflow_ui
    from kdgat.ops.tracking import sync as sync_op

    found = mlflow_ui(Workspace.find(), host=host, port=port)
    if as_json:
        return print_json(found)
    if dry_run:
        return say(shlex.join(found.command))
    # What jobs did on other machines is not in the store yet.
    with progress_bar() as progress:
        try:
            sync_op(Workspace.find(), progress=progress)
        except KdgatError as error:
            warn(f"the pages may lack runs: {error.problem}")
    say(f"{found.address} (Ctrl-C ends it)")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # This process becomes MLflow's: nothing is left running beside it.
    return os.execv(found.command[0], found.command)
