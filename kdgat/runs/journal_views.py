"""What the journal says of runs and models, as the history shows it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from kdgat.ledger.journal import JournalEvent, standing
from kdgat.runs.rows import Row, when


def removed_runs(events: Iterable[JournalEvent]) -> frozenset[str]:
    """Runs that never show again."""
    return standing(events).removed


def archived_runs(events: Iterable[JournalEvent]) -> frozenset[str]:
    """Runs that were put away."""
    return standing(events).archived


def model_rows(events: Iterable[JournalEvent]) -> list[Row]:
    """The rows of `models`: every version registered and not removed, with its aliases."""
    registered: dict[tuple[str, int], JournalEvent] = {}
    aliases: dict[tuple[str, str], int] = {}
    for event in events:
        model, version = event.details.get("model"), event.details.get("version")
        alias = event.details.get("alias")
        if not isinstance(model, str):
            continue
        match event.kind, version, alias:
            case "registered", int(), _:
                registered[model, version] = event
            case "version_removed", int(), _:
                registered.pop((model, version), None)
            case "alias_set", int(), str():
                aliases[model, alias] = version
            case "alias_removed", _, str():
                aliases.pop((model, alias), None)
            case _:
                continue
    return [
        _model_row(model, version, event.details, event.time, aliases)
        for (model, version), event in sorted(registered.items(), key=lambda item: item[0])
        if 0 <= version < 2**31
    ]


def _model_row(
    model: str,
    version: int,
    details: dict[str, Any],
    time: str,
    aliases: dict[tuple[str, str], int],
) -> Row:
    names = sorted(
        name for (of, name), target in aliases.items() if (of, target) == (model, version)
    )
    run_id, checksum = details.get("run_id"), details.get("checkpoint_sha256")
    return (
        model,
        version,
        run_id if isinstance(run_id, str) else None,
        ",".join(names),
        when(time),
        checksum if isinstance(checksum, str) else None,
        json.dumps(details.get("tags") or {}),
    )
