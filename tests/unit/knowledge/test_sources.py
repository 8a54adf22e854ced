"""The list of sources, and what a site's settings say."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from kdgat.errors import KnowledgeError
from kdgat.knowledge.sources import listed, site_at
from kdgat.ops.docs import search_docs, sync_docs
from kdgat.workspace import Workspace


def listing(ws: Workspace, text: str) -> None:
    (ws.root / "knowledge" / "sources.toml").write_text(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[source]\n", "can't read"),
        ("[[source]]\nname = 'a b'\npath = '.'\n", "name = 'a b'"),
        ("[[source]]\nname = 'a'\n", "needs a path or a git URL"),
        ("[[source]]\nname = 'a'\npath = '.'\ngit = 'x'\n", "not both"),
        ("[[source]]\nname = 'a'\npth = '.'\n", "unknown 'pth'"),
        ("[[source]]\nname = 'a'\npath = '.'\n[[source]]\nname = 'a'\npath = '.'\n", "two sources"),
        ("[source]\nname = 'a'\n", "no list of sources"),
    ],
)
def test_a_mistake_in_the_list_is_told(ws: Workspace, text: str, words: str) -> None:
    listing(ws, text)
    with pytest.raises(KnowledgeError, match=words):
        listed(ws)


def test_settings_with_python_tags_are_read_and_not_run(site: Path) -> None:
    found = site_at("x", site)
    assert found.nav["guide/jobs.md"] == "Jobs"
    assert found.appended == ("includes/abbreviations.md",)
    assert found.docs == site / "docs"


def test_broken_settings_are_named_and_the_pages_indexed(ws: Workspace, site: Path) -> None:
    (site / "mkdocs.yml").write_text("nav: [\n")
    report = sync_docs(ws, path=site).sources[0]
    assert report.pages == 4
    assert report.skipped[0].page == "mkdocs.yml"


def test_a_repository_without_network_is_named_and_the_others_are_indexed(
    ws: Workspace, site: Path
) -> None:
    listing(
        ws,
        "[[source]]\nname = 'far'\ngit = 'https://localhost:1/lab.git'\n"
        f"[[source]]\nname = 'near'\npath = '{site}'\n",
    )
    far, near = sync_docs(ws).sources
    assert far.problem is not None
    assert "can't clone" in far.problem
    assert (near.pages, near.problem) == (4, None)
    report = search_docs(ws, "array")
    assert report.results[0].source == "near"
    assert "was not cloned yet" in report.notes[0]


def test_a_repository_is_cloned_and_followed(ws: Workspace, site: Path) -> None:
    git(site, "init", "-q")
    commit(site)
    listing(ws, f"[[source]]\nname = 'lab'\ngit = 'file://{site}'\n")
    assert sync_docs(ws).sources[0].pages == 4
    (site / "docs" / "new.md").write_text("# Brand new\n\nA giraffe.\n")
    commit(site)
    assert sync_docs(ws).sources[0].pages == 5
    assert search_docs(ws, "giraffe").results[0].page == "new.md"
    site.rename(site.with_name("moved"))
    report = sync_docs(ws).sources[0]
    assert report.pages == 5
    assert "the clone of before is used" in str(report.problem)


@pytest.mark.parametrize("url", ["--upload-pack=touch x", "ext::sh -c touch% x"])
def test_an_address_that_would_run_something_is_refused(ws: Workspace, url: str) -> None:
    listing(ws, f"[[source]]\nname = 'bad'\ngit = '{url}'\n")
    assert "no address of a repository" in str(sync_docs(ws).sources[0].problem)


def git(folder: Path, *arguments: str) -> None:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *who, "-C", str(folder), *arguments], check=True)


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")
