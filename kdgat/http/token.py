"""The one token that a caller must know: from a file, from the environment, or made here.

A loopback port is open to everybody who is logged in to the machine, so there is a token whatever
the address. It is never an argument, which `ps` shows to everybody.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kdgat.errors import WorkspaceError

LOOPBACK = "127.0.0.1"
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,512}")


@dataclass(frozen=True)
class Token:
    """What a caller must know."""

    text: str = field(repr=False)
    fresh: bool
    """Whether it was made here, so that nobody knows it yet."""


def find_token(
    host: str,
    token_file: Path | None,
    variable: str,
    port: int,
    environ: Mapping[str, str] | None = None,
) -> Token:
    """The token of a file, else of an environment variable, else a new one.

    Args:
        host: where the server listens.
        token_file: a file that only its owner reads.
        variable: the name in the environment.
        port: for the hint.
        environ: the environment; this process's if it is not given.

    Raises:
        WorkspaceError: the file can't be read or others can read it, the token is too short or
            has other characters than a header takes, or other machines reach `host` and no
            token was given.
    """
    given = (os.environ if environ is None else environ).get(variable)
    if token_file is not None:
        return Token(_checked(_private_text(token_file), f"the token in '{token_file}'"), False)
    if given is not None:
        return Token(_checked(given, variable), False)
    if not is_loopback(host):
        raise WorkspaceError(
            f"'{host}' can be reached from other machines, so a token of your own is needed",
            hint=f"give --token-file or {variable}; or stay on {LOOPBACK} and come in by "
            f"`ssh -L {port}:{LOOPBACK}:{port} HOST`, which encrypts too",
        )
    return Token(secrets.token_urlsafe(32), True)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
