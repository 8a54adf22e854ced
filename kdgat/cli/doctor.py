"""`kdgat doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson
from kdgat.cli.output import counted, print_json, progress_bar, say
from kdgat.errors import KdgatError

if TYPE_CHECKING:
    from kdgat.ops.checkup.finding import Check, Finding, Found, Surroundings
    from kdgat.ops.doctor import Diagnosis

_PROBLEMS = 1
_MOST_SHOWN = 8
"""Findings of one kind that are printed; --json has all."""


def doctor(
    context: typer.Context,
    fix: Annotated[
        bool, typer.Option("--fix", help="Mend what is safe to mend, and tell what was done.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="With --fix: only tell what would be mended.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Find what is wrong with this machine, environment and workspace, each with what mends it.

    Ends with 1 where there is a problem; notes alone are none.

    Example: kdgat doctor --fix --dry-run
    """
    from kdgat.cli.agent import given_of
    from kdgat.ops.doctor import doctor as examine
    from kdgat.ops.doctor import find_workspace

    if dry_run and not fix:
        raise KdgatError("--dry-run says what --fix would mend", hint="add --fix, or leave it out")
    ws, first = find_workspace()
    more = (*first, reference_check(context))
    with progress_bar() as progress:
        done = examine(
            ws, given_of(context), more=more, fix=fix, dry_run=dry_run, progress=progress
        )
    print_json(done) if as_json else _print(done)
    if done.problems:
        raise typer.Exit(_PROBLEMS)


def reference_check(context: typer.Context) -> Check:
    """Whether the reference pages are what the code gives; the layer of operations can't know."""
    from kdgat.ops.checkup.finding import Check, problem

    def look(here: Surroundings) -> Iterator[Found]:
        if not (here.ws.root / "knowledge" / "reference").is_dir():
            return
        from kdgat.cli.tree import whole_tree
        from kdgat.reference.pages import check_reference, reference_pages, write_reference

        pages = reference_pages(whole_tree(context))
        report = check_reference(here.ws, pages)

        def mend() -> str:
            write_reference(here.ws, pages)
            return f"wrote the reference pages in {report.folder}"

        states = (("stale", report.stale), ("missing", report.missing))
        for state, names in (*states, ("made by nothing now", report.unexpected)):
            for name in names:
                what = f"the reference page '{report.folder}/{name}' is {state}"
                where = f"{report.folder}/{name}"
                yield problem("reference", what, "kdgat reference write", where=where, mend=mend)

    return Check("reference pages", look, "kdgat reference check")


def _print(done: Diagnosis) -> None:
    shown: dict[str, int] = {}
    for each in done.findings:
        shown[each.kind] = shown.get(each.kind, 0) + 1
        if shown[each.kind] <= _MOST_SHOWN:
            _print_finding(each)
    for kind, number in shown.items():
        if number > _MOST_SHOWN:
            say(f"and {number - _MOST_SHOWN} more of '{kind}' (--json has them all)")
    would = "would mend" if done.dry_run else "mended"
    say(*(f"{would}: {text}" for text in done.mended))
    notes = len(done.findings) - done.problems
    told = f"{counted(done.problems, 'problem')} and {counted(notes, 'note')}"
    say(f"{told} after {counted(len(done.checks), 'check')} in {done.seconds:.1f} s")
    if any(each.fixable for each in done.findings) and not done.mended:
        say("next: kdgat doctor --fix")


def _print_finding(each: Finding) -> None:
    where = f" [{each.where}]" if each.where and each.where not in each.what else ""
    say(f"{each.severity}: {each.kind}: {each.what}{where}", f"  fix: {each.fix}")
