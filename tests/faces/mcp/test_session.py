"""An agent's working session over stdio, told step by step, against the transcript that is kept.

`KDGAT_WRITE_GOLDEN=1` writes the transcript anew.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.subscriptions import ToolsListChanged
from mcp_types import CallToolResult, ServerNotification, TextContent, TextResourceContents

from tests.faces.conftest import TINY, Tiny

GOLDEN = Path(__file__).parents[2] / "golden" / "mcp"
PATIENCE_S = 240
START = "import sys; sys.argv = ['kdgat', 'mcp']; from kdgat.cli.main import main; main()"
ENDED = ("completed", "failed", "cancelled", "lost")
MOVING = (
    (r"\d{8}-\d{6}-[0-9a-f]{7}", "ID"),
    (r"\d{4}-\d\d-\d\d[T ][\d:.+Z]+", "TIME"),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"\b[0-9a-f]{10,64}\b", "HASH"),
    (r"\b\d+(\.\d+)?(e-?\d+)? (ms|s|GiB|MiB|h)\b", r"N \3"),
    (r"\d+\.\d+(e[+-]?\d+)?", "N"),
)
"""What differs from one session to the next: ids, times, hashes, measured figures."""


class Session:
    """Writes down what was asked and what came back."""

    def __init__(self, client: Client, root: Path) -> None:
        self._client = client
        self._root = root
        self._names: dict[str, str] = {}
        self.lines: list[str] = []

    def name(self, found: str, name: str) -> None:
        """Let an id be told by a name."""
        self._names[found] = name

    def write(self, *lines: str) -> None:
        for line in lines:
            for found, name in self._names.items():
                line = line.replace(found, name)
            line = line.replace(str(self._root), "ROOT")
            for pattern, name in MOVING:
                line = re.sub(pattern, name, line)
            self.lines.append(line)

    async def call(self, tool: str, /, *keep: str, fails: bool = False, **arguments: Any) -> Any:
        """One call; of its answer the text and the named fields are kept."""
        result = await self._client.call_tool(tool, arguments)
        assert isinstance(result, CallToolResult)
        (block,) = result.content
        assert isinstance(block, TextContent)
        mark = "!" if result.is_error else "<"
        self.write(f"> {tool} {json.dumps(arguments)}")
        self.write(*(f"{mark} {line}" for line in block.text.split("\n")))
        assert result.is_error == fails, self.lines
        answer = result.structured_content
        for field in keep:
            assert answer is not None, block.text
            self.write(f"  {field}: {json.dumps(answer[field])}")
        return answer

    async def tools(self) -> list[str]:
        names = [tool.name for tool in (await self._client.list_tools()).tools]
        self.write("> tools/list", f"< {' '.join(names)}")
        return names


async def _session(client: Client, tiny: Tiny, heard: Callable[[], Any]) -> list[str]:
    session = Session(client, tiny.root)
    session.name(tiny.teacher, "TEACHER")
    session.name(tiny.student, "STUDENT")
    session.name(tiny.evaluation, "EVALUATION")

    await session.tools()
    (content,) = (await client.read_resource(f"kdgat://run/{tiny.teacher}")).contents
    assert isinstance(content, TextResourceContents)
    told = json.loads(content.text)
    session.write(f"> resources/read {content.uri}", f"< {' '.join(told)}")
    session.write(f"  figures: {' '.join(told['figures'])}")
    await session.call("status", "counts", "failures")
    wanted = [*TINY, "seed=7"]
    await session.call("memory_plan", overrides=wanted, gpu="cpu")

    plan = await session.call(
        "plan_job", "runs", "total", "hint", overrides=wanted, cluster="local"
    )
    session.name(plan["plan_id"], "PLAN")
    session.write("  (its id is told as PLAN)")
    given = await session.call("submit_job", "given", plan_id=plan["plan_id"])
    (job,) = given["items"]
    (run,) = job["runs"]
    session.name(run, "RUN")
    session.name(job["job_id"], "JOB")
    again = await session.call("submit_job", "given", plan_id=plan["plan_id"])
    assert [each["job_id"] for each in again["items"]] == [job["job_id"]]
    assert await _ended(client, run) == "completed"
    session.write("(the run is watched with `status` until it ended: completed)")

    await session.call("runs", "columns", action="compare", runs=[tiny.teacher, run])

    await session.call("questions", fails=True, action="list")
    changed = heard()
    async with changed:
        command = [sys.executable, "-m", "kdgat.cli.main", "mode", "research"]
        subprocess.run(command, check=True, capture_output=True)
        await changed.wait()
    session.write("(the user types `kdgat mode research`; the client hears that the tools changed)")
    assert "questions" in await session.tools()
    title = "Does one more seed change which model is best?"
    added = await session.call(
        "questions", action="add", text=title, hypothesis="It does not.", tags="seeds"
    )
    (question,) = added["items"]
    await session.call("questions", action="link", id=question["id"], run=run, text="seed 7")
    await session.call("questions", action="show", id=question["id"])
    asked = "select tool, action, mode, error is not null as refused from agent_calls"
    counted = f"select tool, mode, refused, count(*) as calls from ({asked}) where tool <> 'status'"
    sql = f"{counted} group by all order by all"
    await session.call("runs", "columns", "items", action="sql", query=sql)
    return session.lines


async def _ended(client: Client, run: str) -> str:
    state = ""
    with anyio.fail_after(PATIENCE_S):
        while state not in ENDED:
            await anyio.sleep(0.5)
            result = await client.call_tool("status", {"run": run})
            assert isinstance(result, CallToolResult)
            assert result.structured_content is not None, result
            state = result.structured_content["items"][0]["state"]
    return state


class _Legacy:
    """Hears notifications as a client of the older protocol gets them."""

    def __init__(self) -> None:
        self._heard = anyio.Event()

    async def listen(self, message: Any) -> None:
        if isinstance(message, ServerNotification) and "tools/list_changed" in message.method:
            self._heard.set()

    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def wait(self) -> None:
        with anyio.fail_after(20):
            await self._heard.wait()


class _Modern:
    """Hears them on a stream that the client opened."""

    def __init__(self, client: Client) -> None:
        self._stream = client.listen(tools_list_changed=True)

    async def __aenter__(self) -> None:
        self._events = await self._stream.__aenter__()

    async def __aexit__(self, *what: Any) -> None:
        await self._stream.__aexit__(*what)

    async def wait(self) -> None:
        with anyio.fail_after(20):
            async for event in self._events:
                assert isinstance(event, ToolsListChanged)
                return


@pytest.mark.slow
@pytest.mark.parametrize("era", ["legacy", "auto"])
def test_a_session_goes_as_the_transcript_tells(trained: Tiny, era: str) -> None:
    start = StdioServerParameters(command=sys.executable, args=["-c", START], env=dict(os.environ))

    async def main() -> list[str]:
        legacy = _Legacy()
        async with Client(start, mode=era, message_handler=legacy.listen) as client:
            heard = (lambda: legacy) if era == "legacy" else (lambda: _Modern(client))
            return await _session(client, trained, heard)

    told = "\n".join(anyio.run(main)) + "\n"
    golden = GOLDEN / "session.txt"
    if os.environ.get("KDGAT_WRITE_GOLDEN"):
        golden.write_text(told)
    # Both eras tell the same.
    assert told == golden.read_text()


@pytest.mark.slow
def test_two_servers_answer_two_hundred_calls_at_once_and_lose_no_question(trained: Tiny) -> None:
    start = StdioServerParameters(command=sys.executable, args=["-c", START], env=dict(os.environ))
    calls: tuple[tuple[str, dict[str, Any]], ...] = (
        ("runs", {"limit": 5}),
        ("runs", {"action": "show", "runs": [trained.teacher]}),
        ("registry", {}),
        ("status", {"ended": True}),
        ("log_question", {"text": "Is this one kept?"}),
    )
    failed: list[Any] = []

    async def one(client: Client, tool: str, arguments: dict[str, Any]) -> None:
        result = await client.call_tool(tool, arguments)
        assert isinstance(result, CallToolResult)
        if result.is_error:
            failed.append((tool, result.content))

    async def main() -> None:
        with anyio.fail_after(PATIENCE_S):
            async with (
                Client(start) as first,
                Client(start) as second,
                anyio.create_task_group() as group,
            ):
                for number in range(200):
                    client = (first, second)[number % 2]
                    group.start_soon(one, client, *calls[number // 2 % len(calls)])

    anyio.run(main)
    assert not failed
    kept = [path.name[:4] for path in (trained.root / "modes" / "questions").glob("*.md")]
    assert sorted(kept) == [f"{number:04d}" for number in range(1, 41)]
