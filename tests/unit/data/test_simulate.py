from __future__ import annotations

import gzip
import heapq
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from kdgat.configs.dataset import SimulationConfig
from kdgat.data.reading import read_capture
from kdgat.data.simulate import SimulationSummary, simulate
from kdgat.data.simulation.bus import Traffic, frame_lengths, send, starve
from kdgat.data.simulation.draw import draw_vehicle
from kdgat.data.simulation.drive import draw_drive
from kdgat.data.simulation.fields import Checksum, ChecksumKind, Counter, Moment, Sensor
from kdgat.data.simulation.vehicle import schedule
from kdgat.errors import ConfigError, DataError, StorageError

CLEAN_S, BURST_S = 10.0, 2.0
TEST_01 = "test_01_known_vehicle_known_attack"
TEST_02 = "test_02_unknown_vehicle_known_attack"
TEST_03 = "test_03_known_vehicle_unknown_attack"
TEST_04 = "test_04_unknown_vehicle_unknown_attack"
SMALL = SimulationConfig(
    capture_s=5.0, attack_free_s=5.0, known_attacks=("dos",), unknown_attacks=("suppress",)
)


@dataclass(frozen=True)
class Rows:
    time_s: np.ndarray
    id: np.ndarray
    payload: np.ndarray
    attack: np.ndarray

    def of(self, arbitration_id: int) -> Rows:
        return self.where(self.id == arbitration_id)

    def where(self, rows: np.ndarray) -> Rows:
        return Rows(self.time_s[rows], self.id[rows], self.payload[rows], self.attack[rows])

    def bytes(self, column: int) -> np.ndarray:
        return np.array([int(text[2 * column : 2 * column + 2], 16) for text in self.payload])

    def bursts(self) -> list[tuple[float, float]]:
        """Begin and end of every run of attack rows without a pause of 0.1 s."""
        times = self.time_s[self.attack]
        ends = np.flatnonzero(np.diff(times) > 0.1)
        begins = np.append(0, ends + 1)
        return [
            (float(times[a]), float(times[b])) for a, b in zip(begins, [*ends, -1], strict=True)
        ]


@cache
def load(path: Path) -> Rows:
    table = pl.read_csv(
        path, schema_overrides={"arbitration_id": pl.String, "data_field": pl.String}
    )
    times = table["timestamp"].to_numpy()
    return Rows(
        time_s=times - times[0],
        id=np.array([int(text, 16) for text in table["arbitration_id"]]),
        payload=table["data_field"].to_numpy(),
        attack=table["attack"].to_numpy() == 1,
    )


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


Made = tuple[Path, SimulationSummary]
Load = Callable[[str], Rows]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    root = tmp_path_factory.mktemp("simulated")
    return root, simulate(SimulationConfig(), root)


@pytest.fixture
def capture(made: Made) -> Load:
    return lambda path: load(made[0] / path)


def test_the_default_has_the_folders_and_file_names_of_the_public_sets(made: Made) -> None:
    assert list(files(made[0])) == sorted(
        [
            "train_01_attack_free/attack-free-carA.csv.gz",
            "train_01_attack_free/attack-free-carB.csv.gz",
            "train_02_with_attacks/dos-carA.csv.gz",
            "train_02_with_attacks/fuzzing-carB.csv.gz",
            "train_02_with_attacks/gear_spoofing-carA.csv.gz",
            "train_02_with_attacks/rpm_spoofing-carB.csv.gz",
            f"{TEST_01}/dos-carB.csv.gz",
            f"{TEST_01}/fuzzing-carA.csv.gz",
            f"{TEST_01}/gear_spoofing-carB.csv.gz",
            f"{TEST_01}/rpm_spoofing-carA.csv.gz",
            f"{TEST_02}/dos-carC.csv.gz",
            f"{TEST_02}/fuzzing-carC.csv.gz",
            f"{TEST_02}/gear_spoofing-carC.csv.gz",
            f"{TEST_02}/rpm_spoofing-carC.csv.gz",
            f"{TEST_03}/malfunction-carB.csv.gz",
            f"{TEST_03}/masquerade-carA.csv.gz",
            f"{TEST_03}/replay-carB.csv.gz",
            f"{TEST_03}/suppress-carA.csv.gz",
            f"{TEST_04}/malfunction-carC.csv.gz",
            f"{TEST_04}/masquerade-carC.csv.gz",
            f"{TEST_04}/replay-carC.csv.gz",
            f"{TEST_04}/suppress-carC.csv.gz",
        ]
    )


def test_the_summary_counts_what_lies_in_the_files(made: Made) -> None:
    root, summary = made
    captures = {name: load(root / name) for name in files(root)}
    folders: dict[str, int] = {}
    for name, rows in captures.items():
        folder = name.partition("/")[0]
        folders[folder] = folders.get(folder, 0) + len(rows.id)
    assert summary.folders == folders
    assert summary.files == len(captures)
    assert summary.rows == sum(folders.values())
    assert summary.attack_rows == sum(int(rows.attack.sum()) for rows in captures.values())
    assert 600_000 < summary.rows < 900_000


def test_every_line_is_in_the_raw_format_of_can_train_and_test(made: Made) -> None:
    line = re.compile(r"\d{10}\.\d{6},[0-7][0-9A-F]{2},(?:[0-9A-F]{2}){2,8},[01]")
    for path in sorted(made[0].rglob("*.csv.gz"))[::5]:
        header, *lines = gzip.decompress(path.read_bytes()).decode().splitlines()
        assert header == "timestamp,arbitration_id,data_field,attack"
        assert [text for text in lines if not line.fullmatch(text)] == []


def test_the_reader_of_real_captures_finds_nothing_odd(made: Made) -> None:
    path = made[0] / TEST_04 / "replay-carC.csv.gz"
    messages, rows = read_capture(path, "can_train_and_test"), load(path)
    assert messages.oddities == ()
    assert messages.messages["arbitration_id"].to_list() == rows.id.tolist()
    assert messages.messages["attack"].sum() == rows.attack.sum() > 0
    texts = [f"{value:016X}" for value in messages.messages["payload"]]
    assert [text.ljust(16, "0") for text in rows.payload] == texts


def test_the_same_config_gives_the_same_bytes_and_another_seed_gives_others(tmp_path: Path) -> None:
    for name in ("one", "two"):
        simulate(SMALL, tmp_path / name)
    simulate(SMALL.model_copy(update={"seed": 1}), tmp_path / "other")
    one, two, other = (files(tmp_path / name) for name in ("one", "two", "other"))
    assert one == two
    assert not set(one.values()) & set(other.values())
    assert all(body[4:8] == bytes(4) for body in one.values())


def test_a_capture_does_not_change_when_an_attack_or_a_vehicle_is_added(tmp_path: Path) -> None:
    simulate(SMALL, tmp_path / "small")
    more = {"unknown_attacks": ("suppress", "replay"), "unknown_vehicles": 2}
    simulate(SMALL.model_copy(update=more), tmp_path / "large")
    small, large = files(tmp_path / "small"), files(tmp_path / "large")
    same = [name for name in small if small[name] == large.get(name)]
    assert len(same) >= 5
    assert all(name in same for name in small if "carA" in name or "carB" in name)


def test_every_capture_has_its_own_clock(made: Made) -> None:
    clocks = set()
    for path in made[0].rglob("*.csv.gz"):
        with gzip.open(path, "rt") as lines:
            clocks.add(next(line for line in lines if line[0] != "t").split(",")[0][:8])
    assert len(clocks) == len(files(made[0]))


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


@pytest.mark.parametrize("vehicle", [0, 1])
def test_counters_really_count(capture: Load, vehicle: int) -> None:
    rows = capture(f"train_01_attack_free/attack-free-car{'AB'[vehicle]}.csv.gz")
    messages = draw_vehicle(vehicle, SimulationConfig()).messages
    counted = sum(
        assert_counters_count(rows.of(message.arbitration_id), message.fields)
        for message in messages
    )
    assert counted > 5


def assert_counters_count(rows: Rows, fields: tuple[object, ...]) -> int:
    counters = [field for field in fields if isinstance(field, Counter)]
    for counter in counters:
        steps = np.diff(rows.bytes(counter.offset)) % counter.modulus
        assert set(steps) == {1}
    return len(counters)


@pytest.mark.parametrize("kind", ["xor", "sum", "crc8"])
def test_a_checksum_is_what_a_plain_loop_over_the_bytes_gives(kind: ChecksumKind) -> None:
    payload = np.random.default_rng(3).integers(256, size=(50, 8), dtype=np.uint8)
    expected = [plain_checksum(kind, row[:6].tolist(), 0x5A) for row in payload]
    Checksum(6, kind, 0x5A).fill(payload, some_moment(50))
    assert payload[:, 6].tolist() == expected


def some_moment(count: int) -> Moment:
    rng = np.random.default_rng(0)
    return Moment(np.zeros(count), np.arange(count), draw_drive(1, rng), rng)


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


def test_each_attack_can_be_made_on_every_vehicle(tmp_path: Path) -> None:
    simulate(SMALL.model_copy(update={"vehicles_per_attack": 8}), tmp_path)
    assert {path.name for path in (tmp_path / TEST_01).iterdir()} == {
        "dos-carA.csv.gz",
        "dos-carB.csv.gz",
    }


@pytest.mark.parametrize("field", ["known_attacks", "unknown_attacks"])
def test_an_unknown_attack_is_an_error_that_names_field_value_and_choices(
    tmp_path: Path, field: str
) -> None:
    config = SimulationConfig().model_copy(update={field: ("ddos",)})
    with pytest.raises(ConfigError) as caught:
        simulate(config, tmp_path / "out")
    assert f"simulation.{field}: 'ddos' is not one of dos, fuzzing" in caught.value.problem
    assert "did you mean 'dos'?" in caught.value.hint
    assert not (tmp_path / "out").exists()


def test_an_attack_can_not_be_known_and_unknown(tmp_path: Path) -> None:
    config = SimulationConfig(known_attacks=("dos",), unknown_attacks=("replay", "dos"))
    with pytest.raises(ConfigError, match=r"'dos' is already in simulation\.known_attacks"):
        simulate(config, tmp_path)


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ValidationError, match="ids_min = 50 is above ids_max = 40"):
        SimulationConfig(ids_min=50, ids_max=40)


def test_captures_of_another_simulation_are_refused_and_left_alone(tmp_path: Path) -> None:
    simulate(SMALL, tmp_path)
    before = files(tmp_path)
    fewer = SMALL.model_copy(update={"known_vehicles": 1})
    with pytest.raises(DataError, match="captures that this simulation does not write"):
        simulate(fewer, tmp_path)
    assert files(tmp_path) == before


def test_progress_tells_every_capture_to_the_last(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []

    def hear(what: str, done: int, total: int) -> None:
        heard.append((done, total))

    summary = simulate(SMALL, tmp_path, hear)
    assert heard == [(done, summary.files) for done in range(summary.files + 1)]


def test_a_refused_write_is_a_storage_error_and_leaves_nothing_behind(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="attack-free-carA"):
            simulate(SMALL, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert files(tmp_path) == {}


KILLED = """
import resource, signal, sys
from pathlib import Path
from kdgat.configs.dataset import SimulationConfig
from kdgat.data.simulate import simulate
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
simulate(SimulationConfig(attack_free_s=5.0), Path(sys.argv[1]))
"""


def test_a_simulation_killed_in_the_middle_of_a_file_leaves_whole_captures_only(
    tmp_path: Path,
) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGXFSZ
    left = {name: body for name, body in files(tmp_path).items() if "/.partial-" not in name}
    assert list(left) == [
        "train_01_attack_free/attack-free-carA.csv.gz",
        "train_01_attack_free/attack-free-carB.csv.gz",
    ]
    assert all(gzip.decompress(body).endswith(b",0\n") for body in left.values())
    simulate(SimulationConfig(attack_free_s=5.0), tmp_path)
    whole = files(tmp_path)
    assert all(whole[name] == body for name, body in left.items())
