"""Sections of facts, kept for as long as all that they were made from is the same.

Most sessions begin with the ledger as the last one found it; then no database is opened. What says
so is the ledger itself, looked at anew each time: which runs there are, in which state, and the
times and sizes of the files that a section reads besides.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from kdgat.agent.session import FactSection
from kdgat.errors import StorageError
from kdgat.ledger.files import write_json
from kdgat.runs.fresh import signs_of, stamp_of
from kdgat.runs.snapshot import FolderRows, Snapshot, take_snapshot
from kdgat.workspace import Workspace

_PACKAGE = Path(__file__).parents[1]
_CODE = ("ops", "runs", "modes", "agent", "knowledge")
"""Packages whose code makes the sections."""
_ELSEWHERE = re.compile(
    r"\b(jobs|models|datasets|questions|agent_calls|now|today|current_\w+|get_current_\w+|local\w+"
    r"|random|setseed|uuid|gen_random_uuid|age|transaction_timestamp)\b",
    re.IGNORECASE,
)
"""What a trigger's SQL may ask of that is not in a run's folder."""
Sections = dict[str, FactSection | None]


class Memory:
    """The sections of one workspace, made anew or remembered."""

    def __init__(self, ws: Workspace) -> None:
        self._ws = ws
        self._path = ws.agent / "session.json"

    def sections(self, names: Sequence[str]) -> Sections:
        """The sections of these names; None for one that has nothing to tell.

        Raises:
            HistoryError: the history can't be asked.
            StorageError: a file can't be read.
        """
        key = self._key()
        known = self._recalled(key)
        missing = [name for name in names if name not in known]
        if missing:
            made = self._made(missing)
            known |= made
            lasting = {name: made for name, made in known.items() if self._lasts(name)}
            self._keep(key, lasting)
        return {name: known[name] for name in names}

    def _made(self, names: Iterable[str]) -> Sections:
        from kdgat.ops.session_sections import MADE
        from kdgat.runs.history import MEMORY_MB, open_history

        # As questions ask it, so that both find one database.
        with open_history(self._ws, memory_mb=MEMORY_MB) as history:
            return {name: MADE[name](self._ws, history) for name in names}

    def _key(self) -> str:
        """Changes with everything that a section is made from."""
        digest = hashlib.sha256()
        for part in self._parts(take_snapshot(self._ws)):
            digest.update(f"{part}\n".encode())
        return digest.hexdigest()

    def _parts(self, snapshot: Snapshot) -> Iterator[str]:
        yield f"{self._ws.root} {snapshot.manifest.number} {len(snapshot.events)}"
        yield from map(str, snapshot.events[-1:])
        yield from snapshot.dead
        for rows in snapshot.fresh:
            yield f"{rows.run.path} {rows.state} {stamp_of(signs_of(rows.run.path))}"
            yield from _signs(self._jobs_of(rows))
        yield from _signs(sorted(self._ws.data.glob("*/captures.json")))
        yield from _signs(sorted((self._ws.modes / "questions").glob("*.md")))
        yield from _signs(sorted(path for each in _CODE for path in (_PACKAGE / each).glob("*.py")))

    def _jobs_of(self, rows: FolderRows) -> Iterator[Path]:
        """The record of a run's job, which changes when the scheduler is asked."""
        job = (rows.record or {}).get("job")
        if isinstance(job, str) and "/" not in job:
            yield self._ws.jobs / job / "job.json"

    def _lasts(self, name: str) -> bool:
        """Whether a section may be kept: not where the clock or other files have a say in it."""
        if name != "questions":
            return True
        from kdgat.runs.open_questions import read_questions

        triggers = (each.trigger for each in read_questions(self._ws)[0])
        return not any(each and _ELSEWHERE.search(each.sql) for each in triggers)

    def _recalled(self, key: str) -> Sections:
        try:
            kept = json.loads(self._path.read_bytes())
            if kept["key"] != key:
                return {}
            return {
                name: each and FactSection(**{**each, "lines": tuple(each["lines"])})
                for name, each in kept["sections"].items()
            }
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return {}

    def _keep(self, key: str, sections: Sections) -> None:
        values = {name: each and asdict(each) for name, each in sections.items()}
        # Without it the next session begins a little later.
        with suppress(StorageError):
            write_json(self._path, {"key": key, "sections": values})


def _signs(paths: Iterable[Path]) -> Iterator[str]:
    """Path, time and size of each file."""
    for path in paths:
        try:
            found = path.stat()
        except OSError:
            continue
        yield f"{path} {found.st_mtime_ns} {found.st_size}"
