"""The tool `paper`: a paper's printed figures held against the history; nothing is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from kdgat.mcp.answers import Cursor, Limit, page
from kdgat.mcp.tools.given import inside
from kdgat.workspace import Workspace

Action = Literal["check", "findings", "fill"]


@dataclass(frozen=True)
class PaperRow:
    """A printed figure and what the history says; `quoted` is the paper's own text."""

    value: str
    place: str
    quoted: str
    history: str | None
    why: str
    runs: tuple[str, ...]


@dataclass(frozen=True)
class PaperAnswer:
    """Drifts, better runs, or what a fill would change; `faults` can't be answered by history."""

    paper: str
    items: tuple[PaperRow, ...]
    total: int
    next_cursor: str | None
    truncated: bool
    hint: str
    compared: int
    faults: tuple[str, ...]
    notes: tuple[str, ...]

    def summary(self) -> str:
        """How many of the compared values are told of."""
        found = f"{self.paper}: {self.total} of {self.compared} compared"
        faults = f", {len(self.faults)} that history can't answer" if self.faults else ""
        return f"{found}{faults}"


def paper(
    ws: Workspace,
    *,
    action: Action = "check",
    path: Annotated[
        str, Field(description="folder of paper.toml, from the root", max_length=300)
    ] = ".",
    any_model: Annotated[bool, Field(description="findings: other models too")] = False,
    cursor: Cursor = "",
    limit: Limit = 20,
) -> PaperAnswer:
    """A paper's printed figures against the history: drifts, runs that beat them, a dry fill.

    Use when figures of a text may be out of date, or a better run may be worth printing.
    Not when figures themselves are wanted (runs). Writing is the user's: `kdgat paper fill`.
    """
    where = str(inside(ws, path))
    if action == "check":
        return _checked(ws, where, cursor, limit)
    if action == "findings":
        return _better(ws, where, cursor, limit, any_model=any_model)
    return _dry_fill(ws, where, cursor, limit)


def _checked(ws: Workspace, where: str, cursor: str, limit: int) -> PaperAnswer:
    from kdgat.ops.papers import paper_check

    found = paper_check(ws, paper=where)
    rows = [
        PaperRow(
            each.value, f"{each.file}:{each.line}", each.printed, each.history, each.reason, ()
        )
        for each in found.drifts
    ]
    hint = found.hint or ("`kdgat paper fill` writes generated files anew" if rows else "")
    return _answer(
        found.paper, rows, cursor, limit, hint, found.places, found.faults, found.warnings
    )


def _better(ws: Workspace, where: str, cursor: str, limit: int, *, any_model: bool) -> PaperAnswer:
    from kdgat.ops.papers import paper_findings

    found = paper_findings(ws, paper=where, any_model=any_model)
    rows = [
        PaperRow(
            each.value,
            each.place,
            each.printed,
            f"{each.figure} ({each.low} to {each.high})" if each.low else each.figure,
            f"{each.model}, {each.seeds} seeds, best of {each.tried} configs; {each.arena}",
            each.runs,
        )
        for each in found.items
    ]
    skipped = tuple(f"not compared: {name}, {why}" for name, why in found.skipped.items())
    notes = (*found.warnings, *skipped)
    return _answer(found.paper, rows, cursor, limit, "", found.compared, (), notes)


def _dry_fill(ws: Workspace, where: str, cursor: str, limit: int) -> PaperAnswer:
    from kdgat.ops.papers import paper_fill

    found = paper_fill(ws, paper=where, dry_run=True)
    rows = [
        PaperRow("", each.file, each.diff, None, f"{each.values} values, would change", ())
        for each in found.files
        if each.changed
    ]
    hint = (
        "the user writes them with `kdgat paper fill`" if rows else "every file is as it should be"
    )
    return _answer(found.paper, rows, cursor, limit, hint, len(found.values), (), found.warnings)


def _answer(
    name: str,
    rows: list[PaperRow],
    cursor: str,
    limit: int,
    hint: str,
    compared: int,
    faults: tuple[str, ...],
    notes: tuple[str, ...],
) -> PaperAnswer:
    items, after = page(rows, cursor, limit)
    truncated = after is not None
    return PaperAnswer(name, items, len(rows), after, truncated, hint, compared, faults, notes)
