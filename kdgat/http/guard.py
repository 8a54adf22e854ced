"""Layers around an ASGI application that refuse a caller before anything of his is read."""

from __future__ import annotations

import json
import secrets
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def own_names(host: str) -> frozenset[str]:
    """What this machine is called in a URL, by its own users and at a tunnel's end."""
    return frozenset({*_LOOPBACK, in_url(host), socket.gethostname()})


def in_url(host: str) -> str:
    """An address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def with_token(app: ASGIApp, token: str, hint: str) -> ASGIApp:
    """`app` for those who send the token; others get 401, and nothing of theirs is read."""
    expected = b"bearer " + token.encode("ascii")

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _knows(scope["headers"], expected):
            await app(scope, receive, send)
            return
        headers = {b"www-authenticate": b'Bearer realm="kdgat"'}
        await refuse(send, 401, "no bearer token, or a wrong one", hint, headers)

    return guard


def with_own_names(app: ASGIApp, names: frozenset[str]) -> ASGIApp:
    """`app` for requests to this machine's own names, from no foreign page (DNS rebinding).

    Any port is taken: a tunnel's end has another one than the server.
    """
    origins = frozenset(f"http://{name}" for name in names)

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            hosts, pages = (_values(scope["headers"], name) for name in (b"host", b"origin"))
            if len(hosts) != 1 or _without_port(hosts[0]) not in names:
                shown = ascii(hosts[0]) if hosts else "none"
                hint = f"ask for one of: {', '.join(sorted(names))}"
                return await refuse(send, 421, f"the Host header is {shown}, not this server", hint)
            if any(_without_port(page) not in origins for page in pages):
                hint = "pages of other sites may not call this server; leave Origin out"
                return await refuse(send, 403, f"the Origin is {pages[0]!a}", hint)
        await app(scope, receive, send)
        return None

    return guard


def with_bounded_body(app: ASGIApp, most_bytes: int, hint: str) -> ASGIApp:
    """`app` for bodies up to a size; others get 413, without a declared length once it is passed.

    Within `app` the latter is Starlette's HTTPException, whose handler answers.
    """
    problem = f"the body has more than {most_bytes:,} bytes"

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        declared = _values(scope["headers"], b"content-length")
        if declared and declared[0].isdecimal() and int(declared[0]) > most_bytes:
            return await refuse(send, 413, problem, hint, {b"connection": b"close"})
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > most_bytes:
                from starlette.exceptions import HTTPException

                raise HTTPException(413, problem)
            return message

        await app(scope, counted, send)
        return None

    return guard


async def refuse(
    send: Send, status: int, error: str, hint: str, headers: dict[bytes, bytes] | None = None
) -> None:
    """Answer with a status and one JSON object, and nothing else."""
    body = json.dumps({"error": error, "hint": hint}).encode()
    own = {b"content-type": b"application/json", b"content-length": str(len(body)).encode()}
    start = {"type": "http.response.start", "status": status}
    await send({**start, "headers": list({**own, **(headers or {})}.items())})
    await send({"type": "http.response.body", "body": body})


def _knows(headers: list[tuple[bytes, bytes]], expected: bytes) -> bool:
    """Whether the one Authorization header has the token; takes equally long for any other."""
    given = [value for name, value in headers if name == b"authorization"]
    if len(given) != 1:
        return False
    scheme, _, token = given[0].partition(b" ")
    return secrets.compare_digest(scheme.lower() + b" " + token.strip(), expected)


def _values(headers: list[tuple[bytes, bytes]], wanted: bytes) -> list[str]:
    return [value.decode("latin-1") for name, value in headers if name == wanted]


def _without_port(text: str) -> str:
    """`[::1]:80` without `:80`; what has no port stays as it is."""
    name, colon, port = text.rpartition(":")
    return name if colon and port.isdecimal() and port.isascii() else text
