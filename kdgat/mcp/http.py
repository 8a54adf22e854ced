"""The server over HTTP: one address, one bearer token, no caller from a foreign page.

A loopback port is open to everybody who is logged in to the machine, so nothing is answered
without the token, whatever the address. Host and Origin are held against this machine's names, so
that a page in a browser can't reach the port by a name that it points here (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import re
import secrets
import signal
import socket
import stat
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kdgat.errors import WorkspaceError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from kdgat.mcp.server import KdgatServer

HOST = "127.0.0.1"
PORT = 8765
PATH = "/mcp"
TOKEN_VARIABLE = "KDGAT_MCP_TOKEN"
MAX_BODY_BYTES = 2 << 20
MAX_SESSIONS = 100
MAX_CONNECTIONS = 500
SESSION_IDLE_S = 1800.0
_SHUTDOWN_S = 3
"""Seconds that calls have to end by themselves when the server is told to stop."""
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")
_REFUSAL = (
    b'{"error": "no bearer token, or a wrong one", '
    b'"hint": "send the header \'Authorization: Bearer TOKEN\'; the server got the token from '
    b'--token-file or KDGAT_MCP_TOKEN, or printed one when it began"}'
)


@dataclass(frozen=True)
class Token:
    """What a caller must know."""

    text: str = field(repr=False)
    fresh: bool
    """Whether it was made here, so that nobody knows it yet."""


def find_token(
    host: str, token_file: Path | None = None, environ: Mapping[str, str] | None = None
) -> Token:
    """The token of a file, else of KDGAT_MCP_TOKEN, else a new one.

    Raises:
        WorkspaceError: the file can't be read or others can read it, the token is too short or
            has other characters than a header takes, or other machines reach `host` and no
            token was given.
    """
    given = (os.environ if environ is None else environ).get(TOKEN_VARIABLE)
    if token_file is not None:
        return Token(_checked(_private_text(token_file), f"the token in '{token_file}'"), False)
    if given is not None:
        return Token(_checked(given, TOKEN_VARIABLE), False)
    if not is_loopback(host):
        raise WorkspaceError(
            f"'{host}' can be reached from other machines, so a token of your own is needed",
            hint=f"give --token-file or {TOKEN_VARIABLE}; or stay on {HOST} and come in by "
            f"`ssh -L {PORT}:{HOST}:{PORT} HOST`, which encrypts too",
        )
    return Token(secrets.token_urlsafe(32), True)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def application(server: KdgatServer, host: str, token: Token) -> ASGIApp:
    """The server as an ASGI application, with everything checked before a request is read."""
    from mcp.server.transport_security import TransportSecuritySettings

    names = {*_LOOPBACK, _in_url(host), socket.gethostname()}
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
    return _guarded(app, token.text.encode("ascii"))


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
    import uvicorn

    listening = _listen(host, port)
    url = f"http://{_in_url(host)}:{listening.getsockname()[1]}{PATH}"
    config = uvicorn.Config(
        application(server, host, token),
        access_log=False,
        # The log is standard error's, as it is over stdio.
        log_config=None,
        log_level="warning",
        limit_concurrency=MAX_CONNECTIONS,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        ws="none",
    )
    # uvicorn stops on the signal and then raises it once more, which would end the process as if
    # it had not been handled.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    logging.getLogger("uvicorn.error").addFilter(_is_no_cut)
    try:
        _announce(url, token)
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
        listening.close()
    if not server.wait_for_calls(_SHUTDOWN_S):
        # A thread can't be ended; what its call writes is whole or absent.
        sys.stderr.flush()
        os._exit(0)


def _guarded(app: ASGIApp, token: bytes) -> ASGIApp:
    """`app` for those who send the token; others get 401, and nothing of theirs is read."""
    expected = b"bearer " + token

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _knows(scope["headers"], expected):
            await app(scope, receive, send)
            return
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(_REFUSAL)).encode()),
            (b"www-authenticate", b'Bearer realm="kdgat"'),
        ]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": _REFUSAL})

    return guard


def _knows(headers: list[tuple[bytes, bytes]], expected: bytes) -> bool:
    """Whether the one Authorization header has the token; takes equally long for any other."""
    given = [value for name, value in headers if name == b"authorization"]
    if len(given) != 1:
        return False
    scheme, _, token = given[0].partition(b" ")
    return secrets.compare_digest(scheme.lower() + b" " + token.strip(), expected)


def _is_no_cut(record: logging.LogRecord) -> bool:
    """Whether a line of the log tells of anything but a call cut off by the server's end."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _private_text(path: Path) -> str:
    """The text of a file that only its owner reads."""
    try:
        # Of the open file, not of the name: what is checked is what is read.
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(1024).decode("utf-8", "replace")
    except OSError as error:
        raise WorkspaceError(
            f"can't read the token's file '{path}': {error.strerror}",
            hint="`umask 077; openssl rand -hex 32 > FILE` makes one",
        ) from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise WorkspaceError(
            f"others than you may use the token's file '{path}' (mode {stat.S_IMODE(mode):o})",
            hint=f"chmod 600 {path}",
        )
    return text


def _checked(text: str, where: str) -> str:
    text = text.strip()
    if not _TOKEN.fullmatch(text):
        raise WorkspaceError(
            f"{where} is no token: it takes 16 to 512 of A-Z a-z 0-9 . _ ~ + / = -, not "
            f"{len(text)} characters" + (" with others among them" if len(text) >= 16 else ""),
            hint="`umask 077; openssl rand -hex 32 > FILE` makes one, for --token-file FILE",
        )
    return text


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise WorkspaceError(
            f"can't listen on {_in_url(host)}:{port}: {reason}",
            hint="give another --port (0 takes one that is free), or another --host",
        ) from error


def _in_url(host: str) -> str:
    """An address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _announce(url: str, token: Token) -> None:
    lines = [f"kdgat serves agents at {url}"]
    if token.fresh:
        lines.append(f"Authorization: Bearer {token.text}")
    print(*lines, sep="\n", file=sys.stderr, flush=True)
