"""What a run ran on: host, Python, packages, code, GPUs, Slurm job.

Asks git, and nothing else, by a process; GPUs are read from the driver, without importing torch.
"""

from __future__ import annotations

import getpass
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kdgat.ledger.files import content_hash

MAX_DIFF_BYTES = 1_000_000
"""A longer difference is cut here, and says so in its last line."""
_PACKAGES = ("kdgat", "torch", "torch-geometric", "lightning", "numpy", "polars")
_SLURM = (
    "JOB_ID",
    "ARRAY_JOB_ID",
    "ARRAY_TASK_ID",
    "RESTART_COUNT",
    "CLUSTER_NAME",
    "JOB_NODELIST",
)
_NVIDIA = Path("/proc/driver/nvidia/gpus")
# Whatever the user's git is set to, the text is a patch that `git apply` takes.
_DIFF = (
    "diff",
    "HEAD",
    "--binary",
    "--no-color",
    "--no-ext-diff",
    "--no-textconv",
    "--no-relative",
    "--src-prefix=a/",
    "--dst-prefix=b/",
)


def capture_environment(root: Path, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """What a run should remember of where it ran; None for what can't be told.

    Args:
        root: the checkout; its commit, its branch (None when detached), whether tracked files
            differ from the commit, and the hash of its `uv.lock` are kept.
        environ: the environment variables, for Slurm's ids; by default this process's.
    """
    lock = root / "uv.lock"
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {
        "host": socket.gethostname(),
        "user": _user(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "argv": sys.argv[1:],
        "packages": {name: version(name) for name in _PACKAGES},
        "git_commit": _git(root, "rev-parse", "HEAD"),
        "git_branch": _git(root, "symbolic-ref", "--quiet", "--short", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
        "lock_sha256": content_hash(lock) if lock.is_file() else None,
        "gpus": gpu_names(),
        "slurm": slurm_ids(os.environ if environ is None else environ),
    }


def uncommitted_diff(root: Path) -> str | None:
    """How tracked files differ from the commit, as a patch; None where they don't.

    None also where there is no git, no repository or no commit yet. At most `MAX_DIFF_BYTES`.
    """
    if (command := _command(root, *_DIFF)) is None:
        return None
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment()
    ) as git:
        assert git.stdout is not None
        patch = git.stdout.read(MAX_DIFF_BYTES + 1)
        if cut := len(patch) > MAX_DIFF_BYTES:
            git.kill()
    if not patch or (git.returncode != 0 and not cut):
        return None
    text = patch[:MAX_DIFF_BYTES].decode(errors="replace")
    return f"{text}\n# cut after {MAX_DIFF_BYTES:,} bytes\n" if cut else text


def gpu_names(driver: Path = _NVIDIA) -> list[str]:
    """The names of this node's NVIDIA GPUs, by bus address; empty without the driver."""
    lines = (
        line.partition(":")
        for path in sorted(driver.glob("*/information"))
        for line in path.read_text(errors="replace").splitlines()
    )
    return [value.strip() for key, _, value in lines if key.strip() == "Model"]


def slurm_ids(environ: Mapping[str, str]) -> dict[str, str]:
    """Slurm's ids of this job, such as `job_id` and `array_task_id`; empty outside of a job."""
    names = ((name.lower(), f"SLURM_{name}") for name in _SLURM)
    return {key: environ[name] for key, name in names if name in environ}


def _user() -> str | None:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        return None


def _git(root: Path, *arguments: str) -> str | None:
    """Git's answer, or None where there is no git or no repository."""
    if (command := _command(root, *arguments)) is None:
        return None
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", check=False, env=_environment()
    )
    return done.stdout.strip() if done.returncode == 0 else None


def _command(root: Path, *arguments: str) -> list[str] | None:
    return None if shutil.which("git") is None else ["git", "-C", str(root), *arguments]


def _environment() -> dict[str, str]:
    """So that a look at the state takes no lock from the user's own git."""
    return {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
