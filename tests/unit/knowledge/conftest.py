"""A workspace with one small site, and the real corpora where they are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from kdgat.workspace import Workspace

PAGES = {
    "index.md": "# Home\n\nSee [connecting](guide/connect.md) and [jobs](guide/jobs.md#arrays).\n",
    "guide/connect.md": (
        "---\ntags: [ssh]\n---\n# Connecting\n\nHow to reach the cluster.\n\n"
        "## Keys\n\nMake a key pair:\n\n```bash\nssh-keygen -t ed25519\n```\n\n"
        "## Idle sessions\n\nThe login node closes a quiet connection after ten minutes. "
        "Set `ServerAliveInterval 60` in your configuration.\n"
    ),
    "guide/jobs.md": (
        "# Jobs\n\n## Arrays\n\nA sweep is one array: `sbatch --array=0-9`.\n\n"
        "## Memory\n\nA job that asks for too little is killed by the OOM killer.\n"
    ),
}
CONFIG = """site_name: Test
theme: {name: material}
nav:
  - Home: index.md
  - Guide:
      - Connecting: guide/connect.md
      - Jobs: guide/jobs.md
markdown_extensions:
  - pymdownx.snippets:
      auto_append: [includes/abbreviations.md]
      base_path: [docs]
  - pymdownx.emoji:
      emoji_index: !!python/name:material.extensions.emoji.twemoji
"""
ABBREVIATIONS = "*[OOM]: Out of Memory\n"


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "root" / "knowledge").mkdir(parents=True)
    return Workspace(root=tmp_path / "root", home=tmp_path / "root" / ".kdgat")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A small mkdocs site."""
    root = tmp_path / "lab-guide"
    for name, text in {**PAGES, "includes/abbreviations.md": ABBREVIATIONS}.items():
        path = root / "docs" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (root / "mkdocs.yml").write_text(CONFIG, encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of the real corpora; skips the test where there is none."""
    beside = Path(__file__).parents[4] / "shared" / "corpora"
    folder = Path(os.environ.get("KDGAT_CORPORA") or beside)
    if not folder.is_dir():
        pytest.skip(f"no corpora in '{folder}': set KDGAT_CORPORA to their folder")
    return folder


@pytest.fixture
def found(ws: Workspace, site: Path) -> Callable[[str], list[str]]:
    """Asks the small site; pages and headings, best first."""
    from kdgat.ops.docs import search_docs, sync_docs

    sync_docs(ws, path=site)

    def ask(question: str) -> list[str]:
        return [f"{each.page} {each.heading}" for each in search_docs(ws, question).results]

    return ask
