"""The tools `runs` and `registry`: what an agent learns of past runs and of models."""

from __future__ import annotations

import pytest

from kdgat.workspace import Workspace
from tests.faces.conftest import Command, Tiny
from tests.faces.mcp.asking import Agent, agent_in
from tests.unit.runs.folders import run_id, write_run
from tests.unit.runs.judged import judged


@pytest.fixture
def judge_four(empty: Tiny) -> Agent:
    """Two widths of two seeds, judged."""
    ws = Workspace(empty.root, empty.home)
    for hidden, f1 in ((32, 0.8), (64, 0.9)):
        for seed in (0, 1):
            judged(
                ws, f1 + seed / 100, seed=seed, parameters=hidden,
                config={"model.hidden": hidden},
            )  # fmt: skip
    return agent_in(empty)


@pytest.fixture
def many(empty: Tiny) -> Agent:
    """Sixty runs."""
    ws = Workspace(empty.root, empty.home)
    for number in range(60):
        write_run(ws, number, epochs=1, metrics={"f1": number / 60})
    return agent_in(empty)


def test_runs_are_found_by_condition_and_shown_with_figures_and_config(trained: Tiny) -> None:
    agent = agent_in(trained)
    listed = agent.ask("runs")
    assert {row["run_id"] for row in listed.rows} == trained.runs()
    assert listed["total"] == 3
    assert listed["next_cursor"] is None
    assert not listed["truncated"]
    (found,) = agent.ask("runs", query="stage = 'evaluation'").rows
    assert found["run_id"] == trained.evaluation
    asked = agent.ask("runs", query="params.model.hidden = 4", order_by="run_id").rows
    assert [row["run_id"] for row in asked][:1] == [trained.teacher]
    assert asked[0]["params.model.hidden"] == 4
    shown = agent.ask("runs", action="show", runs=[trained.teacher], limit=100)
    assert shown.facts["state"] == "completed"
    assert shown.facts["params.model.hidden"] == 4
    assert shown.facts["epochs"] == 2
    assert "last_epoch.val_loss" in shown.facts
    latest = agent.ask("runs", action="show", runs=["latest"])
    assert latest["title"] == f"run {max(trained.runs())}"


def test_two_runs_stand_side_by_side_with_what_differs(trained: Tiny) -> None:
    found = agent_in(trained).ask("runs", action="compare", runs=[trained.teacher, trained.student])
    assert found["columns"] == ["what", trained.teacher, trained.student, "last - first"]
    assert ["params.size", "large", "small", None] in found["items"]
    assert any("not judged yet" in note for note in found["notes"])
    assert "are equal" in found["notes"][-1]


def test_pages_follow_each_other_to_the_end(many: Agent) -> None:
    seen, cursor, answers = [], "", 0
    while cursor is not None:
        page = many.ask("runs", cursor=cursor, limit=25)
        assert page["total"] == 60
        seen += [row["run_id"] for row in page.rows]
        cursor, answers = page["next_cursor"], answers + 1
        assert page["truncated"] == (cursor is not None)
    assert answers == 3
    assert seen == [run_id(number) for number in range(59, -1, -1)]
    assert "narrow `query`" in many.mistake("runs", cursor="1000")


def test_what_does_not_fit_is_left_out_said_and_asked_for_by_the_cursor(many: Agent) -> None:
    wide = "select run_id, repeat_ from (select run_id, md5(run_id) || md5(name) || md5(folder) "
    wide += "|| md5(run_id || 'b') as repeat_ from runs) order by run_id"
    seen, cursor, cuts = [], "", 0
    while cursor is not None:
        page = many.ask("runs", action="sql", query=wide, cursor=cursor, limit=100)
        assert page["total"] == 60
        seen += [row["run_id"] for row in page.rows]
        cuts += "cut to fit" in page["hint"]
        cursor = page["next_cursor"]
    assert cuts
    assert seen == [run_id(number) for number in range(60)]


def test_sql_is_guarded_and_its_views_are_told(trained: Tiny) -> None:
    agent = agent_in(trained)
    found = agent.ask("runs", action="sql", query="select count(*) as n from runs")
    assert found.rows == [{"n": 3}]
    refused = (
        "drop table runs", "select * from read_csv('/etc/passwd')", "copy runs to '/tmp/x'",
        "select getenv('HOME')", "select 1; select 2", "attach '/tmp/x.db'",
    )  # fmt: skip
    for sql in refused:
        agent.mistake("runs", action="sql", query=sql)
    views = {row["view"]: row["columns"] for row in agent.ask("runs", action="tables").rows}
    assert "state" in views["runs"].split(", ")
    columns = agent.ask("runs", action="tables", query="metrics").rows
    assert "protocol" in {row["column"] for row in columns}
    assert "the views are runs" in agent.mistake("runs", action="tables", query="nothing")


def test_a_mode_that_hides_questions_hides_their_view_in_every_argument(trained: Tiny) -> None:
    agent = agent_in(trained)
    hidden = (
        {"action": "sql", "query": "select title from questions"},
        {"action": "sql", "query": 'select title from "QUESTIONS" as q'},
        {"action": "sql", "query": "with a as (from questions) select * from a"},
        {"query": "name in (select title from questions)"},
        {"order_by": "(select count(*) from questions)"},
        {"action": "tables", "query": "questions"},
    )
    for arguments in hidden:
        text = agent.mistake("runs", **arguments)
        assert "the view 'questions' is not served in mode 'mlops'" in text
        assert "kdgat mode research" in text
    assert "questions" not in agent.ask("runs", action="tables").text
    assert "questions" not in str(agent.ask("runs", action="tables").value)
    agent.switch("research")
    assert agent.ask("runs", action="sql", query="select count(*) as n from questions").rows
    assert "questions" in str(agent.ask("runs", action="tables").value)


def test_a_wrong_run_is_told_with_the_next_step(trained: Tiny) -> None:
    agent = agent_in(trained)
    assert "no run 'nowhere'" in agent.mistake("runs", action="show", runs=["nowhere"])
    assert "names 0" in agent.mistake("runs", action="show")
    assert "two runs" in agent.mistake("runs", action="compare", runs=[trained.teacher])
    assert "no 'f_one'" in agent.mistake("runs", query="f_one > 2")


def test_models_are_listed_shown_and_held_against_each_other(trained: Tiny, kdgat: Command) -> None:
    agent = agent_in(trained)
    assert "kdgat models register" in agent.ask("registry")["hint"]
    assert kdgat("models", "register", trained.teacher).code == 0
    assert kdgat("models", "register", trained.student).code == 0
    listed = agent.ask("registry").rows
    assert [row["model"] for row in listed] == ["simulated-gat-large", "simulated-gat-small"]
    shown = agent.ask("registry", action="show", models=["simulated-gat-large"])
    assert shown.rows[0]["run_id"] == trained.teacher
    assert any("registered version 1" in note for note in shown["notes"])
    names = ["simulated-gat-large@1", "simulated-gat-small@1"]
    found = agent.ask("registry", action="diff", models=names, limit=100)
    assert ["params.size", "large", "small"] in found["items"]
    assert "two models" in agent.mistake("registry", action="diff", models=names[:1])
    assert "no registered model" in agent.mistake("registry", action="show", models=["x"])


def test_the_leaderboard_the_front_and_an_effect_carry_intervals(judge_four: Agent) -> None:
    board = judge_four.ask("registry", action="leaderboard")
    (first,) = board.rows
    assert (first["rank"], first["seeds"], first["configs"]) == (1, 2, 2)
    assert first["low"] < first["f1"] < first["high"]
    assert board["notes"][0].startswith("board 1: ")
    front = judge_four.ask("registry", action="pareto")
    assert [row["parameters"] for row in front.rows] == [32, 64]
    effect = judge_four.ask("registry", action="effect", field="model.hidden")
    assert [row["model.hidden"] for row in effect.rows] == ["32", "64"]
    assert effect.rows[1]["paired_difference"] == pytest.approx(0.1)
    assert "no metric" in judge_four.mistake("registry", action="leaderboard", metric="shine")


def test_nothing_promotes(trained: Tiny) -> None:
    assert "choose one of" in agent_in(trained).mistake("registry", action="promote")
