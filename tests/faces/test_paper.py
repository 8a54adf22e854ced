"""`kdgat paper fill`, `check` and `findings`, as a user calls them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdgat.workspace import Workspace
from tests.faces.conftest import Command, Tiny
from tests.unit.knowledge.paper_sample import DRIFTS, new_paper, new_workspace, plant
from tests.unit.runs.judged import judged


@pytest.fixture
def paper(empty: Tiny, tmp_path: Path) -> Path:
    """A papers repository beside a workspace with the runs it prints, filled."""
    new_workspace(empty.root)
    return new_paper(tmp_path / "paper")


def test_a_paper_is_filled_checked_and_kept_true(paper: Path, kdgat: Command) -> None:
    said = kdgat("paper", "fill", paper, "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert "+\\newcommand{\\valGatFOne}{0.913}" in said.out
    assert not (paper / "generated").exists()
    assert "generated/values.tex is written: 10 values" in kdgat("paper", "fill", paper).out
    assert "generated/values.tex holds: 10 values" in kdgat("paper", "fill", paper).out
    said = kdgat("paper", "check", paper)
    assert (said.code, said.err) == (0, "")
    assert "hold" in said.out


def test_ten_drifts_are_listed_with_both_numbers(paper: Path, kdgat: Command) -> None:
    kdgat("paper", "fill", paper)
    planted = [plant(paper, case) for case in DRIFTS]
    said = kdgat("paper", "check", paper)
    assert (said.code, said.err) == (1, "")
    assert "10 drifts among" in said.out
    text = " ".join(said.out.split())
    assert all(f"{file}:{line} {value}" in text for file, line, value in planted), said.out
    assert "main.tex:7 gat_f1 0.914 0.913 0.9130" in text
    report = kdgat("paper", "check", paper, "--json")
    assert report.code == 1
    assert report.out.count('"reason"') == 10


def test_a_better_run_is_proposed(
    paper: Path, empty: Tiny, kdgat: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    kdgat("paper", "fill", paper)
    assert "nothing beats what is printed" in kdgat("paper", "findings", paper).out
    judged(Workspace(empty.root, empty.home), 0.95, config={"model.hidden": 64})
    monkeypatch.setenv("KDGAT_ROOT", str(empty.root))
    monkeypatch.chdir(paper)
    said = kdgat("paper", "findings")
    text = " ".join(said.out.split())
    assert "gat_f1 generated/values.tex:12 0.913 0.950 - - set_01-gat-large 1 2" in text, text
    assert "not compared: trainings, it is SQL" in text
    assert kdgat("paper", "findings", "--json").json["items"][0]["clear"] is None


def test_a_mistake_is_told_in_two_lines(paper: Path, tmp_path: Path, kdgat: Command) -> None:
    for command in ("fill", "check", "findings"):
        kdgat("paper", command, tmp_path / "gone").mistake("paper.toml' is missing")
    file = paper / "paper.toml"
    file.write_text(file.read_text().replace("where model = 'vgae'", "where model = 'x'"))
    kdgat("paper", "fill", paper).mistake("value 'where'", "NULL")
    (paper / "main.tex").write_text("nothing\n")
    (paper / "README.md").write_text("nothing\n")
    said = kdgat("paper", "check", paper)
    assert said.code == 2
    assert "value 'where': the answer is NULL" in said.err
