"""The six traps of CAN captures, each on the real files where these show it."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pytest

from kdgat.configs.data import DataConfig, FeatureGroup
from kdgat.configs.dataset import DATASETS
from kdgat.data.captures import DatasetManifest, load_messages
from kdgat.data.graphs import build_graphs
from kdgat.data.oddities import Oddity
from kdgat.data.profiles import make_profile
from kdgat.data.reading import read_capture
from kdgat.data.windows import Messages, window_starts
from kdgat.stages.ingest import ingest
from kdgat.stages.prepare import prepare

HEADER = "timestamp,arbitration_id,data_field,attack\n"
FUZZED = "train_02_with_attacks/fuzzing-sonata"
BACKWARD = "train_02_with_attacks/targeted_payload_fuzzing-2"


@pytest.fixture(scope="module")
def ingested(
    real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[DatasetManifest, Path]]:
    """Both real can-train-and-test datasets, ingested: the manifest and the folder of each."""
    out = tmp_path_factory.mktemp("data")
    return {
        name: (ingest(DATASETS[name], real_data / name, out / name), out / name)
        for name in ("hcrl_sa", "set_01")
    }


def raw_rows(path: Path) -> list[list[str]]:
    """The rows of a packed CSV cut at the commas, by means other than the reader's."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n").split(",") for line in file][1:]


def test_the_real_datasets_are_ingested_to_the_row(
    ingested: dict[str, tuple[DatasetManifest, Path]],
) -> None:
    counts = {
        name: (sum(c.rows for c in m.captures), sum(c.attack_rows for c in m.captures))
        for name, (m, _) in ingested.items()
    }
    assert counts == {"hcrl_sa": (1_598_906, 183_314), "set_01": (1_620_889, 56_174)}
    for manifest, _ in ingested.values():
        assert manifest.ignored == ()
        assert {c.role for c in manifest.captures} == {"train", "test"}


def test_trap_1_ids_are_hexadecimal_whatever_they_look_like(real_data: Path) -> None:
    path = real_data / "set_01/train_02_with_attacks/DoS-1.csv.gz"
    rows = raw_rows(path)
    texts = {row[1] for row in rows}
    assert "1E5" in texts, "the trap is not in this file"
    assert any(text.isdigit() for text in texts)

    ids = read_capture(path, "can_train_and_test").messages["arbitration_id"].to_list()
    assert ids == [int(row[1], 16) for row in rows]


def test_trap_1_an_id_written_like_a_number_or_a_float_is_neither(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + "1.0,081,00,0\n2.0,1E5,00,0\n3.0,100,00,0\n")
    messages = read_capture(tmp_path / "a.csv", "can_train_and_test").messages
    assert messages["arbitration_id"].to_list() == [0x081, 0x1E5, 0x100]


def test_trap_2_payloads_have_0_to_8_bytes_and_an_empty_one_is_not_nan(real_data: Path) -> None:
    path = real_data / "hcrl_sa/test_02_unknown_vehicle_known_attack/DoS-spark.csv.gz"
    rows = raw_rows(path)
    messages = read_capture(path, "can_train_and_test").messages
    assert messages["dlc"].to_list() == [len(row[2]) // 2 for row in rows]
    assert messages["payload"].to_list() == [int(row[2].ljust(16, "0"), 16) for row in rows]
    assert not messages["malformed"].any()


def test_trap_2_every_real_capture_has_empty_payloads_in_attack_rows_alone(
    ingested: dict[str, tuple[DatasetManifest, Path]],
) -> None:
    empty = 0
    for manifest, folder in ingested.values():
        for record in manifest.captures:
            messages = load_messages(folder, record).filter(pl.col("dlc") == 0)
            assert messages["attack"].all()
            assert not messages["malformed"].any()
            empty += len(messages)
    assert empty > 0, "the trap is not in these files"


def test_trap_3_a_payload_of_17_digits_is_counted_and_kept(tmp_path: Path) -> None:
    rows = [f"{i}.0,0C1,0123456789ABCDEF,0" for i in range(15)]
    rows += ["15.0,1F5,0123456789ABCDEF0,1", "16.0,0C1,00,0"]
    (tmp_path / "fuzzing-3.csv").write_text(HEADER + "\n".join(rows) + "\n")
    capture = read_capture(tmp_path / "fuzzing-3.csv", "can_train_and_test")
    assert len(capture.messages) == 17
    assert capture.messages.row(15) == (15.0, 0x1F5, 8, 0x0123456789ABCDEF, True, True)
    assert capture.oddities == (Oddity("odd payload", 1, 17, "0123456789ABCDEF0"),)


def test_trap_4_each_capture_keeps_its_own_clock_and_its_order(
    ingested: dict[str, tuple[DatasetManifest, Path]], real_data: Path
) -> None:
    manifest, folder = ingested["set_01"]
    starts = {load_messages(folder, c)["timestamp"][0] for c in manifest.captures}
    assert starts == {1672531200.0}, "the trap is not in these files"

    record = next(c for c in manifest.captures if c.key == BACKWARD)
    seconds = load_messages(folder, record)["timestamp"].to_numpy()
    expected = [float(row[0]) for row in raw_rows(real_data / "set_01" / record.source)]
    assert seconds.tolist() == expected
    steps = np.diff(seconds)
    (oddity,) = record.oddities
    assert (oddity.kind, oddity.count) == ("backward time step", int((steps < 0).sum()))
    assert -0.008 <= steps.min() < 0


def test_trap_5_ids_stay_values_so_that_a_fuzzed_capture_teaches_no_vocabulary(
    ingested: dict[str, tuple[DatasetManifest, Path]],
) -> None:
    manifest, folder = ingested["hcrl_sa"]
    record = next(c for c in manifest.captures if c.key == FUZZED)
    assert record.ids == 2048, "the trap is not in this file"
    messages = load_messages(folder, record)
    assert messages["arbitration_id"].dtype == pl.UInt32
    assert messages["arbitration_id"].max() == 0x7FF
    benign = messages.filter(~pl.col("attack"))["arbitration_id"].n_unique()
    assert benign == 27
    # An id means the same in a capture that was read alone and in one read after it.
    files = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert files == {".parquet", ".json"}


def test_trap_4_no_graph_mixes_captures_that_share_a_clock(
    ingested: dict[str, tuple[DatasetManifest, Path]],
) -> None:
    manifest, folder = ingested["set_01"]
    prepared = prepare(folder, DataConfig(training_stride_messages=100))
    records = manifest.of_role("train")
    stores = (prepared.train(), prepared.validation())
    for number, record in enumerate(records):
        seconds = load_messages(folder, record)["timestamp"].to_numpy()
        assert seconds[0] == 1672531200.0, "the trap is not in this file"
        starts = window_starts(len(seconds), 100, 100)
        windows = set(zip(seconds[starts].tolist(), seconds[starts + 99].tolist(), strict=True))
        for store in stores:
            mine = store.capture == number
            spans = zip(store.start_s[mine].tolist(), store.end_s[mine].tolist(), strict=True)
            assert windows.issuperset(spans)
    # Had captures been laid end to end, the tails would make further windows.
    kept = sum(c.train + c.validation + c.embargoed + c.repeats for c in prepared.captures)
    assert kept == sum(record.rows // 100 for record in records)
    assert kept < sum(record.rows for record in records) // 100


@pytest.mark.parametrize("key", [FUZZED, "test_02_unknown_vehicle_known_attack/fuzzing-Spark"])
def test_trap_5_an_id_that_was_never_seen_makes_the_same_graphs_as_a_known_one(
    ingested: dict[str, tuple[DatasetManifest, Path]], key: str
) -> None:
    manifest, folder = ingested["hcrl_sa"]
    record = next(c for c in manifest.captures if c.key == key)
    messages = Messages.from_frame(load_messages(folder, record).head(50_000))
    # Every id becomes another one, far from any in the data sets and in another order.
    others = np.random.default_rng(0).permutation(2048).astype(np.uint32) + 0x10000
    renamed = replace(messages, arbitration_id=others[messages.arbitration_id])
    starts = window_starts(len(messages), 100, 100)
    config = DataConfig(features=get_args(FeatureGroup))
    before, after = (
        build_graphs(each, starts, config, make_profile(each.span(0, 20_000)))
        for each in (messages, renamed)
    )

    np.testing.assert_array_equal(before.node_ptr, after.node_ptr)
    np.testing.assert_array_equal(before.edge_ptr, after.edge_ptr)
    moved = 0
    for graph, start in enumerate(starts.tolist()):
        ids = np.unique(messages.arbitration_id[start : start + 100])
        # Nodes come in the order of their ids, so this is where each has gone.
        place = np.argsort(np.argsort(others[ids]))
        moved += int((place != np.arange(len(ids))).any())
        nodes = slice(before.node_ptr[graph], before.node_ptr[graph + 1])
        edges = slice(before.edge_ptr[graph], before.edge_ptr[graph + 1])
        np.testing.assert_array_equal(after.x[nodes][place], before.x[nodes])
        source, destination = place[before.edge_index[:, edges]]
        order = np.lexsort((source, destination))
        found = np.stack((source, destination))[:, order]
        np.testing.assert_array_equal(after.edge_index[:, edges], found)
        np.testing.assert_array_equal(after.edge_attr[edges], before.edge_attr[edges][order])
    assert moved > 0.9 * len(starts)


def test_trap_6_a_repeat_is_found_by_content_under_another_name_and_clock(
    real_data: Path, tmp_path: Path
) -> None:
    source = real_data / "hcrl_sa/test_02_unknown_vehicle_known_attack/fuzzing-Spark.csv.gz"
    text = gzip.decompress(source.read_bytes()).decode()
    lines = text.splitlines()
    start = float(lines[1].split(",")[0])
    moved = [f"{float(x.split(',')[0]) - start:.6f},{x.split(',', 1)[1]}" for x in lines[1:]]
    files = {
        "test_02_unknown/fuzzing-Spark.csv": text,
        "train_01_attack_free/again.csv": text,
        "train_02_with_attacks/other-clock.csv": "\n".join([lines[0], *moved]) + "\n",
        "train_02_with_attacks/shorter.csv": "\n".join(lines[:-1]) + "\n",
    }
    for name, content in files.items():
        (tmp_path / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "raw" / name).write_text(content)

    manifest = ingest(DATASETS["hcrl_sa"], tmp_path / "raw", tmp_path / "out")

    test = "test_02_unknown/fuzzing-Spark"
    assert {c.key: c.duplicate_of for c in manifest.captures} == {
        test: None,
        "train_01_attack_free/again": test,
        "train_02_with_attacks/other-clock": test,
        "train_02_with_attacks/shorter": None,
    }
    assert [c.name for c in manifest.of_role("train")] == ["shorter"]
    assert manifest.captures[1].oddities[-1].kind == "attack row in an attack-free file"


def test_the_real_captures_repeat_nothing(
    ingested: dict[str, tuple[DatasetManifest, Path]],
) -> None:
    for manifest, _ in ingested.values():
        assert [c.key for c in manifest.captures if c.duplicate_of] == []


def test_the_crysys_trace_is_read_to_the_row(real_data: Path) -> None:
    path = real_data / "crysys/48_benign_trace.txt.gz"
    capture = read_capture(path, "crysys")
    # 34,893 line ends, and a last line without one.
    assert len(capture.messages) == 34_894
    assert capture.messages.row(0)[1:4] == (0x380, 8, 0x30BB82009D530081)
    assert not capture.messages["attack"].any()
    assert capture.oddities == ()
