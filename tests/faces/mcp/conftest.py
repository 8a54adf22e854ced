"""A server in this process, asked by a client of each protocol era."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import anyio
import pytest
from mcp.client.client import Client
from mcp_types import CallToolResult, TextContent

from kdgat.mcp.server import KdgatServer, make_server
from kdgat.workspace import Workspace
from tests.faces.conftest import Tiny
from tests.faces.mcp.planted import PLANTED

ERAS = ("legacy", "auto")
Talk = Callable[[Client], Awaitable[Any]]


class Desk:
    """Talks to a server of a workspace, in one era."""

    def __init__(self, ws: Workspace, era: str) -> None:
        self.ws = ws
        self.era = era

    def talk(self, talk: Talk, *, server: KdgatServer | None = None, **options: Any) -> Any:
        """What `talk` gives back, with a client of a server of its own."""

        async def main() -> Any:
            serving = server or make_server(self.ws)
            with anyio.fail_after(60):
                async with Client(serving, mode=self.era, **options) as client:
                    return await talk(client)

        return anyio.run(main)

    def call(self, name: str, /, **arguments: Any) -> CallToolResult:
        """One call of a tool."""
        return self.talk(partial(_call, name, arguments))

    def mistake(self, name: str, /, **arguments: Any) -> str:
        """The text of an error result: a sentence, and a hint on a line of its own."""
        result = self.call(name, **arguments)
        text = text_of(result)
        assert result.is_error, text
        problem, _, hint = text.partition("\nhint: ")
        assert problem, text
        assert hint, text
        assert "\n" not in problem + hint, text
        assert len(text) < 700, text
        return text


async def _call(name: str, arguments: dict[str, Any], client: Client) -> CallToolResult:
    return await client.call_tool(name, arguments)


def text_of(result: CallToolResult) -> str:
    """The only text of a result."""
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


@pytest.fixture(params=ERAS)
def desk(request: pytest.FixtureRequest, empty: Tiny) -> Desk:
    """An empty workspace's server, in both eras."""
    return Desk(Workspace(empty.root, empty.home), request.param)


@pytest.fixture
def planted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The same with tools made for tests instead of the real ones."""
    monkeypatch.setattr("kdgat.mcp.table.TOOLS", PLANTED)
    return desk
