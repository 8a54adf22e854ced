"""One capture in memory, what is kept of it, and what its store calls it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int64, UInt64

from kdgat.configs.data import DataConfig
from kdgat.data.captures import CaptureRecord, DatasetManifest, load_messages
from kdgat.data.profiles import VehicleProfile, make_profile
from kdgat.data.store import CaptureLabel
from kdgat.data.windows import Messages, window_attacks, window_hashes, window_starts
from kdgat.errors import DataError


@dataclass(frozen=True)
class Loaded:
    """One training capture in memory."""

    record: CaptureRecord
    messages: Messages
    attack: Bool[np.ndarray, "messages"]


@dataclass(frozen=True)
class Windows:
    """What is kept of a training capture's windows: where they go, and what is in them."""

    record: CaptureRecord
    attacks: Int64[np.ndarray, "windows"]
    hashes: UInt64[np.ndarray, "windows"]
    benign: VehicleProfile
    """Of the capture's benign messages."""


def load_capture(dataset_folder: Path, record: CaptureRecord) -> Loaded:
    """A training capture, with its labels."""
    frame = load_messages(dataset_folder, record)
    return Loaded(record, Messages.from_frame(frame), frame["attack"].to_numpy())


def look_at(capture: Loaded, config: DataConfig) -> Windows:
    """What to know of a capture's windows before any of them becomes a graph."""
    messages, window = capture.messages, config.window_messages
    starts = window_starts(len(messages), window, config.training_stride_messages)
    return Windows(
        record=capture.record,
        attacks=window_attacks(capture.attack, starts, window),
        hashes=window_hashes(messages, starts, window),
        benign=make_profile(messages.at(~capture.attack), capture.record.duration_s),
    )


def capture_label(record: CaptureRecord) -> CaptureLabel:
    """What a store calls a capture."""
    return CaptureLabel(record.key, record.attack_type, record.vehicle)


def need_captures(records: Sequence[CaptureRecord], manifest: DatasetManifest, what: str) -> None:
    """Refuse a dataset without any.

    Raises:
        DataError: there is none.
    """
    if not records:
        raise DataError(
            f"dataset '{manifest.name}' has no capture in {what}",
            hint=f"add one to the raw folder and run `kdgat data ingest {manifest.name} --raw DIR`",
        )
