"""The agent's context is never stale: after any kind of change it says the new, and not the old."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.mutations import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
COPIED = ("kdgat", "agent", "modes", "slurm", "knowledge", "pyproject.toml")
MADE = ("AGENTS.md", "CLAUDE.md", ".mcp.json", ".claude/settings.json")


def kdgat(root: Path, *arguments: str) -> str:
    """The command line of the code in `root`, in a process of its own."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("KDGAT_")}
    done = subprocess.run(
        [sys.executable, "-m", "kdgat.cli.main", *arguments],
        cwd=root, env=environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def told(root: Path, where: str) -> str:
    """What the agent is told there."""
    path = root / where
    return path.read_text() if path.exists() else ""


@pytest.fixture(scope="session")
def rendered_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout's text, set up for an agent."""
    root = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, root / name)
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
    keep = shutil.ignore_patterns(".kdgat", ".claude", "AGENTS.md.made", "__pycache__")
    shutil.copytree(rendered_once, other, ignore=keep)
    for name in ("AGENTS.md", "CLAUDE.md", ".mcp.json"):
        (other / name).unlink()
    kdgat(other, "agent", "install")
    for name in MADE:
        assert (other / name).read_bytes() == (rendered_once / name).read_bytes()
