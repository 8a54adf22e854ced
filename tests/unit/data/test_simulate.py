"""Simulating: which captures are written, the same ones every time, and what is refused."""

from __future__ import annotations

import gzip
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from kdgat.configs.dataset import SimulationConfig
from kdgat.data.reading import read_capture
from kdgat.data.simulate import simulate
from kdgat.errors import ConfigError, DataError, StorageError
from tests.unit.data.simulated import (
    SMALL,
    TEST_01,
    TEST_02,
    TEST_03,
    TEST_04,
    Made,
    files,
    load,
)


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
