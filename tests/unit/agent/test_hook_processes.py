"""What hooks start is ended when it takes too long, and its complaint is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdgat.agent.hook import Place
from kdgat.agent.hook_processes import KdgatProcess, git
from kdgat.ledger.processes import process_exists


def place_with(tmp_path: Path, script: str) -> Place:
    """A workspace whose own Python is this shell script."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    return Place(str(tmp_path), str(tmp_path / ".kdgat"))


def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    place = place_with(
        tmp_path, 'echo $$ > "$KDGAT_ROOT/pid"; touch "$KDGAT_ROOT/up"; exec sleep 60'
    )
    process = KdgatProcess(place, "kdgat.cli.facts", "session")
    with pytest.raises(TimeoutError, match=r"kdgat.cli.facts session took longer than 1 s"):
        process.answer(1)
    assert not process_exists(int((tmp_path / "pid").read_text()))


def test_the_last_line_of_a_complaint_is_told(tmp_path: Path) -> None:
    place = place_with(tmp_path, "echo first >&2; echo last >&2; exit 3")
    with pytest.raises(RuntimeError, match="x ended with 3: last"):
        KdgatProcess(place, "x").answer(10)


def test_without_a_repository_git_has_no_answer(tmp_path: Path) -> None:
    assert git(Place(str(tmp_path), str(tmp_path)), "rev-parse", "HEAD") is None


def test_an_outer_git_leads_ours_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(Path(__file__).parents[3] / ".git"))
    assert git(Place(str(tmp_path), str(tmp_path)), "rev-parse", "HEAD") is None
