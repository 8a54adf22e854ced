"""`kdgat suggest`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from kdgat.cli.options import AsJson
from kdgat.cli.output import counted, percent, print_json, say
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.ops.suggest import Suggestions


def suggest(
    limit: Annotated[int, typer.Option(min=1, max=10, help="At most so many.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Find what was never tried, is noisy, contradicts or waits, each with a command to try it.

    Ranked by the chance that the answer changes something, for each hour that it costs.

    Example: kdgat suggest --limit 3
    """
    from kdgat.ops.suggest import suggest as look

    found = look(Workspace.find(), limit=limit, questions=True)
    return print_json(found) if as_json else _print(found)


def _print(found: Suggestions) -> None:
    for number, each in enumerate(found.items, 1):
        say(
            f"{number}. {each.kind}: {each.claim}",
            f"   $ {each.command}",
            f"   value {each.value:.2f}: chance {percent(each.chance)} ({each.because}); "
            f"cost {each.cost}",
        )
        if each.runs:
            say(f"   rests on {counted(each.n, 'run')}: {', '.join(each.runs)}")
        say("")
    if not found.items:
        return say("no gap was found: nothing is untried, noisy, in contradiction or left lying")
    return say(
        f"{len(found.items)} of {counted(found.total, 'finding')}; {found.method}",
        *(f"note: {note}" for note in found.notes),
        "what was trained here is judged by: kdgat evaluate RUN",
    )
