"""`kdgat reference ...`, and `kdgat docs build` and `serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from kdgat.cli.options import AsJson
from kdgat.cli.output import counted, print_json, say, warn
from kdgat.workspace import Workspace

app = typer.Typer(help="Pages that are made from the code.", no_args_is_help=True)


@app.command()
def check(context: typer.Context, as_json: AsJson = False) -> None:
    """Tell which reference pages are stale; exits with 1 where there is one.

    Example: kdgat reference check
    """
    from kdgat.cli.tree import whole_tree
    from kdgat.reference.pages import check_reference, reference_pages

    pages = reference_pages(whole_tree(context))
    report = check_reference(Workspace.find(), pages)
    if as_json:
        print_json(report)
    elif report.is_current:
        say(f"{counted(len(report.pages), 'page')} of {report.folder} are what the code gives")
    else:
        say(*(f"stale: {report.folder}/{name}" for name in report.stale))
        say(*(f"missing: {report.folder}/{name}" for name in report.missing))
        say(*(f"nothing makes it now: {report.folder}/{name}" for name in report.unexpected))
        say("next: kdgat reference write")
    if not report.is_current:
        raise typer.Exit(1)


@app.command()
def write(context: typer.Context, as_json: AsJson = False) -> None:
    """Write the reference pages that are stale or missing.

    Example: kdgat reference write
    """
    from kdgat.cli.tree import whole_tree
    from kdgat.reference.pages import reference_pages, write_reference

    pages = reference_pages(whole_tree(context))
    report = write_reference(Workspace.find(), pages)
    if as_json:
        return print_json(report)
    say(*(f"wrote {report.folder}/{name}" for name in (*report.stale, *report.missing)))
    say(*(f"deleted {report.folder}/{name}" for name in report.unexpected))
    return say("nothing was stale") if report.is_current else None


def build(
    out: Annotated[
        str | None, typer.Option(help="The folder to write; by default in the home folder.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Refuse a site with a warning, such as a dead link.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build this site: the pages of knowledge/, the leaderboard of this workspace, llms.txt.

    It opens without a network, from a web server or with `kdgat docs serve`.

    Example: kdgat docs build --strict
    """
    from kdgat.ops.site import build_site

    built = build_site(Workspace.find(), out=out, strict=strict)
    if as_json:
        return print_json(built)
    warn(*built.warnings)
    return say(f"{counted(built.pages, 'page')}, {built.size_bytes / 1e6:.1f} MB: {built.folder}")


def serve(
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen at.")] = 8000,
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the address as JSON, and don't serve.")
    ] = False,
) -> None:
    """Show this site in a browser, and build it again when a page changes; Ctrl-C ends it.

    Example: kdgat docs serve --port 8001
    """
    from kdgat.ops.site import serve_site

    address = f"http://{host}:{port}/"
    if as_json:
        return print_json({"address": address})
    say(f"{address}, Ctrl-C ends it")
    return serve_site(Workspace.find(), host=host, port=port)
