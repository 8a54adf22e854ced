"""Found runs into the ledger: a training, and an evaluation where there are figures.

Each folder is there as a whole or not at all. What was brought in is found again by the hash of its
content, which its record keeps, so that a second import, or one after a kill, does what is left.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from kdgat.configs.run import json_digest
from kdgat.ledger.files import atomic_path, content_hash, write_json
from kdgat.ledger.folder import RunFolder, place_of
from kdgat.ledger.journal import Journal
from kdgat.ledger.record import IMPORTED_VERSION, RunRecord, utc_now
from kdgat.ledger.scan import readable, run_folders
from kdgat.runs.imports.found import FoundRun
from kdgat.runs.imports.mapping import UNKNOWN, Place, nested

_MARK = "imported"
PROTOCOL = "unknown"
_SUMMARY = ("f1", "auroc", "precision", "recall")


@dataclass
class Held:
    """What was imported before, by the hash of its content, and ids that are taken."""

    trainings: dict[str, str] = field(default_factory=dict)
    evaluations: dict[str, str] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)


def held(runs: Path, journal: Journal) -> Held:
    """What is in the ledger."""
    found = Held(taken=set(journal.standing().removed))
    for folder, record in readable(run_folders(runs)):
        found.taken.add(folder.path.name)
        mark = record.environment.get(_MARK)
        if record.imported and isinstance(mark, dict):
            kind = found.trainings if record.subject is None else found.evaluations
            kind[str(mark.get("content"))] = record.run_id
    return found


def bring_in(runs: Path, run: FoundRun, known: Held, *, checkpoints: bool) -> str | None:
    """Write what of a found run is not there yet; the training's id, or None if all was there.

    Raises:
        StorageError: the file system refused; nothing is left half-written.
    """
    subject = known.trainings.get(run.content)
    whole = subject is not None and (not run.figures or run.content in known.evaluations)
    if whole:
        return None
    if subject is None:
        record = _record(run, _new_id(run, known, 0))
        _write(runs, record, run, checkpoints=checkpoints)
        subject = known.trainings[run.content] = record.run_id
    if run.figures:
        record = _record(run, _new_id(run, known, 1), subject)
        _write(runs, record, run, checkpoints=False)
        known.evaluations[run.content] = record.run_id
    return subject


def protocol_of(split: str) -> str:
    """The protocol that a figure is listed under: unknown, and the split that its file names."""
    return f"{PROTOCOL}_{split}"


def _record(run: FoundRun, run_id: str, subject: str | None = None) -> RunRecord:
    made = run.made_at.isoformat(timespec="milliseconds")
    return RunRecord(
        run_id=run_id,
        stage="evaluation" if subject else run.stage,
        stage_version=IMPORTED_VERSION,
        dataset=run.facts.dataset or UNKNOWN,
        provenance="imported",
        model=run.model,
        size=run.facts.size,
        digest=json_digest({name: str(value) for name, value in run.facts.config.items()}),
        dataset_hash=UNKNOWN,
        seed=run.seed,
        created_at=made,
        ended_at=made,
        state=run.state,
        teacher=UNKNOWN if run.facts.distilled else None,
        subject=subject,
        metrics=_summary(run) if subject else {},
        environment={
            _MARK: {"source": run.source, "content": run.content, "at": utc_now()},
        },
    )


def _write(runs: Path, record: RunRecord, run: FoundRun, *, checkpoints: bool) -> None:
    with atomic_path(place_of(runs, record)) as aside:
        folder = RunFolder(aside)
        write_json(aside / "config.json", _config(run))
        if record.subject is not None:
            write_json(folder.artifacts / "evaluation.json", _report(run))
        else:
            _write_originals(folder, run)
            _write_epochs(folder, run)
        artifacts = _copied(folder, run) if checkpoints else {}
        write_json(aside / "run.json", record.with_changes(artifacts=artifacts).to_json())
        folder.event(_MARK, source=run.source, checkpoints=len(artifacts))


def _write_originals(folder: RunFolder, run: FoundRun) -> None:
    place = folder.artifacts / _MARK
    place.mkdir(parents=True)
    for name, text in run.originals.items():
        (place / name).write_bytes(text)
    write_json(place / "mapping.json", {"mapped": dict(run.mapped), "not_mapped": list(run.left)})


def _write_epochs(folder: RunFolder, run: FoundRun) -> None:
    if run.epochs:
        lines = (json.dumps(dict(row), allow_nan=False) + "\n" for row in run.epochs)
        (folder.path / "metrics.jsonl").write_text("".join(lines), encoding="utf-8")


def _copied(folder: RunFolder, run: FoundRun) -> dict[str, str]:
    """Copies of the checkpoints as they are: nothing here opens one."""
    found = {}
    for number, path in enumerate(run.checkpoints):
        name = path.name if path.name not in found else f"{number}-{path.name}"
        copy = folder.checkpoints / _MARK / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        found[copy.relative_to(folder.path).as_posix()] = content_hash(copy)
    return found


def _config(run: FoundRun) -> dict[str, Any]:
    own = {
        "dataset.name": run.facts.dataset, "dataset.provenance": "imported",
        "model.kind": run.model, "size": run.facts.size, "seed": run.seed,
    }  # fmt: skip
    return nested({**run.facts.config, **own})


def _report(run: FoundRun) -> dict[str, Any]:
    """An evaluation's report, as far as theirs goes; how many windows it is of may be unknown."""
    return {
        _MARK: True,
        "scenarios": [
            {
                "scenario": scenario, "attack_type": "all", "protocol": protocol_of(split),
                "variant": "",
                "metrics": {"windows": None, "attack_windows": None, **figures},
            }
            for (split, scenario), figures in run.figures.items()
        ],
    }  # fmt: skip


def _summary(run: FoundRun) -> dict[str, float | None]:
    return {
        f"{_spelt(place)}/{name}": figures[name]
        for place, figures in run.figures.items()
        for name in _SUMMARY
        if name in figures
    }


def _spelt(place: Place) -> str:
    return f"{protocol_of(place[0])}/{place[1]}"


def _new_id(run: FoundRun, known: Held, number: int) -> str:
    """A run id of the time at which the source was made, so that old runs sort before new ones."""
    moment = run.made_at + timedelta(milliseconds=number)
    for attempt in range(1 << 16):
        tail = hashlib.sha256(f"{run.content} {number} {attempt}".encode()).hexdigest()[:4]
        run_id = f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03d}{tail}"
        if run_id not in known.taken:
            known.taken.add(run_id)
            return run_id
    raise AssertionError("a millisecond has 65,536 ids")
