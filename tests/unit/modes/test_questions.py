"""Writing questions: numbers that no two take, and edits that keep what people wrote."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdgat.errors import QuestionError
from kdgat.modes.question_edits import new_text, with_item, with_note, with_value
from kdgat.modes.questions import change_question, create_question, find_question, slug
from kdgat.runs.open_questions import Question, question_of, read_questions
from kdgat.workspace import Workspace

BY_HAND = """\
---
status: open   # since the talk
# The lab's own words:
title:   "Is it so?"
opened: 2026-11-21
%s
tags: [a]
---
# Text

Kept  as it is.
"""
PATH = Path("0001-a.md")


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path, home=tmp_path / ".kdgat")


def settings(**more: Any) -> dict[str, Any]:
    return {"title": "Is it so?", "status": "open", "opened": "2026-11-21", **more}


def read(text: str) -> Question:
    return question_of(text, PATH, PATH.name)


def changed_lines(before: str, after: str) -> tuple[set[str], set[str]]:
    old, new = set(before.splitlines()), set(after.splitlines())
    return old - new, new - old


class TestEdits:
    def test_a_value_is_replaced_where_it_stands(self) -> None:
        text = BY_HAND % "watch: select 1"
        after = with_value(text, "a.md", "status", "answered")
        assert changed_lines(text, after) == (
            {"status: open   # since the talk"}, {"status: answered   # since the talk"},
        )  # fmt: skip

    @pytest.mark.parametrize(("before", "after"), [
        ("watch: select 1", "evidence: [r2]"),
        ("evidence:", "evidence: [r2]"),
        ("evidence:   # none", "evidence: [r2]   # none"),
        ("evidence: []", "evidence: [r2]"),
        ("evidence: [r1] # one", "evidence: [r1, r2] # one"),
        ("evidence: [\n  r1,\n]", "evidence: [\n  r1, r2,\n]"),
        ("evidence:\n  - r1  # one\n  # end", "evidence:\n  - r1  # one\n  - r2\n  # end"),
        ("evidence:\n- r1", "evidence:\n- r1\n- r2"),
    ])  # fmt: skip
    def test_a_run_is_added_however_the_list_is_written(self, before: str, after: str) -> None:
        text = BY_HAND % before
        changed = with_item(text, "a.md", "evidence", "r2")
        assert after in changed
        assert read(changed).evidence == (*read(text).evidence, "r2")
        assert changed.endswith("# Text\n\nKept  as it is.\n")

    @pytest.mark.parametrize("end", ["\n", "\r\n"])
    def test_line_ends_stay_as_they_are(self, end: str) -> None:
        text = (BY_HAND % "evidence:\n  - r1").replace("\n", end)
        changed = with_item(text, "a.md", "evidence", "r2")
        changed = with_value(changed, "a.md", "answer", "two\nlines")
        changed = with_note(changed, "- a note\n  of two lines")
        assert changed.count("\r\n") == (changed.count("\n") if end == "\r\n" else 0)
        assert read(changed.replace("status: open", "status: answered")).answer == "two\nlines"

    @given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).map(str.strip))
    def test_any_text_comes_back_as_it_was_written(self, text: str) -> None:
        made = new_text(settings(hypothesis=text, tags=[text]), "")
        assert read(made).hypothesis == text
        assert read(with_value(made, "a.md", "title", f"x{text}"[:200])).title == f"x{text}"[:200]

    def test_a_new_file_reads_like_one_written_by_hand(self) -> None:
        made = new_text(settings(watch="select 1\nfrom runs", tags=["ä", "b"]), "Body.")
        assert made == (
            "---\ntitle: Is it so?\nstatus: open\ntags: [ä, b]\nwatch: |-\n  select 1\n"
            "  from runs\nopened: '2026-11-21'\n---\n\nBody.\n"
        )


class TestCreate:
    def test_numbers_go_up_from_the_highest_also_of_a_broken_file(self, ws: Workspace) -> None:
        assert create_question(ws, settings(), "").id == "0001"
        (ws.modes / "questions" / "0041-broken.md").write_text("nothing")
        assert create_question(ws, settings(), "").id == "0042"
        assert {path.name for path in (ws.modes / "questions").iterdir()} == {
            "0001-is-it-so.md", "0041-broken.md", "0042-is-it-so.md",
        }  # fmt: skip

    @pytest.mark.parametrize(("more", "body", "said"), [
        ({"title": " \n"}, "", "title is empty"),
        ({"title": "a" * 201}, "", "201 characters"),
        ({"title": "a\x1b[31m"}, "", r"U\+001B"),
        ({"hypothesis": "\x00"}, "", "hypothesis"),
        ({}, "a" * 10_000_000, "10.0 MB"),
        ({}, "\udcff", "no valid Unicode"),
    ])  # fmt: skip
    def test_what_is_wrong_is_refused_and_nothing_is_written(
        self, ws: Workspace, more: dict[str, str], body: str, said: str
    ) -> None:
        with pytest.raises(QuestionError, match=said):
            create_question(ws, settings(**more), body)
        assert list(ws.root.rglob("*.*")) == []

    def test_eight_processes_take_eighty_numbers(self, ws: Workspace) -> None:
        code = (
            "import sys; from pathlib import Path; from kdgat.workspace import Workspace\n"
            "from kdgat.modes.questions import create_question\n"
            "ws = Workspace(root=Path(sys.argv[1]), home=Path(sys.argv[1]))\n"
            "given = {'status': 'open', 'opened': '2026-11-21'}\n"
            "sys.stdin.read()\n"
            "for n in range(10): create_question(ws, {'title': f'{sys.argv[2]} {n}', **given}, '')"
        )
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(ws.root), str(each)], stdin=subprocess.PIPE
            )
            for each in range(8)
        ]
        for each in processes:
            assert each.stdin is not None
            each.stdin.close()
        assert [each.wait(timeout=120) for each in processes] == [0] * 8
        questions, faults = read_questions(ws)
        assert faults == ()
        assert len({each.id for each in questions}) == 80
        assert not list(ws.root.rglob(".partial-*"))

    def test_a_claim_of_a_killed_process_stops_nobody(self, ws: Workspace) -> None:
        folder = ws.modes / "questions"
        folder.mkdir(parents=True)
        claim = folder / ".partial-0001"
        claim.touch()
        assert create_question(ws, settings(), "").id == "0002"
        os.utime(claim, (0, 0))
        assert change_question(ws, "2", lambda text, _: with_note(text, "x"), {}).body == "x"
        claim.rename(folder / ".partial-0002")
        assert change_question(ws, "2", lambda text, _: with_note(text, "y"), {}).body == "x\n\ny"
        assert not list(folder.glob(".partial-*"))

    @pytest.mark.parametrize(("title", "name"), [
        ("Does a longer window help?", "does-a-longer-window-help"),
        ("Überträgt er sich?", "überträgt-er-sich"),
        ("車両が未知のとき", "車両が未知のとき"),
        ("😀 ?!", "question"),
        ("../../etc/passwd", "etc-passwd"),
        ("word " * 40, "word-word-word-word-word-word-word-word-word-word-word-word"),
    ])  # fmt: skip
    def test_a_file_is_named_by_its_title(self, title: str, name: str) -> None:
        assert slug(title) == name


class TestChange:
    def test_a_file_that_can_not_be_changed_is_left_alone(self, ws: Workspace) -> None:
        question = create_question(ws, settings(), "")
        path = ws.root / question.file
        # A list that is given by an alias has no end of its own to add to.
        text = path.read_text().replace("---\n", "---\ntags: &x [a]\nevidence: *x\n", 1)
        path.write_text(text)
        with pytest.raises(QuestionError, match="can't be changed by a command") as raised:
            change_question(
                ws, "1", lambda old, now: with_item(old, now.file, "evidence", "b"),
                {"evidence": ("a", "b")},
            )  # fmt: skip
        assert "evidence" in raised.value.hint
        assert path.read_text() == text

    @pytest.mark.parametrize("name", ["1", "0001", "#1", " 001 "])
    def test_a_number_is_found_however_it_is_written(self, ws: Workspace, name: str) -> None:
        create_question(ws, settings(), "")
        assert find_question(ws, name).id == "0001"

    @pytest.mark.parametrize("name", ["2", "", "x", "-1", "../x", "1" * 400, "²"])
    def test_an_unknown_number_is_told(self, ws: Workspace, name: str) -> None:
        create_question(ws, settings(), "")
        with pytest.raises(QuestionError, match="there is no question"):
            find_question(ws, name)

    def test_a_number_that_two_files_have_is_told(self, ws: Workspace) -> None:
        question = create_question(ws, settings(), "")
        path = ws.root / question.file
        path.with_name("0001-other.md").write_text(path.read_text())
        with pytest.raises(QuestionError, match=r"0001-is-it-so.md' and .*0001-other.md' have one"):
            find_question(ws, "1")
