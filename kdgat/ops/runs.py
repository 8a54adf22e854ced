"""Operations on the ledger: list, show, archive, remove and repair runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kdgat.errors import RunError, did_you_mean
from kdgat.ledger.files import read_lines
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.journal import Journal, Standing
from kdgat.ledger.record import RunRecord
from kdgat.ledger.removal import check_removable, take_away, tree_bytes
from kdgat.ledger.repair import Action, find_faults, mend
from kdgat.ledger.scan import readable, run_folders
from kdgat.ledger.states import State
from kdgat.runs.registry import run_named
from kdgat.workspace import Workspace


@dataclass(frozen=True)
class RunList:
    """Runs, newest first, and what is wrong with the folders that can't be read."""

    items: tuple[RunRecord, ...]
    total: int
    truncated: bool
    broken: tuple[str, ...]
    archived: tuple[str, ...] = ()
    """Ids of the archived ones among the items."""
    hidden: int = 0
    """How many archived ones fit the filters and are not shown."""


@dataclass(frozen=True)
class RunView:
    """One run: record, config, epochs, events."""

    record: RunRecord
    folder: str
    config: dict[str, Any]
    epochs: tuple[dict[str, Any], ...]
    events: tuple[dict[str, Any], ...]
    archived: bool
    aliases: tuple[str, ...]
    """References `model@alias` that point to this run."""


@dataclass(frozen=True)
class RemovedRun:
    """A run that is gone, or would be."""

    run_id: str
    name: str
    stage: str
    folder: str
    size_bytes: int


@dataclass(frozen=True)
class Removal:
    """What was removed; with `dry_run`, what would be."""

    items: tuple[RemovedRun, ...]
    dry_run: bool


@dataclass(frozen=True)
class Archiving:
    """Runs that are now archived, or no longer, by id."""

    archived: bool
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]


@dataclass(frozen=True)
class RepairItem:
    """Something among the runs that is no whole run, and what was done about it."""

    path: str
    fault: str
    action: Action
    next_step: str
    """What is left to do for the user; empty where nothing is."""


@dataclass(frozen=True)
class RepairReport:
    """Everything wrong that was found; with `dry_run`, the actions are what would be done."""

    items: tuple[RepairItem, ...]
    dry_run: bool


def list_runs(
    ws: Workspace,
    *,
    dataset: str | None = None,
    stage: str | None = None,
    state: str | None = None,
    archived: bool = False,
    limit: int = 50,
) -> RunList:
    """The newest runs that fit every filter given; archived ones only when asked for.

    Raises:
        RunError: there is no such state.
    """
    if state is not None and state not in set(State):
        raise RunError(f"no run is ever in the state '{state}'", hint=did_you_mean(state, State))
    standing = Journal(ws.journal).standing()
    wanted = {"dataset": dataset, "stage": stage, "state": state}
    records, faults = _read(run_folders(ws.runs))
    fitting = [
        record
        for record in records
        if record.run_id not in standing.removed
        and all(value in (None, getattr(record, name)) for name, value in wanted.items())
    ]
    shown = [run for run in fitting if archived or run.run_id not in standing.archived]
    items = tuple(shown[:limit])
    return RunList(
        items=items,
        total=len(shown),
        truncated=len(shown) > limit,
        broken=faults,
        archived=tuple(run.run_id for run in items if run.run_id in standing.archived),
        hidden=len(fitting) - len(shown),
    )


def show_run(ws: Workspace, run: str) -> RunView:
    """One run by its id, the beginning of it, or `latest`.

    Raises:
        RunError: there is no such run, or its record can't be read.
    """
    folder = run_named(ws, run)
    record = folder.current()
    standing = Journal(ws.journal).standing()
    return RunView(
        record=record,
        folder=ws.show(folder.path),
        config=folder.config(),
        epochs=tuple(folder.metrics()),
        events=tuple(read_lines(folder.path / "events.jsonl")),
        archived=record.run_id in standing.archived,
        aliases=standing.aliases_of(record.run_id),
    )


def archive_runs(ws: Workspace, runs: Sequence[str]) -> Archiving:
    """Put runs away: lists and leaderboards leave them out, and their folders stay as they are.

    Raises:
        RunError: there is no such run, or its record can't be read; then none is archived.
    """
    return _archiving(ws, runs, archived=True)


def unarchive_runs(ws: Workspace, runs: Sequence[str]) -> Archiving:
    """Take archived runs back into lists and leaderboards.

    Raises:
        RunError: there is no such run, or its record can't be read; then none is taken back.
    """
    return _archiving(ws, runs, archived=False)


def remove_runs(
    ws: Workspace, runs: Sequence[str], *, force: bool = False, dry_run: bool = False
) -> Removal:
    """Delete runs with everything in their folders. All are checked before the first is touched.

    The journal says so before the folder goes: a removal that is killed half-way is finished by
    `repair_runs` or by the same command.

    Args:
        ws: the workspace.
        runs: ids, beginnings of ids, or `latest`.
        force: remove also runs that other runs or registered models were made from.
        dry_run: check all, change nothing.

    Raises:
        RunError: there is no such run, it is running, it is the champion or challenger of a
            model, or others were made from it.
        StorageError: the file system refused.
    """
    folders = _find(ws, runs)
    journal = Journal(ws.journal)
    standing = journal.standing()
    others = [
        record
        for _, record in readable(run_folders(ws.runs))
        if record.run_id not in {*folders, *standing.removed}
    ]
    for folder in folders.values():
        record = folder.current()
        _refuse_in_use(record, standing)
        if not force:
            _refuse_needed(record, standing, others)
        check_removable(folder.path)
    items = tuple(_removed(ws, folder) for folder in folders.values())
    if not dry_run:
        for item, folder in zip(items, folders.values(), strict=True):
            if item.run_id not in standing.removed:
                where = folder.path.relative_to(ws.home).as_posix()
                journal.append("removed", run_id=item.run_id, name=item.name, folder=where)
            take_away(folder.path)
    return Removal(items, dry_run)


def repair_runs(ws: Workspace, *, dry_run: bool = False) -> RepairReport:
    """Name everything among the runs that is no whole run, and mend what is kdgat's to mend.

    Runs whose process died are written down as lost, leftovers of killed writers swept, removals
    finished. What is foreign or corrupt is named and left. Repeating it changes nothing more.

    Args:
        ws: the workspace.
        dry_run: say what would be done, and do nothing.
    """
    faults = find_faults(ws.runs, Journal(ws.journal))
    done = faults if dry_run else [mend(fault) for fault in faults]
    items = (
        RepairItem(ws.show(each.path), each.fault, each.action, each.next_step) for each in done
    )
    return RepairReport(tuple(items), dry_run)


def _read(folders: Iterable[RunFolder]) -> tuple[list[RunRecord], tuple[str, ...]]:
    """The records that can be read, and what is wrong with the others."""
    records: list[RunRecord] = []
    faults: list[str] = []
    for folder in folders:
        try:
            records.append(folder.current())
        except RunError as error:
            # A folder that is gone by now was removed while we looked.
            if folder.path.exists():
                faults.append(error.problem)
    return records, tuple(faults)


def _find(ws: Workspace, runs: Sequence[str]) -> dict[str, RunFolder]:
    """The folders of the runs, each once, by id."""
    found = (run_named(ws, run) for run in runs)
    return {folder.record().run_id: folder for folder in found}


def _archiving(ws: Workspace, runs: Sequence[str], *, archived: bool) -> Archiving:
    folders = _find(ws, runs)
    journal = Journal(ws.journal)
    before = journal.standing().archived
    changed = tuple(run_id for run_id in folders if (run_id in before) is not archived)
    for run_id in changed:
        journal.append("archived" if archived else "unarchived", run_id=run_id)
    unchanged = tuple(run_id for run_id in folders if run_id not in changed)
    return Archiving(archived, changed, unchanged)


def _removed(ws: Workspace, folder: RunFolder) -> RemovedRun:
    record = folder.record()
    where, size = ws.show(folder.path), tree_bytes(folder.path)
    return RemovedRun(record.run_id, record.name, record.stage, where, size)


def _refuse_in_use(record: RunRecord, standing: Standing) -> None:
    """Refuse what nobody may remove: a running run, and one that an alias points to."""
    if record.state is State.RUNNING:
        raise RunError(
            f"run '{record.run_id}' is running on {record.host} (process {record.pid})",
            hint="stop it first, or wait for its end",
        )
    if aliases := standing.aliases_of(record.run_id):
        raise RunError(
            f"run '{record.run_id}' is {' and '.join(aliases)}",
            hint="promote another run to that first (`kdgat models promote`); --force does not "
            "remove it either",
        )


def _refuse_needed(record: RunRecord, standing: Standing, others: Sequence[RunRecord]) -> None:
    """Refuse, unless forced, what others were made from, and what a scheduler will start."""
    run_id = record.run_id
    if record.state in (State.PLANNED, State.SUBMITTED):
        raise RunError(
            f"run '{run_id}' is {record.state.value} and may begin at any time",
            hint="cancel it first, or add --force",
        )
    uses: dict[str, Callable[[RunRecord], str | None]] = {
        # A student's evaluation names the teacher too, and was not taught.
        "the teacher of": lambda other: None if other.subject else other.teacher,
        "judged by": lambda other: other.subject,
        "weighed by": lambda other: (
            run_id if not other.subject and run_id in other.scorers else None
        ),
    }
    needs = [
        f"{what} {_names(users)}"
        for what, of in uses.items()
        if (users := [other.run_id for other in others if of(other) == run_id])
    ]
    if versions := standing.versions_of(run_id):
        needs.append(f"registered as {_names(versions)}")
    if needs:
        raise RunError(
            f"run '{run_id}' is {', and '.join(needs)}",
            hint="remove those with it, `kdgat runs archive` it instead, or add --force",
        )


def _names(names: Sequence[str], most: int = 3) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
