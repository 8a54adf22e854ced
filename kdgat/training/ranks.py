"""The processes that share one training: which of them this is, as the scheduler says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from kdgat.configs.training import ResourcesConfig
from kdgat.errors import ConfigError


@dataclass(frozen=True)
class Ranks:
    """This process among those that share a training."""

    rank: int
    count: int

    @property
    def leads(self) -> bool:
        """Whether this is the one that writes."""
        return self.rank == 0


ALONE = Ranks(0, 1)
"""A training of one process."""


def ranks_of(resources: ResourcesConfig, environ: Mapping[str, str] | None = None) -> Ranks:
    """Which process this is, of those that `resources` asks for.

    Args:
        resources: nodes, and processes on each.
        environ: the environment variables, for what `srun` says; by default this process's.

    Raises:
        ConfigError: several are asked for, and no scheduler started as many.
    """
    env = os.environ if environ is None else environ
    wanted = resources.nodes * resources.devices
    if wanted == 1:
        return ALONE
    started = int(env.get("SLURM_NTASKS", "1")) if "SLURM_PROCID" in env else 1
    if started != wanted:
        raise ConfigError(
            f"resources.nodes x resources.devices is {wanted}, and {started} "
            f"{'process shares' if started == 1 else 'processes share'} this training",
            hint="a scheduler starts them: kdgat submit --gpus N --nodes N; or set both to 1",
        )
    return Ranks(int(env["SLURM_PROCID"]), wanted)
