"""The agent's hooks: with nothing changed, at a session's begin with 10,000 runs, after an edit.

pytest -m benchmarks -n 0 -s tests/benchmarks/test_hooks.py

Ratios are of runs that take turns, so that a busy machine slows both alike. Else the seconds of
processor are judged, which a busy machine changes less: where nothing else runs, none take longer.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.benchmarks.test_history_speed import RUNS, fill_judged
from tests.faces.client import Client, checkout

SILENT_RATIO = 2.5
BEGIN_S = 0.6
EDIT_S = 1.0
TIMES = 40

pytestmark = pytest.mark.benchmarks


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    client = checkout(tmp_path_factory.mktemp("bench") / "checkout")
    assert client.hook("SessionStart", source="startup").context
    return client


def taken(command: list[str], client: Client, payload: bytes = b"") -> tuple[float, float, bytes]:
    """Seconds of wall and of processor, and what was said."""

    def used() -> float:
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return spent.ru_utime + spent.ru_stime

    environ = {k: v for k, v in os.environ.items() if not k.startswith("KDGAT_")}
    environ["CLAUDE_PROJECT_DIR"] = str(client.root)
    start, before = time.perf_counter(), used()
    done = subprocess.run(
        command, cwd=client.root, env=environ, input=payload, capture_output=True, check=True
    )
    return time.perf_counter() - start, used() - before, done.stdout


def hook(client: Client, event: str) -> list[str]:
    """The hook without the shell that the client starts it by, which `python -c pass` has not."""
    return [sys.executable, "-S", "-E", str(client.root / "kdgat/agent/hook.py"), event]


@pytest.mark.parametrize("event", ["PostToolUse", "UserPromptSubmit", "Stop"])
def test_with_nothing_changed(event: str, client: Client) -> None:
    payload = {"session_id": client.session, "cwd": str(client.root), "stop_hook_active": False}
    data = json.dumps(payload).encode()
    plain, silent = [], []
    for _ in range(TIMES):
        plain.append(taken([sys.executable, "-c", "pass"], client)[0])
        wall_s, _, said = taken(hook(client, event), client, data)
        assert said == b""
        silent.append(wall_s)
    ratio = min(silent) / min(plain)
    print(f"\n{event}, nothing changed: {1e3 * min(silent):.1f} ms, python -c pass: "
          f"{1e3 * min(plain):.1f} ms; {ratio:.2f} times as long")  # fmt: skip
    assert ratio <= SILENT_RATIO


def test_a_session_begins_with_ten_thousand_runs(client: Client, tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    shutil.copytree(client.root, root)
    ws = fill_judged(tmp_path / "filled")
    shutil.rmtree(root / ".kdgat" / "runs", ignore_errors=True)
    for name in ("runs", "history"):
        shutil.move(ws.home / name, root / ".kdgat" / name)
    copy = Client(root)
    payload = json.dumps({"session_id": "s", "source": "startup"}).encode()
    for mode in ("mlops", "research"):
        copy.kdgat("mode", mode)
        taken(hook(copy, "SessionStart"), copy, payload)
        first, again = [], []
        for _ in range(8):
            (copy.agent / "session.json").unlink()
            first.append(taken(hook(copy, "SessionStart"), copy, payload))
            again.append(taken(hook(copy, "SessionStart"), copy, payload))
        text = json.loads(again[0][2])["hookSpecificOutput"]["additionalContext"]
        assert "Best runs" in text
        for what, times in (("a changed ledger", first), ("the same ledger", again)):
            wall_s, cpu_s = (min(each[n] for each in times) for n in (0, 1))
            print(f"\n{mode}, {RUNS} runs, {what}: {wall_s:.2f} s, {cpu_s:.2f} s of processor")
            assert cpu_s < BEGIN_S


def test_a_render_after_one_edit(client: Client) -> None:
    times = []
    for number in range(6):
        edited = client.root / "kdgat" / "models" / "__init__.py"
        edited.write_text(f'"""Graph models, edition {number}."""\n')
        times.append(taken(hook(client, "PostToolUse"), client, b"{}"))
        assert b"new there: map" in times[-1][2]
    wall_s, cpu_s = (min(each[n] for each in times) for n in (0, 1))
    print(f"\nafter one edit: {wall_s:.2f} s, {cpu_s:.2f} s of processor (best of {len(times)})")
    assert cpu_s < EDIT_S
