from __future__ import annotations

import pytest
import torch

from kdgat.configs.model import SIZES, GatConfig, Kind, Size, VgaeConfig, model_preset
from kdgat.data.batches import GraphBatch
from kdgat.data.features import EDGE_FEATURE_NAMES, feature_names
from kdgat.errors import ConfigError
from kdgat.models.table import MODELS, build_model, parameter_count
from kdgat.models.vgae import LOG_VARIANCE_LIMIT, VariationalGraphAutoencoder

FEATURES = (len(feature_names(("bytes", "entropy", "rate", "timing"))), len(EDGE_FEATURE_NAMES))
# The predecessor's own counts (the project's design brief).
BUDGET = {("vgae", "large"): 185_850, ("vgae", "small"): 9_186,
          ("gat", "large"): 311_138, ("gat", "small"): 49_202}  # fmt: skip
GRAPH_MODELS = ("gat", "vgae")


def _batch(seed: int = 0) -> GraphBatch:
    """Three graphs of 4, 1 and 3 nodes; the one in the middle has no edge."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.tensor([[0, 1, 2, 3, 0, 5, 6, 7], [1, 2, 3, 0, 0, 6, 7, 5]])
    return GraphBatch(
        x=torch.randn(8, FEATURES[0], generator=generator),
        edge_index=edge_index,
        edge_attr=torch.randn(8, FEATURES[1], generator=generator),
        graph=torch.tensor([0, 0, 0, 0, 1, 2, 2, 2]),
        edge_graph=torch.tensor([0, 0, 0, 0, 0, 2, 2, 2]),
        index=torch.arange(3),
        y=torch.tensor([0, 1, 0]),
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", GRAPH_MODELS)
def test_every_preset_keeps_to_its_parameter_budget(kind: Kind, size: Size) -> None:
    model = build_model(model_preset(kind, size), *FEATURES)
    # What stands between teacher and student has no count of its own to keep to.
    assert 0 < parameter_count(model) <= BUDGET.get((kind, size), BUDGET[kind, "large"])


@pytest.mark.parametrize("kind", GRAPH_MODELS)
def test_a_student_is_at_most_an_eighth_of_its_teacher(kind: Kind) -> None:
    large, small = (
        parameter_count(build_model(model_preset(kind, size), *FEATURES))
        for size in ("large", "small")
    )
    assert small * 8 <= large + small


def test_what_a_model_keeps_in_buffers_counts_as_learnt() -> None:
    model = build_model(GatConfig(hidden=2, heads=1, layers=1, readout=2), *FEATURES)
    alone = sum(each.numel() for each in model.parameters())
    assert parameter_count(model) == alone
    model.register_buffer("table", torch.zeros(7))
    model.register_buffer("worked_out_again", torch.zeros(9), persistent=False)
    assert parameter_count(model) == alone + 7


@pytest.mark.parametrize("kind", GRAPH_MODELS)
def test_a_graphs_answer_does_not_depend_on_the_order_of_its_nodes(kind: Kind) -> None:
    model = build_model(model_preset(kind, "small"), *FEATURES).eval()
    batch = _batch()
    order = torch.tensor([2, 0, 3, 1, 4, 7, 5, 6])
    place = torch.empty_like(order)
    place[order] = torch.arange(8)
    shuffled = GraphBatch(
        x=batch.x[order],
        edge_index=place[batch.edge_index],
        edge_attr=batch.edge_attr,
        graph=batch.graph[order],
        edge_graph=batch.edge_graph,
        index=batch.index,
        y=batch.y,
    )
    torch.testing.assert_close(model(shuffled), model(batch), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", sorted(MODELS))
def test_a_graph_without_edges_has_an_answer(kind: Kind) -> None:
    answer = build_model(model_preset(kind, "small"), *FEATURES).eval()(_batch())
    assert torch.isfinite(answer).all()


def test_edge_features_reach_the_classifiers_answer() -> None:
    model = build_model(GatConfig(), *FEATURES).eval()
    batch = _batch()
    other = GraphBatch(**{**vars(batch), "edge_attr": batch.edge_attr + 1})
    assert not torch.allclose(model(batch)[0], model(other)[0])


def test_latents_stay_within_the_range_of_half_precision() -> None:
    model = VariationalGraphAutoencoder(VgaeConfig(), *FEATURES).eval()
    with torch.no_grad():
        model.mean.bias.fill_(100.0)
        model.log_variance.bias.fill_(-100.0)
    encoding = model.encode(_batch())
    assert encoding.mean.max() == LOG_VARIANCE_LIMIT
    assert encoding.log_variance.min() == -LOG_VARIANCE_LIMIT


def test_a_fusion_is_not_built_from_its_config_alone() -> None:
    with pytest.raises(ConfigError, match=r"^a fusion is made of the models of other runs"):
        build_model(model_preset("fusion", "large"), *FEATURES)
