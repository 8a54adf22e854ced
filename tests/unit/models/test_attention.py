"""The sorted layers against PyG's: answers, every gradient, weights both ways."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GATConv, GATv2Conv, global_max_pool, global_mean_pool

from kdgat.models.attention import SortedGAT, SortedGATv2
from kdgat.models.layers import AttentionBlock, Dropout, edge_order, pool_nodes
from kdgat.models.segments import EdgeOrder, pays, standing_for

WIDTH, HIDDEN, HEADS, FEATURES, NODES, EDGES = 9, 5, 3, 4, 40, 90
Pair = tuple[SortedGAT | SortedGATv2, nn.Module]


def assert_exact(one: object, other: object) -> None:
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def graph(seed: int = 0, edges: int = EDGES, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """Nodes, sorted edges and their features; some nodes have no edge in or out."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(NODES, WIDTH, generator=draw, dtype=dtype)
    edge_index = torch.randint(5, NODES - 3, (2, edges), generator=draw)
    edge_index = edge_index[:, (edge_index[1] * NODES + edge_index[0]).argsort()]
    return [x, edge_index, torch.randn(edges, FEATURES, generator=draw, dtype=dtype)]


def pair(version: int, edge_features: int | None = FEATURES) -> Pair:
    """Our layer and PyG's, with the same weights."""
    torch.manual_seed(1)
    theirs_type = GATConv if version == 1 else GATv2Conv
    ours = (SortedGAT if version == 1 else SortedGATv2)(WIDTH, HIDDEN, HEADS, edge_features)
    theirs = theirs_type(WIDTH, HIDDEN, HEADS, edge_dim=edge_features, add_self_loops=False)
    nn.init.normal_(theirs.bias)
    ours, theirs = ours.double(), theirs.double()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def gradients(layer: nn.Module, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None):
    """Answer, attention, and the gradients of all that goes in, the attention's share counted."""
    given = [each.clone().requires_grad_() for each in (x, edge_attr) if each is not None]
    out, (_, alpha) = layer(given[0], edge_index, *given[1:], return_attention_weights=True)
    draw = torch.Generator().manual_seed(2)
    weighed = [torch.randn(each.shape, generator=draw, dtype=each.dtype) for each in (out, alpha)]
    loss = (out * weighed[0]).sum() + (alpha.square() * weighed[1]).sum()
    names = [name for name, _ in layer.named_parameters()]
    wanted = [*given, *layer.parameters()]
    found = torch.autograd.grad(loss, wanted)
    return out, alpha, dict(zip([*"xe"[: len(given)], *names], found, strict=True))


@pytest.mark.parametrize("edge_features", [FEATURES, None])
@pytest.mark.parametrize("version", [1, 2])
def test_answers_and_every_gradient_are_pygs_to_the_twelfth_digit(
    version: int, edge_features: int | None
) -> None:
    ours, theirs = pair(version, edge_features)
    x, edge_index, edge_attr = graph()
    given = (x, edge_index, edge_attr if edge_features else None)
    assert pays(x)
    mine, yours = gradients(ours, *given), gradients(theirs, *given)
    for one, other in zip(mine, yours, strict=True):
        assert_exact(one, other)


@pytest.mark.parametrize("version", [1, 2])
def test_weights_go_from_pygs_layer_to_ours_and_back(version: int) -> None:
    ours, theirs = pair(version)
    assert ours.lin_edge is not None
    nn.init.normal_(ours.lin_edge.weight)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    assert_exact(ours(*graph()), theirs(*graph()))


@pytest.mark.parametrize("version", [1, 2])
def test_gradients_are_what_small_steps_find(version: int) -> None:
    ours, _ = pair(version)
    x, edge_index, edge_attr = graph(edges=25)
    ours.negative_slope = 0.3

    def answer(x: Tensor, edge_attr: Tensor, *_: Tensor) -> tuple[Tensor, ...]:
        return ours.attend(x, edge_index, edge_attr)

    given = (x.requires_grad_(), edge_attr.requires_grad_(), *ours.parameters())
    assert torch.autograd.gradcheck(answer, given)


@pytest.mark.parametrize("version", [1, 2])
def test_scores_far_apart_neither_vanish_nor_overflow(version: int) -> None:
    """Shares of a node whose scores all lie far below another's must still sum to one."""
    ours, theirs = pair(version)
    ours, theirs = ours.float(), theirs.float()
    x, edge_index, edge_attr = graph(dtype=torch.float32)
    x = x * torch.logspace(-2, 4, NODES)[:, None]
    out, alpha = ours.attend(x, edge_index, edge_attr)
    total = torch.zeros(NODES, HEADS).index_add_(0, edge_index[1], alpha.detach())
    there = torch.zeros(NODES, HEADS).index_fill_(0, edge_index[1], 1.0)
    torch.testing.assert_close(total, there)
    torch.testing.assert_close(out, theirs(x, edge_index, edge_attr), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("version", [1, 2])
def test_edges_in_any_order_have_the_same_answer(version: int) -> None:
    ours, theirs = pair(version)
    x, edge_index, edge_attr = graph()
    mixed = torch.randperm(EDGES, generator=torch.Generator().manual_seed(3))
    given = (x, edge_index[:, mixed], edge_attr[mixed])
    assert_exact(ours(*given), theirs(*given))


@pytest.mark.parametrize("version", [1, 2])
def test_nodes_without_any_edge_have_the_bias_alone(version: int) -> None:
    ours, _ = pair(version)
    x, edge_index, edge_attr = graph(edges=0)
    out, alpha = ours.attend(x, edge_index, edge_attr)
    torch.testing.assert_close(out, ours.bias.expand(NODES, -1))
    assert alpha.shape == (0, HEADS)


def test_where_another_device_is_planned_for_the_plain_way_is_gone() -> None:
    x = graph()[0]
    assert pays(x)
    assert not pays(x.bfloat16())
    with standing_for("cuda"):
        assert not pays(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not pays(x)


@pytest.mark.parametrize("recompute", [False, True])
def test_a_block_is_pygs_layer_with_a_residual_a_norm_and_an_elu(recompute: bool) -> None:
    torch.manual_seed(4)
    block = AttentionBlock(WIDTH, HIDDEN, HEADS, FEATURES).double()
    block.recompute = recompute
    x, edge_index, edge_attr = graph()
    order = EdgeOrder(edge_index, NODES)
    with standing_for("cuda"):
        plain = block(x, edge_index, edge_attr)
        expected = torch.autograd.grad(plain.square().sum(), list(block.parameters()))
    for given in (None, order):
        out = block(x, edge_index, edge_attr, given)
        assert_exact(out, plain)
        found = torch.autograd.grad(out.square().sum(), list(block.parameters()))
        torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


def test_an_order_is_made_only_where_the_edges_have_one() -> None:
    x, edge_index, _ = graph()
    assert edge_order(x, edge_index) is not None
    assert edge_order(x, edge_index.flip(1)) is None
    with standing_for("cuda"):
        assert edge_order(x, edge_index) is None


def test_pooling_and_its_gradient_are_pygs_where_nodes_share_the_largest_value() -> None:
    graph_of = torch.tensor([0, 0, 0, 1, 3, 3, 3, 3])
    draw = torch.Generator().manual_seed(5)
    h = torch.randn(8, 6, generator=draw, dtype=torch.float64)
    h[1] = h[0]
    h[5:7, 2] = 9.0
    mine, yours = h.clone().requires_grad_(), h.clone().requires_grad_()
    pooled = pool_nodes(mine, graph_of, 4)
    count = torch.tensor([3.0, 1, 0, 4], dtype=torch.float64)[:, None].log1p()
    other = torch.cat(
        (global_mean_pool(yours, graph_of, 4), global_max_pool(yours, graph_of, 4), count), dim=1
    )
    assert_exact(pooled, other)
    weights = torch.randn(pooled.shape, generator=draw, dtype=torch.float64)
    for each in (pooled, other):
        (each * weights).sum().backward()
    assert_exact(mine.grad, yours.grad)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
def test_dropout_drops_its_share_in_every_place_and_keeps_the_mean(p: float) -> None:
    torch.manual_seed(6)
    dropout = Dropout(p)
    x = torch.ones(20_000, 7)
    out = dropout(x)
    dropped = (out == 0).double().mean(dim=0)
    torch.testing.assert_close(dropped, torch.full((7,), p, dtype=torch.double), rtol=0, atol=0.015)
    assert set(out.unique().tolist()) <= {0.0, float(torch.tensor(1 / (1 - p)))}
    torch.manual_seed(6)
    torch.testing.assert_close(dropout(x), out)
    torch.testing.assert_close(dropout.eval()(x), x)
