"""The agent's context is never stale: after any kind of change it says the new, and not the old."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faces.client import COPIED, Client, copied
from tests.integration.mutations import MUTATIONS, Mutation

MADE = ("AGENTS.md", "CLAUDE.md", ".mcp.json", ".claude/settings.json")
OF_THE_USER = {"__init__": "What the thesis computes.", "figures": "Every figure of it."}
"""A package beside kdgat's: of one so small the map names every module."""


def kdgat(root: Path, *arguments: str) -> str:
    """The command line of the code in `root`, in a process of its own."""
    return Client(root).kdgat(*arguments)


def told(root: Path, where: str) -> str:
    """What the agent is told there."""
    path = root / where
    return path.read_text() if path.exists() else ""


@pytest.fixture(scope="session")
def rendered_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout's text, set up for an agent."""
    root = tmp_path_factory.mktemp("copied") / "checkout"
    copied(root, *COPIED, "knowledge")
    (root / "thesis").mkdir()
    for name, docstring in OF_THE_USER.items():
        (root / "thesis" / f"{name}.py").write_text(f'"""{docstring}"""\n')
    kdgat(root, "agent", "install")
    return root


@pytest.fixture
def checkout(rendered_once: Path, tmp_path: Path) -> Path:
    """A copy of that copy, for one change."""
    return Path(shutil.copytree(rendered_once, tmp_path / "checkout"))


def test_there_are_forty_kinds_of_change() -> None:
    assert len({each.name for each in MUTATIONS}) == len(MUTATIONS) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.name)
def test_after_a_change_the_context_says_the_new_and_not_the_old(
    mutation: Mutation, checkout: Path
) -> None:
    mutation.change(checkout)
    before = told(checkout, mutation.where)
    assert not mutation.new or mutation.new not in before
    assert mutation.old in before
    kdgat(checkout, "agent", "render", "--quiet")
    after = told(checkout, mutation.where)
    assert mutation.new in after
    assert not mutation.old or mutation.old not in after
    assert kdgat(checkout, "agent", "diff").startswith("nothing")


@pytest.mark.slow
def test_without_a_change_nothing_is_written(checkout: Path) -> None:
    def times() -> dict[str, int]:
        return {name: (checkout / name).stat().st_mtime_ns for name in MADE}

    kdgat(checkout, "agent", "render", "--quiet")
    before = times()
    home = {path: path.stat().st_mtime_ns for path in (checkout / ".kdgat").rglob("*")}
    kdgat(checkout, "agent", "render", "--quiet")
    assert times() == before
    assert {path: path.stat().st_mtime_ns for path in (checkout / ".kdgat").rglob("*")} == home


@pytest.mark.slow
def test_two_copies_of_a_checkout_get_the_same_bytes(rendered_once: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "a copy"
    keep = shutil.ignore_patterns(".kdgat", ".claude", "__pycache__")
    shutil.copytree(rendered_once, other, ignore=keep)
    for name in ("AGENTS.md", "CLAUDE.md", ".mcp.json"):
        (other / name).unlink()
    kdgat(other, "agent", "install")
    for name in MADE:
        assert (other / name).read_bytes() == (rendered_once / name).read_bytes()
