"""Operations on the ledger: which runs there are, and one of them whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kdgat.errors import RunError, did_you_mean
from kdgat.ledger.files import read_lines
from kdgat.ledger.record import RunRecord
from kdgat.ledger.scan import broken, find_run, readable, run_folders
from kdgat.ledger.states import State
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class RunList:
    """Runs, newest first, and what is wrong with the folders that can't be read."""

    items: tuple[RunRecord, ...]
    total: int
    truncated: bool
    broken: tuple[str, ...]


@dataclass(frozen=True)
class RunView:
    """One run: record, config, epochs, events."""

    record: RunRecord
    folder: str
    config: dict[str, Any]
    epochs: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]


def list_runs(
    ws: Workspace,
    *,
    dataset: str | None = None,
    stage: str | None = None,
    state: str | None = None,
    limit: int = 50,
) -> RunList:
    """The newest runs that fit every filter given.

    Raises:
        RunError: there is no such state.
    """
    if state is not None and state not in set(State):
        raise RunError(f"no run is ever in the state '{state}'", hint=did_you_mean(state, State))
    folders = run_folders(ws.runs)
    wanted = {"dataset": dataset, "stage": stage, "state": state}
    fitting = tuple(
        record
        for _, record in readable(folders)
        if all(value in (None, getattr(record, name)) for name, value in wanted.items())
    )
    faults = tuple(error.problem for error in broken(folders))
    return RunList(fitting[:limit], len(fitting), len(fitting) > limit, faults)


def show_run(ws: Workspace, run: str) -> RunView:
    """One run by its id, the beginning of it, or `latest`.

    Raises:
        RunError: there is no such run, or its record can't be read.
    """
    folder = find_run(ws.runs, run)
    return RunView(
        record=folder.current(),
        folder=ws.show(folder.path),
        config=folder.config(),
        epochs=tuple(folder.metrics()),
        events=tuple(read_lines(folder.path / "events.jsonl")),
    )
