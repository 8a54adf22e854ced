"""What hooks start: kdgat in a process of its own, and git; each has a time limit."""

from __future__ import annotations

import os
import subprocess
import sys

from kdgat.agent.hook import Place

_GIT_S = 5
# What an outer git may have set would lead ours to another repository.
_REDIRECTS = (
    "GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_NAMESPACE", "GIT_PREFIX",
)  # fmt: skip


class KdgatProcess:
    """kdgat at work for a hook."""

    def __init__(self, place: Place, *arguments: str) -> None:
        """Start `python -m ARGUMENTS` in the workspace, with its own Python where it has one."""
        self._named = " ".join(arguments)
        own = os.path.join(place.root, ".venv", "bin", "python")  # noqa: PTH118
        self._process = subprocess.Popen(
            [own if os.access(own, os.X_OK) else sys.executable, "-m", *arguments],
            cwd=place.root,
            env={**os.environ, "KDGAT_ROOT": place.root},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def answer(self, limit_s: float) -> bytes:
        """What it printed.

        Raises:
            RuntimeError: it failed; the message is the last line that it complained with.
            TimeoutError: it took longer than its limit, and was ended.
        """
        try:
            out, err = self._process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"{self._named} took longer than {limit_s:g} s") from error
        finally:
            # Also when the hook itself runs out of time while it waits.
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()
        if self._process.returncode:
            last = (err.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise RuntimeError(f"{self._named} ended with {self._process.returncode}: {last}")
        return out


def git(place: Place, *arguments: str) -> bytes | None:
    """Git's answer in the workspace, or None where there is no git, repository or answer.

    Raises:
        TimeoutError: it took longer than its limit.
    """
    plain = {name: value for name, value in os.environ.items() if name not in _REDIRECTS}
    try:
        done = subprocess.run(
            ["git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", *arguments],
            cwd=place.root,
            # So that a look takes no lock from the user's own git.
            env={**plain, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_GIT_S,
        )
    except FileNotFoundError:
        return None
    except subprocess.TimeoutExpired as error:
        raise TimeoutError(f"git {arguments[0]} took longer than {_GIT_S} s") from error
    return done.stdout if done.returncode == 0 else None
