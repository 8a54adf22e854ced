"""A model served over HTTP: who may ask is settled before a request is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from kdgat.http import token as tokens
from kdgat.http.guard import own_names, with_bounded_body, with_own_names, with_token
from kdgat.http.listen import announce, listen, serve_until_signal, url_of
from kdgat.http.token import Token

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from kdgat.ops.serving import Scorer

PORT = 8766
TOKEN_VARIABLE = "KDGAT_SERVE_TOKEN"
MAX_BODY_BYTES = 8 << 20
MAX_CONNECTIONS = 100
_SHUTDOWN_S = 10
"""Seconds that requests have to end by themselves when the server is told to stop."""
_HINT = (
    "send the header 'Authorization: Bearer TOKEN'; the server got the token from --token-file or "
    f"{TOKEN_VARIABLE}, or printed one when it began"
)


def find_token(
    host: str, token_file: Path | None = None, environ: Mapping[str, str] | None = None
) -> Token:
    """The token of a file, else of KDGAT_SERVE_TOKEN, else a new one.

    Raises:
        WorkspaceError: as `kdgat.http.token.find_token`.
    """
    return tokens.find_token(host, token_file, TOKEN_VARIABLE, PORT, environ)


def guarded(scorer: Scorer, host: str, token: Token) -> ASGIApp:
    """The application behind its token, this machine's names and the bound on bodies."""
    from kdgat.serving.app import application

    hint = "send less at once: a stream's pieces"
    bounded = with_bounded_body(application(scorer), MAX_BODY_BYTES, hint)
    return with_token(with_own_names(bounded, own_names(host)), token.text, _HINT)


def serve(scorer: Scorer, host: str, port: int, token: Token) -> None:
    """Serve until SIGTERM or SIGINT; the address, and a token made here, go to standard error.

    Args:
        scorer: the model.
        host: an address or a name of this machine.
        port: 0 for any that is free.
        token: what callers must send, from `find_token`.

    Raises:
        WorkspaceError: the address is not to be had.
    """
    listening = listen(host, port)
    app = guarded(scorer, host, token)
    about = scorer.about
    line = f"kdgat serves {about.name} ({about.run_id}), {about.protocol}, at "
    serve_until_signal(
        app,
        listening,
        lambda: announce(line + url_of(listening, host), token),
        most_connections=MAX_CONNECTIONS,
        graceful_s=_SHUTDOWN_S,
    )
