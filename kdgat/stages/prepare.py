"""Ingested captures to graphs: split, scale and store the training folders, and later each test.

Preparing touches the training captures alone. A test folder is built when `evaluate` asks for it,
with the scaling of the training data.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int8, Int64

from kdgat.configs.data import DataConfig
from kdgat.data.captures import CaptureRecord, DatasetManifest, load_manifest, load_messages
from kdgat.data.graphs import Graphs, build_graphs, concatenate
from kdgat.data.scaling import Scaler
from kdgat.data.splits import (
    LEFT_OUT,
    TRAIN,
    VALIDATION,
    CaptureSplit,
    repeats_of_training,
    split_blocks,
)
from kdgat.data.store import CaptureLabel, GraphStore, open_store, save_labels, save_store
from kdgat.data.windows import (
    Messages,
    tail_messages,
    window_attacks,
    window_hashes,
    window_starts,
)
from kdgat.errors import DataError, did_you_mean
from kdgat.ledger.files import write_json
from kdgat.progress import Progress, quiet
from kdgat.stages.table import PREPARE_VERSION, graphs_key


@dataclass(frozen=True)
class Prepared:
    """A dataset's graphs for one data config; `key` names their folder."""

    dataset: str
    key: str
    folder: Path
    dataset_hash: str
    scaler: Scaler
    captures: tuple[CaptureSplit, ...]
    train_graphs: int
    validation_graphs: int
    made: bool
    """Whether this call made the graphs; otherwise they were there."""

    def train(self) -> GraphStore:
        """The training graphs, with labels."""
        return open_store(self.folder / "train", labels=True)

    def validation(self) -> GraphStore:
        """The validation graphs, with labels."""
        return open_store(self.folder / "validation", labels=True)


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
    _need(records, manifest, "a folder named train_...")
    loaded = []
    for number, record in enumerate(records):
        progress(f"reading {record.key}", number, 2 * len(records))
        loaded.append(_load(dataset_folder, record, config, config.training_stride_messages))
    sides = _sides(loaded, config)

    parts = []
    for number, (capture, side) in enumerate(zip(loaded, sides, strict=True)):
        progress(f"graphs of {capture.record.key}", len(records) + number, 2 * len(records))
        parts.append(
            [_part(capture, side == which, config, number) for which in (TRAIN, VALIDATION)]
        )
    train, validation = (_joined([part[which] for part in parts], config) for which in (0, 1))
    scaler = _fit(train, config, manifest)
    labels = [_label(record) for record in records]
    for name, part in (("train", train), ("validation", validation)):
        _save(folder / name, part, labels, scaler, config)
    report = {
        "version": PREPARE_VERSION,
        "config": config.model_dump(mode="json"),
        "dataset_hash": manifest.content_hash,
        "scaler": asdict(scaler),
        "captures": [asdict(_count(*item, config)) for item in zip(loaded, sides, strict=True)],
        "train_graphs": len(train.graphs),
        "validation_graphs": len(validation.graphs),
    }
    write_json(folder / "prepare.json", report)
    progress("graphs are ready", 2 * len(records), 2 * len(records))
    return _from_report(folder, manifest, report, made=True)


def scenarios(dataset_folder: Path) -> tuple[str, ...]:
    """The official test folders of a dataset, in their order.

    Raises:
        DataError: there is none.
    """
    manifest = load_manifest(dataset_folder)
    records = manifest.of_role("test")
    _need(records, manifest, "a folder named test_...")
    return tuple(sorted({record.folder for record in records}))


def scenario_folder(dataset_folder: Path, prepared: Prepared, scenario: str) -> Path:
    """The blind store of one test folder, made when it is first asked for, scaled as the training.

    Raises:
        DataError: there is no such test folder, or no window in it.
    """
    folder = prepared.folder / scenario
    records = _scenario_records(dataset_folder, scenario)
    if (folder / "store.json").is_file():
        return folder
    config = DataConfig.model_validate(_report(prepared.folder)["config"])
    parts = []
    for number, record in enumerate(records):
        capture = _load(dataset_folder, record, config, config.stride_messages, labels=False)
        parts.append(_part(capture, np.ones(len(capture.starts), bool), config, number))
    part = _joined(parts, config)
    if len(part.graphs) == 0:
        raise DataError(
            f"test folder '{scenario}' has no window of {config.window_messages} messages",
            hint="ingest longer captures, or train with a lower data.window_messages",
        )
    labels = [_label(record) for record in records]
    _save(folder, part, labels, prepared.scaler, config, blind=True)
    return folder


def label_scenario(dataset_folder: Path, prepared: Prepared, scenario: str) -> None:
    """Write the labels beside a test folder's store: the first time anybody reads them.

    Raises:
        DataError: there is no such test folder, or a capture of it is damaged.
    """
    config = DataConfig.model_validate(_report(prepared.folder)["config"])
    attacks = [
        _load(dataset_folder, record, config, config.stride_messages).attacks
        for record in _scenario_records(dataset_folder, scenario)
    ]
    save_labels(prepared.folder / scenario, np.concatenate(attacks))


def _scenario_records(dataset_folder: Path, scenario: str) -> list[CaptureRecord]:
    manifest = load_manifest(dataset_folder)
    records = [record for record in manifest.of_role("test") if record.folder == scenario]
    if not records:
        raise DataError(
            f"dataset '{manifest.name}' has no test folder '{scenario}'",
            hint=did_you_mean(scenario, scenarios(dataset_folder)),
        )
    return records


@dataclass(frozen=True)
class _Loaded:
    """One capture in memory, and where its windows start."""

    record: CaptureRecord
    messages: Messages
    starts: Int64[np.ndarray, "windows"]
    attacks: Int64[np.ndarray, "windows"]
    hashes: np.ndarray


@dataclass(frozen=True)
class _Part:
    """Some graphs, the capture each comes from, and its attack messages."""

    graphs: Graphs
    capture: np.ndarray
    attacks: Int64[np.ndarray, "graphs"]


def _load(
    dataset_folder: Path,
    record: CaptureRecord,
    config: DataConfig,
    stride: int,
    *,
    labels: bool = True,
) -> _Loaded:
    """One capture's windows; without labels, every window counts as benign."""
    frame = load_messages(dataset_folder, record)
    messages = Messages.from_frame(frame)
    starts = window_starts(len(messages), config.window_messages, stride)
    attack = frame["attack"].to_numpy() if labels else np.zeros(len(messages), dtype=bool)
    attacks = window_attacks(attack, starts, config.window_messages)
    hashes = window_hashes(messages, starts, config.window_messages)
    return _Loaded(record, messages, starts, attacks, hashes)


def _sides(loaded: Sequence[_Loaded], config: DataConfig) -> list[Int8[np.ndarray, "windows"]]:
    """The side of every window, with repeats of training taken out of validation."""
    sides = [split_blocks(len(capture.starts), config) for capture in loaded]
    together = np.concatenate(sides)
    repeats = repeats_of_training(np.concatenate([c.hashes for c in loaded]), together)
    together[repeats] = LEFT_OUT
    bounds = np.cumsum([len(side) for side in sides])[:-1]
    return np.split(together, bounds)


def _part(
    capture: _Loaded, chosen: Bool[np.ndarray, "windows"], config: DataConfig, number: int
) -> _Part:
    graphs = build_graphs(capture.messages, capture.starts[chosen], config)
    owner = np.full(len(graphs), number, dtype=np.int32)
    return _Part(graphs, owner, capture.attacks[chosen])


def _joined(parts: Sequence[_Part], config: DataConfig) -> _Part:
    return _Part(
        concatenate([part.graphs for part in parts], config),
        np.concatenate([part.capture for part in parts]),
        np.concatenate([part.attacks for part in parts]),
    )


def _fit(train: _Part, config: DataConfig, manifest: DatasetManifest) -> Scaler:
    graphs, benign = train.graphs, train.attacks == 0
    if not benign.any():
        raise DataError(
            f"dataset '{manifest.name}' has {len(graphs)} training windows of "
            f"{config.window_messages} messages, none of them benign",
            hint="add benign captures to a train_ folder and ingest again, or shorten "
            "data.window_messages",
        )
    nodes = np.repeat(benign, np.diff(graphs.node_ptr))
    edges = np.repeat(benign, np.diff(graphs.edge_ptr))
    return Scaler.fit(graphs.x[nodes], graphs.edge_attr[edges], config.scale_clip)


def _save(
    folder: Path,
    part: _Part,
    labels: Sequence[CaptureLabel],
    scaler: Scaler,
    config: DataConfig,
    *,
    blind: bool = False,
) -> None:
    fields = vars(part.graphs)
    scaled = {"x": scaler.nodes(part.graphs.x), "edge_attr": scaler.edges(part.graphs.edge_attr)}
    save_store(
        folder,
        Graphs(**{**fields, **scaled}),
        part.capture,
        labels,
        None if blind else part.attacks,
        config.window_messages,
    )


def _count(capture: _Loaded, side: Int8[np.ndarray, "windows"], config: DataConfig) -> CaptureSplit:
    attack = capture.attacks > 0
    plan = split_blocks(len(side), config)
    return CaptureSplit(
        key=capture.record.key,
        train=int((side == TRAIN).sum()),
        validation=int((side == VALIDATION).sum()),
        train_attacks=int((attack & (side == TRAIN)).sum()),
        validation_attacks=int((attack & (side == VALIDATION)).sum()),
        embargoed=int((plan == LEFT_OUT).sum()),
        repeats=int(((side == LEFT_OUT) & (plan == VALIDATION)).sum()),
        tail_messages=tail_messages(
            len(capture.messages), config.window_messages, config.training_stride_messages
        ),
    )


def _label(record: CaptureRecord) -> CaptureLabel:
    return CaptureLabel(record.key, record.attack_type, record.vehicle)


def _read(folder: Path, manifest: DatasetManifest) -> Prepared | None:
    """What an earlier call made, if it is whole."""
    stores = (folder / "train" / "store.json", folder / "validation" / "store.json")
    if not (folder / "prepare.json").is_file() or not all(path.is_file() for path in stores):
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
            captures=tuple(CaptureSplit(**row) for row in report["captures"]),
            train_graphs=report["train_graphs"],
            validation_graphs=report["validation_graphs"],
            made=made,
        )
    except (KeyError, TypeError) as error:
        raise _unreadable(folder / "prepare.json", f"{error!r}") from error


def _need(records: Sequence[CaptureRecord], manifest: DatasetManifest, what: str) -> None:
    if not records:
        raise DataError(
            f"dataset '{manifest.name}' has no capture in {what}",
            hint=f"add one to the raw folder and run `kdgat data ingest {manifest.name} --raw DIR`",
        )
