"""The host's own memory: how much there is, and the most that this process took."""

from __future__ import annotations

import os
from pathlib import Path

HOST_PROCESS_BYTES = 2**30
"""Assumed for Python, torch and its libraries, before the first tensor; about 0.7 GiB was seen."""
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def host_memory_bytes() -> int:
    """Memory of the machine, or of the job where a control group allows less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [physical]
    for path in _CGROUP_LIMITS:
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):
            # No such control group, or it says "max".
            continue
    return min(limits)


class PeakMemory:
    """Growth of this process's resident set since it was made, where Linux tells."""

    def __init__(self) -> None:
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self._start = _status_bytes("VmRSS")
        except (OSError, KeyError):
            self._start = None

    def growth_bytes(self) -> int | None:
        """Largest resident set since then, less the one at the start."""
        if self._start is None:
            return None
        return max(0, _status_bytes("VmHWM") - self._start)


def _status_bytes(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    values = dict(line.split(":", 1) for line in lines)
    return int(values[name].split()[0]) * 1024
