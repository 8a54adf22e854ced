"""Captures in memory, and graphs of several of them on their way to a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int8, Int32, Int64, UInt64

from kdgat.configs.data import DataConfig
from kdgat.data.captures import CaptureRecord, DatasetManifest, load_messages
from kdgat.data.graphs import Graphs, concatenate, picked
from kdgat.data.scaling import Scaler
from kdgat.data.store import CaptureLabel, save_store
from kdgat.data.windows import Messages, window_attacks, window_hashes, window_starts
from kdgat.errors import DataError


@dataclass(frozen=True)
class Loaded:
    """One capture in memory, and where its windows start."""

    record: CaptureRecord
    messages: Messages
    attack: Bool[np.ndarray, "messages"]
    starts: Int64[np.ndarray, "windows"]
    attacks: Int64[np.ndarray, "windows"]
    hashes: UInt64[np.ndarray, "windows"]


@dataclass(frozen=True)
class Part:
    """Some graphs, the capture each comes from, its attack messages and its reference."""

    graphs: Graphs
    capture: Int32[np.ndarray, "graphs"]
    attacks: Int64[np.ndarray, "graphs"]
    reference: Int8[np.ndarray, "graphs"]

    def at(self, order: Int64[np.ndarray, "picked"]) -> Part:
        """Some of them."""
        return Part(
            picked(self.graphs, order),
            self.capture[order],
            self.attacks[order],
            self.reference[order],
        )


def load_windows(
    dataset_folder: Path, record: CaptureRecord, config: DataConfig, stride: int
) -> Loaded:
    """A training capture's windows, with its labels."""
    frame = load_messages(dataset_folder, record)
    messages = Messages.from_frame(frame)
    starts = window_starts(len(messages), config.window_messages, stride)
    attack = frame["attack"].to_numpy()
    attacks = window_attacks(attack, starts, config.window_messages)
    hashes = window_hashes(messages, starts, config.window_messages)
    return Loaded(record, messages, attack, starts, attacks, hashes)


def joined(parts: Sequence[Part], config: DataConfig) -> Part:
    """Several parts as one, in their order."""
    return Part(
        concatenate([part.graphs for part in parts], config),
        np.concatenate([part.capture for part in parts]),
        np.concatenate([part.attacks for part in parts]),
        np.concatenate([part.reference for part in parts]),
    )


def save_part(
    folder: Path,
    part: Part,
    labels: Sequence[CaptureLabel],
    scaler: Scaler,
    config: DataConfig,
    *,
    blind: bool = False,
) -> None:
    """Scale the graphs and write them as a store; a blind one has no labels."""
    scaled = {"x": scaler.nodes(part.graphs.x), "edge_attr": scaler.edges(part.graphs.edge_attr)}
    save_store(
        folder,
        Graphs(**{**vars(part.graphs), **scaled}),
        part.capture,
        labels,
        None if blind else part.attacks,
        config.window_messages,
        part.reference,
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
