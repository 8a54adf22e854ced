"""Losses on plain tensors: soft labels, attention, divergence from the prior, absent edges."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from kdgat.data.batches import GraphBatch
from kdgat.models.vgae import Encoding, VariationalGraphAutoencoder


def soft_label_loss(
    student: Float[Tensor, "graphs classes"],
    teacher: Float[Tensor, "graphs classes"],
    temperature: float,
) -> Float[Tensor, ""]:
    """T^2 * KL(teacher || student) over the class axis, averaged over graphs.

    Both answers are softened by the temperature T; T^2 keeps the gradient's size the same for any
    T (Hinton, Vinyals and Dean 2015).
    """
    soft_student = functional.log_softmax(student / temperature, dim=1)
    soft_teacher = functional.log_softmax(teacher / temperature, dim=1)
    divergence = functional.kl_div(
        soft_student, soft_teacher, reduction="batchmean", log_target=True
    )
    return temperature**2 * divergence


def attention_distance(
    student: Sequence[Float[Tensor, "edges"]], teacher: Sequence[Float[Tensor, "edges"]]
) -> Float[Tensor, ""]:
    """Mean squared difference of the attention over each edge, averaged over layers.

    The last layers are compared with each other, then the ones before, as far as both have them.
    A node's attention over its incoming edges sums to one in both models, so no map is needed
    (after Zagoruyko and Komodakis 2017, with attention of edges in place of feature maps).
    """
    layers = min(len(student), len(teacher))
    pairs = zip(student[-layers:], teacher[-layers:], strict=True)
    return torch.stack([functional.mse_loss(ours, theirs) for ours, theirs in pairs]).mean()


def sample(encoding: Encoding) -> Float[Tensor, "nodes latent"]:
    """A latent drawn from each node's distribution."""
    noise = torch.randn_like(encoding.mean)
    return encoding.mean + noise * (0.5 * encoding.log_variance).exp()


def kl_divergence(encoding: Encoding) -> Float[Tensor, ""]:
    """Divergence of the latents from a standard normal, in nats a latent, averaged over nodes."""
    mean, log_variance = encoding.mean, encoding.log_variance
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).mean()


def edge_loss(
    vgae: VariationalGraphAutoencoder,
    z: Float[Tensor, "nodes latent"],
    batch: GraphBatch,
    negatives_per_edge: int,
) -> Float[Tensor, ""]:
    """Binary cross entropy of observed edges against sampled absent ones."""
    pairs, absent = absent_edges(batch, negatives_per_edge)
    observed = functional.softplus(-vgae.decode_edges(z, batch.edge_index)).mean()
    wrong = functional.softplus(vgae.decode_edges(z, pairs))
    return observed + (wrong * absent).sum() / absent.sum().clamp(min=1)


def absent_edges(
    batch: GraphBatch, negatives_per_edge: int
) -> tuple[Int64[Tensor, "2 pairs"], Float[Tensor, "pairs"]]:
    """Sampled pairs of nodes within a graph, and 1 for those that really are no edge.

    Each edge keeps its source and gets targets drawn from its own graph, so the cost grows with
    the edges and never with the square of the nodes.
    """
    size = torch.zeros(batch.num_graphs, dtype=torch.long, device=batch.x.device)
    size = size.index_add(0, batch.graph, torch.ones_like(batch.graph))
    first = size.cumsum(0) - size
    source = batch.edge_index[0].repeat(negatives_per_edge)
    graph = batch.edge_graph.repeat(negatives_per_edge)
    draw = torch.rand(len(source), device=source.device)
    target = first[graph] + (draw * size[graph]).long()
    nodes = len(batch.x)
    # Edges come sorted by destination, then source (`build_graphs`), so these keys ascend, and
    # each pair is looked up in them; `torch.isin` would sort both in memory nobody can foresee.
    observed = batch.edge_index[1] * nodes + batch.edge_index[0]
    pair = target * nodes + source
    place = torch.searchsorted(observed, pair).clamp(max=len(observed) - 1)
    absent = observed[place] != pair
    return torch.stack((source, target)), absent.float()
