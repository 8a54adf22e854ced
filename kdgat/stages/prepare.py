"""Ingested captures to graphs: split, measure, scale and store the training folders.

Preparing touches the training captures alone; `kdgat.stages.scenarios` builds a test folder when
`evaluate` asks for it, with the scaling and the profiles of the training data.

A training window is measured against a profile as a test window would be. By lot it gets none (a
vehicle never seen), that of its vehicle's other captures (a vehicle seen in training), or one made
from seconds of its own capture that don't hold the window (`adapted`). Profiles of training
captures are made from benign messages, because training labels are known.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int8, Int64, UInt32

from kdgat.configs.data import DataConfig
from kdgat.data.captures import DatasetManifest, load_manifest
from kdgat.data.features import feature_names
from kdgat.data.graphs import NO_IDS
from kdgat.data.measured import BORROWED, OWN, UNPROFILED, Share, graphs_of_shares
from kdgat.data.profiles import (
    VehicleProfile,
    load_library,
    make_profile,
    merge_profiles,
    save_library,
)
from kdgat.data.scaling import Scaler
from kdgat.data.splits import (
    LEFT_OUT,
    TRAIN,
    VALIDATION,
    CaptureSplit,
    repeats_of_training,
    split_blocks,
)
from kdgat.data.store import GraphStore, open_store
from kdgat.data.windows import tail_messages
from kdgat.errors import DataError
from kdgat.ledger.files import write_json
from kdgat.progress import Progress, quiet
from kdgat.stages.parts import (
    Loaded,
    Part,
    capture_label,
    joined,
    load_windows,
    need_captures,
    save_part,
)
from kdgat.stages.table import PREPARE_VERSION, graphs_key

_LIBRARY = "library.npz"
_OWN_PROFILES = 4
"""Stretches of a training capture, evenly spread, that its windows are measured against."""


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

    def train(self) -> GraphStore:
        """The training graphs, with labels."""
        return open_store(self.folder / "train", labels=True)

    def validation(self) -> GraphStore:
        """The validation graphs, with labels."""
        return open_store(self.folder / "validation", labels=True)

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
    loaded = []
    for number, record in enumerate(records):
        progress(f"reading {record.key}", number, 2 * len(records))
        loaded.append(load_windows(dataset_folder, record, config, config.training_stride_messages))
    sides = _sides(loaded, config)
    profiles = [_benign_profile(capture) for capture in loaded]
    vocabulary = np.unique(np.concatenate([profile.ids for profile in profiles]))
    vocabulary = vocabulary if config.id_encoding == "lookup_unk" else NO_IDS

    parts = []
    for number, (capture, side) in enumerate(zip(loaded, sides, strict=True)):
        progress(f"graphs of {capture.record.key}", len(records) + number, 2 * len(records))
        chosen = np.flatnonzero(side != LEFT_OUT)
        shares = _shares(capture, capture.starts[chosen], _others(loaded, profiles, number), config)
        graphs, reference = graphs_of_shares(
            capture.messages, capture.starts[chosen], shares, config, vocabulary
        )
        owner = np.full(len(graphs), number, dtype=np.int32)
        part = Part(graphs, owner, capture.attacks[chosen], reference)
        parts.append([part.at(np.flatnonzero(side[chosen] == w)) for w in (TRAIN, VALIDATION)])
    train, validation = (joined([part[which] for part in parts], config) for which in (0, 1))
    scaler = _fit(train, config, manifest)
    labels = [capture_label(record) for record in records]
    for name, part in (("train", train), ("validation", validation)):
        save_part(folder / name, part, labels, scaler, config)
    save_library(folder / _LIBRARY, _library(loaded, profiles))
    report = {
        "version": PREPARE_VERSION,
        "config": config.model_dump(mode="json"),
        "dataset_hash": manifest.content_hash,
        "scaler": asdict(scaler),
        "vocabulary": vocabulary.tolist(),
        "captures": [asdict(_count(*item, config)) for item in zip(loaded, sides, strict=True)],
        "train_graphs": len(train.graphs),
        "validation_graphs": len(validation.graphs),
    }
    write_json(folder / "prepare.json", report)
    progress("graphs are ready", 2 * len(records), 2 * len(records))
    return _from_report(folder, manifest, report, made=True)


def _sides(loaded: Sequence[Loaded], config: DataConfig) -> list[Int8[np.ndarray, "windows"]]:
    """The side of every window, with repeats of training taken out of validation."""
    sides = [split_blocks(len(capture.starts), config) for capture in loaded]
    together = np.concatenate(sides)
    repeats = repeats_of_training(np.concatenate([c.hashes for c in loaded]), together)
    together[repeats] = LEFT_OUT
    bounds = np.cumsum([len(side) for side in sides])[:-1]
    return np.split(together, bounds)


def _benign_profile(capture: Loaded) -> VehicleProfile:
    return make_profile(capture.messages.at(~capture.attack), capture.record.duration_s)


def _others(
    loaded: Sequence[Loaded], profiles: Sequence[VehicleProfile], number: int
) -> VehicleProfile | None:
    """The profile of the same vehicle from its other training captures."""
    vehicle = loaded[number].record.vehicle
    others = [
        profile
        for place, (capture, profile) in enumerate(zip(loaded, profiles, strict=True))
        if place != number and capture.record.vehicle == vehicle
    ]
    return merge_profiles(others) if others else None


def _library(
    loaded: Sequence[Loaded], profiles: Sequence[VehicleProfile]
) -> dict[str, VehicleProfile]:
    vehicles = [capture.record.vehicle for capture in loaded]
    return {
        vehicle: merge_profiles(
            [each for each, name in zip(profiles, vehicles, strict=True) if name == vehicle]
        )
        for vehicle in sorted(set(vehicles))
    }


def _shares(
    capture: Loaded,
    starts: Int64[np.ndarray, "windows"],
    others: VehicleProfile | None,
    config: DataConfig,
) -> list[Share]:
    """What each window is measured against, by lot; the same for the same capture and config."""
    everything = np.arange(len(starts))
    if "profile" not in config.features:
        return [Share(everything, None, UNPROFILED)]
    draw = np.random.default_rng(zlib.crc32(capture.record.key.encode()))
    lot, pick = draw.random((2, len(starts)))
    own = _own_profiles(capture, starts, config)
    choices = np.stack([free for _, free in own], axis=1) if own else np.zeros((len(starts), 0))
    count = choices.sum(axis=1).astype(np.int64)
    # The lot falls on one of the window's own free profiles: the n-th one of them.
    place = (
        np.cumsum(choices, axis=1)
        == (np.minimum((pick * count).astype(int), count - 1) + 1)[:, None]
    )
    chosen = np.where(count > 0, (place & (choices > 0)).argmax(axis=1), -1) if own else count - 1
    none, borrowed = config.unprofiled_share, config.borrowed_share
    to_own = (lot >= none + borrowed) & (chosen >= 0)
    to_borrow = (lot >= none) & ~to_own & (others is not None)
    shares = [
        Share(everything[~to_own & ~to_borrow], None, UNPROFILED),
        Share(everything[to_borrow], others, BORROWED),
    ]
    return shares + [
        Share(everything[to_own & (chosen == number)], profile, OWN)
        for number, (profile, _) in enumerate(own)
    ]


def _own_profiles(
    capture: Loaded, starts: Int64[np.ndarray, "windows"], config: DataConfig
) -> list[tuple[VehicleProfile, Bool[np.ndarray, "windows"]]]:
    """Profiles of some seconds of a capture, each with the windows that lie outside of them."""
    time_s = capture.messages.time_s
    found = []
    room = capture.record.duration_s - config.prefix_s
    for first_s in float(time_s[0]) + np.linspace(0, max(room, 0), _OWN_PROFILES):
        last_s = first_s + config.prefix_s
        inside = (time_s >= first_s) & (time_s < last_s)
        benign = inside & ~capture.attack
        if benign.sum() >= config.window_messages:
            profile = make_profile(capture.messages.at(benign), config.prefix_s)
            before = np.concatenate(([0], np.cumsum(inside)))
            outside = before[starts + config.window_messages] == before[starts]
            found.append((profile, outside))
    return found


def _fit(train: Part, config: DataConfig, manifest: DatasetManifest) -> Scaler:
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
    names = feature_names(config.features)
    return Scaler.fit(graphs.x[nodes], graphs.edge_attr[edges], config.scale_clip, names)


def _count(capture: Loaded, side: Int8[np.ndarray, "windows"], config: DataConfig) -> CaptureSplit:
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
