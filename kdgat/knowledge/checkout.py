"""Clones of sites that a list names by URL; the only place of `kdgat.knowledge` that starts git.

A clone is made anew beside the old one only when the remote is at another commit, so a reader
always finds a whole one.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from kdgat.errors import KnowledgeError, StorageError
from kdgat.ledger.files import atomic_path

_TIMEOUT_S = 120
_ASK_S = 20


def checkout(url: str, folder: Path) -> str | None:
    """Bring a shallow clone of `url` to `folder` up to date.

    Returns:
        Why it could not be, where an older clone is there and stays in use; else None.

    Raises:
        KnowledgeError: there is no clone, and none can be made.
    """
    if url.startswith("-") or "::" in url:
        # git would take the one for an option, and run a helper for the other.
        raise KnowledgeError(f"'{url}' is no address of a repository", hint="mend the source's git")
    try:
        remote = _git("ls-remote", "--exit-code", "--", url, "HEAD", timeout_s=_ASK_S).split()[0]
        if _head(folder) == remote:
            return None
        with atomic_path(folder) as aside:
            _git("clone", "--quiet", "--depth=1", "--", url, str(aside), timeout_s=_TIMEOUT_S)
    except (_GitError, StorageError) as error:
        if _head(folder) is None:
            raise KnowledgeError(
                f"can't clone '{url}': {error}",
                hint="check the address and the network, or clone it yourself and list its path",
            ) from error
        return f"can't reach '{url}' ({error}); the clone of before is used"
    return None


class _GitError(Exception):
    """git is missing, refused or hung."""


def _head(folder: Path) -> str | None:
    if not (folder / ".git").is_dir():
        return None
    try:
        return _git("-C", str(folder), "rev-parse", "HEAD", timeout_s=_ASK_S).strip()
    except _GitError:
        return None


def _git(*arguments: str, timeout_s: float) -> str:
    # Nobody is there to type a password.
    env = {
        **os.environ,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes"),
        "LC_ALL": "C",
    }
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        env.pop(name, None)
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            env=env,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise _GitError("git is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise _GitError(f"no answer within {timeout_s:.0f} s") from error
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise _GitError(said[-1] if said else f"git ended with {done.returncode}")
    return done.stdout
