"""The operation that brings in runs of other programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kdgat.ledger.journal import Journal
from kdgat.progress import Progress, quiet
from kdgat.runs.imports.folders import read_folders
from kdgat.runs.imports.found import NO_SEED, Fault, FoundRun
from kdgat.runs.imports.mlflow_store import is_store, read_store
from kdgat.runs.imports.write import Held, bring_in, held
from kdgat.workspace import Workspace

Action = Literal["new", "here already", "twice"]


@dataclass(frozen=True)
class ImportedRow:
    """One run of a source: what it is, and what was done with it."""

    source: str
    action: Action
    """`twice`: the source holds it a second time."""
    run_id: str | None
    """None where nothing was written yet."""
    dataset: str
    model: str
    size: str
    seed: int | None
    distilled: bool
    state: str
    splits: tuple[str, ...]
    """What its figures are of, as the source says: test, validation, train or unsaid."""
    scenarios: int
    f1: float | None
    """Of the first scenario that has one."""
    mapped: int
    """Config values and figures that could be mapped."""
    not_mapped: tuple[str, ...]
    """Names that could not; they are kept in the artifacts."""
    checkpoints: int
    """Checkpoints beside it."""


@dataclass(frozen=True)
class SkippedSource:
    """A part of the source that was not brought in, and why."""

    source: str
    problem: str


@dataclass(frozen=True)
class ImportReport:
    """What came in; with `dry_run`, what would."""

    source: str
    items: tuple[ImportedRow, ...]
    skipped: tuple[SkippedSource, ...]
    checkpoints: bool
    """Whether checkpoints were copied."""
    dry_run: bool

    @property
    def new(self) -> int:
        """Runs that came in, or would."""
        return sum(item.action == "new" for item in self.items)


def import_runs(
    ws: Workspace,
    source: str,
    *,
    with_checkpoints: bool = False,
    dry_run: bool = False,
    progress: Progress = quiet,
) -> ImportReport:
    """Bring in result folders (`config.json`, `metrics.json`) or the runs of an MLflow store.

    Each becomes a run marked as imported, and an evaluation with its figures under a protocol that
    is unknown. What is here already, by its content, is left alone. A damaged part is skipped, and
    told.

    Args:
        ws: the workspace.
        source: a folder with result folders below it, an `mlruns` folder, or `sqlite:///FILE`.
        with_checkpoints: copy the checkpoints beside them; nothing opens one.
        dry_run: say what would come in, and write nothing.
        progress: told of every run.

    Raises:
        RunError: there is no such source, or nothing in it is one.
        StorageError: the file system refused; nothing is left half-written.
    """
    found = read_store(source) if is_store(source) else read_folders(Path(source))
    known = held(ws.runs, Journal(ws.journal))
    seen: set[str] = set()
    rows, skipped = [], []
    for number, each in enumerate(found):
        progress(f"importing {each.source}", number, number + 1)
        if isinstance(each, Fault):
            skipped.append(SkippedSource(each.source, each.problem))
            continue
        rows.append(_row(ws, each, known, seen, with_checkpoints, dry_run))
        seen.add(each.content)
    progress("imported", len(rows), len(rows))
    return ImportReport(source, tuple(rows), tuple(skipped), with_checkpoints, dry_run)


def _row(
    ws: Workspace, run: FoundRun, known: Held, seen: set[str], checkpoints: bool, dry_run: bool
) -> ImportedRow:
    action: Action = "twice" if run.content in seen else "new"
    whole = run.content in known.trainings and (not run.figures or run.content in known.evaluations)
    if whole and action == "new":
        action = "here already"
    if action == "new" and not dry_run:
        bring_in(ws.runs, run, known, checkpoints=checkpoints)
    f1 = next((figures["f1"] for figures in run.figures.values() if "f1" in figures), None)
    return ImportedRow(
        source=run.source,
        action=action,
        run_id=known.trainings.get(run.content),
        dataset=run.facts.dataset or "",
        model=run.model,
        size=run.facts.size,
        seed=None if run.seed == NO_SEED else run.seed,
        distilled=run.facts.distilled,
        state=run.state.value,
        splits=tuple(dict.fromkeys(split for split, _ in run.figures)),
        scenarios=len(run.figures),
        f1=f1,
        mapped=len(run.mapped),
        not_mapped=run.left,
        checkpoints=len(run.checkpoints),
    )
