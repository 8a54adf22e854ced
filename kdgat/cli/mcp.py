"""`kdgat mcp`: serve an agent, over standard input and output or over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kdgat.cli.output import print_json
from kdgat.workspace import Workspace

_PORT = 8765


def mcp(
    http: Annotated[bool, typer.Option("--http", help="Serve over HTTP, with a token.")] = False,
    host: Annotated[str, typer.Option(help="With --http: the address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="With --http: the port; 0 takes a free one.")
    ] = _PORT,
    token_file: Annotated[
        Path | None,
        typer.Option(help="With --http: a file with the token; else KDGAT_MCP_TOKEN or a new one."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the current mode's tools as JSON; don't serve.")
    ] = False,
) -> None:
    """Serve this workspace to an agent by the Model Context Protocol, until its client goes.

    An agent's client starts this by itself: `claude mcp add kdgat -- kdgat mcp`. What it may use,
    the mode decides (`kdgat mode`).

    Example: kdgat mcp --http --port 8765
    """
    ws = Workspace.find()
    if as_json:
        from kdgat.mcp.server import described_tools

        return print_json(described_tools(ws))
    from kdgat.mcp.server import make_server
    from kdgat.mcp.stdio import log_to_stderr, serve_stdio

    log_to_stderr()
    if http:
        from kdgat.mcp.http import find_token, serve

        return serve(make_server(ws), host, port, find_token(host, token_file))
    return serve_stdio(make_server(ws))
