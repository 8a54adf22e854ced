"""A user's mistakes: two lines that name what, where and the value, and nothing broken after."""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

Command = Any
Tiny = Any
HEADER = "timestamp,arbitration_id,data_field,attack\n"
ROWS = "".join(f"{i / 1000:.6f},1A0,00112233,0\n" for i in range(2000))

CONFIG_MISTAKES = {
    "an unknown field": ("foo.bar=1", "unknown config field 'foo.bar'"),
    "a misspelt field": ("training.max_epoch=5", "did you mean 'training.max_epochs'"),
    "too small": ("training.max_epochs=0", "training.max_epochs = 0", "greater than or equal to 1"),
    "no number": ("model.hidden=many", "model.hidden = 'many'"),
    "no choice": ("training.precision=bf17", "training.precision = 'bf17'"),
    "an unknown model": ("model=gatt", "unknown model 'gatt'", "did you mean 'gat'"),
    "an unknown dataset": ("dataset=hcrl_as", "'hcrl_as'", "did you mean 'hcrl_sa'"),
    "an unknown experiment": ("experiment=simulated-gat-larg", "did you mean"),
    "a model nobody trains": ("model=fusion", "model 'fusion' can't be trained", "vgae, gat"),
    "a sweep": ("seed=1,2", "'seed=1,2' names several values", "-m"),
    "no override": ("nonsense", "'nonsense' can't be read", "key=value"),
    "not ingested": ("dataset=set_02", "'set_02' is not ingested", "data ingest set_02 --raw"),
    "a field of another model": ("model.latent=3", "model 'gat' has no field 'latent'"),
}


@pytest.mark.parametrize("case", CONFIG_MISTAKES)
def test_a_config_mistake_is_told_and_starts_no_run(
    prepared: Tiny, kdgat: Command, case: str
) -> None:
    override, *words = CONFIG_MISTAKES[case]
    kdgat("train", override).mistake(*words)
    assert prepared.runs() == set()


def test_a_sweep_is_checked_whole_before_its_first_run(
    prepared: Tiny, kdgat: Command, tiny_config: tuple[str, ...]
) -> None:
    kdgat("train", "-m", *tiny_config, "seed=1,-1").mistake("seed = -1")
    kdgat("train", "-m", *tiny_config, "dataset=simulated,set_01").mistake("'set_01'")
    kdgat("train", "-m", "model=gat,fusion", "training.max_epochs=1").mistake("'fusion'")
    assert prepared.runs() == set()


class TestWorkspace:
    def test_a_folder_without_one_is_named(
        self, tmp_path: Path, kdgat: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("KDGAT_ROOT", "KDGAT_HOME"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.chdir(tmp_path)
        kdgat("runs", "list").mistake("[tool.kdgat]", str(tmp_path), "KDGAT_ROOT")

    @pytest.mark.usefixtures("empty")
    def test_a_wrong_root_is_named(
        self, tmp_path: Path, kdgat: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KDGAT_ROOT", str(tmp_path / "gone"))
        kdgat("data", "list").mistake("KDGAT_ROOT", str(tmp_path / "gone"))

    def test_a_home_that_is_a_file_is_named(
        self, empty: Tiny, kdgat: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KDGAT_HOME", str(empty.root / "pyproject.toml"))
        words = (str(empty.root / "pyproject.toml"), "Not a directory", "KDGAT_HOME")
        kdgat("data", "simulate", "capture_s=5").mistake(*words)


class TestSimulate:
    @pytest.mark.parametrize(
        ("override", "word"),
        [
            ("capture_s=1", "capture_s = 1"),
            ("captures=1", "'captures=1'"),
            ("known_attacks=[doss]", "'doss'"),
            ("seed=1,2", "'seed=1,2'"),
        ],
    )
    def test_a_wrong_field_is_named(
        self, empty: Tiny, kdgat: Command, override: str, word: str
    ) -> None:
        kdgat("data", "simulate", override).mistake(word)
        assert not empty.home.exists()

    @pytest.mark.parametrize("name", ["DoS-kia.csv", "DoS-kia.csv.gz"])
    def test_captures_of_somebody_else_are_left_alone(
        self, empty: Tiny, kdgat: Command, name: str
    ) -> None:
        theirs = empty.root / "raw" / "train_02_with_attacks" / name
        theirs.parent.mkdir(parents=True)
        theirs.write_text(HEADER + ROWS)
        kdgat("data", "simulate", "--out", "raw").mistake(name, "'raw'")
        assert [path for path in (empty.root / "raw").rglob("*") if path.is_file()] == [theirs]

    @pytest.mark.usefixtures("empty")
    def test_a_file_is_no_folder_to_write_to(self, kdgat: Command) -> None:
        kdgat("data", "simulate", "--out", "pyproject.toml").mistake("'pyproject.toml' is a file")


def write(path: Path, content: str | bytes) -> Path:
    """A raw file in a training folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


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


BAD_RECORDS = {
    "truncated": lambda text: text[: len(text) // 2],
    "empty": lambda _: "",
    "not JSON": lambda _: "this is no JSON",
    "a list": lambda _: "[]",
    "fields missing": lambda _: '{"run_id": "x"}',
    "a wrong type": lambda text: json.dumps({**json.loads(text), "seed": "forty-two"}),
    "an unknown state": lambda text: json.dumps({**json.loads(text), "state": "happy"}),
}


class TestRuns:
    @pytest.mark.parametrize("run", ["nope", "", "late"])
    @pytest.mark.usefixtures("trained")
    def test_an_unknown_run_is_named(self, kdgat: Command, run: str) -> None:
        for command in (("runs", "show"), ("evaluate",), ("replay",)):
            kdgat(*command, run).mistake(f"no run '{run}'", "kdgat runs list")

    def test_an_ambiguous_run_is_named_with_what_it_fits(
        self, trained: Tiny, kdgat: Command
    ) -> None:
        kdgat("runs", "show", "2").mistake("'2' fits 3 runs", trained.teacher, "more of the run id")

    @pytest.mark.usefixtures("empty")
    @pytest.mark.parametrize("command", [("runs", "show"), ("evaluate",), ("replay", "latest")])
    def test_there_is_no_latest_run_before_the_first(
        self, kdgat: Command, command: tuple[str, ...]
    ) -> None:
        kdgat(*command).mistake("no completed run fits 'latest'", "kdgat runs list")

    @pytest.mark.usefixtures("trained")
    def test_an_unknown_state_is_named(self, kdgat: Command) -> None:
        kdgat("runs", "list", "--state", "complete").mistake("'complete'", "'completed'")

    @pytest.mark.parametrize("case", BAD_RECORDS)
    def test_a_damaged_record_is_named_and_hides_no_other(
        self, trained: Tiny, kdgat: Command, case: str
    ) -> None:
        path = trained.run(trained.student) / "run.json"
        path.write_text(BAD_RECORDS[case](path.read_text()))
        kdgat("runs", "show", trained.student).mistake(str(path))
        listed = kdgat("runs", "list", "--json").json
        assert {run["run_id"] for run in listed["items"]} == {trained.teacher, trained.evaluation}
        assert [fault for fault in listed["broken"] if str(path) in fault] == listed["broken"] != []
        assert f"broken: '{path}'" in kdgat("runs", "list").out

    @pytest.mark.parametrize("content", ["", "{", "[]", b"\xff"], ids=repr)
    def test_a_damaged_config_is_named(
        self, trained: Tiny, kdgat: Command, content: str | bytes
    ) -> None:
        path = write(trained.run(trained.teacher) / "config.json", content)
        for command in (("runs", "show"), ("replay",), ("config", "diff", trained.student)):
            kdgat(*command, trained.teacher).mistake(str(path))

    @pytest.mark.parametrize("content", ["{}", '{"seed": 42}', '{"seeed": 42}'])
    def test_a_config_with_parts_missing_is_not_filled_up_with_defaults(
        self, trained: Tiny, kdgat: Command, content: str
    ) -> None:
        path = write(trained.run(trained.teacher) / "config.json", content)
        kdgat("replay", trained.teacher).mistake(str(path))

    def test_a_config_changed_by_hand_is_no_replay(self, trained: Tiny, kdgat: Command) -> None:
        path = trained.run(trained.teacher) / "config.json"
        path.write_text(path.read_text().replace('"seed": 42', '"seed": 43'))
        kdgat("replay", trained.teacher).mistake(str(path), trained.teacher, "restore the file")

    def test_an_evaluation_can_be_neither_evaluated_nor_replayed(
        self, trained: Tiny, kdgat: Command
    ) -> None:
        kdgat("evaluate", trained.evaluation).mistake("itself an evaluation", trained.teacher)
        kdgat("replay", trained.evaluation).mistake("is an evaluation", trained.teacher)

    def test_a_run_that_did_not_end_is_not_evaluated(self, trained: Tiny, kdgat: Command) -> None:
        change_record(trained, trained.student, state="failed", reason="by hand")
        kdgat("evaluate", trained.student).mistake(f"'{trained.student}' is failed", "resume")

    @pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"scenarios": []}'])
    def test_damaged_figures_of_an_evaluation_are_named_and_made_again_as_the_hint_says(
        self, trained: Tiny, kdgat: Command, content: str
    ) -> None:
        path = write(trained.run(trained.evaluation) / "artifacts/evaluation.json", content)
        kdgat("evaluate", trained.teacher).mistake(str(path), f"evaluate {trained.teacher} --again")
        again = kdgat("evaluate", trained.teacher, "--again", "--json").json
        assert again["outcome"] == "evaluated"

    def test_an_experiment_that_runs_now_is_not_started_beside_itself(
        self, trained: Tiny, kdgat: Command, tiny_config: tuple[str, ...]
    ) -> None:
        from kdgat.ledger.record import utc_now

        change_record(trained, trained.teacher, state="running", pid=os.getpid())
        write(trained.run(trained.teacher) / "heartbeat", utc_now())
        words = (f"'{trained.teacher}' of this very experiment is running", "--fresh")
        kdgat("train", *tiny_config).mistake(*words)


def figures(metrics: dict[str, Any]) -> dict[str, Any]:
    """A run's figures, without its file's size: pickle notes a text twice or refers to it."""
    return {name: value for name, value in metrics.items() if name != "checkpoint_bytes"}


def change_record(tiny: Tiny, run: str, **changes: Any) -> None:
    """Write other values into a run's record."""
    from kdgat.ledger.folder import RunFolder

    RunFolder(tiny.run(run)).update(**changes)


class TestOtherData:
    """The dataset has other captures than when the model was trained."""

    @pytest.fixture
    def changed(self, trained: Tiny, kdgat: Command) -> Tiny:
        next((trained.data / "raw").glob("train_02*/fuzzing*")).unlink()
        assert kdgat("data", "ingest", "simulated").code == 0
        return trained

    def test_an_evaluation_is_refused(self, changed: Tiny, kdgat: Command) -> None:
        words = (f"'simulated' changed since run '{changed.student}' was trained", "train again")
        kdgat("evaluate", changed.student).mistake(*words)
        assert len(changed.runs()) == 3

    def test_a_replay_is_refused(self, changed: Tiny, kdgat: Command) -> None:
        kdgat("replay", changed.teacher).mistake("'simulated' changed since run")

    @pytest.mark.usefixtures("changed")
    def test_the_same_overrides_train_on_what_is_there_now(
        self, kdgat: Command, tiny_config: tuple[str, ...]
    ) -> None:
        again = kdgat("train", *tiny_config, "--json").json
        assert again["outcome"] == "trained"


class TestTeacher:
    def student(self, kdgat: Command, words: tuple[str, ...], teacher: str) -> Any:
        return kdgat("train", *words, "seed=5", f"distillation.teacher={teacher}")

    def test_must_be_there(
        self, prepared: Tiny, kdgat: Command, student_config: tuple[str, ...]
    ) -> None:
        words = ("no completed large gat on 'simulated'", "kdgat train dataset=simulated model=gat")
        kdgat("train", *student_config).mistake(*words)
        self.student(kdgat, student_config, "nobody").mistake("no run 'nobody'")
        assert prepared.runs() == set()

    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"model": "vgae"}, "simulated-vgae-large"),
            ({"dataset": "hcrl_sa"}, "hcrl_sa-gat-large"),
            ({"state": "failed"}, "is failed, not completed"),
        ],
    )
    def test_must_be_completed_and_of_the_same_kind_and_dataset(
        self,
        trained: Tiny,
        kdgat: Command,
        student_config: tuple[str, ...],
        changes: dict[str, str],
        word: str,
    ) -> None:
        change_record(trained, trained.teacher, **changes)
        text = self.student(kdgat, student_config, trained.teacher)
        text.mistake(trained.teacher, word)
        assert len(trained.runs()) == 3

    def test_is_no_evaluation(
        self, trained: Tiny, kdgat: Command, student_config: tuple[str, ...]
    ) -> None:
        said = self.student(kdgat, student_config, trained.evaluation)
        said.mistake(trained.evaluation, "evaluation")

    def test_was_trained_on_the_same_windows(
        self, trained: Tiny, kdgat: Command, student_config: tuple[str, ...]
    ) -> None:
        words = (*student_config, "data.window_messages=50")
        self.student(kdgat, words, trained.teacher).mistake(
            trained.teacher, "other captures, windows"
        )


def flip(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


BAD_CHECKPOINTS: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[: len(content) // 2],
    "one bit flipped": flip,
    "a name garbled": lambda content: content.replace(b"data.pkl", b"data\xff\xffkl"),
    "empty": lambda _: b"",
    "text": lambda _: b"these are no weights\n",
}


class TestCheckpoints:
    @pytest.mark.parametrize("case", BAD_CHECKPOINTS)
    def test_a_damaged_best_one_is_named_and_trained_again(
        self,
        trained: Tiny,
        kdgat: Command,
        tiny_config: tuple[str, ...],
        student_config: tuple[str, ...],
        case: str,
    ) -> None:
        path = trained.run(trained.teacher) / "checkpoints" / "best.ckpt"
        path.write_bytes(BAD_CHECKPOINTS[case](path.read_bytes()))
        kdgat("evaluate", trained.teacher, "--again").mistake(str(path), "is damaged", "--fresh")
        teacher = f"distillation.teacher={trained.teacher}"
        kdgat("train", *student_config, "seed=5", teacher).mistake(str(path), "is damaged")
        again = kdgat("train", *tiny_config, "--json").json
        assert again["outcome"] == "trained"
        assert kdgat("evaluate", again["run_id"], "--json").json["outcome"] == "evaluated"

    def test_a_missing_best_one_is_named(self, trained: Tiny, kdgat: Command) -> None:
        path = trained.run(trained.student) / "checkpoints" / "best.ckpt"
        path.unlink()
        kdgat("evaluate", trained.student).mistake(str(path), "is missing")

    def test_a_file_of_torch_that_is_no_checkpoint_is_named(
        self, trained: Tiny, kdgat: Command
    ) -> None:
        import torch

        path = trained.run(trained.student) / "checkpoints" / "best.ckpt"
        for content in ([1, 2], {"format": 9}, {"format": 1}, torch.zeros(3), replace):
            torch.save(content, path)
            kdgat("evaluate", trained.student).mistake(str(path), "does not fit")

    @pytest.mark.parametrize("case", BAD_CHECKPOINTS)
    @pytest.mark.parametrize("how_many", ["newest", "all"])
    def test_a_damaged_one_to_resume_from_is_passed_over_and_written_down(
        self,
        trained: Tiny,
        kdgat: Command,
        tiny_config: tuple[str, ...],
        case: str,
        how_many: str,
    ) -> None:
        before = kdgat("train", *tiny_config, "--json").json["metrics"]
        folder = trained.run(trained.teacher)
        change_record(trained, trained.teacher, state="failed", reason="by hand")
        paths = sorted((folder / "checkpoints").glob("epoch-*.ckpt"))
        assert len(paths) == 2
        damaged = paths[-1:] if how_many == "newest" else paths
        for path in damaged:
            path.write_bytes(BAD_CHECKPOINTS[case](path.read_bytes()))
        again = kdgat("train", *tiny_config, "--json").json
        assert (again["run_id"], again["outcome"]) == (trained.teacher, "resumed")
        assert figures(again["metrics"]) == figures(before)
        events = kdgat("runs", "show", trained.teacher, "--json").json["events"]
        told = [event["file"] for event in events if event["event"] == "checkpoint_damaged"]
        assert sorted(told) == [path.name for path in damaged]
        resumed = [event["epoch"] for event in events if event["event"] == "resumed"]
        assert resumed == ([1] if how_many == "newest" else [])
