"""Completion of what a user types: run ids, pages, questions and modes.

Nothing here opens an index or a record, as a client asks at every key. What can't be completed gets
no values, never an error: half a line is typed.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from kdgat.errors import KdgatError
from kdgat.mcp.resources import DOCS, QUESTION, RUN, doc_pages, shows_questions
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from mcp_types import (
        CompleteResult,
        CompletionArgument,
        CompletionContext,
        PromptReference,
        ResourceTemplateReference,
    )

MOST = 100
"""Values of one answer, as the protocol has it."""


def complete(
    ws: Workspace,
    ref: PromptReference | ResourceTemplateReference,
    argument: CompletionArgument,
    context: CompletionContext | None = None,  # noqa: ARG001 no argument depends on another
) -> CompleteResult:
    """What fits the text typed so far: what begins with it first, then what contains it."""
    from mcp_types import CompleteResult, Completion

    before, typed = "", argument.value
    kind = _SOURCES.get((_name(ref), argument.name))
    if kind == "runs":
        # Several ids in one line: the last one is being typed.
        before, _, typed = argument.value.rpartition(" ")
        before += " " * bool(before)
    try:
        found = _fitting(_known(ws, kind), typed)
    except KdgatError:
        found = []
    values = [before + each for each in found[:MOST]]
    total = len(found)
    return CompleteResult(completion=Completion(values=values, total=total, has_more=total > MOST))


_SOURCES = {
    (RUN, "id"): "run",
    (DOCS, "page"): "page",
    (QUESTION, "id"): "question",
    ("debug-run", "run"): "run",
    ("write-up", "runs"): "runs",
    ("switch-mode", "mode"): "mode",
}
"""What an argument of a template or a prompt names."""


def _name(ref: PromptReference | ResourceTemplateReference) -> str:
    return ref.uri if ref.type == "ref/resource" else ref.name


def _known(ws: Workspace, kind: str | None) -> Iterable[str]:
    """Everything of a kind, the likeliest first."""
    if kind in ("run", "runs"):
        from kdgat.ledger.scan import LATEST, run_folders

        return chain((LATEST,), (folder.path.name for folder in run_folders(ws.runs)))
    if kind == "page":
        return doc_pages(ws)
    if kind == "mode":
        from kdgat.modes.packs import RESERVED, mode_names

        return (name for name in mode_names(ws) if name not in RESERVED)
    if kind == "question" and shows_questions(ws):
        from kdgat.runs.open_questions import read_questions

        return (question.id for question in read_questions(ws)[0])
    return ()


def _fitting(known: Iterable[str], typed: str) -> list[str]:
    asked = typed.lower()
    fitting = [each for each in known if asked in each.lower()]
    # Sorting keeps the order of equals.
    return sorted(fitting, key=lambda each: not each.lower().startswith(asked))
