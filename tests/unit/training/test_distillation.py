"""A teacher's share of a student's loss, term by term."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from kdgat.configs.model import GatConfig, MlpConfig, ModelConfig, VgaeConfig
from kdgat.configs.training import DistillationConfig
from kdgat.data.batches import GraphBatch, collate
from kdgat.data.store import GraphStore
from kdgat.errors import ConfigError
from kdgat.models.gat import GatClassifier
from kdgat.models.table import build_model
from kdgat.models.vgae import VariationalGraphAutoencoder
from kdgat.training.distillation import Outputs, distances
from kdgat.training.losses import attention_distance
from kdgat.training.tasks import Classification, Objective, task_of

GAT = GatConfig(hidden=4, heads=2, layers=2, readout=8, dropout=0.0)
LARGE_GAT = GatConfig(hidden=6, heads=3, layers=3, readout=8, dropout=0.2)
VGAE = VgaeConfig(hidden=4, heads=2, latent=4, decoder=8)
LARGE_VGAE = VgaeConfig(hidden=6, heads=2, latent=7, decoder=8)
PAIRS = [(GAT, LARGE_GAT), (VGAE, LARGE_VGAE)]
KINDS = ["gat", "vgae"]
Stores = tuple[GraphStore, GraphStore]


class _Says(nn.Module):
    """Answers every window with the same logits."""

    def __init__(self, *logits: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.tensor(logits))

    def forward(self, batch: GraphBatch) -> Tensor:
        return self.logits.expand(batch.num_graphs, 2)


def built(config: ModelConfig, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return build_model(config, 27, 3)


def windows(stores: Stores, count: int = 12) -> GraphBatch:
    return collate(stores[0], torch.arange(count))


def test_a_students_loss_is_the_one_worked_out_by_hand(stores: Stores) -> None:
    benign = int(torch.nonzero(stores[0].y == 0)[0])
    batch = collate(stores[0], torch.tensor([benign]))
    # Student: (0, ln 3), so p = (1/4, 3/4). At T = 2 it is softened to (1, sqrt 3), the teacher's
    # (2 ln 2, 0) to (2, 1), both over their sums: KL = 2/3 ln 1.8214 + 1/3 ln .5258 = .18544.
    student, teacher = _Says(0.0, math.log(3.0)), _Says(2 * math.log(2.0), 0.0)
    distillation = DistillationConfig(alpha=0.7, temperature=2.0)
    terms = Objective(Classification(), distillation, teacher)(student, batch)
    # The label is benign: -ln(1/4).
    assert terms["task_loss"].item() == pytest.approx(1.38629, abs=1e-5)
    # T^2 of the divergence; then .7 of it and .3 of the label's.
    assert terms["distance"].item() == pytest.approx(0.74175, abs=1e-5)
    assert terms["loss"].item() == pytest.approx(0.93511, abs=1e-5)


def test_attention_is_compared_over_edges_and_the_last_layers_with_each_other() -> None:
    student = (torch.tensor([0.5, 0.5, 1.0]), torch.tensor([0.2, 0.8, 1.0]))
    first = torch.tensor([0.9, 0.1, 1.0])
    assert attention_distance(student, student).item() == 0
    assert attention_distance(student, (first, *student)).item() == 0
    moved = (first, torch.tensor([0.5, 0.5, 1.0]), torch.tensor([0.8, 0.2, 1.0]))
    # Nothing in the first compared layer, and (.36 + .36 + 0) / 3 in the last.
    assert attention_distance(student, moved).item() == pytest.approx(0.24 / 2, rel=1e-6)
    assert attention_distance(moved, student).item() == pytest.approx(0.24 / 2, rel=1e-6)


@pytest.mark.parametrize("config", [GAT, VGAE], ids=KINDS)
def test_attention_of_equal_models_is_no_distance_and_of_others_is_one(
    config: ModelConfig, stores: Stores
) -> None:
    distillation = DistillationConfig(attention_weight=1.0)
    teacher = built(config)
    for student, equal in ((copy.deepcopy(teacher), True), (built(config, 1), False)):
        objective = Objective(task_of(config), distillation, teacher).prepared(student, 0)
        found = objective(student.eval(), windows(stores))["attention_distance"].item()
        assert (found == 0) == equal


@pytest.mark.parametrize(("config", "large"), PAIRS, ids=KINDS)
def test_a_nodes_attention_over_its_incoming_edges_sums_to_one(
    config: ModelConfig, large: ModelConfig, stores: Stores
) -> None:
    batch = windows(stores)
    for model in (built(config).eval(), built(large).eval()):
        layers = model.hidden(batch)
        assert torch.equal(layers[-1][0], model.states(batch))
        for _, alpha in layers:
            sums = torch.zeros(len(batch.x), alpha.shape[1])
            sums.index_add_(0, batch.edge_index[1], alpha.detach())
            reached = torch.bincount(batch.edge_index[1], minlength=len(batch.x)) > 0
            torch.testing.assert_close(sums[reached], torch.ones_like(sums[reached]))


@pytest.mark.parametrize(("config", "large"), PAIRS, ids=KINDS)
def test_looking_into_the_layers_changes_no_answer(
    config: ModelConfig, large: ModelConfig, stores: Stores
) -> None:
    batch, student, teacher = windows(stores), built(config).eval(), built(large).eval()
    plain = Objective(task_of(config), DistillationConfig(latent_weight=0.0), teacher)
    weights = DistillationConfig(latent_weight=0.0, feature_weight=1.0, attention_weight=1.0)
    inside = Objective(task_of(config), weights, teacher).prepared(student, 0)
    torch.manual_seed(3)
    one = plain(student, batch)
    torch.manual_seed(3)
    other = inside(student, batch)
    assert other["distance"].item() == pytest.approx(one["distance"].item(), rel=1e-5)
    assert other["task_loss"].item() == pytest.approx(one["task_loss"].item(), rel=1e-5)


@pytest.mark.parametrize(("config", "large"), PAIRS, ids=KINDS)
def test_the_feature_term_reaches_the_projection_and_the_student_and_never_the_teacher(
    config: ModelConfig, large: ModelConfig, stores: Stores
) -> None:
    student, teacher = built(config), built(large).requires_grad_(False)
    distillation = DistillationConfig(feature_weight=0.5)
    objective = Objective(task_of(config), distillation, teacher).prepared(student, 0)
    projection = objective.projections["feature"]
    assert isinstance(projection, nn.Linear)
    assert (projection.in_features, projection.out_features) == (student.width, teacher.width)
    objective(student, windows(stores))["feature_distance"].backward()
    gradient = projection.weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
    assert any(each.grad is not None for each in student.parameters())
    assert all(each.grad is None for each in teacher.parameters())


def test_the_loss_is_the_weighed_sum_of_all_terms(stores: Stores) -> None:
    student, teacher = built(VGAE), built(LARGE_VGAE)
    weights = {"latent_weight": 0.25, "feature_weight": 3.0, "attention_weight": 7.0}
    distillation = DistillationConfig(alpha=0.6, **weights)
    objective = Objective(task_of(VGAE), distillation, teacher).prepared(student, 0)
    terms = {name: each.item() for name, each in objective(student, windows(stores)).items()}
    share = (
        terms["distance"]
        + 0.25 * terms["latent_distance"]
        + 3 * terms["feature_distance"]
        + 7 * terms["attention_distance"]
    )
    assert min(share, terms["attention_distance"]) > 0
    expected = 0.6 * share + 0.4 * terms["task_loss"]
    assert terms["loss"] == pytest.approx(expected, rel=1e-5)


def test_latents_are_compared_by_their_means_in_the_teachers_width() -> None:
    maps = nn.ModuleDict({"latent": nn.Linear(1, 2)})
    with torch.no_grad():
        maps["latent"].weight.copy_(torch.tensor([[2.0], [0.0]]))
        maps["latent"].bias.copy_(torch.tensor([0.0, 1.0]))
    same = torch.zeros(2, 3)
    student = Outputs(nodes=same, latents=torch.tensor([[1.0], [2.0]]))
    teacher = Outputs(nodes=same, latents=torch.tensor([[2.0, 1.0], [4.0, 3.0]]))
    found = distances(student, teacher, DistillationConfig(), maps)
    # Projected they are (2, 1) and (4, 1): one of four numbers is 2 off.
    assert found["latent_distance"].item() == pytest.approx(1.0)
    assert found["distance"].item() == 0


@pytest.mark.parametrize(("config", "large"), PAIRS, ids=KINDS)
def test_nothing_is_computed_of_a_term_that_is_off(
    config: ModelConfig, large: ModelConfig, stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for kind in (GatClassifier, VariationalGraphAutoencoder):
        for name in ("states", "hidden"):
            real = getattr(kind, name)

            def noted(self: Any, batch: GraphBatch, name: str = name, real: Any = real) -> Any:
                asked.append(f"{'student' if self is student else 'teacher'} {name}")
                return real(self, batch)

            monkeypatch.setattr(kind, name, noted)
    student, teacher = built(config), built(large)
    found = {}
    for given in ({}, {"alpha": 0.0}, {"feature_weight": 1.0}, {"attention_weight": 1.0}):
        distillation = DistillationConfig(**{"latent_weight": 0.0, **given})
        objective = Objective(task_of(config), distillation, teacher).prepared(student, 0)
        asked.clear()
        terms = objective(student, windows(stores))
        assert set(objective.projections) == ({"feature"} if "feature_weight" in given else set())
        names = {name for name in terms if name.endswith("distance")}
        found[str(given)] = (sorted(asked), sorted(names))
    states, hidden = (["student states", "teacher states"], ["student hidden", "teacher hidden"])
    assert found == {
        "{}": (states, ["distance"]),
        "{'alpha': 0.0}": (["student states"], []),
        "{'feature_weight': 1.0}": (states, ["distance", "feature_distance"]),
        "{'attention_weight': 1.0}": (hidden, ["attention_distance", "distance"]),
    }


def test_projections_follow_from_the_seed_and_leave_torchs_generator_alone() -> None:
    objective = Objective(task_of(VGAE), DistillationConfig(), built(LARGE_VGAE))
    student = built(VGAE)
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    one = objective.prepared(student, 5).projections["latent"]
    assert torch.equal(torch.rand(3), expected)
    two, other = (objective.prepared(student, seed).projections["latent"] for seed in (5, 6))
    assert torch.equal(one.weight, two.weight)
    assert not torch.equal(one.weight, other.weight)


def test_a_model_without_layers_of_node_states_has_no_term_for_them() -> None:
    config = MlpConfig(hidden=4)
    student, teacher = built(config), built(config)
    objective = Objective(task_of(config), DistillationConfig(attention_weight=1.0), teacher)
    with pytest.raises(ConfigError, match=r"^distillation\.attention_weight is set, and WindowMlp"):
        objective.prepared(student, 0)
