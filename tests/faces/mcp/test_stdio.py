"""`kdgat mcp` as a process: what a client starts, talks to and leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from tests.faces.conftest import Command, Tiny

HEAVY = (
    "torch", "torch_geometric", "lightning", "mlflow", "duckdb", "polars", "pyarrow", "numpy",
    "hydra", "matplotlib", "sklearn",
)  # fmt: skip
START = (
    "import sys; sys.argv = ['kdgat', 'mcp']; from kdgat.cli.main import main\n"
    "try:\n main()\nexcept SystemExit as end:\n code = end.code\n"
)
REPORT = f"print('LOADED', sorted(set(sys.modules) & {set(HEAVY)!r}), code, file=sys.stderr)"
HELLO = {
    "jsonrpc": "2.0", "id": 1, "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18", "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}  # fmt: skip
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}


@contextmanager
def served(code: str = START) -> Iterator[subprocess.Popen[bytes]]:
    """A server of the current folder's workspace, after the handshake."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, stderr=pipe) as it:
        assert ask(it, HELLO)["result"]["serverInfo"]["name"] == "kdgat"
        tell(it, READY)
        try:
            yield it
        finally:
            it.kill()


def tell(server: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
    assert server.stdin is not None
    server.stdin.write(json.dumps(message).encode() + b"\n")
    server.stdin.flush()


def ask(server: subprocess.Popen[bytes], message: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request; nothing but the protocol may come in between."""
    tell(server, message)
    assert server.stdout is not None
    while "id" not in (answer := json.loads(server.stdout.readline())):
        pass
    return answer


def ended(server: subprocess.Popen[bytes]) -> str:
    """What a server said that ended by itself, which must have been well."""
    assert server.wait(30) == 0
    assert server.stderr is not None
    said = server.stderr.read().decode()
    assert "Traceback" not in said, said
    return said


@pytest.mark.parametrize("era", ["legacy", "auto"])
def test_a_client_talks_to_the_process_in_both_eras(empty: Tiny, kdgat: Command, era: str) -> None:
    environ = {**os.environ, "PYTHONWARNINGS": "error"}
    start = StdioServerParameters(command=sys.executable, args=["-c", START], env=environ)

    async def talk() -> tuple[Any, ...]:
        with anyio.fail_after(120):
            async with Client(start, mode=era) as client:
                tools = await client.list_tools()
                status = await client.call_tool("status", {})
                refused = await client.call_tool("questions", {})
                return tools.tools, status, refused

    tools, status, refused = anyio.run(talk)
    assert "status" in {tool.name for tool in tools}
    assert not status.is_error, status
    assert status.structured_content["mode"] == "mlops"
    assert refused.is_error
    asked = "select tool, client is not null from agent_calls order by started_at"
    rows = kdgat("history", "sql", asked, "--json").json["rows"]
    assert rows == [["status", True], ["questions", True]]


@pytest.mark.usefixtures("empty")
def test_neither_the_handshake_nor_the_list_of_tools_loads_anything_heavy() -> None:
    with served(START + REPORT) as server:
        listed = ask(server, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"})
        assert len(listed["result"]["tools"]) >= 5
        assert server.stdin is not None
        server.stdin.close()
        assert "LOADED [] 0" in ended(server)


@pytest.mark.usefixtures("empty")
def test_it_ends_when_its_input_does() -> None:
    with served() as server:
        assert server.stdin is not None
        server.stdin.close()
        assert ended(server) == ""


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_without_a_traceback(number: signal.Signals) -> None:
    with served() as server:
        server.send_signal(number)
        assert ended(server) == ""


@pytest.mark.usefixtures("empty")
def test_a_client_that_dies_in_mid_call_is_no_traceback() -> None:
    with served() as server:
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdout.close()
        for number in range(2, 30):
            call = {"name": "runs", "arguments": {}}
            message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call}
            tell(server, message)
        server.stdin.close()
        ended(server)


def test_two_servers_of_one_workspace_answer_side_by_side(empty: Tiny, kdgat: Command) -> None:
    with served() as one, served() as two:
        for number in range(2, 22):
            for server in (one, two):
                params = {"name": "runs", "arguments": {"limit": 5}}
                request = {"jsonrpc": "2.0", "id": number, "method": "tools/call"}
                assert not ask(server, {**request, "params": params})["result"]["isError"]
    counted = "select count(*), count(distinct server), count(error) from agent_calls"
    assert kdgat("history", "sql", counted, "--json").json["rows"] == [[40, 2, 0]]


@pytest.mark.usefixtures("empty")
def test_lines_that_are_no_messages_do_not_stop_it() -> None:
    with served() as server:
        assert server.stdin is not None
        server.stdin.write(b"no json\n{}\n\xff\xfe\n[]\n" + b"[" * 100_000 + b"\n")
        answer = ask(server, {"jsonrpc": "2.0", "id": 2, "method": "ping"})
        assert answer["result"] == {}


def test_outside_a_workspace_it_tells_the_mistake_and_ends(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, kdgat: Command
) -> None:
    monkeypatch.delenv("KDGAT_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    kdgat("mcp").mistake("pyproject.toml")


@pytest.mark.usefixtures("empty")
def test_the_tools_of_the_mode_are_printed_as_json(kdgat: Command) -> None:
    names = [tool["name"] for tool in kdgat("mcp", "--json").json]
    assert "runs" in names
    assert "questions" not in names
    assert kdgat("mode", "research").code == 0
    assert "questions" in [tool["name"] for tool in kdgat("mcp", "--json").json]
