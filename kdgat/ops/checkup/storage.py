"""The disk of the home folder: room on it, and files that a scratch file system will purge."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from kdgat.ops.checkup.finding import Found, Surroundings, note, problem

PURGES_DAYS = (60, 90)
"""After so many days without being read or written, scratch file systems delete a file."""
WARN_DAYS = 14
"""Days before a purge at which it is told."""
_LITTLE_GB, _VERY_LITTLE_GB = 5.0, 1.0
_FEW_FILES = 10_000
_LOOK_S = 0.8
_ON_SCRATCH = ("SCRATCH", "PFSDIR")
_DAY_S = 86_400.0


def look_at_disk(here: Surroundings) -> Iterator[Found]:
    """Room for data and runs."""
    home = here.ws.home
    place = next(path for path in (home, *home.parents) if path.exists())
    free_gb = shutil.disk_usage(place).free / 1e9
    fix = "kdgat runs rm what is not needed, or set KDGAT_HOME to a folder with room"
    if free_gb < _LITTLE_GB:
        say = problem if free_gb < _VERY_LITTLE_GB else note
        what = f"{free_gb:.1f} GB are free on the disk of the home folder"
        yield say("disk", what, fix, where=here.ws.show(home))
    stat = os.statvfs(place)
    if stat.f_files and stat.f_favail < _FEW_FILES:
        what = f"room for {stat.f_favail:,} more files on the disk of the home folder"
        yield problem("disk", what, fix, where=here.ws.show(home))
    if home.exists() and not os.access(home, os.W_OK | os.X_OK):
        what = "the home folder can't be written"
        yield problem("disk", what, "mend its permissions, or set KDGAT_HOME", where=str(home))


def look_at_scratch(here: Surroundings) -> Iterator[Found]:
    """Files of a home folder on scratch that nobody has touched for long."""
    home = here.ws.home
    if not (home.is_dir() and _on_scratch(home, here)):
        return
    until = time.monotonic() + _LOOK_S
    ages = sorted(_ages_days(home, here.now, until), reverse=True)
    least = "at least " * (time.monotonic() >= until)
    for purge in reversed(PURGES_DAYS):
        near = [(age, size) for age, size, _ in ages if age >= purge - WARN_DAYS]
        if not near:
            continue
        count, size, (oldest, _, path) = len(near), sum(size for _, size in near), ages[0]
        what = (
            f"{least}{count:,} file{'s' * (count != 1)} ({size / 1e9:.1f} GB) on scratch were not "
            f"touched for {purge - WARN_DAYS} days or more, and purges come after {purge}; "
            f"the oldest, '{here.ws.show(path)}', for {oldest:.0f}"
        )
        fix = f"copy them: rsync -a {here.ws.show(home)}/ PROJECT_SPACE/, then set KDGAT_HOME to it"
        yield problem("scratch", what, fix, where=here.ws.show(home))
        return


def _on_scratch(home: Path, here: Surroundings) -> bool:
    place = home.resolve()
    folders = [here.environ[name] for name in _ON_SCRATCH if here.environ.get(name)]
    return "scratch" in place.parts or any(place.is_relative_to(Path(each)) for each in folders)


def _ages_days(home: Path, now: float, until: float) -> Iterator[tuple[float, int, Path]]:
    """Days since each file was last read or written, with its size; as far as time allows."""
    folders = [home]
    while folders and time.monotonic() < until:
        try:
            entries = list(os.scandir(folders.pop()))
        except OSError:
            continue
        for entry in entries:
            try:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(Path(entry.path))
                elif entry.is_file(follow_symlinks=False):
                    stat = entry.stat(follow_symlinks=False)
                    touched = max(stat.st_atime, stat.st_mtime)
                    yield (now - touched) / _DAY_S, stat.st_size, Path(entry.path)
            except OSError:
                # Gone since it was listed.
                continue
