"""Triggers, `watch` and relevance against real histories; the questions that are shipped."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kdgat.modes.finding import find
from kdgat.modes.relevance import by_relevance, recent_runs, relevances
from kdgat.modes.watching import trigger_state, trigger_states, watched
from kdgat.ops.question_words import question_words as cut
from kdgat.runs.history import open_history
from kdgat.runs.open_questions import Question, Trigger, read_questions
from kdgat.workspace import Workspace
from tests.unit.runs.judged import judge, judged, trained

CHECKOUT = Path(__file__).parents[3]
REAL = {"test_02_unknown_vehicle_known_attack": 0.58, "test_01_known_vehicle_known_attack": 0.99}


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path, home=tmp_path / ".kdgat")


def question(number: int, title: str, *tags: str, sql: str = "", **more: object) -> Question:
    trigger = Trigger("when", sql) if sql else None
    plain = Question(
        f"{number:04d}", title, "open", tags, "", trigger, (), None, "2026-11-21", None, None, "",
        "a.md",
    )  # fmt: skip
    return replace(plain, **more)


class TestTriggers:
    @pytest.mark.parametrize(("sql", "fired", "value"), [
        ("select count(*) from runs", True, 1),
        ("select count(*) >= 1 from runs", True, True),
        ("select count(*) from runs where state = 'failed'", False, 0),
        ("select count(*) >= 3 from runs", False, False),
        ("select max(duration_s) > 1e9 from runs where false", False, None),
    ])  # fmt: skip
    def test_a_boolean_or_a_count_decides(
        self, ws: Workspace, sql: str, fired: bool, value: object
    ) -> None:
        trained(ws)
        with open_history(ws) as history:
            state = trigger_state(history, Trigger("when", sql))
        assert (state.fired, state.value, state.problem) == (fired, value, None)

    @pytest.mark.parametrize(("sql", "said"), [
        ("drop table runs", "refused"),
        ("select nothing from runs", "nothing"),
        ("select 1, 2", "2 columns"),
        ("select i from range(3) t(i)", "several rows"),
        ("select 1 where false", "0 row"),
        ("select 'yes'", "neither"),
        ("select * from read_csv('/etc/passwd')", "refused"),
        ("", "no statement"),
    ])  # fmt: skip
    def test_sql_that_gives_neither_is_told_and_fires_nothing(
        self, ws: Workspace, sql: str, said: str
    ) -> None:
        with open_history(ws) as history:
            state = trigger_state(history, Trigger("when", sql))
            assert said in (state.problem or "")
            assert not state.fired
            # The next one is asked all the same.
            assert trigger_state(history, Trigger("when", "select true")).fired

    def test_a_slow_one_is_cut_off_and_the_next_is_asked(self, ws: Workspace) -> None:
        slow = "select count(*) from range(1000000) a, range(1000000) b, range(1000) c"
        with open_history(ws) as history:
            state = trigger_state(history, Trigger("when", slow), timeout_s=0.2)
            assert "cut off" in (state.problem or "")
            assert trigger_state(history, Trigger("when", "select true")).fired

    def test_those_of_answered_questions_are_not_asked(self, ws: Workspace) -> None:
        asked = [
            question(1, "a", sql="select true"),
            question(2, "b", sql="select true", status="answered"),
            question(3, "c", sql="select true", status="historical"),
        ]
        with open_history(ws) as history:
            assert set(trigger_states(history, asked)) == {"0001", "0003"}

    def test_what_is_watched_stays_current(self, ws: Workspace) -> None:
        for runs in (1, 2):
            trained(ws)
            with open_history(ws) as history:
                answer = watched(history, "select count(*) as runs from runs")
            assert (answer.columns, answer.rows, answer.problem) == (("runs",), ((runs,),), None)

    def test_what_is_watched_is_cut_and_says_so(self, ws: Workspace) -> None:
        with open_history(ws) as history:
            answer = watched(history, "select i from range(1000) t(i)")
        assert (len(answer.rows), answer.truncated) == (50, True)


class TestRelevance:
    def order(self, ws: Workspace, *questions: Question) -> list[str]:
        with open_history(ws) as history:
            states = trigger_states(history, questions)
            runs = recent_runs(history, 14, cut)
        fired = {name for name, state in states.items() if state.fired}
        known = relevances(questions, runs, fired, cut)
        return [each.id for each in by_relevance(questions, known, fired)]

    def test_words_of_recent_runs_raise_a_question(self, ws: Workspace) -> None:
        judged(ws, REAL, dataset="hcrl_sa")
        questions = (
            question(1, "Anything?", "curriculum"),
            question(2, "Anything?", "unknown vehicle"),
            question(3, "Anything?", "hcrl_sa", "unknown vehicle"),
        )
        assert self.order(ws, *questions) == ["0003", "0002", "0001"]

    def test_what_every_question_shares_decides_little(self, ws: Workspace) -> None:
        judged(ws, REAL)
        judged(ws, {"test_01_known_vehicle_known_attack": 0.9}, model="vgae")
        questions = (
            question(1, "Anything?", "classifier", "vgae"),
            question(2, "Anything?", "classifier", "threshold"),
            question(3, "Anything?", "classifier", "curriculum"),
        )
        assert self.order(ws, *questions)[0] == "0001"

    def test_a_fired_trigger_goes_before_everything(self, ws: Workspace) -> None:
        run = judged(ws, REAL)
        questions = (
            question(1, "Is it gat?", "gat", evidence=(run.run_id,)),
            question(2, "Other?", sql="select count(*) > 0 from runs"),
            question(3, "Closed?", "gat", status="dropped"),
            question(4, "Nothing?"),
        )
        assert self.order(ws, *questions) == ["0002", "0001", "0004", "0003"]

    def test_a_judged_run_that_is_evidence_counts_and_is_named(self, ws: Workspace) -> None:
        run = trained(ws)
        judge(ws, run, REAL)
        asked = (question(1, "A?"), question(2, "B?", evidence=(run.run_id,)))
        with open_history(ws) as history:
            known = relevances(asked, recent_runs(history, 14, cut), (), cut)
        assert known["0002"].why == "a recent run is its evidence"
        assert known["0001"].score == 0

    def test_what_counted_is_named_as_the_question_writes_it(self, ws: Workspace) -> None:
        judged(ws, REAL)
        asked = (
            question(1, "What fails on unknown Vehicles?"),
            question(2, "B?", "known vehicles"),
        )
        with open_history(ws) as history:
            known = relevances(asked, recent_runs(history, 14, cut), (), cut)
        assert (known["0001"].why, known["0002"].why) == ("unknown, vehicles", "known vehicles")

    def test_runs_before_the_days_and_archived_ones_do_not_count(self, ws: Workspace) -> None:
        from kdgat.ledger.journal import Journal

        trained(ws, created_at="2026-01-01T00:00:00+00:00", dataset="old")
        away = trained(ws, dataset="away")
        trained(ws, dataset="new")
        Journal(ws.journal).append("archived", run_id=away.run_id)
        with open_history(ws) as history:
            (run,) = recent_runs(history, 14, cut)
        assert "new" in run.words

    def test_without_runs_the_number_decides(self, ws: Workspace) -> None:
        assert self.order(ws, question(2, "b", "gat"), question(1, "a")) == ["0001", "0002"]


class TestSearch:
    def ids(self, query: str, *questions: Question) -> list[str]:
        return [hit.question.id for hit in find(questions, query, cut)]

    def test_title_goes_before_hypothesis_before_body(self) -> None:
        found = self.ids(
            "thresholds",
            question(1, "a", body="the threshold"),
            question(2, "a", hypothesis="the threshold"),
            question(3, "The threshold?"),
            question(4, "a"),
        )
        assert found == ["0003", "0002", "0001"]

    def test_rare_words_decide(self) -> None:
        found = self.ids(
            "window curriculum", question(1, "window"), question(2, "curriculum"),
            question(3, "window"),
        )  # fmt: skip
        assert found[0] == "0002"

    @pytest.mark.parametrize(("title", "query"), [
        ("Überträgt sich der Schwellwert?", "ÜBERTRÄGT schwellwert"),
        ("Überträgt sich der Schwellwert?", "U\u0308bertra\u0308gt"),
        ("未知の車両で閾値は使えるか", "閾値"),
        ("Порог на новой машине", "порог"),
    ])  # fmt: skip
    def test_any_script_is_found(self, title: str, query: str) -> None:
        assert self.ids(query, question(1, title), question(2, "Other")) == ["0001"]

    def test_the_line_that_says_most_is_quoted(self) -> None:
        (hit,) = find((question(1, "a", body="One line.\nThe jump helps.\nMore."),), "jump", cut)
        assert hit.quoted == "The jump helps."


class TestShipped:
    @pytest.fixture
    def shipped(self, ws: Workspace) -> tuple[Question, ...]:
        shutil.copytree(CHECKOUT / "modes" / "questions", ws.modes / "questions")
        questions, faults = read_questions(ws)
        assert faults == ()
        return questions

    def test_each_has_a_hypothesis_a_trigger_and_something_to_watch(
        self, shipped: tuple[Question, ...]
    ) -> None:
        assert len(shipped) >= 7
        for each in shipped:
            assert each.hypothesis, each.file
            assert each.watch, each.file
            assert each.trigger, each.file
            assert "## What would" in each.body, each.file

    @pytest.mark.parametrize("filled", [False, True])
    def test_their_sql_can_be_asked(
        self, ws: Workspace, shipped: tuple[Question, ...], filled: bool
    ) -> None:
        if filled:
            fill(ws)
        with open_history(ws) as history:
            for each in shipped:
                assert each.watch
                assert each.trigger
                answer, state = watched(history, each.watch), trigger_state(history, each.trigger)
                assert (each.file, answer.problem, state.problem) == (each.file, None, None)
                assert (bool(answer.rows), state.fired) == (filled, filled), each.file


def fill(ws: Workspace) -> None:
    """Runs that each of the shipped questions looks at."""
    teacher = judged(ws, REAL, config={"data.window_messages": 100, "data.stride_messages": 100})
    middle = judged(
        ws, REAL, teacher=teacher.run_id, size="small",
        metrics={"parameters": 10, "teacher_parameters": 1370},
        config={"data.window_messages": 50, "data.stride_messages": 50},
    )  # fmt: skip
    judged(ws, REAL, teacher=middle.run_id, config={"model.activation": "jumprelu"})
    for value in ("easy_first", "random"):
        judged(ws, REAL, config={"training.curriculum": value})
    adapted = judge(ws, teacher, REAL)
    report = next(ws.runs.glob(f"*/*/{adapted.run_id}")) / "artifacts" / "evaluation.json"
    values = json.loads(report.read_text().replace("zero_shot", "adapted"))
    rows = values["scenarios"]
    worse = [{**row["metrics"], "f1": row["metrics"]["f1"] - 0.1} for row in rows]
    values["scenarios"] = rows + [
        {**row, "variant": "poisoned", "metrics": metrics}
        for row, metrics in zip(rows, worse, strict=True)
    ]
    report.write_text(json.dumps(values))
    weighed = [teacher.run_id, middle.run_id]
    for _ in range(3):
        judged(ws, REAL, config={"model.scorers": weighed, "model.method": "dqn"})
