"""Whether a process is there, asked of this host's kernel."""

from __future__ import annotations

import os


def process_exists(pid: object) -> bool:
    """Whether there is a process of this id on this host, whoever's it is.

    `pid` is what a file says, so that it may be anything; what is no process id has no process.
    """
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True
