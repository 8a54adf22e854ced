"""What commands do and print when all goes well."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

Command = Any
Tiny = Any


def figures(metrics: dict[str, Any]) -> dict[str, Any]:
    """A run's figures, without its file's size: pickle notes a text twice or refers to it."""
    return {name: value for name, value in metrics.items() if name != "checkpoint_bytes"}


def test_simulate_ingest_and_prepare_print_json(empty: Tiny, kdgat: Command) -> None:
    fields = ("seed=1", "capture_s=5", "attack_free_s=5", "known_vehicles=1")
    attacks = ("known_attacks=[dos]", "unknown_attacks=[suppress]")
    made = kdgat("data", "simulate", *fields, *attacks, "--json").json
    assert made["files"] == 6
    assert made["rows"] == sum(made["folders"].values())
    taken = kdgat("data", "ingest", "simulated", "--json").json
    assert (taken["rows"], taken["provenance"]) == (made["rows"], "simulated")
    first = kdgat("data", "prepare", "--json").json
    assert first["made"] is True
    assert first["train_graphs"] == sum(each["train"] for each in first["captures"])
    second = kdgat("data", "prepare", "--json").json
    assert second == {**first, "made": False}


def test_a_simulation_goes_where_it_is_told(empty: Tiny, kdgat: Command, tmp_path: Path) -> None:
    small = ("capture_s=5", "attack_free_s=5", "known_attacks=[dos]", "unknown_attacks=[replay]")
    made = kdgat("data", "simulate", *small, "--out", tmp_path / "mine", "--json").json
    assert made["folder"] == str(tmp_path / "mine")
    assert len(list((tmp_path / "mine").glob("*/*.csv.gz"))) == made["files"]
    assert not empty.home.exists()
    ours = kdgat("data", "ingest", "ours", "--raw", tmp_path / "mine", "--json").json
    assert ours["provenance"] == "simulated"


def test_the_list_of_datasets_says_which_are_here(prepared: Tiny, kdgat: Command) -> None:
    rows = {row["name"]: row for row in kdgat("data", "list", "--json").json}
    assert rows["simulated"]["ingested"] is True
    assert rows["simulated"]["captures"] == 12
    assert rows["hcrl_sa"]["ingested"] is False
    assert "hcrl_sa" in kdgat("data", "list").out


def test_describe_counts_every_capture_and_draws_them(prepared: Tiny, kdgat: Command) -> None:
    told = kdgat("data", "describe", "simulated", "--json").json
    assert len(told["captures"]) == 12
    assert sum(each["rows"] for each in told["captures"]) == told["summary"]["rows"]
    picture = imread(prepared.root / told["plot"])
    assert min(picture.shape[:2]) > 300
    assert picture.std() > 0.01
    assert "plot: " in kdgat("data", "describe", "simulated").out


class TestConfig:
    @pytest.mark.usefixtures("empty")
    def test_show_prints_the_whole_config(self, kdgat: Command) -> None:
        view = kdgat("config", "show", "model=vgae", "seed=7", "--json").json
        assert (view["config"]["model"]["kind"], view["config"]["seed"]) == ("vgae", 7)
        assert re.fullmatch("[0-9a-f]{16}", view["digest"])
        assert "Width of a node's latent." in kdgat("config", "show", "model=vgae").out

    @pytest.mark.usefixtures("empty")
    def test_explain_tells_where_values_come_from(self, kdgat: Command) -> None:
        words = ("experiment=simulated-gat-small-kd", "seed=7")
        fields = kdgat("config", "explain", *words, "--json").json
        origin = {each["field"]: each["origin"] for each in fields}
        assert origin["seed"] == "override seed=7"
        assert origin["model.hidden"] == "preset gat small"
        assert origin["distillation.teacher"].startswith("experiment=simulated-gat-small-kd")
        assert "preset gat small" in kdgat("config", "explain", *words).out

    def test_diff_tells_teacher_from_student(self, trained: Tiny, kdgat: Command) -> None:
        rows = kdgat("config", "diff", trained.teacher, trained.student, "--json").json
        found = {row["field"]: (row["first"], row["second"]) for row in rows}
        expected = {"size": ("large", "small"), "distillation.teacher": (None, trained.teacher)}
        assert found == expected
        assert trained.teacher in kdgat("config", "diff", trained.teacher, trained.student).out

    def test_diff_of_a_run_with_itself_is_empty(self, trained: Tiny, kdgat: Command) -> None:
        assert kdgat("config", "diff", trained.teacher, trained.teacher, "--json").json == []
        same = kdgat("config", "diff", trained.teacher, trained.teacher)
        assert same.out == "the configs are the same\n"

    @pytest.mark.usefixtures("empty")
    def test_experiments_can_be_searched(self, kdgat: Command) -> None:
        everything = kdgat("experiments", "--json").json
        assert len(everything) > 100
        ours = kdgat("experiments", "hcrl_sa-gat", "--json").json
        assert {each["name"] for each in ours} == {
            "hcrl_sa-gat-large", "hcrl_sa-gat-medium", "hcrl_sa-gat-small", "hcrl_sa-gat-small-kd",
        }  # fmt: skip
        trainable = {each["name"]: each["trainable"] for each in everything}
        assert all(trainable.values())


class TestTraining:
    def test_the_same_experiment_is_not_done_twice(
        self, trained: Tiny, kdgat: Command, tiny_config: tuple[str, ...]
    ) -> None:
        runs = trained.runs()
        again = kdgat("train", *tiny_config, "--json").json
        assert (again["run_id"], again["outcome"]) == (trained.teacher, "already done")
        assert trained.runs() == runs
        assert "already done" in kdgat("train", *tiny_config).out

    @pytest.mark.usefixtures("trained")
    def test_fresh_trains_it_anew_to_the_same_figures(
        self, kdgat: Command, tiny_config: tuple[str, ...]
    ) -> None:
        before = kdgat("train", *tiny_config, "--json").json
        again = kdgat("train", *tiny_config, "--fresh", "--json").json
        assert again["outcome"] == "trained"
        assert again["run_id"] != before["run_id"]
        assert figures(again["metrics"]) == figures(before["metrics"])

    @pytest.mark.usefixtures("trained")
    def test_where_it_computes_does_not_make_another_experiment(
        self, kdgat: Command, tiny_config: tuple[str, ...]
    ) -> None:
        again = kdgat("train", *tiny_config, "resources.threads=2", "--json").json
        assert again["outcome"] == "already done"

    def test_a_student_names_its_teacher(
        self, trained: Tiny, kdgat: Command, student_config: tuple[str, ...]
    ) -> None:
        student = kdgat("train", *student_config, "--json").json
        assert (student["run_id"], student["teacher"]) == (trained.student, trained.teacher)
        assert student["name"] == "simulated-gat-small-kd"

    @pytest.mark.usefixtures("prepared")
    def test_a_sweep_trains_every_combination(
        self, kdgat: Command, tiny_config: tuple[str, ...]
    ) -> None:
        words = (*tiny_config, "seed=1,2", "model.dropout=0,0.5", "training.max_epochs=1")
        runs = kdgat("train", "-m", *words, "--json").json
        assert [run["outcome"] for run in runs] == ["trained"] * 4
        assert len({run["digest"] for run in runs}) == 4
        again = kdgat("train", "-m", *words, "--json").json
        assert [run["outcome"] for run in again] == ["already done"] * 4

    def test_a_replay_has_identical_figures(self, trained: Tiny, kdgat: Command) -> None:
        result = kdgat("replay", trained.student, "--json").json
        assert result["identical"] is True
        assert result["original"] == trained.student
        assert result["again"]["run_id"] not in {trained.student, trained.teacher}
        assert figures(result["again"]["metrics"]) == figures(result["original_metrics"])
        assert kdgat("replay", trained.student).out.endswith("\nidentical\n")


class TestEvaluation:
    def test_is_done_once(self, trained: Tiny, kdgat: Command) -> None:
        again = kdgat("evaluate", trained.teacher, "--json").json
        assert (again["run_id"], again["outcome"]) == (trained.evaluation, "already done")

    def test_is_done_anew_when_asked_to_the_same_figures(
        self, trained: Tiny, kdgat: Command
    ) -> None:
        first = kdgat("evaluate", trained.teacher, "--json").json
        second = kdgat("evaluate", trained.teacher, "--again", "--json").json
        assert second["outcome"] == "evaluated"
        assert second["run_id"] != first["run_id"]
        assert second["scenarios"] == first["scenarios"]

    def test_judges_every_official_test_folder(self, trained: Tiny, kdgat: Command) -> None:
        told = kdgat("evaluate", trained.teacher, "--json").json
        whole = [each for each in told["scenarios"] if each["attack_type"] == "all"]
        names = [each["scenario"] for each in whole if not each["variant"]]
        folders = ["test_01", "test_02", "test_03", "test_04"]
        for protocol in ("zero_shot", "adapted"):
            seen = [
                each["scenario"][:7]
                for each in whole
                if (each["protocol"], each["variant"]) == (protocol, "")
            ]
            assert seen == folders
        table = kdgat("evaluate", trained.teacher).out
        assert all(name.split("_", 2)[2].replace("_", " ") in table for name in names)


class TestRuns:
    def test_list_shows_and_filters_them(self, trained: Tiny, kdgat: Command) -> None:
        everything = kdgat("runs", "list", "--json").json
        assert {run["run_id"] for run in everything["items"]} == trained.runs()
        found = kdgat("runs", "list", "--stage", "evaluation", "--json").json
        assert [run["run_id"] for run in found["items"]] == [trained.evaluation]
        none = kdgat("runs", "list", "--state", "failed", "--json").json
        assert (none["items"], none["total"]) == ([], 0)
        first = kdgat("runs", "list", "--limit", 1, "--json").json
        assert (len(first["items"]), first["total"], first["truncated"]) == (1, 3, True)
        table = kdgat("runs", "list").out
        assert all(run in table for run in trained.runs())

    def test_show_tells_a_run_from_config_to_history(self, trained: Tiny, kdgat: Command) -> None:
        view = kdgat("runs", "show", trained.student, "--json").json
        assert view["record"]["teacher"] == trained.teacher
        assert view["config"]["distillation"]["teacher"] == trained.teacher
        assert [row["epoch"] for row in view["epochs"]] == [0, 1]
        events = [event["event"] for event in view["events"]]
        assert (events[0], events[-1]) == ("planned", "completed")
        text = kdgat("runs", "show", trained.student).out
        assert "figures" in text
        assert "epochs" in text

    def test_a_run_is_found_by_the_beginning_of_its_id(self, trained: Tiny, kdgat: Command) -> None:
        view = kdgat("runs", "show", trained.teacher[:-1], "--json").json
        assert view["record"]["run_id"] == trained.teacher


def one_capture(tiny: Tiny) -> list[str]:
    """A command that works for a moment, without torch."""
    raw = next(tiny.data.glob("raw/train_01*/*.gz"))
    return ["data", "ingest", "one", "--raw", str(raw), "--json"]


def in_terminal(arguments: list[str], cwd: Path) -> tuple[str, str]:
    """Standard output, and what a terminal on standard error shows."""
    import pty

    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [sys.executable, "-m", "kdgat.cli.main", *arguments],
        stdout=subprocess.PIPE, stderr=theirs, cwd=cwd, env=env,
    )  # fmt: skip
    os.close(theirs)
    shown = bytearray()
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:
        pass  # how Linux says that the other end is closed
    finally:
        os.close(ours)
    out = process.communicate()[0]
    assert process.returncode == 0
    return out.decode(), shown.decode()


class TestProgress:
    def test_is_drawn_on_a_terminal_and_leaves_standard_output_alone(self, prepared: Tiny) -> None:
        out, shown = in_terminal(one_capture(prepared), prepared.root)
        assert json.loads(out)["captures"] == 1
        assert "ingest" in shown

    def test_is_not_drawn_where_a_build_asks_for_colour_without_a_terminal(
        self, prepared: Tiny, process: Any
    ) -> None:
        words = ("-m", "kdgat.cli.main", *one_capture(prepared))
        done = process(*words, environ={"FORCE_COLOR": "1"})
        assert json.loads(done.stdout)["captures"] == 1
        assert done.stderr == ""


def test_a_reader_that_stops_early_is_no_mistake(empty: Tiny) -> None:
    command = f"'{sys.executable}' -m kdgat.cli.main experiments --json | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout == "[\n"
    assert done.stderr == ""


@pytest.mark.slow
def test_the_main_job_runs_in_a_process_without_a_word_on_standard_error(
    prepared: Tiny, process: Any, tiny_config: tuple[str, ...]
) -> None:
    trained = process("-m", "kdgat.cli.main", "train", *tiny_config, "--json")
    assert (trained.returncode, trained.stderr) == (0, "")
    run = json.loads(trained.stdout)["run_id"]
    judged = process("-m", "kdgat.cli.main", "evaluate", run, "--json")
    assert (judged.returncode, judged.stderr) == (0, "")
    assert json.loads(judged.stdout)["subject"] == run


@pytest.mark.slow
def test_quickstart_does_the_whole_job_and_does_it_once(empty: Tiny, process: Any) -> None:
    first = process("-m", "kdgat.cli.main", "quickstart")
    assert (first.returncode, first.stderr) == (0, "")
    for scenario in ("test_01", "test_02", "test_03", "test_04"):
        # Autoencoder, teacher and student, each under both protocols.
        assert first.stdout.count(scenario) == 6
    assert "next:\n  uv run kdgat runs show " in first.stdout
    runs = empty.runs()
    second = process("-m", "kdgat.cli.main", "quickstart", "--json")
    assert (second.returncode, second.stderr) == (0, "")
    result = json.loads(second.stdout)
    assert [run["outcome"] for run in result["trained"]] == ["already done"] * 3
    assert [each["outcome"] for each in result["evaluated"]] == ["already done"] * 3
    assert result["next_steps"]
    assert empty.runs() == runs
