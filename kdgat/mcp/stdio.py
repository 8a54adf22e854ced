"""The server over standard input and output, for the client that started it.

Standard output is the protocol's alone: while it serves, what anything prints goes to standard
error, and so do logs. When the client goes, calls that still work get a few seconds; whatever they
write is whole or absent, so the process may then end in the middle of them.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from kdgat.mcp.server import KdgatServer

GRACE_S = 5.0
"""Seconds that calls have to end by themselves when the client has gone."""
_log = logging.getLogger(__name__)


def log_to_stderr() -> None:
    """Plain lines on standard error; the SDK would draw frames as wide as a terminal."""
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="kdgat mcp: %(levelname)s: %(message)s"
    )


def serve_stdio(server: KdgatServer) -> None:
    """Serve until standard input ends, or SIGTERM or SIGINT comes; none of them is an error."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    if sys.stdin.isatty():
        print("kdgat mcp: waiting for a client on standard input; Ctrl-C ends it", file=sys.stderr)
    try:
        anyio.run(server.run_stdio_async)
    except* (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        _log.warning("the client went in the middle of an answer")
        # Standard input may be open still, and the thread that reads it can't be ended.
        server.wait_for_calls(GRACE_S)
        _leave()
    if not server.wait_for_calls(GRACE_S):
        _log.warning("calls that still worked were cut off: the client has gone")
        _leave()


def _leave(number: int | None = None, frame: FrameType | None = None) -> None:  # noqa: ARG001
    sys.stderr.flush()
    os._exit(0)
