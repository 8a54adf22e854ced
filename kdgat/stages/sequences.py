"""Sequences of windows that are prepared already, for the models that read them.

They are made when such a model first asks, from the captures that the graphs were made of: the same
windows on the same sides, scaled on benign training windows alone. Nobody else pays for them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from kdgat.configs.model import READS_MESSAGES
from kdgat.data.captures import load_manifest
from kdgat.data.sequence_store import Source, has_sequences, write_sequences
from kdgat.data.sequences import MessageScaler, WindowMessages, chunks
from kdgat.data.splits import TRAIN, VALIDATION
from kdgat.data.versions import MESSAGES_VERSION
from kdgat.errors import DataError
from kdgat.ledger.files import write_json
from kdgat.progress import Progress, quiet
from kdgat.stages.parts import Loaded, load_capture, look_at
from kdgat.stages.prepare import Prepared, window_sides
from kdgat.stages.scenarios import View, prefix_sources, scenario_sources
from kdgat.training.checkpoint import TrainedModel

_SCALER = "messages.json"
_SIDES = {"train": TRAIN, "validation": VALIDATION}


def reads_messages(*subjects: TrainedModel) -> bool:
    """Whether any of these models, or of those that they weigh, reads windows as sequences."""
    return any(
        each.config.model.kind in READS_MESSAGES or reads_messages(*each.scorers)
        for each in subjects
    )


def need_training_sequences(prepared: Prepared, progress: Progress = quiet) -> MessageScaler:
    """Write the sequences of the training and validation windows, unless they are there.

    Returns:
        Their scaling.

    Raises:
        DataError: the captures are no longer those that the graphs were made of.
        StorageError: they can't be written.
    """
    known = _read_scaler(prepared.folder)
    missing = [name for name in _SIDES if not has_sequences(prepared.folder / name)]
    if known is not None and not missing:
        return known
    dataset_folder, config = _dataset_folder(prepared), prepared.config()
    records = load_manifest(dataset_folder).of_role("train")
    loaded: list[Loaded] = []
    for number, record in enumerate(records):
        progress(f"messages of {record.key}", number, len(records))
        loaded.append(load_capture(dataset_folder, record))
    windows = [look_at(capture, config) for capture in loaded]
    sides, stride = window_sides(windows, config), config.training_stride_messages
    benign = [
        Source(capture.messages, np.flatnonzero((side == TRAIN) & (seen.attacks == 0)) * stride)
        for capture, seen, side in zip(loaded, windows, sides, strict=True)
    ]
    scaler = MessageScaler.fit(_parts(benign, config.window_messages), config.scale_clip)
    for name, number in _SIDES.items():
        sources = [
            Source(capture.messages, np.flatnonzero(side == number) * stride)
            for capture, side in zip(loaded, sides, strict=True)
        ]
        write_sequences(prepared.folder / name, sources, scaler, config.window_messages)
    # Last: without it, all is made again.
    write_json(prepared.folder / _SCALER, {"version": MESSAGES_VERSION, **asdict(scaler)})
    return scaler


def need_scenario_sequences(prepared: Prepared, scenario: str, view: View) -> None:
    """The same for the windows of a test folder, whose graphs are there; labels are not looked at.

    Raises:
        DataError: as `need_training_sequences`, or there is no such test folder.
        StorageError: they can't be written.
    """
    store = prepared.folder / scenario / view.name
    if not has_sequences(store):
        sources = scenario_sources(_dataset_folder(prepared), prepared.config(), scenario, view)
        _write(prepared, store, sources)


def need_prefix_sequences(prepared: Prepared, scenario: str, view: View) -> None:
    """The same for the windows of its captures' prefixes."""
    store = prepared.folder / scenario / f"{view.name}.prefix"
    if not has_sequences(store):
        sources = prefix_sources(_dataset_folder(prepared), prepared.config(), scenario, view)
        _write(prepared, store, sources)


def _write(prepared: Prepared, store: Path, sources: list[Source]) -> None:
    scaler, window = need_training_sequences(prepared), prepared.config().window_messages
    write_sequences(store, sources, scaler, window)


def _parts(sources: list[Source], window: int) -> Iterator[WindowMessages]:
    for each in sources:
        yield from chunks(each.messages, each.starts, window)


def _dataset_folder(prepared: Prepared) -> Path:
    """Where the captures lie that the graphs were made of.

    Raises:
        DataError: others lie there now.
    """
    folder = prepared.folder.parent.parent
    manifest = load_manifest(folder)
    if manifest.content_hash != prepared.dataset_hash:
        raise DataError(
            f"dataset '{manifest.name}' was ingested again since these graphs were made",
            hint=f"prepare it again: kdgat data prepare {manifest.name}",
        )
    return folder


def _read_scaler(folder: Path) -> MessageScaler | None:
    """The scaling that an earlier call fitted; None where it is of another version or damaged."""
    try:
        kept = json.loads((folder / _SCALER).read_bytes())
        if kept.pop("version") != MESSAGES_VERSION:
            return None
        return MessageScaler(**kept)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
