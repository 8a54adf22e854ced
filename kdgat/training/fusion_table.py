"""What a fusion's models say of every window of a store, gathered once before its policy trains.

A policy takes seconds to train on this table; scoring the windows is what takes the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from kdgat.data.batches import BatchLoader
from kdgat.data.store import GraphStore
from kdgat.models.fusion import FusionModel


@dataclass(frozen=True)
class FusionTable:
    """One row a window, in the store's order."""

    odds: Float32[Tensor, "windows scorers"]
    """What each model thinks the odds of an attack are."""
    signals: Float32[Tensor, "windows signals"]
    """Their scores on a scale of logarithms, side by side."""
    y: Int64[Tensor, "windows"]
    """1 where the window holds an attack message."""
    following: Int64[Tensor, "windows"]
    """The row of the next window of the same capture; -1 where there is none."""

    def __len__(self) -> int:
        return len(self.y)


def fusion_table(model: FusionModel, store: GraphStore, max_graphs: int) -> FusionTable:
    """The table of a store with labels; each model scores each window once."""
    device = next(model.parameters()).device
    model.eval()
    with torch.inference_mode():
        read = [model.read(batch.to(device)) for batch in BatchLoader(store, max_graphs)]
    odds, signals = (torch.cat(each).cpu().clone() for each in zip(*read, strict=True))
    return FusionTable(odds, signals, store.y, _following(store.capture.long()))


def blinded(
    table: FusionTable, model: FusionModel, share: float, generator: torch.Generator
) -> FusionTable:
    """The table as if some attacks were new to one of the models that learnt from labels.

    On a share of the attack windows, drawn anew at each call, what one such model says is replaced
    by what it says of a benign window drawn at random. A model that saw an attack's kind in
    training is sure of it there, and would seem worth all trust; on attacks of a kind that nobody
    labelled, the others must be heard.
    """
    labelled = [k for k, each in enumerate(model.labelled) if each]
    benign = torch.nonzero(table.y == 0).squeeze(1)
    attacks = torch.nonzero(table.y == 1).squeeze(1)
    if not labelled or not len(benign) or not len(attacks):
        return table
    chosen = attacks[torch.rand(len(attacks), generator=generator) < share]
    shown = benign[torch.randint(len(benign), (len(chosen),), generator=generator)]
    turn = torch.randint(len(labelled), (len(chosen),), generator=generator)
    odds, signals = table.odds.clone(), table.signals.clone()
    for number, k in enumerate(labelled):
        here, there = chosen[turn == number], shown[turn == number]
        odds[here, k] = table.odds[there, k]
        signals[here, model.columns[k]] = table.signals[there, model.columns[k]]
    return replace(table, odds=odds, signals=signals)


def _following(capture: Int64[Tensor, "windows"]) -> Int64[Tensor, "windows"]:
    """Windows of a capture lie in their order in time; the last one is followed by none."""
    following = torch.arange(1, len(capture) + 1)
    following[-1:] = -1
    following[:-1][capture[1:] != capture[:-1]] = -1
    return following
