"""Simulated traffic without an attack: the bus, the vehicles and their messages."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from kdgat.configs.dataset import SimulationConfig
from kdgat.data.simulation.bus import Traffic, frame_lengths, send, starve
from kdgat.data.simulation.draw import draw_vehicle
from kdgat.data.simulation.drive import draw_drive
from kdgat.data.simulation.fields import Checksum, ChecksumKind
from kdgat.data.simulation.vehicle import schedule
from tests.unit.data.simulated import (
    TEST_04,
    Load,
    Made,
    Rows,
    assert_counters_count,
    load,
    some_moment,
)


@pytest.mark.parametrize("vehicle", ["A", "B"])
def test_benign_traffic_has_the_rate_and_the_ids_of_a_real_car(capture: Load, vehicle: str) -> None:
    rows = capture(f"train_01_attack_free/attack-free-car{vehicle}.csv.gz")
    assert not rows.attack.any()
    assert 23.5 < rows.time_s[-1] < 24.5
    assert 1400 < len(rows.id) / rows.time_s[-1] < 2500
    assert 25 <= len(np.unique(rows.id)) <= 60
    back_to_back = np.diff(rows.time_s) < 260e-6
    assert 0.5 < back_to_back.mean() < 0.9


@pytest.mark.parametrize("vehicle", ["A", "B"])
def test_benign_messages_keep_their_period_with_the_jitter_of_a_real_car(
    capture: Load, vehicle: str
) -> None:
    rows = capture(f"train_01_attack_free/attack-free-car{vehicle}.csv.gz")
    periods_ms = np.array([10, 20, 50, 100, 200, 500, 1000])
    seen = set()
    for arbitration_id in np.unique(rows.id):
        gaps_ms = 1e3 * np.diff(rows.of(arbitration_id).time_s)
        period_ms = periods_ms[np.abs(periods_ms - np.median(gaps_ms)).argmin()]
        assert abs(gaps_ms.mean() / period_ms - 1) < 0.003
        assert 0.05 < gaps_ms.std() < 2.5
        assert gaps_ms.min() > 0.4 * period_ms
        seen.add(period_ms)
    assert len(seen) >= 4


def test_no_two_frames_overlap_on_the_bus(made: Made) -> None:
    for path in made[0].rglob("*.csv.gz"):
        rows = load(path)
        bits = 47 + 4 * np.array([len(text) for text in rows.payload])
        gaps_us = np.rint(1e6 * np.diff(rows.time_s))
        assert (gaps_us >= 2 * bits[1:] - 2).all(), path


def test_the_lowest_waiting_id_always_goes_next() -> None:
    rng = np.random.default_rng(7)
    count = 3000
    traffic = traffic_of(
        due_s=np.sort(rng.uniform(0, 0.8, count)), ids=rng.integers(2048, size=count)
    )
    length_s = frame_lengths(traffic.dlc, np.random.default_rng(1))
    sent, passed_s = send(traffic, np.random.default_rng(1))
    order, expected_s = one_by_one(traffic, length_s)
    assert sent.due_s.tolist() == traffic.due_s[order].tolist()
    assert np.allclose(passed_s, expected_s)
    assert not np.array_equal(order, np.arange(count))


def one_by_one(traffic: Traffic, length_s: np.ndarray) -> tuple[list[int], list[float]]:
    """The plain event loop of a bus, frame after frame."""
    now_s, arrived = 0.0, 0
    waiting: list[tuple[int, int]] = []
    order, passed_s = [], []
    while len(order) < len(traffic):
        while arrived < len(traffic) and (not waiting or traffic.due_s[arrived] <= now_s):
            now_s = max(now_s, traffic.due_s[arrived])
            heapq.heappush(waiting, (int(traffic.arbitration_id[arrived]), arrived))
            arrived += 1
        _, frame = heapq.heappop(waiting)
        now_s += length_s[frame]
        order.append(frame)
        passed_s.append(now_s)
    return order, passed_s


def traffic_of(due_s: np.ndarray, ids: np.ndarray) -> Traffic:
    count = len(due_s)
    return Traffic(
        due_s=due_s,
        arbitration_id=ids.astype(np.uint16),
        dlc=np.full(count, 8, dtype=np.uint8),
        payload=np.zeros((count, 8), dtype=np.uint8),
        attack=np.zeros(count, dtype=bool),
        turn=np.arange(count),
    )


def test_a_frame_of_8_bytes_takes_about_230_microseconds() -> None:
    length_s = frame_lengths(np.full(10_000, 8, dtype=np.uint8), np.random.default_rng(0))
    assert 225e-6 < length_s.mean() < 245e-6
    assert length_s.min() >= 222e-6
    assert length_s.max() <= 270e-6


def test_a_flooded_bus_loses_the_highest_ids_and_only_while_it_is_flooded() -> None:
    due_s = np.arange(0, 2, 1e-4)
    kept = starve(traffic_of(due_s, np.arange(len(due_s)) % 100), [(1.0, 2.0)])
    calm, flooded = kept.select(kept.due_s < 1), kept.select(kept.due_s >= 1)
    assert len(calm) == 10_000
    assert 4_000 < len(flooded) < 4_400
    assert set(flooded.arbitration_id) == set(range(flooded.arbitration_id.max() + 1))


@pytest.mark.parametrize("vehicle", [0, 1])
def test_counters_really_count(capture: Load, vehicle: int) -> None:
    rows = capture(f"train_01_attack_free/attack-free-car{'AB'[vehicle]}.csv.gz")
    messages = draw_vehicle(vehicle, SimulationConfig()).messages
    counted = sum(
        assert_counters_count(rows.of(message.arbitration_id), message.fields)
        for message in messages
    )
    assert counted > 5


@pytest.mark.parametrize("kind", ["xor", "sum", "crc8"])
def test_a_checksum_is_what_a_plain_loop_over_the_bytes_gives(kind: ChecksumKind) -> None:
    payload = np.random.default_rng(3).integers(256, size=(50, 8), dtype=np.uint8)
    expected = [plain_checksum(kind, row[:6].tolist(), 0x5A) for row in payload]
    Checksum(6, kind, 0x5A).fill(payload, some_moment(50))
    assert payload[:, 6].tolist() == expected


def plain_checksum(kind: str, data: list[int], total: int) -> int:
    for byte in data:
        total = (total + byte) & 0xFF if kind == "sum" else total ^ byte
        for _ in range(8 if kind == "crc8" else 0):
            total = ((total << 1) ^ (0x1D if total & 0x80 else 0)) & 0xFF
    return total


def test_messages_tremble_as_much_as_their_control_unit_does() -> None:
    vehicle = draw_vehicle(0, SimulationConfig())
    drive = draw_drive(60, np.random.default_rng(0))
    traffic = schedule(vehicle, drive, 60, np.random.default_rng(1))
    jitters_ms = {1e3 * unit.jitter_s for unit in vehicle.units}
    assert max(jitters_ms) > 2 * min(jitters_ms)
    assert max(jitters_ms) <= 0.8
    for message in vehicle.frequent():
        due_s = traffic.due_s[traffic.arbitration_id == message.arbitration_id]
        expected_s = np.sqrt(2) * vehicle.units[message.unit].jitter_s
        assert np.diff(due_s).std() == pytest.approx(expected_s, rel=0.15)


def test_messages_have_every_kind_of_field_and_2_to_8_bytes() -> None:
    messages = [
        message
        for number in range(6)
        for message in draw_vehicle(number, SimulationConfig()).messages
    ]
    kinds = {type(field).__name__ for message in messages for field in message.fields}
    assert kinds == {"Constant", "Counter", "Sensor", "Pages", "Checksum"}
    assert {message.dlc for message in messages} == set(range(2, 9))


def test_an_unknown_vehicle_has_other_ids_another_schedule_and_other_payloads(
    capture: Load,
) -> None:
    known = capture("train_01_attack_free/attack-free-carA.csv.gz")
    unknown = capture(f"{TEST_04}/suppress-carC.csv.gz")
    ids, others = set(known.id), set(unknown.id)
    assert len(ids & others) < 0.2 * min(len(ids), len(others))

    def periods_ms(rows: Rows) -> list[int]:
        gaps = [np.median(np.diff(rows.of(key).time_s)) for key in np.unique(rows.id)]
        return sorted(round(100 * float(gap)) for gap in gaps)

    assert periods_ms(known) != periods_ms(unknown)
    cars = [draw_vehicle(number, SimulationConfig()) for number in (0, 2)]
    layouts = [{message.fields for message in car.messages} for car in cars]
    assert len(layouts[0] & layouts[1]) < 0.1 * len(layouts[0])


@pytest.mark.parametrize("seed", range(12))
def test_every_seed_gives_a_vehicle_within_the_configured_ranges(seed: int) -> None:
    config = SimulationConfig(seed=seed)
    for number in range(3):
        messages = draw_vehicle(number, config).messages
        rate = sum(1 / message.period_s for message in messages)
        assert config.ids_min <= len(messages) <= config.ids_max
        assert config.rate_min_per_s - 100 <= rate <= config.rate_max_per_s + 60
        assert len({message.arbitration_id for message in messages}) == len(messages)
