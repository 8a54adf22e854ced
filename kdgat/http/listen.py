"""A socket that was asked for, and uvicorn on it until a signal ends it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kdgat.errors import WorkspaceError
from kdgat.http.guard import in_url
from kdgat.http.token import Token

if TYPE_CHECKING:
    from starlette.types import ASGIApp


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 is any that is free.

    Raises:
        WorkspaceError: the address is not to be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise WorkspaceError(
            f"can't listen on {in_url(host)}:{port}: {reason}",
            hint="give another --port (0 takes one that is free), or another --host",
        ) from error


def url_of(listening: socket.socket, host: str) -> str:
    """The address of what listens."""
    return f"http://{in_url(host)}:{listening.getsockname()[1]}"


def announce(line: str, token: Token) -> None:
    """Say on standard error where a server is, and a token that nobody knows yet."""
    lines = [line]
    if token.fresh:
        lines.append(f"Authorization: Bearer {token.text}")
    print(*lines, sep="\n", file=sys.stderr, flush=True)


def serve_until_signal(
    app: ASGIApp,
    listening: socket.socket,
    begun: Callable[[], None],
    *,
    most_connections: int,
    graceful_s: int,
) -> None:
    """Serve until SIGTERM or SIGINT; then requests that are being answered have some time to end.

    Args:
        app: what answers.
        listening: from `listen`; closed at the end.
        begun: called once a signal would end it well.
        most_connections: connections at once; others get 503.
        graceful_s: seconds for what is being answered.
    """
    import uvicorn

    config = uvicorn.Config(
        app,
        access_log=False,
        # The log is standard error's, as it is over stdio.
        log_config=None,
        log_level="warning",
        limit_concurrency=most_connections,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=graceful_s,
        ws="none",
    )
    logging.getLogger("uvicorn.error").addFilter(_is_no_cut)
    with _signals_end_quietly():
        try:
            begun()
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:
            pass
        finally:
            listening.close()


@contextmanager
def _signals_end_quietly() -> Iterator[None]:
    # uvicorn stops on the signal and then raises it once more, which would end the process as if
    # it had not been handled.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_no_cut(record: logging.LogRecord) -> bool:
    """Whether a line of the log tells of anything but a call cut off by the server's end."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
