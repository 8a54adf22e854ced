"""What training windows are measured against: never anything that holds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kdgat.configs.data import DataConfig
from kdgat.data.captures import load_manifest, load_messages
from kdgat.data.features import feature_names
from kdgat.data.measured import BORROWED, OWN, UNPROFILED
from kdgat.data.profiles import make_profile
from kdgat.data.store import GraphStore
from kdgat.data.windows import Messages, window_starts
from kdgat.stages.ingest import ingest
from kdgat.stages.prepare import Prepared, prepare
from tests.unit.data.tiny import DATASET, traffic, write

CONFIG = DataConfig(
    window_messages=20, stride_messages=20, training_stride_messages=7, prefix_s=0.5
)
NAMES = feature_names(CONFIG.features)


def column(prepared: Prepared, store: GraphStore, name: str) -> np.ndarray:
    """A node feature as it was before it was scaled."""
    place = NAMES.index(name)
    scaler = prepared.scaler
    return store.x[:, place].numpy() * scaler.node_std[place] + scaler.node_mean[place]


def reference_of_nodes(store: GraphStore) -> np.ndarray:
    return np.repeat(store.reference.numpy(), np.diff(store.node_ptr.numpy()))


def singular(count: int, first_id: int, clock: Callable[[int], float]) -> list[str]:
    """Every fifth message has an id that no other message has."""
    return [f"{clock(i):.6f},{first_id + i if i % 5 == 0 else i % 7:X},00,0" for i in range(count)]


def steady(i: int) -> float:
    return i / 1000


def stepping_back(i: int) -> float:
    """Every tenth message comes with a time of before, as some do from real loggers."""
    return i / 1000 - (0.015 if i % 10 == 5 else 0)


@pytest.mark.parametrize("clock", [steady, stepping_back])
def test_no_window_is_measured_against_a_profile_that_holds_a_message_of_it(
    tmp_path: Path, clock: Callable[[int], float]
) -> None:
    for number, name in enumerate(("a", "b")):
        rows = singular(4000, 0x1000 * (number + 1), clock)
        write(tmp_path / f"raw/train_01_attack_free/{name}.csv", rows)
    ingest(DATASET, tmp_path / "raw", tmp_path / "tiny")
    prepared = prepare(tmp_path / "tiny", CONFIG)
    for store in (prepared.train(), prepared.validation()):
        reference = reference_of_nodes(store)
        known = column(prepared, store, "profile_known").round()
        graph = np.repeat(np.arange(len(store)), np.diff(store.node_ptr.numpy()))
        for kind in (OWN, BORROWED):
            mine = reference == kind
            assert mine.any()
            strangers = np.bincount(graph[mine & (known == 0)], minlength=len(store))
            # Twenty messages hold four ids of their own, whichever they begin with.
            assert set(strangers[store.reference.numpy() == kind].tolist()) == {4}
            assert known[mine].any(), "the other ids are in every profile"


def test_windows_are_measured_against_nothing_another_capture_or_their_own(
    shared: tuple[Path, Prepared],
) -> None:
    _, prepared = shared
    for store in (prepared.train(), prepared.validation()):
        share = np.bincount(store.reference.numpy(), minlength=3) / len(store)
        assert share[UNPROFILED] == pytest.approx(0.25, abs=0.1)
        assert share[BORROWED] == pytest.approx(0.25, abs=0.1)
        there = column(prepared, store, "profile_there")
        assert ((there > 0) == (reference_of_nodes(store) != UNPROFILED)).all()


@pytest.mark.parametrize(
    ("shares", "kinds"),
    [
        ({"unprofiled_share": 1.0, "borrowed_share": 0.0}, {UNPROFILED}),
        ({"unprofiled_share": 0.0, "borrowed_share": 1.0}, {BORROWED}),
        ({"unprofiled_share": 0.0, "borrowed_share": 0.0}, {OWN}),
    ],
)
def test_the_shares_of_each_kind_are_as_configured(
    tmp_path: Path, shares: dict[str, float], kinds: set[int]
) -> None:
    for name, count in (("a", 4000), ("b", 4100)):
        write(tmp_path / f"raw/train_01_attack_free/{name}.csv", traffic(count))
    ingest(DATASET, tmp_path / "raw", tmp_path / "tiny")
    prepared = prepare(tmp_path / "tiny", CONFIG.model_copy(update=shares))
    assert set(prepared.train().reference.tolist()) == kinds


def test_a_vehicle_with_one_capture_borrows_from_nobody(tmp_path: Path) -> None:
    write(tmp_path / "raw/train_01_attack_free/a-kia.csv", traffic(4000))
    write(tmp_path / "raw/train_01_attack_free/a-spark.csv", traffic(4100))
    ingest(DATASET, tmp_path / "raw", tmp_path / "tiny")
    records = load_manifest(tmp_path / "tiny").captures
    assert len({record.vehicle for record in records}) == 2, "the names tell no vehicles"
    prepared = prepare(tmp_path / "tiny", CONFIG)
    assert set(prepared.train().reference.tolist()) == {UNPROFILED, OWN}


def test_without_profile_features_nothing_is_measured(tmp_path: Path) -> None:
    write(tmp_path / "raw/train_01_attack_free/a.csv", traffic(4000))
    ingest(DATASET, tmp_path / "raw", tmp_path / "tiny")
    prepared = prepare(tmp_path / "tiny", CONFIG.model_copy(update={"features": ("shape",)}))
    assert set(prepared.train().reference.tolist()) == {UNPROFILED}


def test_the_library_is_of_the_benign_messages_of_each_training_vehicle(
    shared: tuple[Path, Prepared],
) -> None:
    folder, prepared = shared
    library = prepared.library()
    records = load_manifest(folder).of_role("train")
    assert set(library) == {record.vehicle for record in records}
    for vehicle, profile in library.items():
        captures = [load_messages(folder, r) for r in records if r.vehicle == vehicle]
        benign = [Messages.from_frame(each.filter(~each["attack"])) for each in captures]
        assert profile.messages.sum() == sum(len(each) for each in benign)
        ids = np.unique(np.concatenate([each.arbitration_id for each in benign]))
        assert profile.ids.tolist() == ids.tolist()
        seconds = sum(record.duration_s for record in records if record.vehicle == vehicle)
        assert profile.rate_hz.sum() == pytest.approx(profile.messages.sum() / seconds)


def test_a_test_captures_profile_is_never_in_the_library(shared: tuple[Path, Prepared]) -> None:
    folder, prepared = shared
    known = {int(id) for profile in prepared.library().values() for id in profile.ids}
    others = [r for r in load_manifest(folder).of_role("test") if "unknown_vehicle" in r.folder]
    for record in others:
        frame = load_messages(folder, record)
        foreign = make_profile(Messages.from_frame(frame.filter(~frame["attack"])))
        assert not set(foreign.ids.tolist()) <= known


def test_the_vocabulary_is_of_benign_training_messages_alone(tmp_path: Path) -> None:
    rows = traffic(4000, lambda i: i > 2000 and i % 11 == 0, "FF")
    rows = [row.replace(",00", ",77", 1) if row.endswith(",1") else row for row in rows]
    write(tmp_path / "raw/train_02_with_attacks/a.csv", rows)
    write(tmp_path / "raw/test_01/b.csv", singular(2000, 0x1000, steady))
    ingest(DATASET, tmp_path / "raw", tmp_path / "tiny")
    prepared = prepare(tmp_path / "tiny", CONFIG.model_copy(update={"id_encoding": "lookup_unk"}))
    assert prepared.vocabulary == (0, 1, 2, 3, 4, 5, 6)
    store = prepared.train()
    codes = store.x[:, len(NAMES) :].numpy()
    assert codes.shape[1] == 8
    assert set(codes.ravel().tolist()) == {0, 1}
    windows = len(window_starts(4000, 20, 7))
    assert windows > len(store) > 0
    assert codes[:, 7].any(), "attack ids are none of those known"
    assert prepare(tmp_path / "tiny", DataConfig(prefix_s=0.5)).vocabulary == ()
