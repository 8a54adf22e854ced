"""`kdgat leaderboard`, `compare`, `effect`, `pareto` and `report`, as a user calls them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kdgat.workspace import Workspace
from tests.faces.conftest import Command, Tiny
from tests.unit.runs.judged import judged

Process = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def swept(empty: Tiny) -> Tiny:
    """A workspace with two configs of three seeds each on real data, and a simulated model."""
    ws = Workspace(root=empty.root, home=empty.home)
    for hidden, base in ((16, 0.6), (32, 0.7)):
        for seed in range(3):
            score = base + seed / 100
            judged(ws, score, seed=seed, config={"model.hidden": hidden}, parameters=1000 * hidden)
    judged(ws, 0.9, provenance="simulated", dataset="made")
    return empty


def test_the_leaderboard_shows_rank_figures_interval_and_cost(swept: Tiny, kdgat: Command) -> None:
    said = kdgat("leaderboard")
    assert said.code == 0
    text = " ".join(said.out.split())
    for part in (
        "set_01 (real data", "zero_shot", "test split", "2,000 windows", "set_01-gat-large",
        "0.7100", "0.6852 to 0.7348", "32,000", "128,000", "known vehicle, 1,000 windows",
        "note: configs > 1", "1 evaluation of simulated data is left out",
    ):  # fmt: skip
        assert part in text, part


def test_the_leaderboard_as_json_has_a_table_for_each_provenance(
    swept: Tiny, kdgat: Command
) -> None:
    tables = kdgat("leaderboard", "--include-simulated", "--json").json["tables"]
    assert [table["provenance"] for table in tables] == ["real", "simulated"]
    (row,) = tables[0]["rows"]
    assert (row["seeds"], row["configs"], row["score"]["n"]) == (3, 2, 3)
    assert row["score"]["method"] == "t"
    assert tables[1]["rows"][0]["score"]["low"] is None


def test_the_leaderboard_is_narrowed_in_the_words_of_overrides(swept: Tiny, kdgat: Command) -> None:
    (table,) = kdgat("leaderboard", "dataset=made", "--json").json["tables"]
    assert (table["dataset"], table["provenance"]) == ("made", "simulated")
    (table,) = kdgat("leaderboard", "dataset=set_01", "protocol=zero_shot", "--json").json["tables"]
    assert (table["dataset"], table["protocol"], table["split"]) == ("set_01", "zero_shot", "test")
    fronts = kdgat("pareto", "dataset=made", "--json").json["fronts"]
    assert [front["dataset"] for front in fronts] == ["made"]


@pytest.mark.parametrize(
    ("word", "hint"), [("datasets=set_01", "dataset"), ("dataset", "dataset=hcrl_sa")]
)
def test_what_narrows_no_table_is_told(swept: Tiny, kdgat: Command, word: str, hint: str) -> None:
    said = kdgat("leaderboard", word)
    assert said.code == 2
    assert hint in said.err


def test_a_baseline_that_is_ahead_is_said_below_the_table(empty: Tiny, kdgat: Command) -> None:
    ws = Workspace(root=empty.root, home=empty.home)
    judged(ws, 0.6, protocols={"adapted": 0.9})
    judged(ws, 0.8, model="profile", protocols={"adapted": 0.7})
    text = " ".join(kdgat("leaderboard").out.split())
    assert text.count("baseline ahead on") == 3
    assert "the baseline set_01-profile-large is ahead of every graph model" in text
    (_, adapted) = kdgat("leaderboard", "--json").json["tables"]
    assert adapted["beaten"] == []


def test_figures_side_by_side_have_a_table_for_each_protocol(empty: Tiny, kdgat: Command) -> None:
    ws = Workspace(root=empty.root, home=empty.home)
    runs = [
        judged(ws, score, seed=seed, protocols={"adapted": score + 0.2}).run_id
        for seed, score in enumerate((0.5, 0.6))
    ]
    text = " ".join(kdgat("compare", *runs).out.split())
    for protocol in ("zero_shot", "adapted"):
        assert f"{protocol} protocol, test split: 2,000 windows in 2 scenarios" in text
    alone = " ".join(kdgat("compare", *runs, "--protocol", "adapted").out.split())
    assert "zero_shot" not in alone


def test_what_was_trained_here_can_be_ranked(trained: Tiny, kdgat: Command) -> None:
    said = kdgat("leaderboard", "--dataset", "simulated", "--metric", "auroc", "--json")
    tables = said.json["tables"]
    assert [table["protocol"] for table in tables] == ["zero_shot", "adapted"]
    for table in tables:
        assert [row["run_id"] for row in table["rows"]] == [trained.teacher]
        assert len(table["scenarios"]) == 4


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (("leaderboard", "--metric", "f2"), ("no metric 'f2'",)),
        (("leaderboard", "--dataset", "set_1"), ("'set_1'", "did you mean 'set_01'?")),
        (("compare", "nothing", "nowhere"), ("no run 'nothing'",)),
        (("effect", "model.hiden"), ("did you mean 'model.hidden'?",)),
        (("effect", "model.hidden"), ("figures don't mix", "--dataset")),
        (("pareto", "--metric", "f11"), ("did you mean 'f1'?",)),
        (("report", "--runs", "nothing"), ("no run 'nothing'",)),
        (("report", "--out", "."), ("is a folder",)),
    ],
    ids=" ".join,
)
def test_a_mistake_is_told_in_two_lines(
    swept: Tiny, kdgat: Command, words: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    kdgat(*words).mistake(*parts)


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("command", ["leaderboard", "pareto", "report"])
def test_with_nothing_judged_the_next_step_is_told(kdgat: Command, command: str) -> None:
    kdgat(command).mistake("kdgat evaluate")


def test_comparing_shows_what_differs_and_counts_the_rest(swept: Tiny, kdgat: Command) -> None:
    first, *_, last = (run["runs"] for run in fronts(kdgat))
    said = kdgat("compare", first, last)
    assert said.code == 0
    assert "model.hidden" in said.out
    assert "config fields are equal" in said.out
    assert "model.dropout" not in said.out
    found = kdgat("compare", first, last, "--json").json
    assert [row["field"] for row in found["config"]] == ["model.hidden"]


def fronts(kdgat: Command) -> list[dict[str, str]]:
    """The points of the front, cheapest first."""
    (front,) = kdgat("pareto", "--json").json["fronts"]
    return [{"runs": point["run_id"]} for point in front["front"]]


def test_commands_to_copy_are_quoted_for_the_shell(swept: Tiny, kdgat: Command) -> None:
    judged(Workspace(root=swept.root, home=swept.home), 0.8, dataset="alone")
    assert "train more: 'seed=range(3)'" in kdgat("leaderboard", "--dataset", "alone").out
    kdgat("effect", "model.dropout", "--dataset", "alone").mistake("=A,B 'seed=range(3)'")


def test_an_effect_shows_means_and_pairs(swept: Tiny, kdgat: Command) -> None:
    words = ("effect", "model.hidden", "--dataset", "set_01", "--where", "size=large")
    said = kdgat(*words)
    assert said.code == 0
    assert "same seeds, t" in said.out
    assert "0.1000" in said.out
    assert "confounded" not in said.out
    (pair,) = kdgat(*words, "--json").json["paired"]
    assert (pair["pairs"], pair["by_seed"]) == (3, True)


def test_a_front_shows_who_is_beaten_by_whom(swept: Tiny, kdgat: Command) -> None:
    said = kdgat("pareto", "--x", "latency_ms")
    assert said.code == 0
    (front,) = kdgat("pareto", "--x", "latency_ms", "--json").json["fronts"]
    assert front["dominated"][0]["dominated_by"] == front["front"][0]["run_id"]
    assert front["front"][0]["run_id"] in said.out
    assert "hidden=16" in said.out
    assert "hidden=32" in said.out


def test_a_report_is_written_where_it_was_asked_for(swept: Tiny, kdgat: Command) -> None:
    said = kdgat("report", "--out", "page.html")
    assert said.code == 0
    assert "page.html" in said.out
    assert (swept.root / "page.html").read_text().startswith("<!doctype html>")
    done = kdgat("report", "--json").json
    assert Path(swept.root, done["path"]).stat().st_size == done["size_bytes"]
    assert swept.leftovers() == []


def test_a_leaderboard_waits_for_no_torch_no_scipy_and_no_plots(
    swept: Tiny, process: Process
) -> None:
    code = (
        "import sys\nfrom kdgat.cli.main import main\nsys.argv = ['kdgat', 'leaderboard']\n"
        "try:\n main()\nexcept SystemExit as error:\n assert not error.code\n"
        "print(sorted({'torch', 'scipy', 'matplotlib', 'mlflow'} & set(sys.modules)))"
    )
    done = process("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
