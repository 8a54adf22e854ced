"""From starting `kdgat mcp` to its answer to the handshake, against a bare server of the same SDK.

pytest -m benchmarks -n 0 -s tests/benchmarks/test_mcp_startup.py

The bare one has three tools that do nothing. Both are started in turns, so that a busy machine
slows both; what counts is the fastest of each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROUNDS = 10
MOST = 1.3
BARE = '''
from mcp.server import MCPServer
server = MCPServer("bare")
@server.tool()
def add(first: int, second: int) -> int:
    """Add."""
    return first + second
@server.tool()
def shout(text: str) -> str:
    """Shout."""
    return text.upper()
@server.tool()
def count(words: list[str]) -> dict[str, int]:
    """Count."""
    return {word: words.count(word) for word in words}
server.run()
'''
KDGAT = "import sys; sys.argv = ['kdgat', 'mcp']; from kdgat.cli.main import main; main()"
HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "benchmark", "version": "1"},
    },
}  # fmt: skip

pytestmark = pytest.mark.benchmarks


def seconds_to_answer(code: str, folder: Path, env: dict[str, str]) -> float:
    """Seconds from the start of a process to the first line of its standard output."""
    pipe, hello = subprocess.PIPE, json.dumps(HELLO).encode() + b"\n"
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=env, stdin=pipe, stdout=pipe, stderr=pipe
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(hello)
        server.stdin.flush()
        answer = json.loads(server.stdout.readline())
        took = time.perf_counter() - began
        server.kill()
    assert answer["result"]["serverInfo"]["name"]
    return took


def test_the_handshake_takes_little_longer_than_a_bare_servers(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.kdgat]\n")
    env = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path / "pyc")}
    for name in ("KDGAT_ROOT", "KDGAT_HOME", "PYTHONDONTWRITEBYTECODE"):
        env.pop(name, None)
    took: dict[str, list[float]] = {BARE: [], KDGAT: []}
    for _ in range(ROUNDS + 1):
        for code, each in took.items():
            each.append(seconds_to_answer(code, tmp_path, env))
    # The first ones compile.
    bare, ours = (min(each[1:]) for each in took.values())
    print(f"\nbare {bare:.3f} s, kdgat mcp {ours:.3f} s: {ours / bare:.2f} times")
    assert ours <= MOST * bare
