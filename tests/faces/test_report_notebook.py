"""`kdgat report --notebook` and the example notebooks, run in a real kernel."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kdgat.workspace import Workspace
from tests.faces.conftest import Command, Tiny
from tests.unit.runs.judged import judged

CHECKOUT = Path(__file__).parents[2]
EXAMPLES = sorted((CHECKOUT / "knowledge" / "notebooks").glob("*.ipynb"))
TEMPLATE = CHECKOUT / "kdgat" / "runs" / "templates" / "report.ipynb"
KDGAT = ("-W", "ignore", "-m", "kdgat.cli.main")
Process = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def swept(empty: Tiny) -> Tiny:
    """Two configs of two seeds on real data, and a simulated model."""
    ws = Workspace(root=empty.root, home=empty.home)
    for hidden, base in ((16, 0.6), (32, 0.7)):
        for seed in range(2):
            config = {"model.hidden": hidden}
            judged(ws, base + seed / 100, seed=seed, config=config, protocols={"adapted": 0.9})
    judged(ws, 0.9, provenance="simulated", dataset="made")
    return empty


def notebook(path: Path, *cells: str, parameters: str = "dataset = None") -> Path:
    """A notebook of these cells, the first of which has its parameters."""
    made = [
        {"cell_type": "code", "id": f"c{number}", "source": text, "outputs": [],
         "execution_count": None, "metadata": {} if number else {"tags": ["parameters"]}}
        for number, text in enumerate((parameters, *cells))
    ]  # fmt: skip
    meta = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.write_text(
        json.dumps({"cells": made, "metadata": meta, "nbformat": 4, "nbformat_minor": 5})
    )
    return path


def outputs(path: Path) -> list[dict[str, Any]]:
    return [
        out for cell in json.loads(path.read_text())["cells"] for out in cell.get("outputs", ())
    ]


def pictures(path: Path) -> int:
    return sum("image/png" in out.get("data", {}) for out in outputs(path))


def test_there_are_examples() -> None:
    assert [path.stem for path in EXAMPLES] == ["compare-runs", "first-look"]


@pytest.mark.parametrize("path", [*EXAMPLES, TEMPLATE], ids=lambda path: path.stem)
def test_what_is_committed_has_no_output_and_can_be_told_parameters(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert {json.dumps(cell["outputs"]) for cell in code} == {"[]"}
    assert {cell["execution_count"] for cell in code} == {None}
    told = [cell for cell in code if "parameters" in cell["metadata"].get("tags", ())]
    assert len(told) == 1
    assert "dataset" in "".join(told[0]["source"])


@pytest.mark.slow
def test_it_keeps_the_notebook_with_what_it_shows_and_a_page_that_loads_nothing(
    swept: Tiny, process: Process
) -> None:
    pytest.importorskip("papermill")
    words = ("report", "--notebook", "--dataset", "set_01", "--out", "r.html", "--json")
    said = process(*KDGAT, *words)
    assert (said.returncode, said.stderr) == (0, "")
    done = json.loads(said.stdout)["notebook"]
    assert (done["path"], done["html"]) == ("r.ipynb", "r.notebook.html")
    assert done["parameters"] == {"dataset": "set_01"}
    path = swept.root / "r.ipynb"
    assert pictures(path) >= 5
    assert not [out for out in outputs(path) if out["output_type"] in ("error", "stream")]
    assert str(swept.root) not in path.read_text()
    page = (swept.root / "r.notebook.html").read_text()
    assert "set_01-gat-large" in page
    assert "made-gat" not in page
    assert page.count("data:image/png") == pictures(path)
    assert not re.search(r"<script|<link|@import|(src|href)=\"http", page)
    assert "default-src 'none'" in page
    assert swept.leftovers() == list(swept.root.glob(".partial-*")) == []


@pytest.mark.slow
def test_a_cell_that_fails_is_told_in_one_sentence_and_its_notebook_kept(
    swept: Tiny, process: Process
) -> None:
    pytest.importorskip("papermill")
    notebook(swept.root / "mine.ipynb", "print('before')", "1 / 0", "print('after')")
    (swept.root / "r.ipynb").write_text("an earlier one")
    said = process(*KDGAT, "report", "--template", "mine.ipynb", "--out", "r.html")
    assert said.returncode == 2
    problem, hint = said.stderr.splitlines()
    assert (
        problem
        == "error: cell [3] of 'mine.ipynb' failed (1 / 0): ZeroDivisionError: division by zero"
    )
    assert "r.broken.ipynb" in hint
    kept = outputs(swept.root / "r.broken.ipynb")
    assert "ZeroDivisionError" in [out.get("ename") for out in kept]
    assert "before\n" in [out.get("text") for out in kept] + [
        "".join(out.get("text", "")) for out in kept
    ]
    assert (swept.root / "r.ipynb").read_text() == "an earlier one"
    assert (swept.root / "r.html").is_file()
    assert not list(swept.root.glob(".partial-*"))


@pytest.mark.slow
def test_a_template_is_looked_at_before_anything_is_done(swept: Tiny, process: Process) -> None:
    pytest.importorskip("papermill")
    notebook(swept.root / "mine.ipynb")
    (swept.root / "text.ipynb").write_text("hello")
    for words, problem in (
        (("--template", "mine.ipynb", "--metric", "auroc"), "has no parameter 'metric'"),
        (("--template", "text.ipynb"), "can't be read as a notebook"),
        (("--template", "none.ipynb"), "there is no notebook 'none.ipynb'"),
    ):
        said = process(*KDGAT, "report", *words, "--out", "r.html")
        assert said.returncode == 2
        assert problem in said.stderr
        assert len(said.stderr.splitlines()) == 2
    assert not (swept.root / "r.html").exists()


@pytest.mark.usefixtures("swept")
def test_a_missing_group_is_one_sentence(kdgat: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "papermill", None)
    kdgat("report", "--notebook").mistake("papermill", "uv sync --extra notebook")


@pytest.mark.slow
def test_the_examples_run_on_simulated_data_and_draw(
    trained: Tiny, kdgat: Command, process: Process
) -> None:
    pytest.importorskip("papermill")
    assert kdgat("evaluate", trained.student).code == 0
    for path in EXAMPLES:
        out = trained.root / path.name
        words = ("-W", "ignore", "-m", "papermill", path, out, "-p", "dataset", "simulated")
        said = process(*words, "--no-progress-bar")
        assert said.returncode == 0, said.stderr
        assert pictures(out) >= 4
        tables = [
            each for each in outputs(out) if "<table>" in str(each.get("data", {}).get("text/html"))
        ]
        assert len(tables) >= 2
