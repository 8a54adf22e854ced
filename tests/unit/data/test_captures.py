"""The manifest and the messages on disk: saved whole, loaded as they were, and checked."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from kdgat.data.captures import (
    CaptureRecord,
    DatasetManifest,
    capture_path,
    hash_captures,
    hash_messages,
    load_manifest,
    load_messages,
    mark_repeats,
    save_manifest,
)
from kdgat.data.messages import MESSAGE_SCHEMA
from kdgat.data.oddities import Oddity
from kdgat.errors import DataError

MESSAGES = pl.DataFrame(
    {
        "timestamp": [1672531200.0, 1672531200.001164, 1672531200.0011],
        "arbitration_id": [0xF1, 0xC1, 0x7FF],
        "dlc": [4, 8, 0],
        "payload": [0x28030040 << 32, 0x21D609A5233BD342, 0],
        "attack": [False, False, True],
        "malformed": [False, False, False],
    },
    schema=MESSAGE_SCHEMA,
)
RECORD = CaptureRecord(
    name="DoS-1",
    folder="train_02_with_attacks",
    role="train",
    attack_type="dos",
    vehicle="",
    rows=3,
    attack_rows=1,
    ids=3,
    duration_s=0.001164,
    content_hash=hash_messages(MESSAGES),
    source="train_02_with_attacks/DoS-1.csv",
    source_bytes=100,
    source_mtime_ns=1,
    oddities=(Oddity("backward time step", 1, 4, "-6.4e-05 s"),),
)


def made(*captures: CaptureRecord) -> DatasetManifest:
    dataset = {"name": "set_01", "format": "candump", "provenance": "real", "citation": ""}
    return DatasetManifest(dataset, captures, hash_captures(captures), ("notes.md (a document)",))


def test_a_manifest_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    manifest = made(RECORD, replace(RECORD, name="DoS-2", duplicate_of=RECORD.key))
    save_manifest(tmp_path, manifest)
    assert load_manifest(tmp_path) == manifest
    assert (manifest.name, manifest.provenance) == ("set_01", "real")
    assert manifest.of_role("train") == (RECORD,)


def test_a_dataset_that_was_never_ingested_says_how_to(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_manifest(tmp_path / "set_01")
    assert caught.value.problem.startswith("dataset 'set_01' is not ingested")
    assert caught.value.hint == "run `kdgat data ingest set_01 --raw DIR`"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is not valid JSON"),
        ("[]", "has version None, and this kdgat reads 1"),
        ('{"version": 99}', "has version 99, and this kdgat reads 1"),
        ('{"version": 1, "dataset": {}, "content_hash": ""}', "field 'captures': Field required"),
    ],
)
def test_a_damaged_manifest_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "captures.json").write_text(text)
    with pytest.raises(DataError) as caught:
        load_manifest(tmp_path)
    assert "captures.json'" in caught.value.problem
    assert complaint in caught.value.problem


def test_a_wrong_value_in_a_manifest_is_named_by_its_place(tmp_path: Path) -> None:
    save_manifest(tmp_path, made(RECORD))
    path = tmp_path / "captures.json"
    value = json.loads(path.read_text())
    value["captures"][0]["rows"] = "many"
    path.write_text(json.dumps(value))
    with pytest.raises(DataError, match=r"field 'captures.0.rows'"):
        load_manifest(tmp_path)


def test_messages_are_loaded_as_they_were_written(tmp_path: Path) -> None:
    path = capture_path(tmp_path, RECORD)
    assert path == tmp_path / "captures/train_02_with_attacks/DoS-1.parquet"
    path.parent.mkdir(parents=True)
    MESSAGES.write_parquet(path)
    assert load_messages(tmp_path, RECORD).equals(MESSAGES)


@pytest.mark.parametrize("damage", ["missing", "cut", "other rows", "other columns"])
def test_messages_that_are_not_the_manifests_are_refused(tmp_path: Path, damage: str) -> None:
    path = capture_path(tmp_path, RECORD)
    path.parent.mkdir(parents=True)
    if damage != "missing":
        table = {"other rows": MESSAGES.head(2), "other columns": MESSAGES.drop("dlc")}
        table.get(damage, MESSAGES).write_parquet(path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError) as caught:
        load_messages(tmp_path, RECORD)
    assert str(path) in caught.value.problem
    assert "--force" in caught.value.hint


def test_the_content_hash_ignores_the_clock_and_nothing_else() -> None:
    moved = MESSAGES.with_columns(pl.col("timestamp") - 1672531200.0)
    assert hash_messages(moved) == hash_messages(MESSAGES)
    changes = {
        "timestamp": pl.col("timestamp") * 2,
        "arbitration_id": pl.col("arbitration_id") + 1,
        "dlc": pl.lit(8, pl.UInt8),
        "payload": pl.lit(0, pl.UInt64),
        "attack": ~pl.col("attack"),
    }
    hashes = {hash_messages(MESSAGES.with_columns(**{k: v})) for k, v in changes.items()}
    hashes |= {hash_messages(MESSAGES), hash_messages(MESSAGES.reverse())}
    hashes.add(hash_messages(MESSAGES.head(2)))
    assert len(hashes) == len(changes) + 3


def test_a_training_copy_of_a_test_capture_is_the_repeat() -> None:
    test = replace(RECORD, folder="test_01_known", role="test")
    other = replace(RECORD, name="A", content_hash="0" * 64)
    marked = mark_repeats([RECORD, replace(RECORD, name="DoS-0"), test, other])
    assert {c.key: c.duplicate_of for c in marked} == {
        "test_01_known/DoS-1": None,
        "train_02_with_attacks/A": None,
        "train_02_with_attacks/DoS-0": "test_01_known/DoS-1",
        "train_02_with_attacks/DoS-1": "test_01_known/DoS-1",
    }


def test_a_capture_in_two_test_folders_is_judged_in_both() -> None:
    one = replace(RECORD, folder="test_01_known", role="test")
    two = replace(RECORD, folder="test_02_unknown", role="test")
    again = replace(two, name="DoS-9")
    marked = mark_repeats([one, two, again])
    assert {c.key: c.duplicate_of for c in marked} == {
        "test_01_known/DoS-1": None,
        "test_02_unknown/DoS-1": None,
        "test_02_unknown/DoS-9": "test_02_unknown/DoS-1",
    }


def test_the_datasets_hash_depends_on_every_captures_place_and_content() -> None:
    other = replace(RECORD, name="A", content_hash="0" * 64)
    assert hash_captures((RECORD, other)) == hash_captures((other, RECORD))
    moved = replace(other, folder="test_01_known", role="test")
    changed = replace(other, content_hash="1" * 64)
    sets = ((RECORD,), (RECORD, other), (RECORD, moved), (RECORD, changed))
    assert len({hash_captures(captures) for captures in sets}) == len(sets)
