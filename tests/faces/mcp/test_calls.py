"""Every call is a row of the history, whatever came of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
from mcp.client.client import Client

from kdgat.mcp.handler import Caller, call
from kdgat.mcp.server import make_server
from tests.faces.conftest import Command
from tests.faces.mcp.conftest import Desk, text_of

SQL = "select * from agent_calls order by started_at"


def test_what_was_called_is_asked_of_the_history_like_runs(planted: Desk, kdgat: Command) -> None:
    async def talk(client: Client) -> None:
        await client.call_tool("echo", {"text": "hello", "action": "loud"})
        await client.call_tool("mistake", {})
        await client.call_tool("broken", {})
        await client.call_tool("questions", {})
        await client.call_tool("echo", {"text": "x", "action": "\x1b" * 900})

    planted.talk(talk)
    table = kdgat("history", "sql", SQL, "--json").json
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    assert [row["tool"] for row in rows] == ["echo", "mistake", "broken", "questions", "echo"]
    assert [row["action"] for row in rows] == ["loud", None, None, None, None]
    assert {row["mode"] for row in rows} == {"mlops"}
    assert len({row["server"] for row in rows}) == 1
    assert all(row["client"] for row in rows)
    assert rows[0]["error"] is None
    assert rows[1]["error"] == "there is no run 'x'"
    assert rows[2]["error"] == "ValueError: a secret of the inside"
    assert "not served in mode 'mlops'" in rows[3]["error"]
    assert "'action' is" in rows[4]["error"]
    assert all(row["bytes"] > 20 for row in rows)
    assert all(0 < row["duration_s"] < 60 for row in rows)
    started = datetime.fromisoformat(rows[0]["started_at"]).replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - started) < timedelta(minutes=5)


def test_two_servers_write_side_by_side(planted: Desk, kdgat: Command) -> None:
    async def main() -> None:
        servers = [make_server(planted.ws) for _ in range(2)]
        async with (
            Client(servers[0], mode=planted.era) as one,
            Client(servers[1], mode=planted.era) as two,
            anyio.create_task_group() as group,
        ):
            for number in range(25):
                group.start_soon(one.call_tool, "echo", {"text": f"{number}"})
                group.start_soon(two.call_tool, "echo", {"text": f"{number}"})

    anyio.run(main)
    counted = "select count(*), count(distinct server) from agent_calls where error is null"
    assert kdgat("history", "sql", counted, "--json").json["rows"] == [[50, 2]]


def test_lines_that_are_not_whole_are_passed_over(planted: Desk, kdgat: Command) -> None:
    planted.call("echo", text="x")
    (path,) = planted.ws.agent.glob("calls/*.jsonl")
    whole = path.read_text()
    path.write_text(whole + '{"tool": 5}\n[1]\n' + whole[:40])
    counted = "select count(*) from agent_calls"
    assert kdgat("history", "sql", counted, "--json").json["rows"] == [[1]]


def test_a_call_is_answered_where_it_can_not_be_written_down(planted: Desk) -> None:
    planted.ws.agent.mkdir(parents=True)
    Path(planted.ws.agent / "calls").write_text("in the way")
    assert not planted.call("echo", text="x").is_error


def test_no_call_leaves_no_file(planted: Desk) -> None:
    planted.talk(Client.list_tools)
    assert not (planted.ws.agent / "calls").exists()


def test_what_is_no_unicode_is_refused_and_written_down_all_the_same(
    planted: Desk, kdgat: Command
) -> None:
    log = make_server(planted.ws).calls
    for name, arguments in (
        ("\ud800", {}),
        ("echo", {"text": "\ud800"}),
        ("echo", {"text": "x", "\ud800": 1}),
        ("echo", {"text": "x", "words": ["\ud800"]}),
        ("mistake", {"run": "x" * 400}),
    ):
        result = call(planted.ws, log, name, arguments, Caller())
        assert result.is_error
        assert text_of(result).encode().count(b"\nhint: ") == 1
    rows = kdgat("history", "sql", "select tool from agent_calls", "--json").json["rows"]
    assert [tool for (tool,) in rows] == ["\\ud800", "echo", "echo", "echo", "mistake"]
