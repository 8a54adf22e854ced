"""A paper in the workspace: its overrides, its values, its assets, its analysis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faces.conftest import TINY, Command, Tiny

NAME = "itsc-2027"


@pytest.fixture
def paper(prepared: Tiny, kdgat: Command) -> Path:
    """The folder of a new paper, in a workspace with a dataset."""
    assert kdgat("new", "paper", NAME).code == 0
    return prepared.root / "knowledge" / "papers" / NAME


def test_paper_stands_for_its_overrides_and_others_win(paper: Path, kdgat: Command) -> None:
    (paper / "overrides.txt").write_text("# mine\n\nsize=small\n training.max_epochs=7 \nseed=3\n")
    shown = kdgat("config", "show", f"paper={NAME}", "--json").json["config"]
    assert (shown["size"], shown["training"]["max_epochs"], shown["seed"]) == ("small", 7, 3)
    shown = kdgat("config", "show", "seed=5", f"paper={NAME}", "--json").json["config"]
    assert (shown["size"], shown["seed"]) == ("small", 5)
    told = {each["field"]: each["origin"] for each in
            kdgat("config", "explain", f"paper={NAME}", "--json").json}  # fmt: skip
    assert told["seed"] == "override seed=3"


def test_a_paper_that_is_not_there_or_is_wrong_is_told(paper: Path, kdgat: Command) -> None:
    kdgat("train", "paper=itsc-2028").mistake("no paper 'itsc-2028'", "did you mean 'itsc-2027'")
    kdgat("train", "paper=../papers").mistake("no paper '../papers'")
    (paper / "overrides.txt").write_text("sise=small\n")
    kdgat("train", f"paper={NAME}").mistake("sise")
    (paper / "overrides.txt").write_bytes(b"\xff\n")
    kdgat("train", f"paper={NAME}").mistake("can't be read")


def test_a_paper_may_hold_a_sweep(paper: Path, kdgat: Command) -> None:
    (paper / "overrides.txt").write_text("\n".join((*TINY, "seed=1,2")))
    kdgat("train", f"paper={NAME}").mistake("several values")
    done = kdgat("train", "-m", f"paper={NAME}", "training.max_epochs=1", "--json").json
    assert len({each["digest"] for each in done}) == 2


def test_its_values_are_filled_and_checked(paper: Path, kdgat: Command) -> None:
    assert kdgat("paper", "check", paper).code == 1
    assert kdgat("paper", "fill", paper).code == 0
    assert "\\newcommand{\\valTrainings}{0}" in (paper / "values.tex").read_text()
    said = kdgat("paper", "check", paper)
    assert (said.code, said.err) == (0, "")


def test_an_asset_is_a_link_or_is_listed(paper: Path, kdgat: Command) -> None:
    kdgat("paper", "fill", paper)
    with (paper / "paper.toml").open("a") as file:
        file.write('teacher = "teacher.onnx"\n')
    place = paper / "teacher.onnx"
    missing = kdgat("paper", "check", paper, "--json")
    assert missing.code == 1
    assert f"kdgat assets link teacher knowledge/papers/{NAME}/teacher.onnx" in missing.out
    place.write_bytes(b"copied")
    assert "the asset is copied" in kdgat("paper", "check", paper, "--json").out
    place.unlink()
    place.symlink_to("gone")
    assert "the link leads nowhere" in kdgat("paper", "check", paper, "--json").out
    (paper / "gone").write_bytes(b"stored")
    assert kdgat("paper", "check", paper).code == 0


def test_its_analysis_runs_on_the_shared_package(
    paper: Path, process: Callable[..., object]
) -> None:
    done = process(paper / "analysis.py")
    assert (done.returncode, done.stdout) == (0, "size\truns\tseeds\n"), done  # pyright: ignore
