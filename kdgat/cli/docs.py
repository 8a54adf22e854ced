"""`kdgat docs`: the pages of the lab and of this project, asked and kept in order.

What a page says is printed as a quotation, behind the page's name.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson
from kdgat.cli.output import counted, err, print_json, print_table, say, warn
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.docs import SearchReport

_FOUND = 1
app = typer.Typer(help="Documentation: index it, ask it, keep it in order.", no_args_is_help=True)
SourceName = Annotated[str | None, typer.Option("--source", help="Only this source.")]
Limit = Annotated[int, typer.Option(min=1, max=100, help="At most so many.")]
SitePath = Annotated[
    Path | None, typer.Option("--path", help="The site in this folder, under the folder's name.")
]


@app.command()
def sync(path: SitePath = None, as_json: AsJson = False) -> None:
    """Index the sites of knowledge/sources.toml, or the one in a folder; what is unchanged stays.

    Example: kdgat docs sync --path ../lab-setup-guide
    """
    from kdgat.ops.docs import sync_docs

    report = sync_docs(Workspace.find(), path=path)
    if as_json:
        return print_json(report)
    columns = ("source", "pages", "sections", "changed", "vectors made", "seconds")
    rows = [
        (each.source, each.pages, each.chunks, each.changed, each.embedded, each.seconds)
        for each in report.sources
    ]
    print_table("Documentation", columns, rows)
    for each in report.sources:
        warn(f"{each.source}: {each.problem}" if each.problem else None)
        warn(*(f"{each.source}: {page.page}: {page.reason}" for page in each.skipped))
    return None


@app.command()
def search(
    query: Annotated[str, typer.Argument(help="A question, keywords or a pasted error.")],
    limit: Limit = 5,
    source: SourceName = None,
    as_json: AsJson = False,
) -> None:
    """The sections that answer a question, best first, from the pages as they are now.

    Example: kdgat docs search "connection drops after a few minutes"
    """
    from kdgat.ops.docs import search_docs

    _print(search_docs(Workspace.find(), query, limit=limit, source=source), as_json)


@app.command()
def troubleshoot(
    text: Annotated[str, typer.Argument(help="An error's text, or a whole traceback.")],
    limit: Limit = 5,
    source: SourceName = None,
    as_json: AsJson = False,
) -> None:
    """What the docs say to an error: its telling lines are asked.

    Example: kdgat docs troubleshoot "ModuleNotFoundError: No module named 'torch'"
    """
    from kdgat.ops.docs import troubleshoot as look

    _print(look(Workspace.find(), text, limit=limit, source=source), as_json)


@app.command()
def read(
    page: Annotated[str, typer.Argument(help="A page, and #anchor for one of its sections.")],
    source: SourceName = None,
    as_json: AsJson = False,
) -> None:
    """A page, or one section with what lies below it, as Markdown.

    Example: kdgat docs read osc-basics/osc-ssh-connection.md#troubleshooting
    """
    from kdgat.ops.docs import read_docs

    passage = read_docs(Workspace.find(), page, source=source)
    if as_json:
        return print_json(passage)
    err.print(f"quoted from {passage.source}: {page}", markup=False, soft_wrap=True)
    return say(passage.text)


@app.command()
def related(
    page: Annotated[str, typer.Argument(help="A page.")],
    limit: Limit = 5,
    source: SourceName = None,
    as_json: AsJson = False,
) -> None:
    """Pages near one: linked from it, linking to it, or alike.

    Example: kdgat docs related osc-basics/osc-file-transfer.md
    """
    from kdgat.ops.docs import related_docs

    report = related_docs(Workspace.find(), page, limit=limit, source=source)
    if as_json:
        return print_json(report)
    rows = [(each.page, each.title, each.score, each.why) for each in report.items]
    return print_table(f"Near {report.page}", ("page", "title", "score", "why"), rows)


@app.command()
def check(
    path: SitePath = None,
    source: SourceName = None,
    stale_days: Annotated[
        int, typer.Option(min=1, help="A page reviewed longer ago is stale.")
    ] = 365,
    as_json: AsJson = False,
) -> None:
    """Dead links, stale pages, orphans, passages that stand twice; ends with 1 where there are any.

    Example: kdgat docs check --stale-days 180
    """
    from kdgat.ops.docs import check_docs

    report = check_docs(Workspace.find(), path=path, source=source, stale_days=stale_days)
    if as_json:
        print_json(report)
    else:
        rows = [(each.kind, f"{each.page}:{each.line}", each.what) for each in report.findings]
        if rows:
            print_table("Documentation", ("what", "where", "why"), rows)
        say(f"{counted(len(rows), 'finding')} in {counted(report.pages, 'page')}")
    if not report.clean:
        raise typer.Exit(_FOUND)


def _print(report: SearchReport, as_json: bool) -> None:
    warn(*report.notes)
    if as_json:
        return print_json(report)
    if report.low_confidence:
        say(f"not in the docs, as it seems (confidence {report.confidence:.2f}); the nearest:")
    for each in report.results:
        where = f"{each.page}#{each.anchor}" if each.anchor else each.page
        say(f"\n{each.source}: {where}  ({each.heading}, {each.score:.2f})")
        say(*(f"  | {line}" for line in each.text.splitlines()))
    return None
