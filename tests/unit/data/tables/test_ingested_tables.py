"""A table and its dataset.toml become messages, and nothing of a test row shapes an encoding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdgat.data.captures import load_messages
from kdgat.data.tables.entities import hashed
from kdgat.errors import DataError
from tests.unit.data.tables.tabled import GOOD, MAPPING, Row, folder, ingested, write

BAD = (22.0, "10.0.0.2", 1e9, "bad", "flood")


def messages(out: Path, manifest, place: int = 0):
    return load_messages(out, manifest.captures[place])


def test_rows_become_messages_of_entities_with_stable_ids(tmp_path: Path) -> None:
    raw, out = folder(tmp_path / "raw"), tmp_path / "mine"
    manifest = ingested(raw, out)
    test, train = manifest.captures
    assert (train.rows, train.ids, train.attack_type) == (20, 3, "attack_free")
    assert (test.rows, test.attack_rows, test.attack_type) == (2, 1, "big_scan")
    frame = messages(out, manifest, 1)
    assert set(frame["arbitration_id"]) == {hashed(f"10.0.0.{i}") for i in range(3)}
    assert messages(out, manifest)["arbitration_id"][0] == hashed("10.0.0.1")
    assert frame["timestamp"].to_list() == [float(i) for i in range(20)]
    sidecar = json.loads((out / "captures" / train.folder / "a.json").read_text())
    assert sidecar["entities"]["10.0.0.2"] == hashed("10.0.0.2")


def test_values_are_codes_of_the_benign_training_range(tmp_path: Path) -> None:
    raw, out = folder(tmp_path / "raw"), tmp_path / "mine"
    manifest = ingested(raw, out)
    codes = [payload >> 48 for payload in messages(out, manifest, 1)["payload"]]
    assert codes == sorted(codes)
    assert 0 < codes[0] < codes[-1] < 0xFFFF
    assert messages(out, manifest)["payload"][0] >> 48 == 0xFFFF
    assert set(messages(out, manifest)["dlc"]) == {2}


@pytest.mark.parametrize(
    "test", [[(20.0, "h", -5e6, "good", "")], [(20.0, "h", 5e6, "bad", "x")], [GOOD[0]]]
)
def test_no_value_and_no_label_of_a_test_changes_how_training_rows_are_encoded(
    tmp_path: Path, test: list[Row]
) -> None:
    before = ingested(folder(tmp_path / "one"), tmp_path / "mine")
    after = ingested(folder(tmp_path / "other", test=test), tmp_path / "other_mine")
    hashes = [each.captures[-1].content_hash for each in (before, after)]
    assert before.captures[-1].folder == "train_01_attack_free"
    assert hashes[0] == hashes[1]


def test_an_attack_in_training_does_not_widen_the_range(tmp_path: Path) -> None:
    raw = folder(tmp_path / "raw")
    before = ingested(raw, tmp_path / "mine").captures[-1].content_hash
    write(raw / "train_02_with_attacks" / "c.csv", [*GOOD, BAD])
    after = {each.folder: each for each in ingested(raw, tmp_path / "mine").captures}
    assert after["train_01_attack_free"].content_hash == before


def test_what_did_not_change_is_not_read_again_and_another_mapping_reads_all(
    tmp_path: Path,
) -> None:
    raw, out = folder(tmp_path / "raw"), tmp_path / "mine"
    first = ingested(raw, out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert ingested(raw, out) == first
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")} == times
    (raw / "dataset.toml").write_text(MAPPING + '\n[encoding]\nlog = ["size"]\n')
    assert ingested(raw, out).content_hash != first.content_hash


def test_sensors_are_entities_of_their_own_in_the_order_they_are_named(tmp_path: Path) -> None:
    mapping = """
    [columns]
    time = "t"
    sensors = ["level", "valve"]
    label = "state"
    [time]
    unit = "date"
    format = "%d/%m/%Y %H:%M:%S"
    [labels]
    attack = ["*"]
    benign = ["Normal"]
    [encoding.codes]
    valve = { shut = 0, open = 1 }
    [folders]
    train_01_quiet = ["quiet/*.csv"]
    test_01_later = ["later/*.csv"]
    [vehicles]
    plant_a = ["*/a.csv"]
    """
    raw, out = tmp_path / "raw", tmp_path / "mine"
    raw.mkdir()
    (raw / "dataset.toml").write_text(mapping)
    for name, label in (("quiet", "Normal"), ("later", "A1")):
        (raw / name).mkdir()
        rows = "".join(f"01/02/2020 10:00:0{i},{i}.5,{'open' if i % 2 else 'shut'},{label}\n"
                       for i in range(4))  # fmt: skip
        (raw / name / "a.csv").write_text(f" t ,level,valve, state\n{rows}")
    (raw / "notes.txt").write_text("mine")
    manifest = ingested(raw, out)
    test, train = manifest.captures
    assert (train.folder, train.vehicle, train.rows, train.ids) == (
        "train_01_quiet",
        "plant_a",
        8,
        2,
    )
    assert (test.attack_rows, train.duration_s) == (8, 3.0)
    frame = messages(out, manifest, 1)
    assert frame["arbitration_id"].to_list() == [hashed("level"), hashed("valve")] * 4
    assert manifest.ignored == ("notes.txt (in no folder of dataset.toml)",)


def test_payloads_in_hexadecimal_are_taken_and_wider_ones_are_counted(tmp_path: Path) -> None:
    mapping = '[columns]\ntime = "t"\nentity = ["src", "dst"]\npayload = "data"\n'
    raw, out = tmp_path / "raw", tmp_path / "mine"
    (raw / "train_01").mkdir(parents=True)
    (raw / "dataset.toml").write_text(mapping)
    (raw / "train_01" / "a.csv").write_text(
        "t,src,dst,data\n1,a,b,0x0102\n2,a,b,01:02:03\n3,b,a,00112233445566778899\n"
    )
    manifest = ingested(raw, out)
    frame = messages(out, manifest)
    assert frame["dlc"].to_list() == [2, 3, 8]
    assert frame["payload"][0] == 0x0102 << 48
    assert frame["arbitration_id"][0] == hashed("a|b") != frame["arbitration_id"][2]
    (odd,) = manifest.captures[0].oddities
    assert (odd.kind, odd.count, odd.first_line) == ("odd payload, or wider than 8 bytes", 1, 4)


def test_a_missing_value_is_marked_and_counted(tmp_path: Path) -> None:
    raw = folder(tmp_path / "raw", test=[(1.0, "h", "", "good", ""), (2.0, "h", "NaN", "good", "")])
    manifest = ingested(raw, tmp_path / "mine")
    assert messages(tmp_path / "mine", manifest)["malformed"].to_list() == [True, True]
    assert manifest.captures[0].oddities[0].kind == "value missing, taken as 0"


MISTAKES = {
    "unknown column": (
        MAPPING.replace('"host"', '"hosts"'), None,
        ("train_01_attack_free/a.csv' has no column 'hosts'", "did you mean 'host'?"),
    ),
    "label without meaning": (
        MAPPING, [(1.0, "h", 1, "ugly", "")],
        ("b.csv', line 2: the label 'ugly' of verdict has no meaning", "[labels]"),
    ),
    "time steps back": (
        MAPPING, [(5.0, "h", 1, "good", ""), (4.0, "h", 1, "good", "")],
        ("line 3: when '4.0' is before '5.0' above it", "sort = true"),
    ),
    "time is none": (
        MAPPING, [("noon", "h", 1, "good", "")],
        ("line 2: when 'noon' is not a number of s", "[time]"),
    ),
    "value is a word": (
        MAPPING, [(1.0, "h", "tcp", "good", "")],
        ("line 2: size 'tcp' is no number", "[encoding.codes]"),
    ),
    "nobody speaks": (
        MAPPING, [(1.0, "", 1, "good", "")], ("line 2: no entity in column host", "entity"),
    ),
    "no TOML": ("[columns", None, ("is not valid TOML", "mend that line")),
    "misspelt field": (
        MAPPING.replace("entity", "entitty"), None, ("columns.entitty", "columns.entity"),
    ),
    "nine values": (
        MAPPING.replace('["size"]', str([f"v{i}" for i in range(9)])), None,
        ("9 values take 9 bytes and a message has 8", ""),
    ),
    "label named twice": (
        MAPPING.replace('["good"]', '["good", "bad"]'), None,
        ("'bad' is named as attack and as benign", ""),
    ),
    "folder without a role": (
        MAPPING + '[folders]\nvalidate = ["*.csv"]\n', None, ("validate", "train_NAME or test_"),
    ),
    "pattern that leaves": (
        MAPPING + '[folders]\ntrain_a = ["../*.csv"]\n', None, ("below the folder", ""),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_wrong_mapping_is_told_with_place_value_and_next_step(tmp_path: Path, case: str) -> None:
    mapping, test, (problem, hint) = MISTAKES[case]
    raw = folder(tmp_path / "raw", mapping, test)  # type: ignore[arg-type]
    with pytest.raises(DataError) as told:
        ingested(raw, tmp_path / "mine")
    assert problem in told.value.problem
    assert hint in told.value.hint
    assert told.value.hint
    assert not (tmp_path / "mine" / "captures.json").exists()


def test_without_benign_training_rows_a_range_must_be_given(tmp_path: Path) -> None:
    raw = folder(tmp_path / "raw")
    write(raw / "train_01_attack_free" / "a.csv", [BAD])
    with pytest.raises(DataError, match="no benign training row"):
        ingested(raw, tmp_path / "mine")
    (raw / "dataset.toml").write_text(MAPPING + "[encoding]\nranges = { size = [0, 1000] }\n")
    assert ingested(raw, tmp_path / "mine").captures[-1].rows == 1
