"""The server over HTTP: one address, one bearer token, no caller from a foreign page.

A loopback port is open to everybody who is logged in to the machine, so nothing is answered
without the token, whatever the address. Host and Origin are held against this machine's names, so
that a page in a browser can't reach the port by a name that it points here (DNS rebinding).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kdgat.http import token as tokens
from kdgat.http.guard import own_names, with_token
from kdgat.http.listen import announce, listen, serve_until_signal, url_of
from kdgat.http.token import Token

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from kdgat.mcp.server import KdgatServer

PORT = 8765
PATH = "/mcp"
TOKEN_VARIABLE = "KDGAT_MCP_TOKEN"
MAX_BODY_BYTES = 2 << 20
MAX_SESSIONS = 100
MAX_CONNECTIONS = 500
SESSION_IDLE_S = 1800.0
_SHUTDOWN_S = 3
"""Seconds that calls have to end by themselves when the server is told to stop."""
_HINT = (
    "send the header 'Authorization: Bearer TOKEN'; the server got the token from --token-file or "
    f"{TOKEN_VARIABLE}, or printed one when it began"
)


def find_token(
    host: str, token_file: Path | None = None, environ: Mapping[str, str] | None = None
) -> Token:
    """The token of a file, else of KDGAT_MCP_TOKEN, else a new one.

    Raises:
        WorkspaceError: as `kdgat.http.token.find_token`.
    """
    return tokens.find_token(host, token_file, TOKEN_VARIABLE, PORT, environ)


def application(server: KdgatServer, host: str, token: Token) -> ASGIApp:
    """The server as an ASGI application, with everything checked before a request is read."""
    from mcp.server.transport_security import TransportSecuritySettings

    names = own_names(host)
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        max_request_body_size=MAX_BODY_BYTES,
        max_sessions=MAX_SESSIONS,
        session_idle_timeout=SESSION_IDLE_S,
        transport_security=TransportSecuritySettings(
            # Any port: a tunnel's end has another one than the server.
            allowed_hosts=[f"{name}:*" for name in names],
            allowed_origins=[f"http://{name}:*" for name in names],
        ),
    )
    return with_token(app, token.text, _HINT)


def serve(server: KdgatServer, host: str, port: int, token: Token) -> None:
    """Serve until SIGTERM or SIGINT; the address, and a token made here, go to standard error.

    Args:
        server: what answers.
        host: an address or a name of this machine.
        port: 0 for any that is free.
        token: what callers must send, from `find_token`.

    Raises:
        WorkspaceError: the address is not to be had.
    """
    listening = listen(host, port)
    app = application(server, host, token)
    line = f"kdgat serves agents at {url_of(listening, host)}{PATH}"
    serve_until_signal(
        app,
        listening,
        lambda: announce(line, token),
        most_connections=MAX_CONNECTIONS,
        graceful_s=_SHUTDOWN_S,
    )
    if not server.wait_for_calls(_SHUTDOWN_S):
        # A thread can't be ended; what its call writes is whole or absent.
        sys.stderr.flush()
        os._exit(0)
