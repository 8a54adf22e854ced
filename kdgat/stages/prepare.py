"""Ingested captures to graphs: split, measure, scale and store the training folders.

Preparing touches the training captures alone; `kdgat.stages.scenarios` builds a test folder when
`evaluate` asks for it, with the scaling and the profiles of the training data.

Every capture is read twice, and one at a time is in memory. The first time tells which windows
repeat others and what benign traffic looks like; the second time windows become graphs, which go to
disk a block at a time. `kdgat.stages.references` says what each is measured against.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int8, UInt32

from kdgat.configs.data import DataConfig
from kdgat.data.captures import DatasetManifest, load_manifest
from kdgat.data.features import feature_names
from kdgat.data.graphs import NO_IDS, picked
from kdgat.data.measured import graph_blocks
from kdgat.data.profiles import VehicleProfile, load_library, save_library
from kdgat.data.scaling import Scaler
from kdgat.data.splits import (
    LEFT_OUT,
    TRAIN,
    VALIDATION,
    CaptureSplit,
    repeats_of_training,
    split_blocks,
)
from kdgat.data.store import LABELS, GraphStore, open_store
from kdgat.data.store_writer import StoreWriter, writing_store
from kdgat.data.windows import tail_messages
from kdgat.errors import DataError
from kdgat.ledger.files import write_json
from kdgat.progress import Progress, quiet
from kdgat.stages.parts import (
    Loaded,
    Windows,
    capture_label,
    load_capture,
    look_at,
    need_captures,
)
from kdgat.stages.references import others, shares_of, vehicle_library
from kdgat.stages.table import PREPARE_VERSION, graphs_key

_LIBRARY = "library.npz"


@dataclass(frozen=True)
class Prepared:
    """A dataset's graphs for one data config; `key` names their folder."""

    dataset: str
    key: str
    folder: Path
    dataset_hash: str
    scaler: Scaler
    vocabulary: tuple[int, ...]
    """Arbitration ids of benign training traffic, where `lookup_unk` wants them."""
    captures: tuple[CaptureSplit, ...]
    train_graphs: int
    validation_graphs: int
    made: bool
    """Whether this call made the graphs; otherwise they were there."""

    def train(self, *, sequences: bool = False) -> GraphStore:
        """The training graphs, with labels; with their windows' messages, if they are there."""
        return open_store(self.folder / "train", labels=True, sequences=sequences)

    def validation(self, *, sequences: bool = False) -> GraphStore:
        """The validation graphs, in the same way."""
        return open_store(self.folder / "validation", labels=True, sequences=sequences)

    def config(self) -> DataConfig:
        """The data config that the graphs were made with."""
        return DataConfig.model_validate(_report(self.folder)["config"])

    def library(self) -> dict[str, VehicleProfile]:
        """What benign traffic of each training vehicle looks like."""
        return load_library(self.folder / _LIBRARY)

    def ids(self) -> UInt32[np.ndarray, "ids"]:
        """`vocabulary` as an array."""
        return np.array(self.vocabulary, dtype=np.uint32)


def prepare(
    dataset_folder: Path, config: DataConfig, progress: Progress = quiet, *, force: bool = False
) -> Prepared:
    """Graphs of the training captures, made once for each content and config.

    Raises:
        DataError: the dataset is not ingested, or has no benign training window.
        StorageError: the graphs can't be written; nothing half-written is read later.
    """
    manifest = load_manifest(dataset_folder)
    folder = dataset_folder / "graphs" / graphs_key(manifest, config)
    done = None if force else _read(folder, manifest)
    if done is not None:
        return done
    records = manifest.of_role("train")
    need_captures(records, manifest, "a folder named train_...")
    plan = _plan(dataset_folder, manifest, config, progress)
    labels = [capture_label(record) for record in records]
    with ExitStack() as opened:
        train, validation = stores = [
            opened.enter_context(writing_store(folder / name, labels, config.window_messages))
            for name in ("train", "validation")
        ]
        for number, record in enumerate(records):
            progress(f"graphs of {record.key}", len(records) + number, 2 * len(records))
            _add(stores, number, load_capture(dataset_folder, record), plan)
        scaler = train.scaler = validation.scaler = _fit(train, config)
    save_library(folder / _LIBRARY, vehicle_library(plan.windows))
    report = {
        "version": PREPARE_VERSION,
        "config": config.model_dump(mode="json"),
        "dataset_hash": manifest.content_hash,
        "scaler": asdict(scaler),
        "vocabulary": plan.vocabulary.tolist(),
        "captures": [asdict(each) for each in _counts(plan)],
        "train_graphs": len(train),
        "validation_graphs": len(validation),
    }
    write_json(folder / "prepare.json", report)
    progress("graphs are ready", 2 * len(records), 2 * len(records))
    return _from_report(folder, manifest, report, made=True)


@dataclass(frozen=True)
class _Plan:
    """What is known of all captures before the first graph is made."""

    config: DataConfig
    windows: Sequence[Windows]
    sides: Sequence[Int8[np.ndarray, "windows"]]
    vocabulary: UInt32[np.ndarray, "ids"]


def _plan(
    dataset_folder: Path, manifest: DatasetManifest, config: DataConfig, progress: Progress
) -> _Plan:
    records = manifest.of_role("train")
    windows = []
    for number, record in enumerate(records):
        progress(f"reading {record.key}", number, 2 * len(records))
        windows.append(look_at(load_capture(dataset_folder, record), config))
    sides = window_sides(windows, config)
    _need_benign(windows, sides, config, manifest)
    ids = np.unique(np.concatenate([each.benign.ids for each in windows]))
    return _Plan(config, windows, sides, ids if config.id_encoding == "lookup_unk" else NO_IDS)


def window_sides(
    windows: Sequence[Windows], config: DataConfig
) -> list[Int8[np.ndarray, "windows"]]:
    """The side of every window, with repeats of training taken out of validation."""
    sides = [split_blocks(len(each.attacks), config) for each in windows]
    together = np.concatenate(sides)
    repeats = repeats_of_training(np.concatenate([each.hashes for each in windows]), together)
    together[repeats] = LEFT_OUT
    bounds = np.cumsum([len(side) for side in sides])[:-1]
    return np.split(together, bounds)


def _need_benign(
    windows: Sequence[Windows],
    sides: Sequence[Int8[np.ndarray, "windows"]],
    config: DataConfig,
    manifest: DatasetManifest,
) -> None:
    attacks = np.concatenate(
        [each.attacks[side == TRAIN] for each, side in zip(windows, sides, strict=True)]
    )
    if (attacks > 0).all():
        raise DataError(
            f"dataset '{manifest.name}' has {len(attacks)} training windows of "
            f"{config.window_messages} messages, none of them benign",
            hint="add benign captures to a train_ folder and ingest again, or shorten "
            "data.window_messages",
        )


def _add(stores: Sequence[StoreWriter], number: int, capture: Loaded, plan: _Plan) -> None:
    """Put the graphs of a capture into the stores of their sides, a block at a time."""
    config = plan.config
    chosen = np.flatnonzero(plan.sides[number] != LEFT_OUT)
    side, attacks = plan.sides[number][chosen], plan.windows[number].attacks[chosen]
    starts = chosen * config.training_stride_messages
    shares = shares_of(capture, starts, others(plan.windows, number), config)
    blocks = graph_blocks(capture.messages, starts, shares, config, plan.vocabulary)
    for block, graphs, reference in blocks:
        for store, which in zip(stores, (TRAIN, VALIDATION), strict=True):
            mine = np.flatnonzero(side[block] == which)
            owner = np.full(len(mine), number, dtype=np.int32)
            store.add(picked(graphs, mine), owner, attacks[block][mine], reference[mine])


def _fit(train: StoreWriter, config: DataConfig) -> Scaler:
    """Of benign training windows, which are read back from disk."""
    benign = train.each(LABELS) == 0
    names = feature_names(config.features)
    return Scaler.fit_blocks(
        lambda: train.nodes_of(benign), lambda: train.edges_of(benign), config.scale_clip, names
    )


def _counts(plan: _Plan) -> list[CaptureSplit]:
    pairs = zip(plan.windows, plan.sides, strict=True)
    return [_count(windows, side, plan.config) for windows, side in pairs]


def _count(windows: Windows, side: Int8[np.ndarray, "windows"], config: DataConfig) -> CaptureSplit:
    attack = windows.attacks > 0
    plan = split_blocks(len(side), config)
    return CaptureSplit(
        key=windows.record.key,
        train=int((side == TRAIN).sum()),
        validation=int((side == VALIDATION).sum()),
        train_attacks=int((attack & (side == TRAIN)).sum()),
        validation_attacks=int((attack & (side == VALIDATION)).sum()),
        embargoed=int((plan == LEFT_OUT).sum()),
        repeats=int(((side == LEFT_OUT) & (plan == VALIDATION)).sum()),
        tail_messages=tail_messages(
            windows.record.rows, config.window_messages, config.training_stride_messages
        ),
    )


def _read(folder: Path, manifest: DatasetManifest) -> Prepared | None:
    """What an earlier call made, if it is whole."""
    parts = ("prepare.json", _LIBRARY, "train/store.json", "validation/store.json")
    if not all((folder / part).is_file() for part in parts):
        return None
    return _from_report(folder, manifest, _report(folder), made=False)


def _report(folder: Path) -> dict:
    path = folder / "prepare.json"
    try:
        report = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not isinstance(report, dict):
        raise _unreadable(path, f"it holds {type(report).__name__}, not a report")
    return report


def _unreadable(path: Path, fault: object) -> DataError:
    return DataError(
        f"'{path}' can't be read: {fault}",
        hint=f"delete '{path.parent}'; the same command makes it again",
    )


def _from_report(folder: Path, manifest: DatasetManifest, report: dict, *, made: bool) -> Prepared:
    try:
        return Prepared(
            dataset=manifest.name,
            key=folder.name,
            folder=folder,
            dataset_hash=report["dataset_hash"],
            scaler=Scaler(**report["scaler"]),
            vocabulary=tuple(report["vocabulary"]),
            captures=tuple(CaptureSplit(**row) for row in report["captures"]),
            train_graphs=report["train_graphs"],
            validation_graphs=report["validation_graphs"],
            made=made,
        )
    except (KeyError, TypeError) as error:
        raise _unreadable(folder / "prepare.json", f"{error!r}") from error
