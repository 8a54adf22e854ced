"""The runs that are linked to a question, as the history has them now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kdgat.runs.history import History
from kdgat.runs.rows import Row

_RUNS = "select run_id, name, stage, state, provenance from runs where run_id in ?"
_FIGURES = """
    with linked as (
        select run_id, run_id as evaluation from runs where run_id in ? and subject is not null
        union all
        select subject, max(run_id) from runs
        where subject in ? and state = 'completed' group by subject
    )
    select linked.run_id, m.name, m.scenario, m.protocol, m.value
    from linked join metrics m on m.run_id = linked.evaluation
    where m.attack_type = 'all' and m.name in ('f1', 'auroc') order by all
"""


@dataclass(frozen=True)
class EvidenceFigure:
    """F1 or AUROC of one test scenario, over all attack types."""

    name: str
    scenario: str
    protocol: str
    value: float | None


@dataclass(frozen=True)
class Evidence:
    """A linked run as it is now."""

    run_id: str
    name: str
    """Dataset, model and size; empty where the run is gone."""
    stage: str
    state: str
    """Its state, or `gone`."""
    provenance: str
    figures: tuple[EvidenceFigure, ...]
    """Of an evaluation its own; of another run those of its newest evaluation."""


def evidence_of(history: History, run_ids: Sequence[str]) -> tuple[Evidence, ...]:
    """Linked runs in their order; one that was removed since is there as gone.

    Raises:
        HistoryError: the compacted history is damaged.
    """
    if not run_ids:
        return ()
    wanted = list(run_ids)
    known = {row[0]: row[1:] for row in history.query(_RUNS, [wanted]).rows}
    figures = history.query(_FIGURES, [wanted, wanted]).rows
    return tuple(_evidence(each, known.get(each), figures) for each in run_ids)


def _evidence(run_id: str, row: Row | None, figures: Sequence[Row]) -> Evidence:
    name, stage, state, provenance = row or ("", "", "gone", "")
    of_it = (figure for of, *figure in figures if of == run_id)
    return Evidence(
        run_id, name, stage, state, provenance, tuple(EvidenceFigure(*each) for each in of_it)
    )
