"""`kdgat config ...` and `kdgat experiments`."""

from __future__ import annotations

from typing import Annotated

import typer

from kdgat.cli.options import AsJson, Overrides, RunReference
from kdgat.cli.output import print_json, print_table, say
from kdgat.workspace import Workspace

app = typer.Typer(help="See what a config resolves to, and why.", no_args_is_help=True)


@app.command()
def show(overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Print the config that overrides resolve to, with what each field means.

    Example: kdgat config show dataset=hcrl_sa model=gat size=small
    """
    from kdgat.configs.fields import leaves
    from kdgat.ops.config import show_config

    view = show_config(Workspace.find(), overrides=overrides or ())
    if as_json:
        return print_json(view)
    rows = ((name, value, view.docs.get(name, "")) for name, value in leaves(view.config).items())
    return print_table(
        f"config {view.digest or 'of a teacher yet to be found'}",
        ("field", "value", "meaning"),
        rows,
    )


@app.command()
def explain(overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Print where each field's value comes from: a default, a preset or an override.

    Example: kdgat config explain experiment=hcrl_sa-gat-small-kd seed=7
    """
    from kdgat.ops.config import explain_config

    fields = explain_config(Workspace.find(), overrides=overrides or ())
    if as_json:
        return print_json(fields)
    rows = ((each.field, each.value, each.origin) for each in fields)
    return print_table("where values come from", ("field", "value", "origin"), rows)


@app.command()
def diff(first: RunReference, second: RunReference, as_json: AsJson = False) -> None:
    """Print the fields in which two runs' configs differ.

    Example: kdgat config diff 20261121-08 latest
    """
    from kdgat.ops.config import diff_configs

    differences = diff_configs(Workspace.find(), first, second)
    if as_json:
        return print_json(differences)
    if not differences:
        return say("the configs are the same")
    rows = ((each.field, each.first, each.second) for each in differences)
    return print_table("differences", ("field", first, second), rows)


def experiments(
    contains: Annotated[str, typer.Argument(help="List only names with this in them.")] = "",
    as_json: AsJson = False,
) -> None:
    """List the named experiments; use one as experiment=NAME.

    Example: kdgat experiments hcrl_sa
    """
    from kdgat.ops.config import list_experiments

    found = [each for each in list_experiments(Workspace.find()) if contains in each.name]
    if as_json:
        return print_json(found)
    rows = ((each.name, each.trainable, " ".join(each.overrides)) for each in found)
    return print_table(
        f"{len(found)} experiments", ("name", "trainable in this version", "overrides"), rows
    )
