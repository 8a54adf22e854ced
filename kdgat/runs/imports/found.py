"""A run of another program, read and not yet written."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from kdgat.ledger.states import State
from kdgat.runs.imports.mapping import UNKNOWN, Facts, Figures, Place
from kdgat.runs.imports.words import STAGES

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
NO_SEED = -1


@dataclass(frozen=True)
class Fault:
    """A source that can't be brought in, and why."""

    source: str
    problem: str


@dataclass(frozen=True)
class FoundRun:
    """What one model of a source becomes."""

    source: str
    content: str
    """Hash of what it was made from: the same wherever the source is moved."""
    facts: Facts
    model: str
    figures: Mapping[Place, Mapping[str, float]]
    mapped: Mapping[str, str]
    left: tuple[str, ...]
    made_at: datetime
    state: State = State.COMPLETED
    originals: Mapping[str, bytes] = field(default_factory=dict)
    """Files that are kept as they are."""
    checkpoints: tuple[Path, ...] = ()
    epochs: tuple[Mapping[str, Any], ...] = ()

    @property
    def stage(self) -> str:
        """The stage that it is listed under."""
        return STAGES.get(self.model, self.model)

    @property
    def seed(self) -> int:
        """Its seed, -1 where nothing tells it."""
        return NO_SEED if self.facts.seed is None else self.facts.seed


def found_runs(
    source: str,
    parts: Sequence[bytes],
    facts: Facts,
    figures: Figures,
    made_at: datetime,
    **more: Any,
) -> list[FoundRun]:
    """One run for each model that the figures are of; one without figures where there are none.

    Raises:
        ValueError: the dataset is not told, or its name can't be a folder's.
    """
    if facts.dataset is None:
        raise ValueError("nothing tells its dataset: neither config nor folder names")
    if not _NAME.fullmatch(facts.dataset):
        raise ValueError(f"'{facts.dataset[:80]}' can't be a dataset's name")
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    found = []
    for model, rows in (figures.found or {None: {}}).items():
        kind = model or facts.model or UNKNOWN
        whole = digest.copy()
        whole.update(kind.encode())
        found.append(
            FoundRun(
                source=source,
                content=whole.hexdigest(),
                facts=facts,
                model=kind,
                figures=rows,
                mapped={**facts.mapped, **figures.mapped},
                left=(*facts.left, *figures.left),
                made_at=made_at,
                **more,
            )
        )
    return found


def as_bytes(value: object) -> bytes:
    """A value as JSON, the same for equal values."""
    return json.dumps(value, sort_keys=True, default=str).encode()
