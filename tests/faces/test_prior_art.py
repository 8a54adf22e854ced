"""`kdgat prior-art`: what a person and an agent are told exists."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kdgat.ops.prior_art import prior_art
from kdgat.workspace import Workspace
from tests.faces.conftest import Command, Tiny, call, enter, new_root

pytestmark = pytest.mark.slow

MOST_CHARACTERS = 8_000
QUESTION = "---\ntitle: Does the replay ratio matter?\nstatus: open\nopened: 2026-11-21\n---\n"


@pytest.fixture(scope="session")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Indexes of the real packages, made once."""
    root = new_root(tmp_path_factory.mktemp("indexed"))
    with pytest.MonkeyPatch.context() as patch:
        enter(root, patch)
        assert call("prior-art", "anything").code == 0
    return root / ".kdgat" / "knowledge"


@pytest.fixture
def indexed(empty: Tiny, indexes: Path) -> Tiny:
    """An empty workspace whose packages are known."""
    shutil.copytree(indexes, empty.home / "knowledge")
    return empty


@pytest.mark.usefixtures("indexed")
def test_the_command_that_exists_is_first(kdgat: Command) -> None:
    said = kdgat("prior-art", "plan the batch size by memory")
    assert said.out.startswith("kdgat memory plan  (command")
    assert "use: kdgat memory plan dataset=" in said.out
    assert len(said.out.splitlines()) <= 60


@pytest.mark.usefixtures("indexed")
def test_installed_packages_are_told_with_the_line_that_imports_them(kdgat: Command) -> None:
    said = kdgat("prior-art", "early stopping", "--json").json
    hit = next(h for h in said["items"] if h["name"].endswith("callbacks.EarlyStopping"))
    assert hit["use"].startswith("from lightning.pytorch.callbacks import EarlyStopping")
    path, _, line = hit["where"].rpartition(":")
    assert Path(path).read_text().splitlines()[int(line) - 1].startswith("class EarlyStopping")
    assert not said["low_confidence"]
    assert len(json.dumps(said)) <= MOST_CHARACTERS


@pytest.mark.usefixtures("indexed")
def test_a_decision_says_what_was_decided(kdgat: Command) -> None:
    items = kdgat("prior-art", "tune the batch size", "--json").json["items"]
    (decision,) = (hit for hit in items if hit["name"] == "Batch size is planned, not tuned")
    assert decision["what"].startswith("decided: ")


@pytest.mark.usefixtures("indexed")
def test_nothing_near_is_said_plainly_with_what_was_searched(kdgat: Command) -> None:
    said = kdgat("prior-art", "bake sourdough bread")
    assert said.out.startswith("nothing like it here, as it seems")
    assert "names of installed packages" in said.out
    assert len(kdgat("prior-art", "payroll tax", "--json").json["items"]) <= 3


def test_each_look_is_remembered(kdgat: Command, indexed: Tiny) -> None:
    kdgat("prior-art", "early stopping")
    kdgat("prior-art", "moving average")
    lines = (indexed.home / "agent" / "prior-art.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["query"] for row in rows] == ["early stopping", "moving average"]
    assert all(row["time"].startswith("20") and row["hits"] for row in rows)


def test_a_function_that_was_just_written_is_found(
    indexed: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kdgat.knowledge import own

    package = tmp_path / "kdgat"
    package.mkdir()
    monkeypatch.setattr(own, "PACKAGE", package)
    ws = Workspace.find()
    source = package / "wheels.py"
    for name in ("spin", "turn"):
        source.write_text(f'def {name}_flywheel():\n    """{name.title()} the flywheel."""\n')
        found = [hit.name for hit in prior_art(ws, "flywheel").items]
        assert found[:1] == [f"kdgat.wheels.{name}_flywheel"]


def test_open_questions_are_shown_only_where_they_may_be(indexed: Tiny) -> None:
    folder = indexed.root / "modes" / "questions"
    folder.mkdir(parents=True)
    (folder / "0001-replay.md").write_text(QUESTION)
    (folder / "0002-broken.md").write_text("no question\n")
    ws = Workspace.find()
    shown = prior_art(ws, "replay ratio", questions=True)
    assert "kdgat questions show 0001" in [hit.use for hit in shown.items]
    assert any("0002-broken.md" in note for note in shown.notes)
    hidden = prior_art(ws, "replay ratio")
    assert "question" not in {hit.kind for hit in hidden.items}
    assert not any("0002-broken.md" in note for note in hidden.notes)


def test_past_runs_are_told(trained: Tiny, indexes: Path) -> None:
    shutil.copytree(indexes, trained.home / "knowledge", dirs_exist_ok=True)
    runs = prior_art(Workspace.find(), "simulated gat teacher").items
    assert any(hit.kind == "run" and hit.use.startswith("kdgat runs show") for hit in runs)


@pytest.mark.usefixtures("indexed")
def test_without_runs_and_pages_the_rest_answers(kdgat: Command) -> None:
    said = kdgat("prior-art", "compare two runs", "--json")
    assert said.json["items"][0]["name"] == "kdgat compare"
    assert "the history (no run yet)" in said.json["searched"]
    assert any("no documentation source" in note for note in said.json["notes"])


@pytest.mark.usefixtures("indexed")
def test_mistakes_are_two_lines(kdgat: Command) -> None:
    for nothing in ("", "  ", "\x00\x1b\n", "???"):
        kdgat("prior-art", nothing).mistake("the task is empty")
    kdgat("prior-art", "x" * 1_000_000).mistake("1,000,000 characters")


@pytest.mark.usefixtures("indexed")
def test_signs_that_steer_a_terminal_never_come_back(kdgat: Command) -> None:
    said = kdgat("prior-art", 'moving\x1b[31m average\u202e\x07 " OR * NEAR(', "--json")
    assert not any(sign in said.out for sign in "\x1b\x07\u202e")


@pytest.mark.usefixtures("indexed")
def test_a_look_loads_no_torch() -> None:
    code = (
        "import sys; from kdgat.cli.main import main\n"
        "sys.argv = ['kdgat', 'prior-art', 'graph attention']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'scipy', 'mlflow', 'duckdb'} & set(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=True)
    assert done.stderr.splitlines()[-1] == "[]"
