"""Preparing with everything in memory at once: what streaming must give, to the byte."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from kdgat.configs.data import DataConfig
from kdgat.data.captures import load_manifest
from kdgat.data.features import feature_names
from kdgat.data.graphs import NO_IDS, Graphs, concatenate, picked
from kdgat.data.measured import graphs_of_shares
from kdgat.data.scaling import Scaler
from kdgat.data.splits import LEFT_OUT, TRAIN, VALIDATION, repeats_of_training, split_blocks
from kdgat.stages.parts import load_capture, look_at
from kdgat.stages.references import others, shares_of


def prepared_in_memory(folder: Path, config: DataConfig, out: Path) -> Scaler:
    """Write the arrays of both stores of the dataset `folder` to `out`, and tell the scaling."""
    records = load_manifest(folder).of_role("train")
    loaded = [load_capture(folder, record) for record in records]
    windows = [look_at(capture, config) for capture in loaded]
    ids = np.unique(np.concatenate([each.benign.ids for each in windows]))
    vocabulary = ids if config.id_encoding == "lookup_unk" else NO_IDS
    sides = [split_blocks(len(each.attacks), config) for each in windows]
    together = np.concatenate(sides)
    hashes = np.concatenate([each.hashes for each in windows])
    together[repeats_of_training(hashes, together)] = LEFT_OUT
    sides = np.split(together, np.cumsum([len(side) for side in sides])[:-1])

    parts: list[list[tuple[Graphs, dict[str, np.ndarray]]]] = [[], []]
    for number, (capture, each, side) in enumerate(zip(loaded, windows, sides, strict=True)):
        chosen = np.flatnonzero(side != LEFT_OUT)
        starts = chosen * config.training_stride_messages
        shares = shares_of(capture, starts, others(windows, number), config)
        graphs, reference = graphs_of_shares(capture.messages, starts, shares, config, vocabulary)
        for which, into in zip((TRAIN, VALIDATION), parts, strict=True):
            mine = np.flatnonzero(side[chosen] == which)
            into.append(
                (
                    picked(graphs, mine),
                    {
                        "attack_messages": each.attacks[chosen][mine],
                        "capture": np.full(len(mine), number, dtype=np.int32),
                        "reference": reference[mine],
                    },
                )
            )
    scaler: Scaler | None = None
    for name, into in zip(("train", "validation"), parts, strict=True):
        graphs = concatenate([each for each, _ in into], config)
        rest = {key: np.concatenate([row[key] for _, row in into]) for key in into[0][1]}
        scaler = scaler or fitted(graphs, rest["attack_messages"] == 0, config)
        scaled = {"x": scaler.nodes(graphs.x), "edge_attr": scaler.edges(graphs.edge_attr)}
        (out / name).mkdir(parents=True)
        for key, array in {**vars(graphs), **scaled, **rest}.items():
            np.save(out / name / f"{key}.npy", array)
    assert scaler is not None
    return scaler


def fitted(graphs: Graphs, benign: np.ndarray, config: DataConfig) -> Scaler:
    """The scaling by numpy's own mean and standard deviation of whole arrays."""
    x = graphs.x[np.repeat(benign, np.diff(graphs.node_ptr))]
    edge_attr = graphs.edge_attr[np.repeat(benign, np.diff(graphs.edge_ptr))]
    names = feature_names(config.features)
    mean, std = moments(x, 1e-3)
    profile = [i for i, name in enumerate(names) if name.startswith("profile_")]
    if profile:
        there = x[:, profile[0]] > 0
        measured = x[there][:, profile] if there.any() else x[:, profile]
        for i, centre, spread in zip(profile, *moments(measured, 0.25), strict=True):
            mean[i], std[i] = centre, spread
        mean[profile[0]], std[profile[0]] = 0.0, 1.0
    for i in range(len(names), x.shape[1]):
        mean[i], std[i] = 0.0, 1.0
    return Scaler(mean, std, *moments(edge_attr, 1e-3), config.scale_clip, profile)


def moments(values: np.ndarray, floor: float) -> tuple[list[float], list[float]]:
    """Of each column, with the deviation no smaller than the floor."""
    mean = values.mean(axis=0, dtype=np.float64).tolist()
    return mean, np.maximum(values.std(axis=0, dtype=np.float64), floor).tolist()


def arrays_of(folder: Path) -> dict[str, bytes]:
    """Every `.npy` file below a folder's two stores."""
    stores = ("train", "validation")
    return {f"{s}/{p.name}": p.read_bytes() for s in stores for p in (folder / s).glob("*.npy")}


def listed(scaler: Scaler) -> dict[str, object]:
    """A scaling's numbers, to compare."""
    return asdict(scaler)
