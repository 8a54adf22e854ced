"""`kdgat agent`: the agent's files, set up, made, checked and compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson
from kdgat.cli.output import counted, print_json, print_table, say
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.agent.given import Given
    from kdgat.ops.agent import ContextReport
    from kdgat.reference.commands import Command

_STALE = 1
app = typer.Typer(
    help="The agent's context: AGENTS.md and its client's settings, made from this checkout.",
    no_args_is_help=True,
)
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be written.")]


def given_of(context: typer.Context) -> Given:
    """What the command line and the server show in the context."""
    from kdgat.agent.given import Given, GivenTool
    from kdgat.cli.tree import whole_tree
    from kdgat.mcp.table import TOOLS

    root = whole_tree(context)
    commands = tuple(each.name.removeprefix(f"{root.name} ") for each in _leaves(root))
    return Given(commands, tuple(GivenTool(row.name, row.every_mode) for row in TOOLS))


@app.command()
def install(context: typer.Context, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Set the agent's files up in this checkout; what you have in them is kept.

    Writes AGENTS.md, CLAUDE.md, .mcp.json and .claude/settings.json.

    Example: kdgat agent install --dry-run
    """
    from kdgat.ops.agent import install_agent

    report = install_agent(Workspace.find(), given_of(context), dry_run=dry_run)
    if as_json:
        return print_json(report)
    _print(report, dry_run=dry_run)
    return say("next: start the client here; it asks once whether to trust the server and hooks")


@app.command()
def render(
    context: typer.Context,
    dry_run: DryRun = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing where all goes well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring the agent's files up to date with the checkout; what is current is not touched.

    Example: kdgat agent render
    """
    from kdgat.ops.agent import render_context

    report = render_context(Workspace.find(), given_of(context), dry_run=dry_run)
    if as_json:
        return print_json(report)
    return None if quiet else _print(report, dry_run=dry_run)


@app.command()
def check(context: typer.Context, as_json: AsJson = False) -> None:
    """Tell which section is stale, and what changed; ends with 1 where there is one.

    Example: kdgat agent check
    """
    from kdgat.ops.agent import check_context

    report = check_context(Workspace.find(), given_of(context))
    if as_json:
        print_json(report)
    elif report.is_current:
        say(f"the agent's context is what this checkout gives ({report.tokens:,} tokens)")
    else:
        for each in report.stale:
            say(f"stale: {each.file}{each.section and f', {each.section}'}: {each.cause}")
        say("next: kdgat agent render")
    if not report.is_current:
        raise typer.Exit(_STALE)


@app.command()
def diff(context: typer.Context, as_json: AsJson = False) -> None:
    """What `kdgat agent render` would change, as a unified diff.

    Example: kdgat agent diff
    """
    from kdgat.ops.agent import diff_context

    report = diff_context(Workspace.find(), given_of(context))
    if as_json:
        return print_json(report)
    return say(report.text.removesuffix("\n") or "nothing: it is what this checkout gives")


def _leaves(command: Command) -> list[Command]:
    if not command.commands:
        return [command]
    return [leaf for each in command.commands for leaf in _leaves(each)]


def _print(report: ContextReport, *, dry_run: bool) -> None:
    would = "would be " if dry_run else ""
    for each in report.files:
        say(f"{each.path}: {each.state if each.state == 'unchanged' else would + each.state}")
    columns = ("section", "tokens", "state", "from")
    rows = [(each.name, each.tokens, each.state, each.source) for each in report.sections]
    print_table("AGENTS.md", columns, rows)
    say(
        f"{counted(report.tokens, 'token')} of {report.budget_tokens:,}, "
        f"and {counted(report.tokens_by_hand, 'token')} by hand"
    )
