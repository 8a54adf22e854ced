"""`kdgat docs`: what a person and a pipe get."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faces.conftest import Command

KEYS = {"source", "page", "heading", "anchor", "score", "text"}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of two pages."""
    docs = tmp_path / "guide-site" / "docs"
    docs.mkdir(parents=True)
    (docs / "index.md").write_text("# Home\n\nSee [Slurm](slurm.md).\n")
    (docs / "slurm.md").write_text(
        "# Slurm\n\n## Walltime\n\nA job that meets its time limit is killed.\n\n"
        "## Arrays\n\nUse `sbatch --array=0-9` for a sweep.\n"
    )
    return docs.parent


@pytest.mark.usefixtures("empty")
def test_a_site_is_indexed_asked_read_and_checked(kdgat: Command, site: Path) -> None:
    report = kdgat("docs", "sync", "--path", site, "--json").json
    assert report["sources"][0]["source"] == "guide-site"
    assert report["sources"][0]["pages"] == 2
    ask = ("docs", "search", "job array sweep", "--source", "guide-site")
    answer = kdgat(*ask, "--json", "--limit", 1).json
    assert set(answer) == {"results", "confidence", "low_confidence", "notes"}
    (result,) = answer["results"]
    assert set(result) == KEYS
    assert (result["page"], result["anchor"]) == ("slurm.md", "arrays")
    assert result["text"] == "Use `sbatch --array=0-9` for a sweep."
    assert "guide-site: slurm.md#arrays" in kdgat(*ask).out
    assert "  | Use `sbatch" in kdgat(*ask).out
    assert kdgat("docs", "read", "slurm.md#walltime").out.startswith("## Walltime")
    assert kdgat("docs", "related", "index.md", "--json").json["items"][0]["page"] == "slurm.md"
    assert kdgat("docs", "troubleshoot", "killed: time limit").out.count("slurm.md#walltime") == 1
    assert "0 findings in 2 pages" in kdgat("docs", "check", "--source", "guide-site").out


@pytest.mark.usefixtures("empty")
def test_a_check_that_finds_something_ends_with_one(kdgat: Command, site: Path) -> None:
    (site / "docs" / "index.md").write_text("# Home\n\n[gone](nowhere.md) [s](slurm.md)\n")
    done = kdgat("docs", "check", "--path", site, "--json")
    assert done.code == 1
    assert json.loads(done.out)["findings"][0]["kind"] == "dead link"


@pytest.mark.usefixtures("empty")
def test_mistakes_are_two_lines(kdgat: Command, site: Path, tmp_path: Path) -> None:
    kdgat("docs", "search", "x").mistake("no documentation source", "--path")
    kdgat("docs", "sync", "--path", tmp_path / "gone").mistake("gone", "no folder")
    kdgat("docs", "sync", "--path", site)
    kdgat("docs", "search", "x", "--source", "guide").mistake("'guide'", "guide-site")
    kdgat("docs", "read", "slurn.md").mistake("'slurn.md'", "did you mean 'slurm.md'")
    kdgat("docs", "search", " ").mistake("empty")


@pytest.mark.usefixtures("empty")
def test_a_search_loads_no_torch(kdgat: Command, site: Path) -> None:
    kdgat("docs", "sync", "--path", site)
    code = (
        "import sys; from kdgat.cli.main import main\n"
        "sys.argv = ['kdgat', 'docs', 'search', 'a b']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'scipy', 'pydantic', 'yaml', 'duckdb'} & set(sys.modules)), "
        "file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=dict(os.environ),
        check=True,
    )
    loaded = done.stderr.strip().splitlines()[-1]
    assert "torch" not in loaded
    assert "yaml" not in loaded
