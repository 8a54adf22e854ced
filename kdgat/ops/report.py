"""The operation that writes a report of runs: one HTML file, whole or not at all."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kdgat.errors import RunError
from kdgat.ledger.files import write_text
from kdgat.ledger.record import record_from
from kdgat.runs.history import History, open_history
from kdgat.runs.registry import run_named
from kdgat.runs.report import Provenance, ReportPage, gather, render
from kdgat.runs.scores import Question
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class ReportSummary:
    """What was written, and where."""

    path: str
    size_bytes: int
    datasets: tuple[str, ...]
    models: int
    """Rows of all leaderboards."""
    runs: int
    """Runs whose provenance is told, evaluations included."""


def write_report(
    ws: Workspace,
    *,
    runs: Sequence[str] = (),
    dataset: str | None = None,
    metric: str = "f1",
    protocol: str | None = None,
    out: str | None = None,
) -> ReportSummary:
    """Write one self-contained HTML file: leaderboards, scenarios, curves, fronts, provenance.

    Args:
        ws: the workspace.
        runs: only these, each a run id, the beginning of one, `latest` or `MODEL@champion`;
            an evaluation stands for the run it judged. None: the best of each model.
        dataset: only this one's.
        metric: what models are ranked by.
        protocol: what a model may know of a test capture; None for every protocol that models were
            judged under, each in sections of its own.
        out: the file; by default `reports/report.html` in the home folder.

    Raises:
        RunError: there is no such run or metric, nothing was judged, or `out` is a folder.
        StorageError: the file can't be written.
    """
    path = Path(out).expanduser() if out else ws.home / "reports" / "report.html"
    if path.is_dir():
        raise RunError(f"'{out}' is a folder", hint=f"name a file: --out {path / 'report.html'}")
    question = Question(
        metric=metric,
        dataset=dataset,
        include_simulated=True,
        runs=tuple(dict.fromkeys(_trained(ws, run) for run in runs)),
    )
    with open_history(ws) as history:
        page = gather(history, question, protocol)
        _need_all(question.runs, page.runs)
        text = render(page, _provenance(ws, history, page.runs), _about(question, page))
    write_text(path, text)
    datasets = tuple(dict.fromkeys(section.table.dataset for section in page.sections))
    models = sum(len(section.table.rows) for section in page.sections)
    size = len(text.encode())
    return ReportSummary(ws.show(path.absolute()), size, datasets, models, len(page.runs))


def _trained(ws: Workspace, reference: str) -> str:
    """The id of the training run that is meant."""
    record = run_named(ws, reference).record()
    return record.subject or record.run_id


def _need_all(asked: Sequence[str], shown: Sequence[str]) -> None:
    """A run that was asked for is never missing in silence."""
    for run in asked:
        if run not in shown:
            raise RunError(
                f"run '{run}' can't be shown: it was not judged, is archived, or a newer run of "
                "the same config and seed stands for it",
                hint=f"`kdgat evaluate {run}` judges it; or leave it out",
            )


def _about(question: Question, page: ReportPage) -> dict[str, Any]:
    datasets = list(dict.fromkeys(section.table.dataset for section in page.sections))
    what = f"{len(question.runs)} chosen runs" if question.runs else "the best config of each model"
    return {
        "title": f"Intrusion detection: {', '.join(datasets)}",
        "scope": f"{what[:1].upper()}{what[1:]}, ranked by {question.wanted}, on test windows.",
        "generated_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "version": version("kdgat"),
    }


def _provenance(ws: Workspace, history: History, runs: Sequence[str]) -> list[Provenance]:
    sql = """
        SELECT run_id, name, stage, provenance, seed, digest, dataset, dataset_hash, git_commit,
            git_dirty, torch, host, strftime(started_at, '%Y-%m-%d %H:%M UTC'), duration_s, state,
            archived, folder
        FROM runs WHERE run_id IN (SELECT unnest($1::VARCHAR[])) ORDER BY run_id"""
    rows = history.query(sql, (list(runs),)).rows
    return [Provenance(*row[:-1], command=_command(ws.home / row[-1])) for row in rows]


def _command(folder: Path) -> str | None:
    """The command line that made a run, as far as its record tells."""
    try:
        arguments = record_from(folder / "run.json").environment.get("argv")
    except RunError:
        # History told of the run already; a record that went since has no command to show.
        return None
    if not isinstance(arguments, list):
        return None
    return shlex.join(["kdgat", *map(str, arguments)])
