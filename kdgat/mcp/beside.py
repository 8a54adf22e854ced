"""What is served beside tools: resources, prompts and completion.

Each is loaded when a client first asks for it, and works off the event loop, as it may read many
files. The SDK's own registers are passed over: what there is depends on the mode at the moment.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    CompleteRequestParams,
    GetPromptRequestParams,
    PaginatedRequestParams,
    ReadResourceRequestParams,
)

from kdgat.errors import KdgatError

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel.server import Server
    from pydantic import BaseModel

    from kdgat.workspace import Workspace

Work = Callable[["Workspace", Any], "BaseModel"]
_log = logging.getLogger(__name__)


def serve_beside(server: Server[Any], ws: Workspace) -> None:
    """Have a server answer for a workspace's resources, prompts and completion."""
    for method, (kind, work) in _METHODS.items():
        server.add_request_handler(method, kind, _handler(ws, method, work))


def _handler(
    ws: Workspace, method: str, work: Work
) -> Callable[[ServerRequestContext[Any, Any], Any], Awaitable[BaseModel]]:
    async def handle(_: ServerRequestContext[Any, Any], params: Any) -> BaseModel:
        try:
            return await anyio.to_thread.run_sync(partial(work, ws, params), abandon_on_cancel=True)
        except KdgatError as error:
            text = f"{error.problem}\nhint: {error.hint}"
            # The newest protocol wants the URI told of a resource that is not there.
            uri = getattr(params, "uri", None)
            data = None if uri is None else {"uri": uri}
            raise MCPError(code=INVALID_PARAMS, message=text, data=data) from None
        except Exception as error:
            # As with tools: the client gets the kind, whoever runs the server gets the rest.
            _log.exception("%s failed", method)
            text = f"{method} failed inside kdgat ({type(error).__name__})"
            raise MCPError(code=INTERNAL_ERROR, message=text) from None

    return handle


def _resources(ws: Workspace, params: PaginatedRequestParams) -> BaseModel:
    from kdgat.mcp.resources import listed

    return listed(ws, params.cursor)


def _templates(ws: Workspace, _: PaginatedRequestParams) -> BaseModel:
    from kdgat.mcp.resources import list_templates

    return list_templates(ws)


def _resource(ws: Workspace, params: ReadResourceRequestParams) -> BaseModel:
    from kdgat.mcp.resources import read

    return read(ws, params.uri)


def _prompts(_ws: Workspace, _: PaginatedRequestParams) -> BaseModel:
    from kdgat.mcp.prompts import listed

    return listed()


def _prompt(ws: Workspace, params: GetPromptRequestParams) -> BaseModel:
    from kdgat.mcp.prompts import render

    return render(ws, params.name, params.arguments)


def _completion(ws: Workspace, params: CompleteRequestParams) -> BaseModel:
    from kdgat.mcp.completion import complete

    return complete(ws, params.ref, params.argument, params.context)


_METHODS: dict[str, tuple[type[BaseModel], Work]] = {
    "resources/list": (PaginatedRequestParams, _resources),
    "resources/templates/list": (PaginatedRequestParams, _templates),
    "resources/read": (ReadResourceRequestParams, _resource),
    "prompts/list": (PaginatedRequestParams, _prompts),
    "prompts/get": (GetPromptRequestParams, _prompt),
    "completion/complete": (CompleteRequestParams, _completion),
}
