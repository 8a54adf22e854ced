"""`kdgat new`, as a user calls it: text files in any workspace, code in a copy of the project."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faces.conftest import Command, Tiny, call

CHECKOUT = Path(__file__).parents[2]
TABLES = (
    "kdgat/configs/model.py", "kdgat/configs/dataset.py", "kdgat/models/table.py",
    "kdgat/training/tasks.py", "kdgat/stages/table.py", "kdgat/stages/train.py",
    "kdgat/data/formats/__init__.py", "mkdocs.yml", "knowledge/decisions/index.md",
)  # fmt: skip


@pytest.fixture
def checkout(empty: Tiny) -> Tiny:
    """A workspace with the project's tables and no other code."""
    for name in TABLES:
        (empty.root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, empty.root / name)
    return empty


def contents(tiny: Tiny) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in tiny.root.rglob("*") if path.is_file()}


CODE = [("model", "edge_mlp"), ("stage", "window_counts"), ("dataset-format", "semicolons")]
TEXT = [
    ("mode", "reviewing"), ("cluster", "newton"), ("question", "Does it help?"),
    ("decision", "why-so"), ("paper", "itsc-2027"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), [*CODE, *TEXT])
def test_a_dry_run_prints_what_is_then_written_and_writes_nothing(
    checkout: Tiny, kdgat: Command, kind: str, name: str
) -> None:
    before = contents(checkout)
    said = kdgat("new", kind, name, "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("--- /dev/null\n+++ b/")
    planned = kdgat("new", kind, name, "--dry-run", "--json").json
    assert contents(checkout) == before
    done = kdgat("new", kind, name, "--json").json
    assert planned["files"] == done["files"]
    assert (planned["written"], done["written"]) == (False, True)
    changed = {path for path, data in contents(checkout).items() if before.get(path) != data}
    assert changed == {checkout.root / each["file"] for each in done["files"]}
    assert {checkout.root / each["file"] for each in done["files"] if each["is_new"]} == (
        changed - before.keys()
    )


@pytest.mark.parametrize(("kind", "name"), [*CODE, *TEXT[:2], *TEXT[3:]])
def test_a_name_that_exists_is_refused_and_nothing_is_changed(
    checkout: Tiny, kdgat: Command, kind: str, name: str
) -> None:
    assert kdgat("new", kind, name).code == 0
    before = contents(checkout)
    kdgat("new", kind, name).mistake("already", "hint: choose another name")
    assert contents(checkout) == before


@pytest.mark.parametrize(("kind", "name"), [
    ("model", "mlp"), ("model", "classifier"), ("stage", "gat"), ("stage", "evaluation"),
    ("dataset-format", "candump"), ("mode", "research"), ("cluster", "pitzer"),
])  # fmt: skip
def test_a_name_of_the_projects_own_is_refused(
    checkout: Tiny, kdgat: Command, kind: str, name: str
) -> None:
    kdgat("new", kind, name).mistake(f"'{name}' already")


@pytest.mark.parametrize(("kind", "name"), [
    ("model", "Edge"), ("model", "edge-mlp"), ("model", "class"), ("model", "match"),
    ("model", "_edge"), ("model", "a" * 25), ("model", "../edge"), ("stage", "2nd"),
    ("dataset-format", "a__b"), ("mode", "list"), ("mode", "A mode"), ("cluster", "new/ton"),
    ("cluster", "a" * 41), ("decision", "Why So"), ("paper", "../up"), ("paper", "a.b"),
])  # fmt: skip
def test_a_name_that_cannot_be_is_refused(
    checkout: Tiny, kdgat: Command, kind: str, name: str
) -> None:
    before = contents(checkout)
    kdgat("new", kind, name).mistake("error: ")
    assert contents(checkout) == before


def test_two_names_of_one_class_are_refused(checkout: Tiny, kdgat: Command) -> None:
    assert kdgat("new", "model", "a1_2").code == 0
    kdgat("new", "model", "a12").mistake("there is a class 'A12Config' already")


@pytest.mark.parametrize("file", ["kdgat/stages/table.py", "kdgat/training/tasks.py"])
def test_a_conflict_in_a_table_is_refused_and_nothing_is_changed(
    checkout: Tiny, kdgat: Command, file: str
) -> None:
    path = checkout.root / file
    path.write_text(f"<<<<<<< HEAD\n{path.read_text()}")
    before = contents(checkout)
    kdgat("new", "model", "edge_mlp").mistake(f"'{file}', line 1 has the mark of a conflict")
    assert contents(checkout) == before


def test_code_needs_a_checkout_of_kdgat(empty: Tiny, kdgat: Command) -> None:
    kdgat("new", "model", "edge_mlp").mistake("kdgat/configs/model.py", "a checkout of kdgat")
    assert not (empty.root / "kdgat").exists()


def test_a_folder_that_takes_no_file_leaves_the_tables_as_they_were(
    checkout: Tiny, kdgat: Command
) -> None:
    # A file where the tests' folder should be.
    (checkout.root / "tests").write_text("no folder\n")
    before = contents(checkout)
    kdgat("new", "model", "edge_mlp").mistake("nothing was changed")
    assert contents(checkout) == before
    assert not checkout.leftovers()


def test_text_files_are_what_their_commands_read(checkout: Tiny, kdgat: Command) -> None:
    for kind, name in TEXT:
        assert kdgat("new", kind, name).code == 0
    assert kdgat("mode", "reviewing").code == 0
    assert "Look before acting" in kdgat("mode", "show", "reviewing").out
    assert kdgat("clusters", "show", "newton", "--json").json["cluster"]["assumed"]
    assert kdgat("questions", "show", "1", "--json").json["question"]["title"] == "Does it help?"
    assert "decisions/0001-why-so.md" in (checkout.root / "mkdocs.yml").read_text()
    assert (
        "[0001](0001-why-so.md)"
        in (checkout.root / "knowledge" / "decisions" / "index.md").read_text()
    )


def test_a_question_is_the_one_that_questions_add_writes(empty: Tiny, kdgat: Command) -> None:
    call("new", "question", "Does it help?")
    call("questions", "add", "Does it help?")
    first, second = sorted((empty.root / "modes" / "questions").glob("*.md"))
    assert first.read_text() == second.read_text()
