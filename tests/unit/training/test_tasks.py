from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from kdgat.configs.model import GatConfig, Kind, VgaeConfig, model_preset
from kdgat.configs.training import DistillationConfig
from kdgat.data.batches import collate
from kdgat.data.store import GraphStore
from kdgat.models.table import build_model
from kdgat.training.losses import soft_label_loss
from kdgat.training.tasks import Classification, Objective, Reconstruction, score_of, task_of

GAT = GatConfig(hidden=4, heads=2, layers=2, readout=8, dropout=0.0)
VGAE = VgaeConfig(hidden=4, heads=2, latent=4, decoder=8)


def test_a_students_loss_is_alpha_of_the_teacher_and_the_rest_of_the_labels(
    stores: tuple[GraphStore, GraphStore],
) -> None:
    batch = collate(stores[0], torch.arange(12))
    student, teacher = build_model(GAT, 27, 3), build_model(GAT, 27, 3)
    distillation = DistillationConfig(teacher="t", alpha=0.3, temperature=2.0)
    terms = Objective(Classification(), distillation, teacher)(student.eval(), batch)
    with torch.no_grad():
        soft = soft_label_loss(student(batch), teacher(batch), 2.0)
        hard = functional.cross_entropy(student(batch), batch.y)
    assert terms["loss"].item() == pytest.approx((0.3 * soft + 0.7 * hard).item(), rel=1e-5)
    assert terms["task_loss"].item() == pytest.approx(hard.item(), rel=1e-5)


def test_without_a_teacher_the_loss_is_the_tasks_own(
    stores: tuple[GraphStore, GraphStore],
) -> None:
    batch = collate(stores[0], torch.arange(12))
    terms = Objective(Classification(), DistillationConfig())(build_model(GAT, 27, 3), batch)
    assert torch.equal(terms["loss"], terms["task_loss"])
    assert "distance" not in terms


@pytest.mark.parametrize("config", [GAT, VGAE], ids=["gat", "vgae"])
def test_no_gradient_reaches_the_teacher(
    config: GatConfig | VgaeConfig, stores: tuple[GraphStore, GraphStore]
) -> None:
    batch = collate(stores[0], torch.arange(12))
    student, teacher = build_model(config, 27, 3), build_model(config, 27, 3)
    distillation = DistillationConfig(teacher="t")
    objective = Objective(task_of(config), distillation, teacher).prepared(student, 0)
    objective(student, batch)["loss"].backward()
    assert all(each.grad is None for each in teacher.parameters())
    assert any(each.grad is not None for each in student.parameters())
    assert not teacher.training


def test_an_autoencoder_draws_its_latents_while_training_and_never_while_scoring(
    stores: tuple[GraphStore, GraphStore],
) -> None:
    batch = collate(stores[0], torch.arange(12))
    task, model = Reconstruction(VGAE), build_model(VGAE, 27, 3)
    model.train()
    assert not torch.equal(task.answer(model, batch).z, task.answer(model, batch).z)
    model.eval()
    assert torch.equal(task.answer(model, batch).z, task.answer(model, batch).encoding.mean)
    assert torch.equal(task.score(model, batch), task.score(model, batch))


@pytest.mark.parametrize("config", [GAT, VGAE], ids=["gat", "vgae"])
def test_a_windows_score_does_not_depend_on_its_batch(
    config: GatConfig | VgaeConfig, stores: tuple[GraphStore, GraphStore]
) -> None:
    task, model = task_of(config), build_model(config, 27, 3).eval()
    together = task.score(model, collate(stores[0], torch.arange(12)))
    alone = torch.cat([task.score(model, collate(stores[0], torch.tensor([i]))) for i in range(12)])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("gat", Classification),
        ("mlp", Classification),
        ("gradient_boosting", Classification),
        ("vgae", Reconstruction),
    ],
)
def test_every_kind_with_a_loss_has_a_task(kind: Kind, task: type) -> None:
    assert type(task_of(model_preset(kind, "small"))) is task


def test_a_classifiers_score_is_its_probability_of_attack_and_a_scorers_what_it_says(
    stores: tuple[GraphStore, GraphStore],
) -> None:
    batch, model = collate(stores[0], torch.arange(5)), build_model(GAT, 27, 3).eval()
    expected = model(batch)[:, 1] - model(batch)[:, 0]
    torch.testing.assert_close(Classification().score(model, batch)[:, 0], expected.sigmoid())
    for kind in ("fusion", "profile", "id_frequency"):
        score = score_of(model_preset(kind, "small"))
        assert torch.equal(score(model, batch), model(batch))


@pytest.mark.parametrize("kind", ["fusion", "profile", "id_frequency"])
def test_a_kind_without_a_loss_has_no_task(kind: Kind) -> None:
    with pytest.raises(TypeError, match=rf"^a model of kind '{kind}' has no loss$"):
        task_of(model_preset(kind, "small"))
