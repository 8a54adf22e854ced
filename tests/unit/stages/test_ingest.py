"""Ingest: whole or absent, once, and nothing left out in silence."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kdgat.configs.dataset import DatasetConfig
from kdgat.data.captures import capture_path, load_manifest, load_messages
from kdgat.data.names import attack_type, capture_name, vehicle
from kdgat.errors import DataError
from kdgat.stages.ingest import ingest

HEADER = "timestamp,arbitration_id,data_field,attack\n"
DATASET = DatasetConfig(name="mine", citation="me")
FOLDERS = {
    "train_01_attack_free/attack-free-kia.csv.gz": [(1.0, "081", 0), (2.0, "1E5", 0)],
    "train_02_with_attacks/DoS-kia.csv": [(1.0, "081", 0), (1.5, "000", 1), (3.0, "1E5", 0)],
    "test_02_unknown_vehicle_known_attack/DoS-Spark.csv": [(5.0, "0C1", 0), (4.0, "000", 1)],
}


def write(path: Path, rows: list[tuple[float, str, int]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = HEADER + "".join(f"{time},{id},00FF,{attack}\n" for time, id, attack in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    for name, rows in FOLDERS.items():
        write(tmp_path / "raw" / name, rows)
    return tmp_path / "raw"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "data" / "mine"


class Told:
    """A listener that remembers what was read."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []

    def __call__(self, what: str, done: int, total: int) -> None:
        self.calls.append((what, done, total))


def written(out: Path) -> dict[str, int]:
    """When each Parquet file was written, in nanoseconds."""
    return {str(p): p.stat().st_mtime_ns for p in sorted(out.glob("captures/*/*.parquet"))}


def test_every_capture_is_described_and_its_messages_are_saved(raw: Path, out: Path) -> None:
    told = Told()
    manifest = ingest(DATASET, raw, out, told)

    assert load_manifest(out) == manifest
    assert manifest.dataset == DATASET.model_dump()
    assert [(c.key, c.role, c.attack_type, c.vehicle) for c in manifest.captures] == [
        ("test_02_unknown_vehicle_known_attack/DoS-Spark", "test", "dos", "spark"),
        ("train_01_attack_free/attack-free-kia", "train", "attack_free", "kia"),
        ("train_02_with_attacks/DoS-kia", "train", "dos", "kia"),
    ]
    dos = manifest.captures[2]
    assert (dos.rows, dos.attack_rows, dos.ids, dos.duration_s) == (3, 1, 3, 2.0)
    assert dos.source == "train_02_with_attacks/DoS-kia.csv"
    assert load_messages(out, dos)["arbitration_id"].to_list() == [0x081, 0, 0x1E5]
    assert manifest.captures[0].oddities[0].kind == "backward time step"
    assert [(done, total) for _, done, total in told.calls] == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_a_second_ingest_reads_nothing_again_and_says_the_same(raw: Path, out: Path) -> None:
    first = ingest(DATASET, raw, out)
    before = written(out)
    assert ingest(DATASET, raw, out) == first
    assert written(out) == before


def test_force_reads_every_capture_again(raw: Path, out: Path) -> None:
    first = ingest(DATASET, raw, out)
    before = written(out)
    assert ingest(DATASET, raw, out, force=True) == first
    assert not set(before.items()) & set(written(out).items())


def test_only_a_raw_file_that_changed_is_read_again(raw: Path, out: Path) -> None:
    first = ingest(DATASET, raw, out)
    before = written(out)
    write(raw / "train_02_with_attacks/DoS-kia.csv", [(1.0, "081", 0)])
    second = ingest(DATASET, raw, out)
    changed = {path for path, time in written(out).items() if before[path] != time}
    assert changed == {str(out / "captures/train_02_with_attacks/DoS-kia.parquet")}
    assert second.content_hash != first.content_hash


def test_another_format_reads_every_capture_again(raw: Path, out: Path) -> None:
    ingest(DATASET, raw, out)
    with pytest.raises(DataError, match=r"the label .attack. is not R or T"):
        ingest(DATASET.model_copy(update={"format": "car_hacking"}), raw, out)


@pytest.mark.parametrize("lost", [".parquet", ".json"])
def test_a_capture_whose_files_are_not_all_there_is_read_again(
    raw: Path, out: Path, lost: str
) -> None:
    first = ingest(DATASET, raw, out)
    path = capture_path(out, first.captures[0]).with_suffix(lost)
    path.unlink()
    assert ingest(DATASET, raw, out) == first
    assert path.is_file()


def test_a_damaged_sidecar_is_no_obstacle(raw: Path, out: Path) -> None:
    first = ingest(DATASET, raw, out)
    capture_path(out, first.captures[0]).with_suffix(".json").write_text('{"version": 1')
    assert ingest(DATASET, raw, out) == first


def test_an_ingest_that_failed_goes_on_where_it_was(raw: Path, out: Path) -> None:
    bad = raw / "train_02_with_attacks/DoS-kia.csv"
    bad.write_text(HEADER + "1.0,081,00,0\nsoon,081,00,0\n")
    with pytest.raises(DataError, match=r"DoS-kia.csv', line 3: timestamp 'soon'"):
        ingest(DATASET, raw, out)
    with pytest.raises(DataError, match="has no"):
        load_manifest(out)
    before = written(out)
    assert len(before) == 2

    write(bad, FOLDERS["train_02_with_attacks/DoS-kia.csv"])
    assert len(ingest(DATASET, raw, out).captures) == 3
    assert before.items() <= written(out).items()


KILLED = """
import os, signal, sys
from pathlib import Path
from kdgat.configs.dataset import DatasetConfig
from kdgat.stages.ingest import ingest
def die(what, done, total):
    if done == 2:
        os.kill(os.getpid(), signal.SIGKILL)
ingest(DatasetConfig(name="mine", citation="me"), Path(sys.argv[1]), Path(sys.argv[2]), die)
"""


def test_an_ingest_that_was_killed_goes_on_where_it_was(raw: Path, out: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(raw), str(out)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (out / "captures.json").exists()
    before = written(out)
    assert len(before) == 2
    assert len(ingest(DATASET, raw, out).captures) == 3
    assert before.items() <= written(out).items()


def test_a_failure_on_a_changed_capture_leaves_the_old_dataset_whole(raw: Path, out: Path) -> None:
    first = ingest(DATASET, raw, out)
    (raw / "test_02_unknown_vehicle_known_attack/DoS-Spark.csv").write_text("broken\n")
    with pytest.raises(DataError, match="expected the header"):
        ingest(DATASET, raw, out)
    assert load_manifest(out) == first
    assert [len(load_messages(out, c)) for c in first.captures] == [c.rows for c in first.captures]


def test_a_flat_folder_is_for_training_and_is_told_apart_by_its_attack_rows(tmp_path: Path) -> None:
    write(tmp_path / "raw/morning.csv", [(1.0, "081", 0)])
    write(tmp_path / "raw/fuzzy-sonata.csv", [(1.0, "081", 1)])
    for _ in range(2):
        manifest = ingest(DATASET, tmp_path / "raw", tmp_path / "out")
        assert [(c.key, c.role, c.attack_type) for c in manifest.captures] == [
            ("train_01_attack_free/morning", "train", "attack_free"),
            ("train_02_with_attacks/fuzzy-sonata", "train", "fuzzing"),
        ]


def test_a_single_file_is_a_dataset(tmp_path: Path) -> None:
    (tmp_path / "drive.log").write_text("(1.5) can0 044#2A36\n")
    dataset = DatasetConfig(name="mine", format="candump", provenance="imported")
    manifest = ingest(dataset, tmp_path / "drive.log", tmp_path / "out")
    assert [c.key for c in manifest.captures] == ["train_01_attack_free/drive"]
    assert manifest.provenance == "imported"


def test_what_is_not_read_is_named_with_the_reason(raw: Path, out: Path) -> None:
    (raw / "README.md").write_text("about")
    (raw / "more").mkdir()
    (raw / "train_01_attack_free/notes.pdf").write_text("?")
    (raw / "train_01_attack_free/deeper").mkdir()
    write(raw / "train_02_with_attacks/DoS-kia.csv.gz", [(1.0, "081", 0)])
    assert ingest(DATASET, raw, out).ignored == (
        "train_01_attack_free/deeper (a folder in a folder of captures)",
        "train_01_attack_free/notes.pdf (not one of *.csv[.gz])",
        "train_02_with_attacks/DoS-kia.csv.gz (same name as train_02_with_attacks/DoS-kia.csv)",
        "README.md (not a train_* or test_* folder)",
        "more (not a train_* or test_* folder)",
    )


def test_a_missing_raw_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder") as caught:
        ingest(DATASET, tmp_path / "absent", tmp_path / "out")
    assert "--raw" in caught.value.hint


def test_a_folder_without_captures_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/notes.pdf").write_text("?")
    with pytest.raises(DataError) as caught:
        ingest(DATASET, tmp_path / "raw", tmp_path / "out")
    assert "no can_train_and_test capture in" in caught.value.problem
    assert "train_* and test_* folders, or files *.csv[.gz]" in caught.value.problem
    assert not (tmp_path / "out").exists()


def test_the_folder_above_the_dataset_is_answered_with_the_folder_meant(raw: Path) -> None:
    with pytest.raises(DataError) as caught:
        ingest(DATASET, raw.parent, raw.parent / "out")
    assert caught.value.hint == f"did you mean '{raw}'?"


FULL_DISK = """
import resource, sys
from pathlib import Path
from kdgat.configs.dataset import DatasetConfig
from kdgat.errors import StorageError
from kdgat.stages.ingest import ingest
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    ingest(DatasetConfig(name="mine"), Path(sys.argv[1]), Path(sys.argv[2]))
except StorageError as error:
    print(error.problem, "|", error.hint)
"""


def test_a_full_disk_is_said_plainly_and_leaves_nothing_half_written(raw: Path, out: Path) -> None:
    noise = os.urandom(40_000)
    rows = "".join(
        f"{i}.5,081,{noise[8 * i : 8 * i + 8].hex()},0\n" for i in range(len(noise) // 8)
    )
    (raw / "train_02_with_attacks/DoS-kia.csv").write_text(HEADER + rows)

    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(raw), str(out)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "can't write" in done.stdout
    assert "DoS-kia.parquet" in done.stdout
    assert "File too large | free some space" in done.stdout
    assert not list(out.rglob(".partial-*"))
    assert not (out / "captures.json").exists()
    assert not list(out.rglob("DoS-kia.*"))

    assert len(ingest(DATASET, raw, out).captures) == 3


@pytest.mark.parametrize(
    ("file", "folder", "attack", "car"),
    [
        ("attack-free-kia.csv.gz", "train_01_attack_free", "attack_free", "kia"),
        ("accessory-1.csv.gz", "train_01_attack_free", "attack_free", ""),
        ("force-neutral-accessory-2.csv", "train_02_with_attacks", "force_neutral", ""),
        ("targeted_payload_fuzzing-2.csv", "train_02", "targeted_payload_fuzzing", ""),
        ("fuzzing-Spark.csv.gz", "test_02", "fuzzing", "spark"),
        ("DoS_dataset.csv", "raw", "dos", ""),
        ("Fuzzy_dataset.csv", "raw", "fuzzing", ""),
        ("normal_run_data.txt", "raw", "attack_free", ""),
        ("48_benign_trace.txt.gz", "crysys", "attack_free", ""),
        ("rpm_spoofing-carB.csv.gz", "train_02", "rpm_spoofing", "carb"),
        ("capture-7.log", "raw", "unknown", ""),
    ],
)
def test_the_name_of_a_file_tells_the_attack_and_the_vehicle(
    file: str, folder: str, attack: str, car: str
) -> None:
    name = capture_name(Path(file))
    assert (attack_type(name, folder), vehicle(name)) == (attack, car)
