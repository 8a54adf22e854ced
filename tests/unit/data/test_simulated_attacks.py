"""What each simulated attack does to the traffic, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kdgat.configs.dataset import SimulationConfig
from kdgat.data.simulate import simulate
from kdgat.data.simulation.draw import draw_vehicle
from kdgat.data.simulation.fields import Checksum, Sensor
from tests.unit.data.simulated import (
    BURST_S,
    CLEAN_S,
    TEST_01,
    TEST_02,
    TEST_03,
    TEST_04,
    Load,
    assert_counters_count,
    load,
    some_moment,
)


@pytest.mark.parametrize(
    "name",
    [
        "train_02_with_attacks/dos-carA",
        f"{TEST_01}/fuzzing-carA",
        f"{TEST_01}/gear_spoofing-carB",
        f"{TEST_02}/rpm_spoofing-carC",
        f"{TEST_03}/malfunction-carB",
        f"{TEST_03}/masquerade-carA",
        f"{TEST_04}/replay-carC",
    ],
)
def test_bursts_of_attack_alternate_with_clean_spans(tmp_path: Path, name: str) -> None:
    folder, _, attack = name.partition("/")
    attack = attack.rpartition("-")[0]
    role = "known_attacks" if attack in SimulationConfig().known_attacks else "unknown_attacks"
    attacks = {"known_attacks": (), "unknown_attacks": (), role: (attack,)}
    config = SimulationConfig(capture_s=10, clean_start_share=0.2, bursts=2, burst_share=0.5)
    simulate(config.model_copy(update=attacks), tmp_path)
    (path,) = tmp_path.glob(f"{folder}/{attack}-*.csv.gz")
    rows = load(path)
    bursts = rows.bursts()
    assert len(bursts) == 2
    assert bursts[0][0] > 1.9
    assert all(1.7 < end - begin < 2.1 for begin, end in bursts)


def test_a_flood_is_id_000_every_third_to_half_of_a_millisecond(capture: Load) -> None:
    rows = capture(f"{TEST_02}/dos-carC.csv.gz")
    flood = rows.of(0)
    assert flood.attack.all()
    assert rows.attack.sum() == len(flood.id)
    assert set(flood.payload) == {"0000000000000000"}
    assert 0.3e-3 < np.median(np.diff(flood.time_s)) < 0.5e-3
    assert flood.time_s[0] >= CLEAN_S - 0.01
    true = rows.where(~rows.attack)
    before = (true.time_s < CLEAN_S).sum() / CLEAN_S
    for begin, end in rows.bursts():
        during = ((true.time_s > begin) & (true.time_s < end)).sum() / (end - begin)
        assert 0.85 * before < during < 1.02 * before


def test_fuzzing_sends_random_payloads_under_all_ids(capture: Load) -> None:
    rows = capture(f"{TEST_01}/fuzzing-carA.csv.gz")
    forged = rows.where(rows.attack)
    assert len(np.unique(forged.id)) > 1900
    assert (forged.id < 2048).all()
    counts = np.histogram(forged.id, bins=16, range=(0, 2048))[0] / len(forged.id)
    assert np.allclose(counts, 1 / 16, atol=0.015)
    assert len(set(forged.payload)) == len(forged.payload)
    assert len(np.unique(rows.where(~rows.attack).id)) <= 60


@pytest.mark.parametrize("signal_", ["gear", "rpm"])
def test_spoofing_adds_a_forged_value_to_the_true_one(capture: Load, signal_: str) -> None:
    rows = capture(f"{TEST_02}/{signal_}_spoofing-carC.csv.gz")
    target = draw_vehicle(2, SimulationConfig()).reads(signal_)
    forged, mine = rows.where(rows.attack), rows.of(target.arbitration_id)
    assert set(forged.id) == {target.arbitration_id}
    true = mine.where(~mine.attack)
    assert abs(np.diff(true.time_s).mean() - 0.01) < 1e-4
    assert len(forged.id) > 9 * 3 * BURST_S / 0.01
    for begin, end in rows.bursts():
        times = forged.time_s
        payloads = set(forged.payload[(times >= begin) & (times <= end)])
        width = 2 if signal_ == "gear" else 4
        near = true.payload[(true.time_s >= begin) & (true.time_s <= end)]
        assert len(payloads) == 1
        assert next(iter(payloads))[:width] not in {text[:width] for text in near}


def test_a_malfunction_sends_garbage_under_an_id_of_the_vehicle(capture: Load) -> None:
    rows = capture(f"{TEST_04}/malfunction-carC.csv.gz")
    (target,) = set(rows.id[rows.attack])
    mine = rows.of(target)
    true, forged = mine.where(~mine.attack), mine.where(mine.attack)
    assert np.diff(true.time_s).max() < 0.03
    assert len(forged.id) > 2 * len(true.id) * 3 * BURST_S / rows.time_s[-1]
    assert 1 <= len(set(forged.payload)) <= 3
    assert not set(forged.payload) & set(true.payload)
    assert {len(text) for text in forged.payload} == {len(text) for text in true.payload}


@pytest.mark.parametrize("path", [f"{TEST_03}/suppress-carA", f"{TEST_04}/suppress-carC"])
def test_suppression_removes_one_id_in_the_bursts_and_labels_nothing(
    capture: Load, path: str
) -> None:
    rows = capture(f"{path}.csv.gz")
    assert not rows.attack.any()
    silences = {}
    for arbitration_id in np.unique(rows.id):
        gaps_s = np.diff(rows.of(arbitration_id).time_s)
        silences[arbitration_id] = gaps_s[gaps_s > 10 * np.median(gaps_s)]
    silent = {key: gaps for key, gaps in silences.items() if len(gaps)}
    ((target, gaps_s),) = silent.items()
    assert len(gaps_s) == 3
    assert np.allclose(gaps_s, BURST_S, atol=0.05)
    mine = rows.of(target).time_s
    assert mine[np.flatnonzero(np.diff(mine) > 1)[0]] > CLEAN_S - 0.05


@pytest.mark.parametrize(("path", "vehicle"), [(f"{TEST_03}/masquerade-carA", 0),
                                               (f"{TEST_04}/masquerade-carC", 2)])  # fmt: skip
def test_a_masquerade_replaces_values_and_keeps_schedule_and_counter(
    capture: Load, path: str, vehicle: int
) -> None:
    rows = capture(f"{path}.csv.gz")
    target = draw_vehicle(vehicle, SimulationConfig()).reads("speed")
    mine = rows.of(target.arbitration_id)
    assert rows.attack.sum() == mine.attack.sum() > 0
    gaps_s = np.diff(mine.time_s)
    assert gaps_s.min() > 0.004
    assert gaps_s.max() < 0.016
    in_burst = np.any([(mine.time_s >= a) & (mine.time_s <= b) for a, b in rows.bursts()], axis=0)
    assert mine.attack[in_burst].all()
    assert_counters_count(mine, target.fields)
    (checksum,) = (field for field in target.fields if isinstance(field, Checksum))
    payload = np.array([list(bytes.fromhex(text)) for text in mine.payload], dtype=np.uint8)
    again = payload.copy()
    checksum.fill(again, some_moment(len(again)))
    assert np.array_equal(again, payload)
    sensor = target.fields[0]
    assert isinstance(sensor, Sensor)
    order = "little" if sensor.little_endian else "big"
    speed = np.array([int.from_bytes(row[:2].tobytes(), order) for row in payload])
    jumps = np.abs(np.diff(speed))[np.flatnonzero(np.diff(mine.attack.astype(int)))]
    assert (jumps > 0.1 * 65535).all()


def test_a_replay_sends_earlier_frames_again(capture: Load) -> None:
    rows = capture(f"{TEST_04}/replay-carC.csv.gz")
    first = rows.bursts()[0][0]
    ids = set(rows.id[rows.attack])
    assert 0 < len(ids) < len(set(rows.id))
    for begin, end in rows.bursts():
        here = rows.where(rows.attack & (rows.time_s >= begin) & (rows.time_s <= end))
        assert len(here.id) > 100
        for target in set(here.id):
            again = " ".join(here.of(target).payload)
            mine = rows.of(target)
            assert again in " ".join(mine.payload[mine.time_s < first])
            true = mine.where(~mine.attack)
            assert np.diff(true.time_s).max() < 2.1 * np.median(np.diff(true.time_s))
