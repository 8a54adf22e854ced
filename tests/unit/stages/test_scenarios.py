"""Test folders: both protocols score the same windows, and neither sees what it may not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kdgat.configs.data import DataConfig
from kdgat.configs.evaluation import EvaluationConfig
from kdgat.data.captures import CaptureRecord, capture_path, load_manifest, load_messages
from kdgat.data.features import feature_names
from kdgat.data.graphs import build_graphs
from kdgat.data.measured import BORROWED, OWN, UNPROFILED, graphs_by_library
from kdgat.data.profiles import make_profile
from kdgat.data.sealing import labels_sealed
from kdgat.data.store import GraphStore, open_store
from kdgat.data.windows import Messages, window_attacks, window_starts
from kdgat.errors import DataError
from kdgat.stages.prepare import Prepared, prepare
from kdgat.stages.scenarios import (
    View,
    has_windows,
    label_scenario,
    prefix_folder,
    scenario_folder,
    scenarios,
    views,
)
from tests.unit.stages.small import CONFIG

ZERO_SHOT, ADAPTED = View("zero_shot", 1.0), View("adapted", 1.0)
SHORT, LONG = View("adapted", 0.5, variant="prefix_0.5s"), View("adapted", 2.0, variant="prefix_2s")
POISONED = View("adapted", 1.0, poisoned=True, variant="poisoned")
KNOWN, UNKNOWN = "test_01_known_vehicle_known_attack", "test_02_unknown_vehicle_known_attack"
NAMES = feature_names(CONFIG.features)
PROFILE = [name.startswith("profile_") for name in NAMES]

Dataset = tuple[Path, Prepared]


def blind(dataset: Dataset, scenario: str, view: View) -> GraphStore:
    return open_store(scenario_folder(*dataset, scenario, view), labels=False)


def records(folder: Path, scenario: str) -> list[CaptureRecord]:
    return [record for record in load_manifest(folder).of_role("test") if record.folder == scenario]


def messages_of(folder: Path, record: CaptureRecord) -> Messages:
    return Messages.from_frame(load_messages(folder, record))


def scored(folder: Path, scenario: str) -> Iterator[tuple[int, Messages, np.ndarray, int]]:
    """Number, messages, starts of the windows to score and length of the prefix of each capture."""
    for number, record in enumerate(records(folder, scenario)):
        messages = messages_of(folder, record)
        starts = window_starts(len(messages), 100, 100)
        prefix = int((messages.time_s < messages.time_s[0] + 1.0).sum())
        yield number, messages, starts[starts >= prefix], prefix


def nodes_of(store: GraphStore, number: int) -> np.ndarray:
    mine = store.capture.numpy() == number
    return store.x.numpy()[np.repeat(mine, np.diff(store.node_ptr.numpy()))]


@pytest.fixture
def copy(shared: Dataset, tmp_path: Path) -> Dataset:
    """A dataset of one's own, with the same graphs for training."""
    folder = shutil.copytree(shared[0], tmp_path / "tiny")
    return folder, prepare(folder, CONFIG)


def test_the_scenarios_are_the_test_folders(ingested: Path) -> None:
    expected = sorted(path.name for path in (ingested / "captures").glob("test_*"))
    assert list(scenarios(ingested)) == expected
    assert len(expected) == 4


def test_a_model_is_seen_in_both_protocols_then_with_other_prefixes_and_a_poisoned_one() -> None:
    judging = EvaluationConfig(prefix_sweep_s=(0.5, 1.0, 2.0))
    assert views(CONFIG, judging) == (ZERO_SHOT, ADAPTED, SHORT, LONG, POISONED)
    names = [view.name for view in views(DataConfig(), EvaluationConfig())]
    assert names == [
        *("zero_shot", "adapted", "adapted_prefix_5s", "adapted_prefix_30s", "adapted_poisoned")
    ]
    plain = CONFIG.model_copy(update={"features": ("shape",)})
    assert views(plain, judging) == (ZERO_SHOT, ADAPTED), "no prefix could make a difference"


@pytest.mark.parametrize("view", [ZERO_SHOT, ADAPTED, SHORT, POISONED], ids=lambda v: v.name)
def test_every_view_scores_the_same_windows_and_none_in_the_prefix(
    shared: Dataset, view: View
) -> None:
    for scenario in scenarios(shared[0]):
        store = blind(shared, scenario, view)
        for number, messages, starts, _ in scored(shared[0], scenario):
            mine = store.capture.numpy() == number
            assert mine.sum() == len(starts) > 20
            np.testing.assert_array_equal(store.start_s[mine], messages.time_s[starts])
            np.testing.assert_array_equal(store.end_s[mine], messages.time_s[starts + 99])
            assert store.start_s[mine].min() >= messages.time_s[0] + 1.0
            assert messages.time_s[starts[0] - 100] < messages.time_s[0] + 1.0


def test_zero_shot_measures_against_the_training_vehicles_alone(shared: Dataset) -> None:
    folder, prepared = shared
    kinds = {}
    for scenario in scenarios(folder):
        store = blind(shared, scenario, ZERO_SHOT)
        kinds[scenario] = np.bincount(store.reference.numpy(), minlength=3)
        for number, messages, starts, _ in scored(folder, scenario):
            graphs, _ = graphs_by_library(messages, starts, prepared.library(), CONFIG)
            expected = prepared.scaler.nodes(graphs.x)
            np.testing.assert_array_equal(nodes_of(store, number), expected)
    assert all(kind[OWN] == 0 for kind in kinds.values())
    assert kinds[KNOWN][BORROWED] > 0.9 * kinds[KNOWN].sum()
    assert kinds[UNKNOWN][UNPROFILED] > 0.9 * kinds[UNKNOWN].sum()


@pytest.mark.parametrize("view", [ADAPTED, SHORT, LONG], ids=lambda view: view.name)
def test_adapted_measures_against_the_captures_own_prefix(shared: Dataset, view: View) -> None:
    folder, prepared = shared
    store = blind(shared, KNOWN, view)
    assert set(store.reference.tolist()) == {OWN}
    for number, messages, starts, _ in scored(folder, KNOWN):
        late = messages.time_s >= messages.time_s[0] + view.prefix_s
        prefix = messages.span(0, int(late.argmax()))
        starts = starts[starts >= len(prefix)]
        graphs = build_graphs(messages, starts, CONFIG, make_profile(prefix, view.prefix_s))
        np.testing.assert_array_equal(nodes_of(store, number), prepared.scaler.nodes(graphs.x))


def test_a_longer_prefix_scores_no_window_of_its_own(shared: Dataset) -> None:
    store = blind(shared, KNOWN, LONG)
    usual = blind(shared, KNOWN, ADAPTED)
    for number, messages, _, _ in scored(shared[0], KNOWN):
        begins = store.start_s[store.capture == number]
        all_begins = usual.start_s[usual.capture == number].numpy()
        late = all_begins[all_begins >= messages.time_s[0] + 2.0]
        assert 0 < len(late) < len(all_begins)
        np.testing.assert_array_equal(begins, late)


def test_a_poisoned_prefix_changes_the_profile_and_nothing_else(shared: Dataset) -> None:
    clean, spoilt = (blind(shared, KNOWN, view) for view in (ADAPTED, POISONED))
    for name in ("edge_index", "edge_attr", "node_ptr", "edge_ptr", "start_s", "capture"):
        np.testing.assert_array_equal(getattr(clean, name), getattr(spoilt, name))
    one, other = clean.x.numpy(), spoilt.x.numpy()
    profile = np.array(PROFILE)
    np.testing.assert_array_equal(one[:, ~profile], other[:, ~profile])
    changed = {NAMES[i] for i in np.flatnonzero((one != other).any(axis=0))}
    assert {"profile_count", "profile_known"} <= changed


def test_a_poisoned_prefix_is_the_same_each_time(shared: Dataset, copy: Dataset) -> None:
    one, other = (blind(each, KNOWN, POISONED) for each in (shared, copy))
    np.testing.assert_array_equal(one.x, other.x)


def rewrite(folder: Path, record: CaptureRecord, change: Callable[[pl.DataFrame], object]) -> None:
    """Change the messages of an ingested capture on disk."""
    path = capture_path(folder, record)
    frame = pl.read_parquet(path)
    changed = change(frame)
    assert isinstance(changed, pl.DataFrame)
    assert not changed.equals(frame)
    changed.write_parquet(path)


def only_kept(kept: np.ndarray) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Every message but some gets another id, payload and length; times stay."""

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        keep = pl.lit(pl.Series(kept))
        draw = np.random.default_rng(0)
        ids = pl.Series(draw.integers(0, 0x800, len(frame)).astype(np.uint32))
        payload = pl.Series(draw.integers(0, 2**64, len(frame), dtype=np.uint64))
        return frame.with_columns(
            arbitration_id=pl.when(keep).then("arbitration_id").otherwise(pl.lit(ids)),
            payload=pl.when(keep).then("payload").otherwise(pl.lit(payload)),
            dlc=pl.when(keep).then("dlc").otherwise(pl.lit(8, pl.UInt8)),
        )

    return change


@pytest.mark.parametrize("scenario", [KNOWN, UNKNOWN])
@pytest.mark.parametrize("view", [ZERO_SHOT, ADAPTED], ids=lambda view: view.name)
def test_nothing_of_a_test_capture_matters_to_a_window_but_what_its_protocol_allows(
    copy: Dataset, scenario: str, view: View
) -> None:
    folder, prepared = copy
    before = blind(copy, scenario, view)
    record = records(folder, scenario)[0]
    ((_, messages, starts, prefix), *_) = scored(folder, scenario)
    place = len(starts) // 2
    kept = np.zeros(len(messages), bool)
    kept[starts[place] : starts[place] + 100] = True
    if view is ADAPTED:
        kept[:prefix] = True
    rewrite(folder, record, only_kept(kept))
    whole = {name: getattr(before, name).numpy().copy() for name in ("x", "node_ptr", "edge_attr")}
    edges = slice(*before.edge_ptr[place : place + 2].tolist())
    shutil.rmtree(prepared.folder / scenario)

    after = blind(copy, scenario, view)
    nodes = slice(*whole["node_ptr"][place : place + 2].tolist())
    begin, end = after.node_ptr[place : place + 2].tolist()
    np.testing.assert_array_equal(after.x[begin:end], whole["x"][nodes])
    begin, end = after.edge_ptr[place : place + 2].tolist()
    np.testing.assert_array_equal(after.edge_attr[begin:end], whole["edge_attr"][edges])
    assert after.reference[place] == before.reference[place]
    assert len(after.x) != len(before.x), "the other windows did not change"


@pytest.mark.parametrize("view", [ZERO_SHOT, ADAPTED, LONG, POISONED], ids=lambda view: view.name)
def test_no_graph_changes_when_the_labels_do(copy: Dataset, view: View) -> None:
    folder, prepared = copy

    def made() -> dict[str, bytes]:
        shutil.rmtree(prepared.folder / KNOWN, ignore_errors=True)
        paths = (f(*copy, KNOWN, view) for f in (scenario_folder, prefix_folder))
        return {f"{p.parent.name}/{p.name}": p.read_bytes() for x in paths for p in x.iterdir()}

    before = made()
    for record in records(folder, KNOWN):
        rewrite(folder, record, lambda frame: frame.with_columns(~pl.col("attack")))
    assert made() == before
    assert not any("attack_messages" in name for name in before)


def test_graphs_are_made_and_opened_under_seal_but_not_labelled(copy: Dataset) -> None:
    with labels_sealed():
        blind(copy, KNOWN, ADAPTED)
        open_store(prefix_folder(*copy, KNOWN, ADAPTED), labels=False)
        with pytest.raises(RuntimeError, match="asked for while windows are scored"):
            label_scenario(*copy, KNOWN, ADAPTED)


@pytest.mark.parametrize("view", [ZERO_SHOT, LONG], ids=lambda view: view.name)
def test_a_store_is_blind_until_its_labels_are_asked_for(copy: Dataset, view: View) -> None:
    folder = copy[0]
    path = scenario_folder(*copy, KNOWN, view)
    with pytest.raises(DataError, match="attack_messages"):
        open_store(path, labels=True)
    label_scenario(*copy, KNOWN, view)
    store = open_store(path, labels=True)
    for number, record in enumerate(records(folder, KNOWN)):
        attack = load_messages(folder, record)["attack"].to_numpy()
        messages = messages_of(folder, record)
        mine = store.capture.numpy() == number
        starts = np.searchsorted(messages.time_s, store.start_s.numpy()[mine])
        assert store.attack_messages is not None
        expected = window_attacks(attack, starts, 100)
        assert store.attack_messages.numpy()[mine].tolist() == expected.tolist()
    assert 0 < store.y.sum() < len(store)


def test_the_two_halves_of_a_prefix_are_measured_against_each_other(shared: Dataset) -> None:
    folder, prepared = shared
    store = open_store(prefix_folder(*shared, KNOWN, ADAPTED), labels=False)
    assert set(store.reference.tolist()) == {OWN}
    for number, messages, _, prefix in scored(folder, KNOWN):
        begin_s = messages.time_s[0]
        middle = int((messages.time_s < begin_s + 0.5).sum())
        halves = (messages.span(0, middle), messages.span(middle, prefix))
        expected = []
        for half, other in (halves, halves[::-1]):
            starts = window_starts(len(half), 100, 50)
            assert len(starts) > 5
            graphs = build_graphs(half, starts, CONFIG, make_profile(other, 0.5))
            expected.append(prepared.scaler.nodes(graphs.x))
        np.testing.assert_array_equal(nodes_of(store, number), np.concatenate(expected))
        mine = store.capture == number
        assert store.end_s[mine].max() < begin_s + 1.0


def test_a_store_is_made_once(copy: Dataset) -> None:
    for make in (scenario_folder, prefix_folder):
        path = make(*copy, KNOWN, ADAPTED) / "store.json"
        before = path.stat().st_mtime_ns
        assert make(*copy, KNOWN, ADAPTED) == path.parent
        assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize("name", ["test_01_known_vehicle_known_atack", "train", "validation"])
def test_a_scenario_that_is_no_test_folder_is_refused(shared: Dataset, name: str) -> None:
    with pytest.raises(DataError, match=f"has no test folder '{name}'") as caught:
        scenario_folder(*shared, name, ADAPTED)
    assert KNOWN in caught.value.hint


def test_captures_that_are_all_prefix_are_refused_with_what_to_change(shared: Dataset) -> None:
    view = View("adapted", 9.0, variant="prefix_9s")
    assert not has_windows(*shared, KNOWN, view)
    assert has_windows(*shared, KNOWN, LONG)
    with pytest.raises(DataError, match="no window of 100 messages after the first 9 s") as caught:
        scenario_folder(*shared, KNOWN, view)
    assert "data.prefix_s" in caught.value.hint
