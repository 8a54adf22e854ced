"""Finding runs: all of them, one by reference, or the newest that fits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from glob import escape
from pathlib import Path

from kdgat.errors import RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.journal import Journal
from kdgat.ledger.record import RunRecord, is_run_id
from kdgat.ledger.states import State

LATEST = "latest"


def run_folders(runs: Path, depth: int = 3, *, name: str = "*") -> list[RunFolder]:
    """Every run's folder `depth` levels below `runs`, newest first (run ids sort by time).

    Folders whose name begins with a dot are being made or removed.

    Args:
        runs: the ledger, or a folder of it.
        depth: levels from there to a run.
        name: a pattern of the folders' names; one without a wildcard is not searched for.
    """
    found = (path.parent for path in runs.glob(f"{'*/' * (depth - 1)}{name}/run.json"))
    paths = [path for path in found if not path.name.startswith(".")]
    return [RunFolder(path) for path in sorted(paths, key=lambda path: path.name, reverse=True)]


def readable(folders: Iterable[RunFolder]) -> Iterator[tuple[RunFolder, RunRecord]]:
    """The folders whose record can be read; a broken one never hides the others."""
    for folder in folders:
        try:
            yield folder, folder.current()
        except RunError:
            continue


def broken(folders: list[RunFolder]) -> list[RunError]:
    """What is wrong with the folders whose record can't be read."""
    faults = []
    for folder in folders:
        try:
            folder.record()
        except RunError as error:
            faults.append(error)
    return faults


def find_run(
    runs: Path,
    reference: str,
    accept: Callable[[RunRecord], bool] = lambda _: True,
    *,
    journal: Journal,
) -> RunFolder:
    """The run with this id (or a beginning of it that fits one), or the newest accepted one.

    Args:
        runs: the ledger.
        reference: a run id, the beginning of one, or `latest`.
        accept: which runs `latest` may be; only completed ones are considered.
        journal: says which runs were archived or removed; `latest` is none of those.

    Raises:
        RunError: none fits, several do, or the one named can't be read.
    """
    if reference == LATEST:
        standing = journal.standing()
        away = standing.archived | standing.removed
        for folder, record in readable(run_folders(runs)):
            if record.state is State.COMPLETED and record.run_id not in away and accept(record):
                return folder
        raise RunError(
            "no completed run fits 'latest' here",
            hint="`kdgat runs list` shows what there is, without the archived; train the missing "
            "one first",
        )
    fitting = _fitting(runs, reference)
    exact = [folder for folder in fitting if folder.path.name == reference]
    if reference and (len(fitting) == 1 or exact):
        folder = (exact or fitting)[0]
        folder.record()
        return folder
    if not fitting or not reference:
        raise RunError(f"no run '{reference}'", hint="`kdgat runs list` shows every run id")
    names = ", ".join(folder.path.name for folder in fitting[:3])
    raise RunError(
        f"'{reference}' fits {len(fitting)} runs ({names}{', ...' if len(fitting) > 3 else ''})",
        hint="give more of the run id",
    )


def _fitting(runs: Path, reference: str) -> list[RunFolder]:
    """The runs whose id begins so, newest first; of a whole id's, the one that has it."""
    whole = run_folders(runs, name=reference) if is_run_id(reference) else []
    if whole or "/" in reference:
        return whole
    return run_folders(runs, name=f"{escape(reference)}*")
