"""Mistakes in runs, teachers and checkpoints: named, and no other run suffers."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.faces.conftest import Command, Tiny
from tests.faces.mistaken import change_record, write

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
        kdgat("evaluate", trained.evaluation).mistake("is an evaluation", trained.teacher)
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
