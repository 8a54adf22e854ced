"""Notices that the user switched the mode, and tells every client that its lists changed.

Clients of the newest protocol hear it on the streams they opened with `subscriptions/listen`;
older ones on their connection, which is remembered from the moment they said to be ready.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from mcp.server.subscriptions import PromptsListChanged, ResourcesListChanged, ToolsListChanged

from kdgat.errors import KdgatError
from kdgat.modes.packs import mode_file
from kdgat.modes.state import current_mode

if TYPE_CHECKING:
    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
    from mcp.server.subscriptions import SubscriptionBus

    from kdgat.workspace import Workspace

EVERY_S = 0.3
"""Seconds between two looks at the mode."""
_CHANGED = (ToolsListChanged(), PromptsListChanged(), ResourcesListChanged())
_log = logging.getLogger(__name__)


class Listeners:
    """Whoever wants to know; as a middleware it meets the older clients."""

    def __init__(self, bus: SubscriptionBus) -> None:
        self._bus = bus
        self._connections: set[Any] = set()

    async def __call__(
        self, ctx: ServerRequestContext[Any, Any], call_next: CallNext
    ) -> HandlerResult:
        """Remember a connection that is ready; promise it, in the handshake, to tell changes."""
        result = await call_next(ctx)
        if ctx.method == "initialize" and isinstance(result, dict):
            # The SDK promises this by itself only in the newest protocol.
            for name in ("tools", "prompts", "resources"):
                if name in (able := result.get("capabilities", {})):
                    able[name] = {**able[name], "listChanged": True}
        elif ctx.method == "notifications/initialized":
            # The SDK has no public name for a connection, and only this lives as long as it.
            connection = ctx.session._connection
            self._connections.add(connection)
            connection.exit_stack.callback(self._connections.discard, connection)
        return result

    def __len__(self) -> int:
        """How many older clients are connected."""
        return len(self._connections)

    async def tell(self) -> None:
        """Say to all of them that the lists changed."""
        for event in _CHANGED:
            await self._bus.publish(event)
        for connection in tuple(self._connections):
            await connection.send_tool_list_changed()
            await connection.send_prompt_list_changed()
            await connection.send_resource_list_changed()


@asynccontextmanager
async def watching(ws: Workspace, listeners: Listeners) -> AsyncIterator[None]:
    """Watch the mode for as long as the block runs."""
    # Before a client can ask for a list, so that no switch falls between the two.
    seen = await anyio.to_thread.run_sync(_state, ws)
    async with anyio.create_task_group() as group:
        group.start_soon(_watch, ws, listeners, seen)
        yield
        group.cancel_scope.cancel()


async def _watch(ws: Workspace, listeners: Listeners, seen: object) -> None:
    while True:
        await anyio.sleep(EVERY_S)
        # In a thread: the home folder may lie on a file system that stalls.
        now = await anyio.to_thread.run_sync(_state, ws, abandon_on_cancel=True)
        if now != seen:
            seen = now
            await listeners.tell()


def _state(ws: Workspace) -> object:
    """The mode, and which state its file is in; one that can't be used is a state like another.

    The file is not read: that takes YAML, which a handshake would wait for.
    """
    try:
        mode = current_mode(ws)
        file = mode_file(ws, mode).stat()
    except (KdgatError, OSError) as error:
        return str(error)
    return mode, file.st_mtime_ns, file.st_size, file.st_ino
