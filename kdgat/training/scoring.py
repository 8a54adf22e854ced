"""Score parts of every window of a store, in order, without looking at labels."""

from __future__ import annotations

from itertools import chain

import numpy as np
import torch
from jaxtyping import Float64
from torch import nn

from kdgat.configs.model import ModelConfig
from kdgat.data.batches import BatchLoader
from kdgat.data.store import GraphStore
from kdgat.training.tasks import score_of

_MOST_GRAPHS = 512
"""Windows in one batch; no score depends on the others, and more are no faster."""


def score_parts(
    model: nn.Module, config: ModelConfig, store: GraphStore, max_graphs: int
) -> Float64[np.ndarray, "windows parts"]:
    """The task's score of each window; the model is put into evaluation mode."""
    score = score_of(config)
    device = next(chain(model.parameters(), model.buffers())).device
    model.eval()
    with torch.inference_mode():
        parts = [
            score(model, batch.to(device)).double().cpu()
            for batch in BatchLoader(store, min(max_graphs, _MOST_GRAPHS))
        ]
    return torch.cat(parts).numpy()
