"""The files of open questions: what they may say, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdgat.errors import QuestionError
from kdgat.runs.history import user_query
from kdgat.runs.open_questions import Question, read_questions
from kdgat.workspace import Workspace

WHOLE = """\
---
# Comments are for people.
title: Überträgt sich der Schwellwert?   # 何か
status: open
tags: [schwelle, "2024"]
hypothesis: >-
  Nein: er tut
  es nicht.
trigger:
  text: drei Läufe
  sql: select count(*) >= 3 from runs
evidence:
  - 20261121-074455-123f9a2
watch: |
  select count(*) as n
  from runs
opened: 2026-11-21
---

Text with \x1b[31mcolour.
"""
HEAD = "title: a\nstatus: open\nopened: 2026-11-21\n"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path, home=tmp_path / ".kdgat")


def put(ws: Workspace, name: str, text: str | bytes) -> Path:
    path = ws.modes / "questions" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def only(ws: Workspace) -> Question:
    (question,), faults = read_questions(ws)
    assert faults == ()
    return question


def wrong(ws: Workspace, front: str) -> str:
    """What is said of a file with this front matter."""
    put(ws, "0001-a.md", f"---\n{front}---\n")
    questions, faults = read_questions(ws)
    assert questions == ()
    return faults[0]


def test_a_whole_file_is_read(ws: Workspace) -> None:
    put(ws, "0007-schwelle.md", WHOLE)
    question = only(ws)
    assert (question.id, question.title) == ("0007", "Überträgt sich der Schwellwert?")
    assert question.tags == ("schwelle", "2024")
    assert question.hypothesis == "Nein: er tut es nicht."
    assert question.trigger is not None
    assert question.trigger.sql == "select count(*) >= 3 from runs"
    assert question.evidence == ("20261121-074455-123f9a2",)
    assert question.watch == "select count(*) as n\nfrom runs"
    assert question.opened == "2026-11-21"
    assert question.body == "Text with \ufffd[31mcolour."
    assert question.file == "modes/questions/0007-schwelle.md"


def test_windows_line_ends_and_a_mark_at_the_beginning_change_nothing(ws: Workspace) -> None:
    put(ws, "0007-schwelle.md", "\ufeff" + WHOLE.replace("\n", "\r\n"))
    assert only(ws).watch == "select count(*) as n\nfrom runs"
    assert only(ws).body == "Text with \ufffd[31mcolour."


@pytest.mark.parametrize(("front", "line", "said"), [
    ("status: open\nopened: 2026-11-21\n", 1, "title"),
    ("title: ''\nstatus: open\nopened: 2026-11-21\n", 2, "title"),
    (f"title: {'a' * 201}\nstatus: open\nopened: 2026-11-21\n", 2, "200"),
    ('title: "a\\nb"\nstatus: open\nopened: 2026-11-21\n', 2, "title"),
    ('title: "a\\x1bb"\nstatus: open\nopened: 2026-11-21\n', 2, "U+001B"),
    ("title: a\nstatus: opne\nopened: 2026-11-21\n", 3, "'opne'"),
    ("title: a\nopened: 2026-11-21\n", 1, "status"),
    ("title: a\nstatus: open\n", 1, "day"),
    ("title: a\nstatus: open\nopened: soon\n", 4, "'soon'"),
    (HEAD + "tags: window\n", 5, "no list"),
    (HEAD + "tags:\n  - a\n  - yes\n", 7, "'yes'"),
    (HEAD + "evidence: [[a]]\n", 5, "a list or a table"),
    (HEAD + "trigger: now\n", 5, "trigger"),
    (HEAD + "trigger:\n  text: a\n", 6, "sql"),
    (HEAD + "trigger:\n  when: a\n", 6, "'when'"),
    (HEAD + "hypotesis: a\n", 5, "'hypotesis'"),
    (HEAD + "title: b\n", 5, "twice"),
    (HEAD + "watch: !!python/object/apply:os.system [ls]\n", 5, "not text"),
    (HEAD + "closed: 2026-11-21\n", 3, "closed"),
    ("title: a\nstatus: answered\nopened: 2026-11-21\n", 3, "no answer"),
    (HEAD + "hypothesis: a: b\n", 5, "no YAML"),
    (HEAD + f"tags: {'[' * 100_000}\n", 5, "deep"),
    ("- a\n", 2, "no table"),
])  # fmt: skip
def test_a_mistake_is_told_with_its_line(ws: Workspace, front: str, line: int, said: str) -> None:
    told = wrong(ws, front)
    assert told.startswith(f"'modes/questions/0001-a.md:{line}': ")
    assert said in told
    assert len(told) < 200


def test_a_flood_of_aliases_is_refused_at_once(ws: Workspace) -> None:
    levels = "".join(f"  - &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    assert "evidence" in wrong(ws, HEAD + "evidence:\n  - &a0 [x]\n" + levels)


@pytest.mark.parametrize(("name", "content", "said"), [
    ("0001-a.md", b"---\ntitle: \xff\n---\n", "0001-a.md:2': it is not UTF-8"),
    ("0001-a.md", b"x" * 10_000_000, "10.0 MB"),
    ("0001-a.md", b"just text", "no front matter"),
    ("0001-a.md", b"---\ntitle: a\n", "no end"),
    ("0001-a.md", b"", "no front matter"),
    ("idea.md", WHOLE.encode(), "its name"),
])  # fmt: skip
def test_what_is_no_question_is_named_and_hides_no_other(
    ws: Workspace, name: str, content: bytes, said: str
) -> None:
    put(ws, name, content)
    put(ws, "0002-b.md", f"---\n{HEAD}---\n")
    questions, faults = read_questions(ws)
    assert [each.id for each in questions] == ["0002"]
    assert len(faults) == 1
    assert said in faults[0]


def test_a_link_that_leads_out_of_the_workspace_is_not_followed(
    ws: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret.md"
    outside.write_text(WHOLE)
    put(ws, "0001-a.md", "").unlink()
    (ws.modes / "questions" / "0001-a.md").symlink_to(outside)
    questions, faults = read_questions(ws)
    assert questions == ()
    assert "no file of this workspace" in faults[0]


def test_two_files_with_one_number_are_both_named(ws: Workspace) -> None:
    for name in ("0003-a.md", "0003-b.md"):
        put(ws, name, f"---\n{HEAD}---\n")
    questions, faults = read_questions(ws)
    assert [each.file for each in questions] == ["modes/questions/0003-a.md"]
    assert "0003-a.md' and 'modes/questions/0003-b.md' have one number" in faults[0]


def test_without_a_folder_there_is_no_question(ws: Workspace) -> None:
    assert read_questions(ws) == ((), ())


def test_the_view_has_what_the_files_say_now(ws: Workspace) -> None:
    sql = "select id, title, tags, opened, runs, evidence, answer from questions"
    assert user_query(ws, sql).rows == ()
    path = put(ws, "0007-schwelle.md", WHOLE)
    put(ws, "0008-wrong.md", "nothing")
    assert user_query(ws, sql).rows == ((
        "0007", "Überträgt sich der Schwellwert?", "schwelle,2024", "2026-11-21T00:00:00", 1,
        "20261121-074455-123f9a2", None,
    ),)  # fmt: skip
    path.write_text(WHOLE.replace("Schwellwert", "Rang"))
    assert user_query(ws, "select title from questions").rows == (("Überträgt sich der Rang?",),)


def test_an_error_keeps_its_hint(ws: Workspace) -> None:
    from kdgat.runs.open_questions import read_question

    path = put(ws, "0001-a.md", "---\ntitel: a\n---\n")
    with pytest.raises(QuestionError) as raised:
        read_question(ws, path)
    assert raised.value.hint == "did you mean 'title'?"
