"""The disk of the home folder: room on it, and files that a scratch file system will purge."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from kdgat.errors import KdgatError
from kdgat.ops.checkup.finding import Found, Surroundings, note, problem
from kdgat.slurm.client import Slurm
from kdgat.slurm.cluster import load_cluster

PURGES_DAYS = (60, 90)
"""After so many days without being read or written, scratch file systems delete a file, where
neither [tool.kdgat] nor the cluster's file says after how many."""
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
    """Files of the home folder, or of a store of assets elsewhere, that nobody touched for long."""
    for folder in _folders(here):
        if not folder.is_dir():
            continue
        # Whoever sets the days says that the home is purged, whatever its folder is called.
        if here.ws.purge_days is not None or _on_scratch(folder, here):
            yield from _look_at_ages(folder, _purges_days(here), here)


def _look_at_ages(folder: Path, purges: tuple[int, ...], here: Surroundings) -> Iterator[Found]:
    until = time.monotonic() + _LOOK_S
    ages = sorted(_ages_days(folder, here.now, until), reverse=True)
    least = "at least " * (time.monotonic() >= until)
    for purge in sorted(purges, reverse=True):
        near = [(age, size) for age, size, _ in ages if age >= purge - WARN_DAYS]
        if not near:
            continue
        count, size, (oldest, _, path) = len(near), sum(size for _, size in near), ages[0]
        what = (
            f"{least}{count:,} file{'s' * (count != 1)} ({size / 1e9:.1f} GB) on scratch were not "
            f"touched for {purge - WARN_DAYS} days or more, and purges come after {purge}; "
            f"the oldest, '{here.ws.show(path)}', for {oldest:.0f}"
        )
        fix = (
            "kdgat backup DIR, elsewhere; captures and assets: rsync -a to where nothing is purged"
        )
        yield problem("scratch", what, fix, where=here.ws.show(folder))
        return


def _folders(here: Surroundings) -> Iterator[Path]:
    yield here.ws.home
    if not here.ws.assets.resolve().is_relative_to(here.ws.home.resolve()):
        yield here.ws.assets


def _purges_days(here: Surroundings) -> tuple[int, ...]:
    """Days after which files are purged: as set, as the cluster's file says, or as is usual."""
    if here.ws.purge_days is not None:
        return (here.ws.purge_days,)
    try:
        name = here.environ.get("SLURM_CLUSTER_NAME") or _asked_name(here)
        days = load_cluster(here.ws, name).purge_days if name else None
    except KdgatError:
        # The checks of Slurm and of the clusters tell what is wrong with them.
        days = None
    return PURGES_DAYS if days is None else (days,)


def _asked_name(here: Surroundings) -> str | None:
    """The cluster's name on a login node, where no job's environment says it."""
    if shutil.which("scontrol", path=here.environ.get("PATH", "")) is None:
        return None
    return Slurm(here.environ, pauses_s=()).cluster_name()


def _on_scratch(folder: Path, here: Surroundings) -> bool:
    place = folder.resolve()
    folders = [here.environ[name] for name in _ON_SCRATCH if here.environ.get(name)]
    return "scratch" in place.parts or any(place.is_relative_to(Path(each)) for each in folders)


def _ages_days(folder: Path, now: float, until: float) -> Iterator[tuple[float, int, Path]]:
    """Days since each file was last read or written, with its size; as far as time allows."""
    folders = [folder]
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
