"""`kdgat paper ...`: the figures a paper prints, filled from the history and held against it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson
from kdgat.cli.output import counted, print_json, print_table, say, warn
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.papers import CheckedPaper, PaperFindings

PaperFile = Annotated[
    str | None,
    typer.Argument(help="A paper.toml or its folder.", show_default="the current folder"),
]

app = typer.Typer(help="Keep a paper's figures true to the history.", no_args_is_help=True)


@app.command()
def fill(
    paper: PaperFile = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would change, and write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write a paper's values as TeX macros, CSV, Markdown or JSON; its prose is never touched.

    Example: kdgat paper fill ../papers/itsc --dry-run
    """
    from kdgat.ops.papers import paper_fill

    done = paper_fill(Workspace.find(), paper=paper, dry_run=dry_run)
    warn(*done.warnings)
    if as_json:
        return print_json(done)
    if dry_run:
        say(*(each.diff.rstrip("\n") for each in done.files if each.changed))
    for each in done.files:
        stands = ("would be written" if dry_run else "is written") if each.changed else "holds"
        say(f"{each.file} {stands}: {counted(each.values, 'value')}")
    return None


@app.command()
def check(paper: PaperFile = None, as_json: AsJson = False) -> None:
    """List the printed values that the history no longer says; exits with 1 where there are any.

    Example: kdgat paper check ../papers/itsc
    """
    from kdgat.errors import KnowledgeError
    from kdgat.ops.papers import paper_check

    found = paper_check(Workspace.find(), paper=paper)
    warn(*found.warnings)
    if as_json:
        print_json(found)
    elif found.drifts or not found.faults:
        _print_check(found)
    if found.faults:
        first, *others = found.faults
        more = f" ({len(others)} more)" if others else ""
        raise KnowledgeError(first, hint=found.hint + more)
    if found.drifts:
        raise typer.Exit(1)


@app.command()
def findings(
    paper: PaperFile = None,
    any_model: Annotated[
        bool, typer.Option("--any-model", help="Other models than the printed one's too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Propose runs that beat a printed figure, judged on the same windows; nothing is written.

    Example: kdgat paper findings ../papers/itsc
    """
    from kdgat.ops.papers import paper_findings

    found = paper_findings(Workspace.find(), paper=paper, any_model=any_model)
    warn(*found.warnings)
    return print_json(found) if as_json else _print_findings(found)


def _print_check(found: CheckedPaper) -> None:
    if not found.drifts:
        where = counted(len(found.files), "file")
        return say(f"{counted(found.places, 'printed value')} in {where} hold")
    rows = [
        (f"{each.file}:{each.line}" if each.line else each.file, each.value,
         each.printed or None, each.history, each.exact, each.reason)
        for each in found.drifts
    ]  # fmt: skip
    title = f"{counted(len(rows), 'drift')} among {counted(found.places, 'printed value')}"
    print_table(title, ("where", "value", "printed", "history", "exactly", "what"), rows)
    if any(each.where == "generated" for each in found.drifts):
        say("`kdgat paper fill` writes the generated files anew")
    return None


def _print_findings(found: PaperFindings) -> None:
    rows = [
        (
            each.value, each.place, each.printed, each.figure,
            f"{each.low} to {each.high}" if each.low else None, each.clear, each.model,
            each.seeds, each.tried, each.runs[0],
        )
        for each in found.items
    ]  # fmt: skip
    if rows:
        columns = (
            "value", "where", "printed", "now", "95 % interval", "clear", "model", "seeds",
            "configs", "best run",
        )  # fmt: skip
        print_table(f"{counted(len(rows), 'finding')}", columns, rows)
        say(*dict.fromkeys(f"{each.value}: {each.arena}" for each in found.items))
        say("note: the best of many configs was chosen on these very windows")
    else:
        say(f"nothing beats what is printed, of {counted(found.compared, 'value')} compared")
    say(*(f"not compared: {name}, {why}" for name, why in found.skipped.items()))
