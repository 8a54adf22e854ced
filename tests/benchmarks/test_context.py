"""The agent's context: rendered again after one edit, with nothing to do, and its tokens.

pytest -m benchmarks -n 0 -s tests/benchmarks/test_context.py

Seconds of an idle machine with two cores.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kdgat.ledger.states import State
from kdgat.modes.packs import token_count
from kdgat.modes.state import switch
from kdgat.ops.session import session_facts
from kdgat.workspace import Workspace
from tests.unit.runs.judged import judge, trained

ROOT = Path(__file__).parents[2]
AFTER_AN_EDIT_S = 1.0
MOST_TOKENS = {"mlops": 2_500, "research": 3_000}
"""Of AGENTS.md and what a session begins with, by mode."""
FEWEST_SECTIONS = 2
"""Of facts, for which a budget must have room on this very repository."""
TIMES = 5

pytestmark = pytest.mark.benchmarks


def render(root: Path) -> tuple[float, float]:
    """Seconds of wall and of processor that a render in a process of its own takes."""

    def used() -> float:
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return spent.ru_utime + spent.ru_stime

    environ = {name: value for name, value in os.environ.items() if not name.startswith("KDGAT_")}
    start, before = time.perf_counter(), used()
    command = [sys.executable, "-m", "kdgat.cli.main", "agent", "render", "--quiet"]
    subprocess.run(command, cwd=root, env=environ, check=True)
    return time.perf_counter() - start, used() - before


def test_a_render_after_one_edit(tmp_path: Path) -> None:
    for name in ("kdgat", "agent", "modes", "slurm"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy2(ROOT / "pyproject.toml", tmp_path)
    for name in ("AGENTS.md", "CLAUDE.md", ".mcp.json"):
        shutil.copy2(ROOT / name, tmp_path)
    cold_s, cold_cpu_s = render(tmp_path)
    edited = tmp_path / "kdgat" / "models" / "__init__.py"
    times: list[tuple[float, float]] = []
    for number in range(TIMES):
        edited.write_text(f'"""Graph models, edition {number}."""\n')
        times.append(render(tmp_path))
        assert f"edition {number}" in (tmp_path / "AGENTS.md").read_text()
    wall_s, cpu_s = map(min, zip(*times, strict=True))
    idle_s, idle_cpu_s = render(tmp_path)
    print(f"\nfirst render: {cold_s:.2f} s, {cold_cpu_s:.2f} s of processor")
    print(f"after one edit: {wall_s:.2f} s, {cpu_s:.2f} s of processor (best of {TIMES})")
    print(f"with nothing to do: {idle_s:.2f} s, {idle_cpu_s:.2f} s of processor")
    assert cpu_s < AFTER_AN_EDIT_S


@pytest.mark.parametrize(("mode", "most"), MOST_TOKENS.items())
def test_what_a_session_reads_keeps_to_the_budget_of_its_mode(
    mode: str, most: int, tmp_path: Path
) -> None:
    ws = Workspace(ROOT, tmp_path)
    for seed in range(12):
        judge(ws, trained(ws, seed=seed), 0.9)
        trained(ws, state=State.FAILED, reason="the disk is full " * 20, digest=f"{seed:016x}")
    switch(ws, mode, "cli")
    agents = (ROOT / "AGENTS.md").read_text()
    facts = session_facts(ws)
    tokens = token_count(agents) + facts.tokens
    print(f"\n{mode}: AGENTS.md {token_count(agents)} tokens, the session {facts.tokens}, "
          f"without {', '.join(facts.left_out) or 'nothing'}")  # fmt: skip
    assert tokens <= most
    assert len(facts.sections) >= FEWEST_SECTIONS
    assert "is left out" not in agents
