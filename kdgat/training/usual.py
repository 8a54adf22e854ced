"""The usual way to train a graph classifier with PyTorch Geometric, to compare with.

Written as its tutorials have it: a list of `Data`, a `DataLoader`, `GATv2Conv` and the global
pools. The model is layer by layer the project's own, so that weights go from one to the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import GATv2Conv, global_max_pool, global_mean_pool

from kdgat.configs.model import GatConfig
from kdgat.data.store import GraphStore


class UsualBlock(nn.Module):
    """PyG's attention layer with a residual, a norm and an ELU."""

    def __init__(self, width_in: int, hidden: int, heads: int, edge_features: int) -> None:
        super().__init__()
        self.attention = GATv2Conv(
            width_in, hidden, heads, edge_dim=edge_features, add_self_loops=False
        )
        self.residual = nn.Linear(width_in, hidden * heads, bias=False)
        self.norm = nn.LayerNorm(hidden * heads)

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """New node states."""
        attended = self.attention(x, edge_index, edge_attr)
        return nn.functional.elu(self.norm(attended + self.residual(x)))


class UsualGat(nn.Module):
    """The GAT classifier from PyG's and PyTorch's own parts; `GatClassifier`'s weights fit it."""

    def __init__(self, config: GatConfig, node_features: int, edge_features: int) -> None:
        super().__init__()
        width = config.hidden * config.heads
        widths = [node_features] + [width] * (config.layers - 1)
        self.blocks = nn.ModuleList(
            UsualBlock(each, config.hidden, config.heads, edge_features) for each in widths
        )
        self.dropout = nn.Dropout(config.dropout)
        self.readout = nn.Sequential(
            nn.Linear(2 * width + 1, config.readout),
            nn.ELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.readout, 2),
        )

    def forward(self, data: Any) -> Float[Tensor, "graphs 2"]:
        """Logits of (benign, attack)."""
        h, graphs = data.x, data.num_graphs
        for block in self.blocks:
            h = self.dropout(block(h, data.edge_index, data.edge_attr))
        pooled = (global_mean_pool(h, data.batch, graphs), global_max_pool(h, data.batch, graphs))
        count = torch.log1p(data.ptr.diff().to(h.dtype))[:, None]
        return self.readout(torch.cat((*pooled, count), dim=1))


def as_data(store: GraphStore) -> list[Data]:
    """A store's graphs one by one, as PyG holds them."""
    nodes, edges = store.node_ptr.tolist(), store.edge_ptr.tolist()
    return [
        Data(
            x=store.x[nodes[i] : nodes[i + 1]].clone(),
            edge_index=store.edge_index[:, edges[i] : edges[i + 1]].long(),
            edge_attr=store.edge_attr[edges[i] : edges[i + 1]].clone(),
            y=store.y[i : i + 1],
        )
        for i in range(len(store))
    ]


def usual_batches(
    graphs: list[Data], order: Int64[Tensor, "taken"], max_graphs: int, workers: int = 0
) -> DataLoader:
    """PyG's loader over the graphs in that order."""
    return DataLoader(
        [graphs[i] for i in order.tolist()],
        batch_size=max_graphs,
        num_workers=workers,
        pin_memory=workers > 0 and torch.cuda.is_available(),
    )


def usual_epoch(
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: torch.optim.Optimizer,
    clip_norm: float,
    device: torch.device | str = "cpu",
    teacher: nn.Module | None = None,
    temperature: float = 4.0,
) -> Iterator[float]:
    """One epoch of cross entropy, half a teacher's where there is one; each step's loss."""
    model.train()
    for data in batches:
        data = data.to(device, non_blocking=True)  # pyright: ignore[reportAttributeAccessIssue]
        optimizer.zero_grad()
        answer = model(data)
        loss = nn.functional.cross_entropy(answer, data.y)
        if teacher is not None:
            with torch.no_grad():
                theirs = teacher(data)
            soft = nn.functional.kl_div(
                (answer / temperature).log_softmax(dim=1),
                (theirs / temperature).log_softmax(dim=1),
                reduction="batchmean",
                log_target=True,
            )
            loss = 0.5 * loss + 0.5 * temperature**2 * soft
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()
        yield loss.item()
