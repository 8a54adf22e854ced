"""Mistakes in raw files, and damage to what was made of them: named, and mended as hinted."""

from __future__ import annotations

import gzip
import json
import shutil

import pytest

from tests.faces.conftest import Command, Tiny
from tests.faces.mistaken import HEADER, ROWS, write

PACKED = gzip.compress((HEADER + ROWS).encode())

BAD_FILES: dict[str, tuple[str, str | bytes, str]] = {
    "truncated gzip": ("b.csv.gz", PACKED[:-2000], "cut short"),
    "damaged gzip": ("b.csv.gz", PACKED[:40] + b"\xff\xff" + PACKED[42:], "damaged gzip"),
    "not gzip": ("b.csv.gz", HEADER + ROWS, "not a gzip file"),
    "wrong header": ("b.csv", "time,id,data,label\n" + ROWS, "line 1: expected the header"),
    "binary": ("b.csv", bytes(range(256)) * 40, "byte 0x00 at offset 0"),
    "bad time": ("b.csv", HEADER + ROWS + "noon,1A0,00,0\n", "line 2002: timestamp 'noon'"),
    "bad id": ("b.csv", HEADER + ROWS + "9.0,XYZ,00,0\n", "line 2002: arbitration_id 'XYZ'"),
    "bad label": ("b.csv", HEADER + ROWS + "9.0,1A0,00,2\n", "line 2002: attack '2'"),
    "a field too many": ("b.csv", HEADER + ROWS + "9.0,1A0,00,0,7\n", "line 2002: expected 4"),
    "empty": ("b.csv", "", "is empty"),
    "header alone": ("b.csv", HEADER, "no message"),
}


class TestIngest:
    @pytest.mark.parametrize("case", BAD_FILES)
    def test_a_bad_file_is_named_and_once_mended_the_rest_goes_on(
        self, empty: Tiny, kdgat: Command, case: str
    ) -> None:
        name, content, word = BAD_FILES[case]
        folder = empty.root / "raw" / "train_01_attack_free"
        write(folder / "a.csv", HEADER + ROWS)
        bad = write(folder / name, content)
        kdgat("data", "ingest", "mine", "--raw", "raw").mistake(
            f"raw/train_01_attack_free/{name}", word
        )
        rows = {row["name"]: row for row in kdgat("data", "list", "--json").json}
        assert "mine" not in rows
        kdgat("data", "describe", "mine").mistake("'mine' is not ingested")
        bad.unlink()
        write(folder / "b.csv", HEADER + ROWS.replace("1A0", "2B0"))
        done = kdgat("data", "ingest", "mine", "--raw", "raw", "--json").json
        assert (done["captures"], done["rows"]) == (2, 4000)
        assert empty.leftovers() == []

    @pytest.mark.parametrize("name", ["a b", "../up", "", "1st", "x" * 65, "ä", "a/b"])
    def test_a_name_that_is_no_name_is_refused_everywhere(
        self, empty: Tiny, kdgat: Command, name: str
    ) -> None:
        kdgat("data", "ingest", name, "--raw", ".").mistake(f"'{name}' can't be a dataset's name")
        kdgat("data", "describe", name).mistake(f"'{name}' can't be a dataset's name")
        assert not empty.home.exists()

    @pytest.mark.usefixtures("empty")
    def test_a_raw_folder_must_be_given(self, kdgat: Command) -> None:
        kdgat("data", "ingest", "hcrl_sa").mistake("'hcrl_sa' was not given", "--raw DIR")
        kdgat("data", "ingest", "simulated").mistake("kdgat data simulate")

    @pytest.mark.usefixtures("empty")
    def test_a_raw_folder_must_be_there(self, kdgat: Command) -> None:
        kdgat("data", "ingest", "hcrl_sa", "--raw", "gone").mistake("no folder 'gone'", "--raw")

    @pytest.mark.parametrize("foreign", [[], ["photo.jpg", "notes.docx"]], ids=["empty", "foreign"])
    def test_a_raw_folder_without_captures_is_named(
        self, empty: Tiny, kdgat: Command, foreign: list[str]
    ) -> None:
        (empty.root / "raw").mkdir()
        for name in foreign:
            write(empty.root / "raw" / name, b"\x00")
        words = ("no can_train_and_test capture in 'raw'", "*.csv[.gz]", "--raw")
        kdgat("data", "ingest", "hcrl_sa", "--raw", "raw").mistake(*words)
        assert not empty.home.exists()

    @pytest.mark.usefixtures("empty")
    def test_an_unknown_format_is_named(self, kdgat: Command) -> None:
        words = ("data", "ingest", "mine", "--raw", ".", "--format", "pcap")
        kdgat(*words).mistake("'pcap'", "candump")

    @pytest.mark.parametrize("part", ["", "train_02_with_attacks", "train_02_with_attacks/*.gz"])
    def test_simulated_captures_never_pass_as_a_real_dataset(
        self, prepared: Tiny, kdgat: Command, part: str
    ) -> None:
        raw = next((prepared.data / "raw").glob(part)) if part else prepared.data / "raw"
        words = ("simulated captures", "'hcrl_sa' is a real dataset", "name of your own")
        kdgat("data", "ingest", "hcrl_sa", "--raw", raw).mistake(*words)
        ours = kdgat("data", "ingest", "ours", "--raw", raw, "--json").json
        assert ours["provenance"] == "simulated"

    def test_real_captures_never_pass_as_simulated(self, prepared: Tiny, kdgat: Command) -> None:
        write(prepared.root / "raw" / "a.csv", HEADER + ROWS)
        words = ("'raw' holds no simulated captures", "name of your own")
        kdgat("data", "ingest", "simulated", "--raw", "raw").mistake(*words)
        kdgat("data", "ingest", "ours", "--raw", prepared.data / "raw")
        ours = kdgat("data", "ingest", "ours", "--raw", "raw", "--json").json
        assert ours["provenance"] == "real"

    def test_a_simulation_broken_off_is_not_taken_for_a_whole_one(
        self, prepared: Tiny, kdgat: Command
    ) -> None:
        # As a killed process leaves it: marked, and captures missing.
        mark = prepared.data / "raw" / ".simulation.json"
        mark.write_text(json.dumps({**json.loads(mark.read_text()), "complete": False}))
        next((prepared.data / "raw").glob("test_04*/*.gz")).unlink()
        for name in ("simulated", "hcrl_sa", "mine"):
            raw = ("--raw", prepared.data / "raw")
            kdgat("data", "ingest", name, *raw).mistake("was broken off", "data simulate")


class TestDamagedData:
    @pytest.mark.parametrize(
        "content", ["", "{", "[]", "{}", '{"version": 1}', "null", b"\xff\xfe"], ids=repr
    )
    def test_a_damaged_manifest_is_named_until_it_is_ingested_again(
        self, prepared: Tiny, kdgat: Command, content: str | bytes
    ) -> None:
        write(path := prepared.data / "captures.json", content)
        kdgat("data", "describe", "simulated").mistake(str(path), "data ingest simulated")
        kdgat("data", "prepare").mistake(str(path))
        listed = kdgat("data", "list").out
        assert "broken: " in listed
        assert str(path) in listed
        assert kdgat("data", "ingest", "simulated", "--json").json["captures"] == 12
        assert "broken" not in kdgat("data", "list").out

    def test_a_damaged_capture_is_named_until_it_is_read_again(
        self, prepared: Tiny, kdgat: Command
    ) -> None:
        path = next(prepared.data.glob("captures/*/*.parquet"))
        path.write_bytes(path.read_bytes()[:-100])
        kdgat("data", "describe", "simulated").mistake(str(path), "--force")
        assert kdgat("data", "ingest", "simulated", "--force").code == 0
        assert kdgat("data", "describe", "simulated").code == 0

    @pytest.mark.parametrize("damage", ["x.npy", "node_ptr.npy", "store.json"])
    @pytest.mark.parametrize("how", ["truncated", "removed", "text"])
    def test_damaged_graphs_are_named_and_made_again_as_the_hint_says(
        self, prepared: Tiny, kdgat: Command, tiny_config: tuple[str, ...], damage: str, how: str
    ) -> None:
        path = next(prepared.data.glob("graphs/*/train")) / damage
        if how == "removed":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:-9] if how == "truncated" else b"nothing\n")
        if (damage, how) == ("store.json", "removed"):
            # That file is written last, so without it the graphs do not exist.
            assert kdgat("train", *tiny_config).code == 0
            return
        text = kdgat("train", *tiny_config).mistake(str(path.parent))
        shutil.rmtree(text.split("delete '")[1].split("'")[0])
        assert kdgat("train", *tiny_config).code == 0

    @pytest.mark.parametrize("content", ["", "[]", "{}", '{"dataset_hash": 1}'])
    def test_a_damaged_report_of_the_graphs_is_named(
        self, prepared: Tiny, kdgat: Command, tiny_config: tuple[str, ...], content: str
    ) -> None:
        path = next(prepared.data.glob("graphs/*/prepare.json"))
        path.write_text(content)
        text = kdgat("train", *tiny_config).mistake(str(path))
        shutil.rmtree(text.split("delete '")[1].split("'")[0])
        assert kdgat("train", *tiny_config).code == 0
