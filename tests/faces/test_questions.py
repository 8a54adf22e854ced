"""`kdgat questions`: raised, listed, shown, linked, closed, found; what a person and a pipe get."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdgat.cli.questions import complete_question
from kdgat.ops.docs import search_docs, sync_docs
from kdgat.ops.questions import log_question, show_question
from kdgat.reference.open_questions import questions_page
from kdgat.workspace import Workspace
from tests.faces.conftest import Command, Tiny
from tests.faces.test_reference import CHECKOUT, copy_of_the_site

TITLE = "Überträgt sich der Schwellwert?"


@pytest.fixture
def asked(empty: Tiny, kdgat: Command) -> Tiny:
    """An empty workspace with one question."""
    done = kdgat(
        "questions", "add", TITLE, "--hypothesis", "Nein: er tut es nicht", "--tag", "schwelle",
        "--trigger", "ein Lauf", "--trigger-sql", "select count(*) from runs",
        "--watch", "select count(*) as runs from runs", "--body", "Warum?", "--json",
    ).json  # fmt: skip
    assert (done["id"], done["status"], done["changed"]) == ("0001", "open", True)
    return empty


def file_of(tiny: Tiny) -> Path:
    (path,) = (tiny.root / "modes" / "questions").glob("0001-*.md")
    return path


def write(tiny: Tiny, name: str, content: bytes) -> None:
    folder = tiny.root / "modes" / "questions"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


@pytest.mark.usefixtures("asked")
def test_a_question_is_listed_shown_and_found(kdgat: Command) -> None:
    (item,) = kdgat("questions", "list", "--json").json["items"]
    assert (item["id"], item["title"], item["status"]) == ("0001", TITLE, "open")
    assert item["trigger"] == {"text": "ein Lauf", "fired": False, "value": 0, "problem": None}
    shown = kdgat("questions", "show", "1").out
    for line in (f"0001 {TITLE}", "hypothesis: Nein: er tut es nicht", "trigger: ein Lauf: not yet",
                 "  | Warum?", "Watched"):  # fmt: skip
        assert line in shown
    (hit,) = kdgat("questions", "search", "schwellwert", "--json").json["items"]
    assert (hit["id"], hit["score"]) == ("0001", 1.0)
    assert "no question holds" in kdgat("questions", "search", "curriculum").out
    row = kdgat("history", "sql", "select id, title, runs from questions", "--json").json["rows"]
    assert row == [["0001", TITLE, 0]]


def test_a_run_that_exists_is_linked_and_shown_with_its_figures(
    trained: Tiny, kdgat: Command
) -> None:
    kdgat("questions", "add", "Does it hold?", "--watch", "select count(*) as n from runs")
    for reference in (trained.teacher, trained.evaluation):
        done = kdgat("questions", "link", "1", reference, "--json").json
        assert (done["run_id"], done["changed"]) == (reference, True)
    again = kdgat("questions", "link", "1", trained.teacher, "--json").json
    assert again["changed"] is False
    view = kdgat("questions", "show", "1", "--json").json
    assert view["question"]["evidence"] == [trained.teacher, trained.evaluation]
    assert view["watch"]["rows"] == [[3]]
    teacher, evaluation = view["evidence"]
    assert (teacher["state"], teacher["provenance"]) == ("completed", "simulated")
    names = {(each["name"], each["protocol"]) for each in teacher["figures"]}
    assert names == {
        (name, protocol) for name in ("f1", "auroc") for protocol in ("zero_shot", "adapted")
    }
    assert evaluation["figures"] == teacher["figures"]
    assert trained.teacher in kdgat("questions", "show", "1").out
    assert "a recent run is its evidence" in kdgat("questions", "list").out
    kdgat("runs", "rm", trained.evaluation, "--yes")
    gone = kdgat("questions", "show", "1", "--json").json["evidence"][1]
    assert (gone["run_id"], gone["state"], gone["figures"]) == (trained.evaluation, "gone", [])


def test_a_fired_trigger_is_told_with_its_value(trained: Tiny, kdgat: Command) -> None:
    kdgat("questions", "add", "Plain?", "--tag", "gat")
    kdgat("questions", "add", "Raised?", "--trigger", "three runs",
          "--trigger-sql", "select count(*) from runs")  # fmt: skip
    first, _ = kdgat("questions", "list", "--json").json["items"]
    assert (first["id"], first["trigger"]["fired"], first["trigger"]["value"]) == ("0002", True, 3)
    assert "three runs: fired (3)" in kdgat("questions", "show", "2").out
    order = kdgat("questions", "list", "--order", "number", "--json").json["items"]
    assert [each["id"] for each in order] == ["0001", "0002"]


def test_notes_and_answers_leave_what_was_written_by_hand(asked: Tiny, kdgat: Command) -> None:
    path = file_of(asked)
    path.write_text(path.read_text().replace("status: open", "# Mine.\nstatus: open   # yet"))
    assert kdgat("questions", "link", "1", "--note", "Zwei\nZeilen").code == 0
    assert kdgat("questions", "close", "1", "--answer", "Nein: # .58").code == 0
    text = path.read_text()
    assert "# Mine.\nstatus: answered   # yet\n" in text
    assert "answer: 'Nein: # .58'\n" in text
    assert "\nWarum?\n\n- 20" in text
    assert ", Zwei\n  Zeilen\n" in text
    view = show_question(Workspace.find(), "1").question
    assert (view.answer, view.status) == ("Nein: # .58", "answered")
    assert view.closed is not None
    kdgat("questions", "close", "1", "--answer", "x").mistake("0001 is answered already since 20")
    assert path.read_text() == text
    assert kdgat("questions", "list", "--status", "open", "--json").json["total"] == 0


@pytest.mark.parametrize(("arguments", "words"), [
    (("add", " "), ("title is empty",)),
    (("add", "a" * 201), ("201 characters",)),
    (("add", "a", "--trigger", "words"), ("only one of them",)),
    (("add", "a", "--trigger", "w", "--trigger-sql", "drop table runs"), ("DROP is refused",)),
    (("add", "a", "--trigger", "w", "--trigger-sql", "select 1, 2"), ("2 columns",)),
    (("add", "a", "--watch", "select x from runs"), ("x", "kdgat history sql")),
    (("add", "a", "--watch", "select * from read_text('/etc/passwd')"), ("refused",)),
    (("show", "7"), ("there is no question '7'", "kdgat questions list")),
    (("show", "../0001"), ("there is no question",)),
    (("link", "1"), ("neither a run nor a note",)),
    (("link", "1", "nobody"), ("no run 'nobody'",)),
    (("link", "7", "--note", "x"), ("there is no question '7'",)),
    (("close", "1", "--answer", " "), ("answer is empty",)),
    (("list", "--status", "opne"), ("'opne'", "did you mean 'open'")),
    (("search", " ?! "), ("no word",)),
])  # fmt: skip
def test_mistakes_are_two_lines_and_change_nothing(
    asked: Tiny, kdgat: Command, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    before = {path: path.read_bytes() for path in asked.root.glob("modes/**/*.*")}
    kdgat("questions", *arguments).mistake(*words)
    assert {path: path.read_bytes() for path in asked.root.glob("modes/**/*.*")} == before


def test_files_that_are_wrong_are_warned_of_and_hide_no_other(asked: Tiny, kdgat: Command) -> None:
    write(asked, "0002-a.md", b"\xff")
    write(asked, "0003-a.md", b"x" * 10_000_000)
    write(asked, "0004-a.md", b"---\ntitle: a\nstatus: opne\nopened: 2026-11-21\n---\n")
    write(asked, "0001-b.md", file_of(asked).read_bytes())
    said = kdgat("questions", "list")
    assert (said.code, said.err.count("warning: ")) == (0, 4)
    assert TITLE in said.out
    for word in ("0002-a.md:1': it is not UTF-8", "10.0 MB", "0004-a.md:3'", "have one number"):
        assert word in said.err
    kdgat("questions", "show", "2").mistake("0002-a.md:1", "save it as UTF-8")
    kdgat("questions", "link", "1", "--note", "x").mistake("have one number", "rename")


def test_sql_of_a_file_that_is_wrong_is_told_beside_the_question(
    asked: Tiny, kdgat: Command
) -> None:
    path = file_of(asked)
    path.write_text(path.read_text().replace("select count(*)", "select nothing"))
    said = kdgat("questions", "show", "1")
    assert said.code == 0
    assert "what is watched can't be asked" in said.err
    assert "ein Lauf: not known, the question is wrong" in said.out
    (item,) = kdgat("questions", "list", "--json").json["items"]
    assert "nothing" in item["trigger"]["problem"]


def test_a_question_in_passing_keeps_all_of_its_text(empty: Tiny) -> None:
    ws = Workspace.find()
    done = log_question(ws, "Why is it slow?\nSecond line.", context="training gat")
    question = show_question(ws, done.id).question
    assert (question.title, question.tags) == ("Why is it slow?", ("logged",))
    assert question.body == ("Why is it slow?\nSecond line.\n\nRaised in passing: training gat")
    long = log_question(ws, "word " * 100)
    assert show_question(ws, long.id).question.body == ("word " * 100).strip()
    assert len(long.title) == 200


@pytest.mark.usefixtures("asked")
def test_ids_are_completed_with_their_titles() -> None:
    assert complete_question("0") == [("0001", TITLE)]
    assert complete_question("9") == []


def test_a_list_of_questions_loads_no_torch(asked: Tiny, process: Callable[..., Any]) -> None:
    code = (
        "import sys; from kdgat.cli.main import main\n"
        "sys.argv = ['kdgat', 'questions', 'list']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print({'torch', 'mlflow', 'polars', 'numpy', 'pyarrow'} & set(sys.modules))"
    )
    assert process("-c", code).stdout.splitlines()[-1] == "set()"


class TestDocumentation:
    def test_the_index_leaves_questions_out(self, empty: Tiny) -> None:
        """Also where a workspace has no pages of its own, and all of it is a site."""
        for name in ("0001-a.md", "0002-b.md"):
            write(empty, name, b"---\ntitle: Zebra crossing\n---\nzebra crossing\n")
        (empty.root / "modes" / "mlops.md").write_text("# A page\n\nwords\n")
        (empty.root / "knowledge").mkdir()
        (empty.root / "knowledge" / "sources.toml").write_text(
            '[[source]]\nname = "here"\npath = "."\n'
        )
        ws = Workspace.find()
        assert sync_docs(ws).sources[0].pages == 1
        found = search_docs(ws, "zebra crossing").results
        assert not [each for each in found if "questions" in each.page]

    def test_the_site_has_a_page_of_them_that_no_index_has(
        self, empty: Tiny, kdgat: Command
    ) -> None:
        import shutil

        copy_of_the_site(empty.root)
        shutil.copytree(CHECKOUT / "modes", empty.root / "modes")
        built = kdgat("docs", "build", "--strict", "--json").json
        assert built["warnings"] == []
        page = (empty.home / "site" / "open-questions" / "index.html").read_text()
        assert 'id="question-0001"' in page
        assert "arxiv.org/abs/1904.03750" in page
        assert 'href="../decisions/0009-evaluation/"' in page
        assert not (empty.root / "knowledge" / "open-questions.md").exists()

    def test_the_page_says_so_when_there_is_none(self) -> None:
        assert "Nothing is asked here yet" in questions_page(None, ())

    def test_text_of_a_question_can_not_break_the_page(self, empty: Tiny, kdgat: Command) -> None:
        from kdgat.ops.questions import list_questions
        from kdgat.runs.open_questions import read_questions

        copy_of_the_site(empty.root)
        kdgat(
            "questions", "add", "A [link](x.md) | <script>alert(1)</script> {#a} `", "--body",
            "# Top\n\n<script>alert(2)</script> [gone](gone.md) ![p](p.png)\n\n```\nopen [x](y.md)",
        )  # fmt: skip
        kdgat("questions", "add", "The next?")
        page = questions_page(list_questions(Workspace.find()), read_questions(Workspace.find())[0])
        assert page.count("\n## ") == 2
        assert kdgat("docs", "build", "--strict", "--json").json["warnings"] == []
        html = (empty.home / "site" / "open-questions" / "index.html").read_text()
        assert "<script>alert" not in html
        assert 'id="question-0002"' in html
