"""Test folders to graphs: without labels, measured against what their protocol allows.

`zero_shot` measures a window against the training vehicle whose ids it has, or against nothing;
`adapted` against a profile of the capture's first seconds. Both score the same windows: those after
these seconds. Labels are read by `label_scenario` alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from kdgat.configs.data import DataConfig
from kdgat.configs.evaluation import EvaluationConfig, Protocol
from kdgat.data.captures import CaptureRecord, load_manifest, load_messages
from kdgat.data.measured import (
    graphs_by_library,
    graphs_by_profile,
    graphs_of_prefix,
    prefix_messages,
)
from kdgat.data.poison import poisoned
from kdgat.data.profiles import make_profile
from kdgat.data.store import save_labels
from kdgat.data.windows import Messages, window_attacks, window_starts
from kdgat.errors import DataError, did_you_mean
from kdgat.stages.parts import Part, capture_label, joined, need_captures, save_part
from kdgat.stages.prepare import Prepared


@dataclass(frozen=True)
class View:
    """How a test folder is looked at: a protocol, and what is varied in it."""

    protocol: Protocol
    prefix_s: float
    poisoned: bool = False
    variant: str = ""
    """Empty for what a table of results shows."""

    @property
    def name(self) -> str:
        """Its name in folders and artifacts."""
        return f"{self.protocol}_{self.variant}" if self.variant else self.protocol


def views(config: DataConfig, evaluation: EvaluationConfig) -> tuple[View, ...]:
    """Both protocols, then `adapted` with other prefixes and with a poisoned one.

    Without `profile` features no prefix can make a difference to the scores.
    """
    prefix_s = config.prefix_s
    found = [View("zero_shot", prefix_s), View("adapted", prefix_s)]
    if "profile" in config.features:
        found += [
            View("adapted", other, variant=f"prefix_{other:g}s")
            for other in evaluation.prefix_sweep_s
            if other != prefix_s
        ]
        if evaluation.poisoned:
            found.append(View("adapted", prefix_s, poisoned=True, variant="poisoned"))
    return tuple(found)


def scenarios(dataset_folder: Path) -> tuple[str, ...]:
    """The official test folders of a dataset, in their order.

    Raises:
        DataError: there is none.
    """
    manifest = load_manifest(dataset_folder)
    records = manifest.of_role("test")
    need_captures(records, manifest, "a folder named test_...")
    return tuple(sorted({record.folder for record in records}))


def scenario_folder(dataset_folder: Path, prepared: Prepared, scenario: str, view: View) -> Path:
    """The blind store of one test folder, made when it is first asked for.

    Raises:
        DataError: there is no such test folder, or no window in it to score.
    """
    folder = prepared.folder / scenario / view.name
    if (folder / "store.json").is_file():
        return folder
    config = prepared.config()
    records = _records(dataset_folder, scenario)
    parts = [
        _part(record, number, messages, starts, prepared, config, view)
        for number, (record, messages, starts) in enumerate(
            _windows(dataset_folder, records, config, view)
        )
    ]
    part = joined(parts, config)
    if len(part.graphs) == 0:
        raise DataError(
            f"test folder '{scenario}' has no window of {config.window_messages} messages after "
            f"the first {_after_s(config, view):g} s of its captures, which are never scored",
            hint="ingest longer captures, or lower data.prefix_s or data.window_messages",
        )
    labels = [capture_label(record) for record in records]
    save_part(folder, part, labels, prepared.scaler, config, blind=True)
    return folder


def has_windows(dataset_folder: Path, prepared: Prepared, scenario: str, view: View) -> bool:
    """Whether any window of a test folder is scored in a view.

    Raises:
        DataError: there is no such test folder.
    """
    records = _records(dataset_folder, scenario)
    windows = _windows(dataset_folder, records, prepared.config(), view)
    return any(len(starts) > 0 for _, _, starts in windows)


def prefix_folder(dataset_folder: Path, prepared: Prepared, scenario: str, view: View) -> Path:
    """The blind store of the prefixes themselves, for thresholds that are taken from them."""
    folder = prepared.folder / scenario / f"{view.name}.prefix"
    if (folder / "store.json").is_file():
        return folder
    config = prepared.config()
    records = _records(dataset_folder, scenario)
    parts = [
        part
        for number, record in enumerate(records)
        for part in _halves(dataset_folder, record, number, prepared, config, view)
    ]
    labels = [capture_label(record) for record in records]
    save_part(folder, joined(parts, config), labels, prepared.scaler, config, blind=True)
    return folder


def _halves(
    dataset_folder: Path,
    record: CaptureRecord,
    number: int,
    prepared: Prepared,
    config: DataConfig,
    view: View,
) -> Iterator[Part]:
    messages = _messages(dataset_folder, record)
    prefix = _prefix(messages, record, view)
    for graphs, reference in graphs_of_prefix(prefix, view.prefix_s, config, prepared.ids()):
        owner = np.full(len(graphs), number, dtype=np.int32)
        yield Part(graphs, owner, np.zeros(len(graphs), np.int64), reference)


def label_scenario(dataset_folder: Path, prepared: Prepared, scenario: str, view: View) -> None:
    """Write the labels beside a test folder's store: the first time anybody reads them.

    Raises:
        DataError: there is no such test folder, or a capture of it is damaged.
    """
    config = prepared.config()
    attacks = []
    records = _records(dataset_folder, scenario)
    for record, _, starts in _windows(dataset_folder, records, config, view):
        attack = load_messages(dataset_folder, record)["attack"].to_numpy()
        attacks.append(window_attacks(attack, starts, config.window_messages))
    save_labels(prepared.folder / scenario / view.name, np.concatenate(attacks))


def _part(
    record: CaptureRecord,
    number: int,
    messages: Messages,
    starts: Int64[np.ndarray, "windows"],
    prepared: Prepared,
    config: DataConfig,
    view: View,
) -> Part:
    if view.protocol == "adapted":
        profile = make_profile(_prefix(messages, record, view), view.prefix_s)
        graphs, reference = graphs_by_profile(messages, starts, profile, config, prepared.ids())
    else:
        library = prepared.library()
        graphs, reference = graphs_by_library(messages, starts, library, config, prepared.ids())
    owner = np.full(len(graphs), number, dtype=np.int32)
    return Part(graphs, owner, np.zeros(len(graphs), np.int64), reference)


def _prefix(messages: Messages, record: CaptureRecord, view: View) -> Messages:
    """The messages that `adapted` learns from."""
    prefix = messages.span(0, prefix_messages(messages, view.prefix_s))
    return poisoned(prefix, zlib.crc32(record.key.encode())) if view.poisoned else prefix


def _messages(dataset_folder: Path, record: CaptureRecord) -> Messages:
    return Messages.from_frame(load_messages(dataset_folder, record, labels=False))


def _windows(
    dataset_folder: Path, records: list[CaptureRecord], config: DataConfig, view: View
) -> Iterator[tuple[CaptureRecord, Messages, Int64[np.ndarray, "windows"]]]:
    """Each capture's messages, without labels, and where the windows to score start."""
    for record in records:
        messages = _messages(dataset_folder, record)
        starts = window_starts(len(messages), config.window_messages, config.stride_messages)
        first = prefix_messages(messages, _after_s(config, view))
        yield record, messages, starts[starts >= first]


def _after_s(config: DataConfig, view: View) -> float:
    """Seconds at a capture's beginning that are not scored: the same for every short prefix."""
    return max(config.prefix_s, view.prefix_s)


def _records(dataset_folder: Path, scenario: str) -> list[CaptureRecord]:
    manifest = load_manifest(dataset_folder)
    records = [record for record in manifest.of_role("test") if record.folder == scenario]
    if not records:
        raise DataError(
            f"dataset '{manifest.name}' has no test folder '{scenario}'",
            hint=did_you_mean(scenario, scenarios(dataset_folder)),
        )
    return records
