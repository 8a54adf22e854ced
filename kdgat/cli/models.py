"""`kdgat models ...`: registered models and their champions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson, RunReference
from kdgat.cli.output import counted, print_json, print_table, say
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.runs.champions import Promotion

_REFUSED = 1
"""Exit code of a promotion that the rule refuses: no mistake, and no success either."""

app = typer.Typer(help="Register, compare and promote models.", no_args_is_help=True)


def complete_model(incomplete: str) -> list[str]:
    """Models and their aliases that fit what was typed so far."""
    from kdgat.errors import WorkspaceError
    from kdgat.runs.registry import models

    try:
        known = models(Workspace.find())
    except WorkspaceError:
        return []
    names = [
        name
        for model, versions in known.items()
        for name in (
            model,
            *(f"{model}@{alias}" for each in versions.values() for alias in each.aliases),
            *(each.reference for each in versions.values()),
        )
    ]
    return [name for name in names if name.startswith(incomplete)]


ModelReference = Annotated[
    str,
    typer.Argument(
        help="A model, alone or with @champion, @challenger or @3.", autocompletion=complete_model
    ),
]


@app.command(name="list")
def list_(as_json: AsJson = False) -> None:
    """List registered models.

    Example: kdgat models list
    """
    from kdgat.ops.models import list_models

    found = list_models(Workspace.find())
    if as_json:
        return print_json(found)
    columns = ("model", "provenance", "versions", "newest", "champion", "challenger")
    rows = ([getattr(item, column) for column in columns] for item in found.items)
    return print_table(counted(found.total, "model"), columns, rows)


@app.command()
def show(model: ModelReference, as_json: AsJson = False) -> None:
    """Show a model's versions and what was decided about it.

    Example: kdgat models show simulated-gat-large
    """
    from kdgat.ops.models import show_model

    view = show_model(Workspace.find(), model)
    if as_json:
        return print_json(view)
    columns = ("version", "run", "aliases", "provenance", "kd", "digest", "registered")
    rows = (
        (
            each.version,
            each.run_id,
            each.aliases,
            each.tags.get("provenance"),
            each.tags.get("kd"),
            each.tags.get("digest"),
            each.registered_at,
        )
        for each in view.versions
    )
    print_table(view.model, columns, rows)
    history = ((each.time, each.kind, each.version, each.alias) for each in view.history)
    print_table("history", ("time", "event", "version", "alias"), history)
    return say(*(f"{each.time} {each.reason}" for each in view.history if each.reason))


@app.command()
def register(
    run: RunReference = "latest",
    challenger: Annotated[
        bool, typer.Option(help="Make it the model's challenger as well.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Register a completed run's best checkpoint as a model's next version.

    Example: kdgat models register latest
    """
    from kdgat.ops.models import register as register_op

    done = register_op(Workspace.find(), run, challenger=challenger)
    if as_json:
        return print_json(done)
    version = done.version
    say(
        f"{version.reference} is run {version.run_id}"
        + ("" if done.new else ", as it was before")
        + "".join(f", {alias}" for alias in version.aliases)
    )
    return say(*(f"note: {text}" for text in (done.not_in_mlflow,) if text))


@app.command()
def promote(
    model: ModelReference,
    alias: Annotated[str, typer.Option(help="champion or challenger.")] = "champion",
    force: Annotated[
        bool, typer.Option("--force", help="Whatever the rule says; needs --reason.")
    ] = False,
    reason: Annotated[str, typer.Option(help="Why; it is kept.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what the rule finds.")
    ] = False,
    rule: Annotated[
        list[str] | None,
        typer.Option(help="A field of the rule, such as metric=recall or margin=0.01."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a version the champion, if the promotion rule finds it better than the present one.

    Exits with 1 where it does not.

    Example: kdgat models promote simulated-gat-large@2 --rule margin=0.01
    """
    from kdgat.ops.models import promote as promote_op

    done = promote_op(
        Workspace.find(),
        model,
        alias=alias,
        force=force,
        reason=reason,
        dry_run=dry_run,
        rule=rule or (),
    )
    found = done.promotion
    if as_json:
        print_json(done)
    else:
        say(_verdict(found))
        say(*(f"note: {text}" for text in (done.not_in_mlflow,) if text))
    if not found.allowed:
        raise typer.Exit(_REFUSED)


def _verdict(found: Promotion) -> str:
    """One line on what became of a promotion."""
    if found.allowed and found.alias in found.version.aliases and not found.promoted:
        return f"nothing to do: {found.reason}"
    done = "is" if found.promoted else "would be" if found.allowed else "is not made"
    return f"{found.version.reference} {done} {found.alias}: {found.reason}"


@app.command()
def diff(first: ModelReference, second: ModelReference, as_json: AsJson = False) -> None:
    """Show what two versions don't share: config, lineage, figures.

    Example: kdgat models diff simulated-gat-large@1 simulated-gat-large@2
    """
    from kdgat.ops.models import diff_models

    found = diff_models(Workspace.find(), first, second)
    if as_json:
        return print_json(found)
    columns = ("what", found.first.reference, found.second.reference)
    for title in ("config", "lineage", "metrics"):
        rows = [(each.name, each.first, each.second) for each in getattr(found, title)]
        if rows:
            print_table(title, columns, rows)
        else:
            say(f"{title}: the same")
    return None


@app.command()
def pull(
    model: ModelReference,
    to: Annotated[Path, typer.Option(help="New folder to copy to.", show_default=False)],
    as_json: AsJson = False,
) -> None:
    """Copy a version's checkpoint with its config and lineage to a new folder.

    Example: kdgat models pull simulated-gat-large@champion --to best
    """
    from kdgat.ops.models import pull_model

    done = pull_model(Workspace.find(), model, to)
    if as_json:
        return print_json(done)
    return say(f"{done.version.reference} is in {done.folder}: {', '.join(done.files)}")
