"""What a run ran on: host, Python, packages, commit. Asks git, and nothing else, by a process."""

from __future__ import annotations

import platform
import shutil
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kdgat.ledger.files import content_hash

_PACKAGES = ("kdgat", "torch", "torch-geometric", "lightning", "numpy", "polars")


def capture_environment(root: Path) -> dict[str, Any]:
    """Host, Python, package versions, git commit and whether files differ from it, lock's hash."""
    lock = root / "uv.lock"
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "argv": sys.argv[1:],
        "packages": {name: version(name) for name in _PACKAGES},
        "git_commit": _git(root, "rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
        "lock_sha256": content_hash(lock) if lock.is_file() else None,
    }


def _git(root: Path, *arguments: str) -> str | None:
    """Git's answer, or None where there is no git or no repository."""
    if shutil.which("git") is None:
        return None
    command = ["git", "-C", str(root), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None
