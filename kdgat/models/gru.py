"""Gated recurrent network over a window's messages: what a classifier can do in the bus's order.

It reads the very windows, features and profiles that graph models do, without their edges. Its
steps are written out instead of `torch.nn.GRU`: on a GPU that is one call of cuDNN, whose workspace
no memory plan can foresee, and on a CPU it makes the same steps.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from kdgat.configs.model import GruConfig
from kdgat.data.batches import GraphBatch
from kdgat.data.sequences import MESSAGE_FEATURE_NAMES


class RecurrentLayer(nn.Module):
    """Gated recurrent units (Cho et al. 2014), the reset after the product as in cuDNN."""

    def __init__(self, width_in: int, hidden: int) -> None:
        super().__init__()
        self.hidden = hidden
        self.enter = nn.Linear(width_in, 3 * hidden)
        self.stay = nn.Linear(hidden, 3 * hidden)

    def forward(
        self, steps: Float[Tensor, "messages graphs width_in"]
    ) -> Float[Tensor, "messages graphs hidden"]:
        """The state after each message, from a state of zeros."""
        entering = self.enter(steps)
        state = torch.zeros_like(entering[0, :, : self.hidden])
        sizes = (2 * self.hidden, self.hidden)
        states = []
        # Unbound at once: a step's own index would write a gradient as large as all of them.
        for step in entering.unbind(0):
            gates, news = step.split(sizes, dim=1)
            own_gates, own_news = self.stay(state).split(sizes, dim=1)
            reset, keep = (gates + own_gates).sigmoid().chunk(2, dim=1)
            fresh = (news + reset * own_news).tanh()
            state = fresh + keep * (state - fresh)
            states.append(state)
        return torch.stack(states)


class WindowGru(nn.Module):
    """Logits of benign and attack for each window of a batch, from its messages in their order."""

    def __init__(self, config: GruConfig, node_features: int, edge_features: int) -> None:  # noqa: ARG002
        super().__init__()
        self.id_features = config.id_features
        width = len(MESSAGE_FEATURE_NAMES) + (node_features if config.id_features else 0)
        widths = [width] + [config.hidden] * (config.layers - 1)
        self.layers = nn.ModuleList(RecurrentLayer(each, config.hidden) for each in widths)
        self.dropout = nn.Dropout(config.dropout)
        self.readout = nn.Sequential(
            nn.Linear(3 * config.hidden, config.readout),
            nn.ELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.readout, 2),
        )

    def forward(self, batch: GraphBatch) -> Float[Tensor, "graphs 2"]:
        """Logits of (benign, attack), from the last state and the states' mean and maximum.

        Raises:
            RuntimeError: the batch was made without its messages.
        """
        h = self.steps(batch)
        for layer in self.layers:
            h = self.dropout(layer(h))
        return self.readout(torch.cat((h[-1], h.mean(dim=0), h.amax(dim=0)), dim=1))

    def steps(self, batch: GraphBatch) -> Float[Tensor, "messages graphs width"]:
        """What each message says, the windows side by side."""
        if batch.messages is None or batch.message_node is None:
            raise RuntimeError("this batch was made without its messages")
        said = batch.messages.transpose(0, 1)
        if not self.id_features:
            return said.contiguous()
        node = batch.message_node.transpose(0, 1)
        of_ids = batch.x.index_select(0, node.reshape(-1)).view(*node.shape, -1)
        return torch.cat((said, of_ids), dim=2)
