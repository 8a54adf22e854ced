"""The mode decides what is served, the user switches it, and a running server notices."""

from __future__ import annotations

from typing import Any

import anyio
from mcp.client.client import Client
from mcp.client.subscriptions import ToolsListChanged
from mcp_types import ServerNotification

from kdgat.mcp.server import make_server
from kdgat.modes.state import state_path
from tests.faces.conftest import Command
from tests.faces.mcp.conftest import Desk, text_of


async def names(client: Client) -> list[str]:
    return [tool.name for tool in (await client.list_tools()).tools]


def test_a_tool_of_another_mode_is_not_listed_and_refused_with_the_mode_that_has_it(
    planted: Desk,
) -> None:
    assert "questions" not in planted.talk(names)
    told = planted.mistake("questions")
    assert told == (
        "the tool 'questions' is not served in mode 'mlops'\n"
        "hint: it is in mode 'research'; the user switches with `kdgat mode research`"
    )


def test_after_the_users_switch_a_running_server_serves_the_tool(
    planted: Desk, kdgat: Command
) -> None:
    async def talk(client: Client) -> tuple[Any, ...]:
        before = await client.call_tool("questions", {})
        assert kdgat("mode", "research").code == 0
        after = await client.call_tool("questions", {})
        return before, after, await names(client)

    before, after, listed = planted.talk(talk)
    assert before.is_error
    assert after.structured_content == {"done": True}
    assert listed[-1] == "questions"


def test_clients_of_both_eras_hear_of_a_switch(planted: Desk, kdgat: Command) -> None:
    heard: list[str] = []
    changed = anyio.Event()

    async def listen(message: Any) -> None:
        if isinstance(message, ServerNotification):
            heard.append(message.method)
        if {f"notifications/{what}/list_changed" for what in WHAT} <= set(heard):
            changed.set()

    async def legacy(client: Client) -> None:
        assert kdgat("mode", "research").code == 0
        with anyio.fail_after(10):
            await changed.wait()

    async def modern(client: Client) -> None:
        async with client.listen(tools_list_changed=True) as events:
            assert kdgat("mode", "research").code == 0
            with anyio.fail_after(10):
                async for event in events:
                    assert isinstance(event, ToolsListChanged)
                    break

    if planted.era == "legacy":
        planted.talk(legacy, message_handler=listen)
    else:
        planted.talk(modern)


WHAT = ("tools", "prompts", "resources")


def test_a_client_that_left_is_forgotten(planted: Desk) -> None:
    # Newer clients are not remembered: they hear on streams that they opened.
    expected = int(planted.era == "legacy")
    server = make_server(planted.ws)
    left: list[int] = []

    async def talk(client: Client) -> None:
        await client.list_tools()
        left.append(len(server.listeners))

    planted.talk(talk, server=server)
    planted.talk(talk, server=server)
    assert left == [expected, expected]
    assert len(server.listeners) == 0


def test_a_damaged_state_serves_what_every_mode_has_and_refuses_the_rest(planted: Desk) -> None:
    path = state_path(planted.ws)
    path.parent.mkdir(parents=True)
    path.write_text('{"mode"')
    assert "questions" not in planted.talk(names)
    assert "mode.json' is damaged" in planted.mistake("questions")
    assert not planted.call("echo", text="x").is_error


def test_a_mode_of_the_users_serves_the_tools_that_its_file_names(
    planted: Desk, kdgat: Command
) -> None:
    planted.ws.modes.mkdir()
    (planted.ws.modes / "tidy.md").write_text(
        "---\ndescription: tidies up\ntools: [questions]\nsections: []\nbudget_tokens: 800\n"
        "questions: shown\n---\nTidy up.\n"
    )
    assert kdgat("mode", "tidy").code == 0
    assert planted.talk(names)[-1] == "questions"
    assert text_of(planted.call("questions")) == "done: True"
