from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from kdgat.errors import WorkspaceError
from kdgat.mcp.http import MAX_BODY_BYTES, MAX_SESSIONS, find_token

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-tests-0123456789"
ACCEPT = {"Accept": "application/json, text/event-stream"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}


@dataclass(frozen=True)
class Served:
    """A server that listens on a real socket."""

    url: str
    process: subprocess.Popen[str]
    said: tuple[str, ...] = ()

    @property
    def port(self) -> int:
        return httpx2.URL(self.url).port or 0

    def post(self, headers: dict[str, str] | list[tuple[str, str]], **options: Any) -> Any:
        """One POST of an `initialize`, with just these headers."""
        with httpx2.Client(trust_env=False) as client:
            pairs = [*(headers.items() if isinstance(headers, dict) else headers), *ACCEPT.items()]
            return client.post(self.url, headers=pairs, **{"json": INITIALIZE, **options})

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit code, and what else it said, after a signal."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=30)
        return self.process.returncode, err


@contextmanager
def serving(
    root: Path, *arguments: object, lines: int = 1, environ: dict[str, str] | None = None
) -> Iterator[Served]:
    """`kdgat mcp --http` on a free port; it is up when it has said so many lines."""
    command = [sys.executable, "-m", "kdgat.cli.main", "mcp", "--http", "--port", "0"]
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        cwd=root,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **({"KDGAT_MCP_TOKEN": TOKEN} if environ is None else environ)},
    )
    try:
        assert process.stderr
        said = tuple(process.stderr.readline().strip() for _ in range(lines))
        yield Served(said[0].rpartition(" ")[2], process, said)
    finally:
        process.kill()
        process.communicate(timeout=30)


def bearer(token: str = TOKEN) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    root = tmp_path_factory.mktemp("served")
    (root / "pyproject.toml").write_text("[tool.kdgat]\n")
    with serving(root) as server:
        yield server


@pytest.mark.parametrize(
    "headers",
    [
        {},
        bearer("another-token-0123456789"),
        bearer(TOKEN[:-1]),
        bearer(f"{TOKEN}x"),
        {"Authorization": "Bearer"},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        [*bearer().items(), *bearer().items()],
    ],
)
def test_without_the_token_nothing_is_answered(
    served: Served, headers: dict[str, str] | list[tuple[str, str]]
) -> None:
    answer = served.post(headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="kdgat"'
    assert "Authorization: Bearer TOKEN" in answer.json()["hint"]
    assert TOKEN not in answer.text


def test_a_token_in_the_url_is_none(served: Served) -> None:
    with httpx2.Client(trust_env=False) as client:
        for name in ("token", "access_token"):
            answer = client.post(f"{served.url}?{name}={TOKEN}", headers=ACCEPT, json=INITIALIZE)
            assert answer.status_code == 401


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://localhost.evil.example",
        "http://127.0.0.1.evil.example:80",
        "null",
    ],
)
def test_a_foreign_page_is_refused_though_it_has_the_token(served: Served, origin: str) -> None:
    assert served.post({**bearer(), "Origin": origin}).status_code == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8765", "localhost.evil.example:8765", "169.254.169.254"]
)
def test_a_name_that_points_here_from_elsewhere_is_refused(served: Served, host: str) -> None:
    assert served.post({**bearer(), "Host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost:9000"},
        {"Host": "[::1]:9000"},
        {"Origin": "http://localhost:6274"},
    ],
)
def test_this_machines_own_names_are_answered_at_any_ports_end_of_a_tunnel(
    served: Served, headers: dict[str, str]
) -> None:
    answer = served.post({**bearer(), **headers})
    assert answer.status_code == 200
    assert '"serverInfo":{"name":"kdgat"' in answer.text


@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_with_the_token_both_eras_of_the_protocol_are_served(served: Served, mode: str) -> None:
    async def ask() -> tuple[set[str], set[str]]:
        async with (
            httpx2.AsyncClient(headers=bearer(), trust_env=False) as http,
            Client(streamable_http_client(served.url, http_client=http), mode=mode) as client,
        ):
            tools = {tool.name for tool in (await client.list_tools()).tools}
            result = await client.call_tool("runs", {"action": "tables"})
            assert not result.is_error
            templates = (await client.list_resource_templates()).resource_templates
            return tools, {each.uri_template for each in templates}

    tools, templates = anyio.run(ask)
    assert "runs" in tools
    assert templates == {"kdgat://run/{id}", "kdgat://docs/{+page}"}


def test_a_body_beyond_the_bound_is_refused(served: Served) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)
    headers = {**bearer(), "Content-Type": "application/json"}
    assert served.post(headers, json=None, content=body).status_code == 413

    def pieces() -> Iterator[bytes]:
        for _ in range(3):
            yield b" " * (MAX_BODY_BYTES // 2)

    # Without a length it is counted as it comes.
    assert served.post(headers, json=None, content=pieces()).status_code == 413


def test_sessions_are_bounded_and_an_ended_one_makes_room(empty: Any) -> None:
    with serving(empty.root) as server, httpx2.Client(trust_env=False) as client:
        opened = []
        for _ in range(MAX_SESSIONS):
            answer = client.post(server.url, headers={**bearer(), **ACCEPT}, json=INITIALIZE)
            assert answer.status_code == 200
            opened.append(answer.headers["mcp-session-id"])
        assert server.post(bearer()).status_code == 503
        ended = client.delete(
            server.url, headers={**bearer(), **ACCEPT, "mcp-session-id": opened[0]}
        )
        assert ended.status_code == 200
        assert server.post(bearer()).status_code == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_though_a_client_listens(empty: Any, number: int) -> None:
    with serving(empty.root) as server:

        async def listen_and_stop() -> tuple[int, str]:
            http = httpx2.AsyncClient(headers={**bearer(), **ACCEPT}, trust_env=False)
            async with http:
                answer = await http.post(server.url, json=INITIALIZE)
                session = {"mcp-session-id": answer.headers["mcp-session-id"]}
                async with http.stream("GET", server.url, headers=session) as stream:
                    assert stream.status_code == 200
                    return await anyio.to_thread.run_sync(server.stop, number)

        code, err = anyio.run(listen_and_stop)
        assert code == 0
        assert "Traceback" not in err
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port)).close()


def test_a_signal_in_the_middle_of_a_call_ends_it_cleanly(empty: Any) -> None:
    endless = "with recursive t(i) as (select 1 union all select i + 1 from t) select max(i) from t"

    async def call_and_stop(server: Served) -> None:
        async with (
            httpx2.AsyncClient(headers=bearer(), trust_env=False, timeout=60) as http,
            Client(streamable_http_client(server.url, http_client=http)) as client,
            anyio.create_task_group() as group,
        ):

            async def call() -> None:
                with pytest.raises(MCPError):
                    await client.call_tool("runs", {"action": "sql", "query": endless})

            group.start_soon(call)
            # By its answer the call before it has begun.
            await client.call_tool("runs", {"action": "tables"})
            code, err = await anyio.to_thread.run_sync(server.stop)
            assert code == 0
            assert "Traceback" not in err

    with serving(empty.root) as server:
        anyio.run(call_and_stop, server)


def test_a_token_of_its_own_is_said_once_and_works(empty: Any) -> None:
    with serving(empty.root, lines=2, environ={}) as server:
        name, _, token = server.said[1].partition(": Bearer ")
        assert name == "Authorization"
        assert len(token) >= 40
        assert server.post(bearer(token)).status_code == 200
        assert token not in server.stop()[1]


def test_a_given_token_is_never_said(empty: Any, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}-of-a-file\n")
    file.chmod(0o600)
    with serving(empty.root, "--token-file", file) as server:
        # A file that is named goes before the variable.
        assert server.post(bearer()).status_code == 401
        assert server.post(bearer(f"{TOKEN}-of-a-file")).status_code == 200
        assert TOKEN not in "".join((*server.said, server.stop()[1]))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "login01", "127.0.0.1.nip.io"])
def test_an_address_that_others_reach_needs_a_token_of_ones_own(
    empty: Any, kdgat: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.delenv("KDGAT_MCP_TOKEN", raising=False)
    said = kdgat("mcp", "--http", "--host", host)
    said.mistake(f"'{host}' can be reached from other machines", "--token-file", "ssh -L")
    assert find_token(host, None, {"KDGAT_MCP_TOKEN": TOKEN}).text == TOKEN


def test_tokens_made_here_differ_and_are_not_shown() -> None:
    first, second = (find_token("127.0.0.1", None, {}) for _ in range(2))
    assert first.fresh
    assert first.text != second.text
    assert first.text not in repr(first)


@pytest.mark.parametrize(
    "text", ["", "short", "no blanks in a token of tests", "é" * 20, "a" * 600]
)
def test_a_token_that_is_none_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    file.chmod(0o600)
    for given in (
        lambda: find_token("::1", file, {}),
        lambda: find_token("::1", None, {"KDGAT_MCP_TOKEN": text}),
    ):
        with pytest.raises(WorkspaceError, match="is no token: it takes 16 to 512") as error:
            given()
        assert not text or text not in f"{error.value.problem} {error.value.hint}"


def test_a_token_that_others_can_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    file.chmod(0o640)
    with pytest.raises(WorkspaceError, match=r"others than you may use .*\(mode 640\)") as error:
        find_token("127.0.0.1", file, {})
    assert error.value.hint == f"chmod 600 {file}"
    with pytest.raises(WorkspaceError, match="can't read the token's file"):
        find_token("127.0.0.1", tmp_path / "none", {})


def test_a_port_that_is_taken_and_an_address_of_another_machine_are_told(
    empty: Any, kdgat: Callable[..., Any]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        kdgat("mcp", "--http", "--port", port).mistake(
            f"can't listen on 127.0.0.1:{port}", "Address already in use", "--port"
        )
