"""What was decided about runs and models: archived, removed, registered, promoted.

A folder of small files, one an event, each written once under a name that no other process can
take and never changed. So nothing is locked, a copy can be merged by copying files, and history,
MLflow and the registry can be made again from it. Standard library only.
"""

from __future__ import annotations

import errno
import json
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import MAXYEAR, UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from kdgat.errors import RunError
from kdgat.ledger.files import storage_error, write_json
from kdgat.ledger.record import new_run_id, utc_now

KINDS = {
    "archived": ("run_id",),
    "unarchived": ("run_id",),
    "removed": ("run_id", "name", "folder"),
    "registered": ("model", "version", "run_id", "checkpoint_sha256", "tags"),
    "alias_set": ("model", "alias", "version", "run_id", "reason"),
    "alias_removed": ("model", "alias"),
    "version_removed": ("model", "version"),
}
"""The kinds of events, and the details each must have."""

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
_KEPT = 1 << 14
"""Events that a process keeps: a registry is asked of all of them, again and again."""
_STAMP = "%Y%m%d-%H%M%S-%f"
_STAMP_DIGITS = len("20261121-101112-345")


@dataclass(frozen=True)
class JournalEvent:
    """One event. `id` sorts by time; `time` is ISO 8601 in UTC."""

    id: str
    time: str
    kind: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """What holds after every event, in order."""

    archived: frozenset[str] = frozenset()
    """Ids of the runs put away."""
    removed: frozenset[str] = frozenset()
    """Ids of the runs that are gone, or must go."""
    versions: dict[str, dict[int, str]] = field(default_factory=dict)
    """By model and version, the id of the run it was registered from."""
    aliases: dict[str, dict[str, int]] = field(default_factory=dict)
    """By model and alias, the version it points to."""

    def aliases_of(self, run_id: str) -> tuple[str, ...]:
        """The references `model@alias` that point to a run, sorted."""
        found = (
            f"{model}@{alias}"
            for model, aliases in self.aliases.items()
            for alias, version in aliases.items()
            if self.versions.get(model, {}).get(version) == run_id
        )
        return tuple(sorted(found))

    def versions_of(self, run_id: str) -> tuple[str, ...]:
        """The versions registered from a run, as `model version 3`, sorted."""
        found = (
            f"{model} version {version}"
            for model, versions in self.versions.items()
            for version, origin in versions.items()
            if origin == run_id
        )
        return tuple(sorted(found))


@dataclass(frozen=True)
class Journal:
    """The events in one folder, which need not exist yet."""

    folder: Path

    def append(self, kind: str, **details: Any) -> JournalEvent:
        """Write one event. It sorts after every event that is there, whatever the clocks say.

        Raises:
            ValueError: there is no such kind, or it lacks a detail (a mistake of ours).
            StorageError: the file system refused.
        """
        _check(kind, details)
        while True:
            event = JournalEvent(new_run_id(self._next_instant()), utc_now(), kind, details)
            if self._write(event):
                return event

    def events(self) -> list[JournalEvent]:
        """Every event, in order of id; files that hold none are passed over (see `broken`)."""
        return [event for event in map(_read, self._files()) if isinstance(event, JournalEvent)]

    def broken(self) -> list[RunError]:
        """What is wrong with the files that hold no event."""
        return [fault for fault in map(_read, self._files()) if isinstance(fault, RunError)]

    def standing(self) -> Standing:
        """What holds now."""
        return standing(self.events())

    def _files(self) -> list[Path]:
        """Every file but those still being written, in order of name."""
        if not self.folder.is_dir():
            return []
        paths = (path for path in self.folder.iterdir() if not path.name.startswith("."))
        return sorted(paths, key=lambda path: path.name)

    def _next_instant(self) -> datetime:
        """Now, or a millisecond after the newest event where that is later."""
        now = datetime.now(UTC)
        for path in reversed(self._files()):
            newest = _instant(path.stem)
            if newest is not None and newest.year < MAXYEAR:
                return max(now, newest + timedelta(milliseconds=1))
        return now

    def _write(self, event: JournalEvent) -> bool:
        """Write the event's file; False when another process has just taken its name."""
        final = self.folder / f"{event.id}.json"
        aside = self.folder / f".partial-{uuid.uuid4().hex}.json"
        write_json(aside, {"id": event.id, "time": event.time, "kind": event.kind, **event.details})
        try:
            taken = not _link(aside, final)
            aside.unlink(missing_ok=True)
            _sync_folder(self.folder)
        except OSError as error:
            raise storage_error(final, error) from error
        return not taken


def standing(events: Iterable[JournalEvent]) -> Standing:
    """What holds after these events, in their order; an event of no known shape changes nothing.

    An alias names its run too, so it holds even where the registration is not in the journal.
    """
    archived: set[str] = set()
    removed: set[str] = set()
    versions: dict[str, dict[int, str]] = {}
    aliases: dict[str, dict[str, int]] = {}
    for event in events:
        match event.kind, event.details:
            case "archived", {"run_id": str(run_id)}:
                archived.add(run_id)
            case "unarchived", {"run_id": str(run_id)}:
                archived.discard(run_id)
            case "removed", {"run_id": str(run_id)}:
                removed.add(run_id)
            case _:
                _stand_models(event, versions, aliases)
    return Standing(frozenset(archived), frozenset(removed), versions, aliases)


def _stand_models(
    event: JournalEvent, versions: dict[str, dict[int, str]], aliases: dict[str, dict[str, int]]
) -> None:
    """What an event about models changes."""
    match event.kind, event.details:
        case "registered", {"model": str(model), "version": int(version), "run_id": str(run_id)}:
            # Of two that claim one number at the same moment the first has it.
            versions.setdefault(model, {}).setdefault(version, run_id)
        case (
            "alias_set",
            {
                "model": str(model),
                "alias": str(alias),
                "version": int(version),
                "run_id": str(run_id),
            },
        ):
            versions.setdefault(model, {}).setdefault(version, run_id)
            aliases.setdefault(model, {})[alias] = version
        case "alias_removed", {"model": str(model), "alias": str(alias)}:
            aliases.get(model, {}).pop(alias, None)
        case "version_removed", {"model": str(model), "version": int(version)}:
            versions.get(model, {}).pop(version, None)
            kept = {name: v for name, v in aliases.get(model, {}).items() if v != version}
            aliases[model] = kept
        case _:
            return


def _check(kind: str, details: dict[str, Any]) -> None:
    if kind not in KINDS:
        raise ValueError(f"no event is of kind {kind!r}")
    missing = [name for name in KINDS[kind] if name not in details]
    reserved = sorted({"id", "time", "kind"} & set(details))
    if missing or reserved:
        raise ValueError(f"{kind}: missing details {missing}, reserved names {reserved}")


def _read(path: Path) -> JournalEvent | RunError:
    """The event in a file, or what is wrong with the file."""
    hint = f"move '{path}' away; the other events are not affected"
    try:
        found = path.stat()
        event = _event(path, found.st_ino, found.st_mtime_ns, found.st_size)
    except (OSError, ValueError) as error:
        return RunError(f"'{path}' can't be read: {error}", hint=hint)
    return event or RunError(f"'{path}' holds no event of its name", hint=hint)


@lru_cache(maxsize=_KEPT)
def _event(path: Path, *_signs: int) -> JournalEvent | None:
    """The event in a file, or None where it holds none; the signs differ where the file does.

    Raises:
        OSError: the file can't be read.
        ValueError: it is no JSON.
    """
    values = json.loads(path.read_bytes())
    match values:
        case {"id": str(name), "time": str(time), "kind": str(kind), **details} if (
            f"{name}.json" == path.name
        ):
            return JournalEvent(name, time, kind, details)
        case _:
            return None


def _instant(event_id: str) -> datetime | None:
    """The time in an event's id, or None for a name that has none."""
    try:
        return datetime.strptime(event_id[:_STAMP_DIGITS], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def _link(aside: Path, final: Path) -> bool:
    """Give the written file its name; False when the name is taken."""
    try:
        os.link(aside, final)
    except FileExistsError:
        # An NFS server that answered twice says so too; then both names are the one file's.
        return final.exists() and final.samefile(aside)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # Without hard links the name's random digits must do.
        if final.exists():
            return False
        aside.rename(final)
    return True


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
