"""How many vectors of weights a fusion chooses from, and how many are too many; without torch."""

from __future__ import annotations

from math import comb

from kdgat.errors import ConfigError

MOST_ACTIONS = 2_000
"""Vectors of weights that a policy chooses from at most: with `hidden` of 256 it then has 580,000
parameters or so, and the predecessor's had 689,493."""


def weight_vectors(scorers: int, actions: int) -> int:
    """How many vectors of `scorers` weights there are, of which each is one of `actions` values
    from 0 to 1 and all sum to 1."""
    return comb(actions + scorers - 2, scorers - 1)


def most_actions(scorers: int) -> int:
    """The most values of one weight that make no more than `MOST_ACTIONS` vectors; 1 for none."""
    actions = 1
    while weight_vectors(scorers, actions + 1) <= MOST_ACTIONS:
        actions += 1
    return actions


def need_lattice(scorers: int, actions: int) -> None:
    """Refuse a lattice of weights that is too large to be learnt.

    Raises:
        ConfigError: there are over 2,000 of them.
    """
    count = weight_vectors(scorers, actions)
    if count > MOST_ACTIONS:
        most = most_actions(scorers)
        lower = f"set model.actions={most}, the most for {scorers} models, or "
        raise ConfigError(
            f"model.actions = {actions} with {scorers} models makes {count:,} weights to choose "
            f"from, and {MOST_ACTIONS:,} are the most",
            hint=f"{lower if most > 1 else ''}name fewer model.scorers, or choose "
            "model.method=mlp, which says the weights themselves",
        )
