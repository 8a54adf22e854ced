"""Slurm, where it is: its commands, whether it answers, and whether its cluster is described."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from kdgat.errors import SlurmError
from kdgat.ops.checkup.finding import Found, Surroundings, note, problem

_COMMANDS = ("sbatch", "squeue", "sacct", "scancel", "scontrol")


def look_at_slurm(here: Surroundings) -> Iterator[Found]:
    """Nothing where there is no Slurm at all: work runs on this machine then."""
    path = here.environ.get("PATH", "")
    missing = [name for name in _COMMANDS if shutil.which(name, path=path) is None]
    if len(missing) == len(_COMMANDS):
        return
    if missing:
        there = ", ".join(name for name in _COMMANDS if name not in missing)
        what = f"of Slurm there is {there}, and no {', '.join(missing)}"
        yield problem("slurm", what, "put the rest on PATH too (module load slurm)")
        return
    from kdgat.slurm.client import Slurm
    from kdgat.slurm.cluster import cluster_names

    try:
        # No patience here: this says how it is now.
        name = Slurm(here.environ, pauses_s=()).cluster_name()
    except SlurmError as error:
        what = f"Slurm's commands are here, and it does not answer: {error.problem}"
        yield note("slurm", what, f"{error.hint}; work on this machine goes on without it")
        return
    if name and name not in cluster_names(here.ws):
        what = f"the cluster here is '{name}', and no file describes it"
        fix = "kdgat clusters import"
        yield note("slurm", what, fix, where=here.ws.show(here.ws.clusters))
