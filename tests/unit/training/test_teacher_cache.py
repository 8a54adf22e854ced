"""A teacher's kept answers: what they equal, when they are used, and when they are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kdgat.configs.model import GatConfig, ModelConfig, VgaeConfig
from kdgat.configs.run import RunConfig
from kdgat.configs.training import DistillationConfig, TrainingConfig
from kdgat.data.batches import collate, subset
from kdgat.data.store import GraphStore
from kdgat.models.table import build_model
from kdgat.training.checkpoint import TrainedModel
from kdgat.training.distillation import CachedAnswers
from kdgat.training.fit import FitResult, fit
from kdgat.training.tasks import Classification, Objective, Phase, Reconstruction, task_of
from kdgat.training.teacher_cache import cached_answers

GAT = GatConfig(hidden=4, heads=2, layers=2, readout=8, dropout=0.2)
LARGE_GAT = GatConfig(hidden=6, heads=2, layers=3, readout=8)
VGAE = VgaeConfig(hidden=4, heads=2, latent=4, decoder=8)
LARGE_VGAE = VgaeConfig(hidden=6, heads=2, latent=7, decoder=8)
PAIRS = [(GAT, LARGE_GAT), (VGAE, LARGE_VGAE)]
KINDS = ["gat", "vgae"]
Stores = tuple[GraphStore, GraphStore]


def teacher_of(config: ModelConfig, seed: int = 0) -> TrainedModel:
    torch.manual_seed(seed)
    model = build_model(config, 27, 3).requires_grad_(False).eval()
    return TrainedModel(model, RunConfig(model=config), (27, 3), 0, None)


def student_of(config: ModelConfig, **distillation: Any) -> RunConfig:
    training = TrainingConfig(max_epochs=3, max_graphs=16, min_steps_per_epoch=0)
    weights = DistillationConfig(teacher="t", **distillation)
    return RunConfig(model=config, size="small", training=training, distillation=weights)


def kept(teacher: TrainedModel, config: RunConfig, stores: Stores, folder: Path) -> CachedAnswers:
    found = cached_answers(teacher, config, stores, folder)
    assert found is not None
    return found


def benign(stores: Stores) -> Stores:
    one, two = (subset(each, torch.nonzero(each.y == 0).squeeze(1)) for each in stores)
    return one, two


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many windows each question to a model was about."""
    found: list[int] = []
    for task in (Classification, Reconstruction):
        real = task.answer

        def noted(self: Any, model: Any, batch: Any, *given: Any, real: Any = real) -> Any:
            found.append(batch.num_graphs)
            return real(self, model, batch, *given)

        monkeypatch.setattr(task, "answer", noted)
    return found


@pytest.mark.parametrize("phase", ["train", "val"])
@pytest.mark.parametrize(("config", "large"), PAIRS, ids=KINDS)
def test_kept_answers_are_those_of_the_teacher_in_any_batch(
    config: ModelConfig, large: ModelConfig, phase: Phase, stores: Stores, tmp_path: Path
) -> None:
    teacher, run = teacher_of(large), student_of(config)
    answers = kept(teacher, run, stores, tmp_path)
    torch.manual_seed(1)
    student = build_model(config, 27, 3).eval()
    store = stores[0 if phase == "train" else 1]
    batch = collate(store, torch.randperm(len(store))[:17])
    asked = Objective(task_of(config), run.distillation, teacher.model).prepared(student, 0)
    read = replace(asked, cached=answers)
    with torch.no_grad():
        torch.manual_seed(2)
        one = asked(student, batch, phase)
        torch.manual_seed(2)
        other = read(student, batch, phase)
    assert one.keys() == other.keys()
    for name in one:
        torch.testing.assert_close(other[name], one[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("config", "large"), PAIRS, ids=KINDS)
def test_a_training_with_kept_answers_comes_to_the_same_and_asks_no_teacher(
    config: ModelConfig, large: ModelConfig, stores: Stores, tmp_path: Path, asked: list[int]
) -> None:
    teacher, run = teacher_of(large), student_of(config)

    def train(folder: Path, answers: CachedAnswers | None) -> FitResult:
        torch.manual_seed(run.seed)
        model = build_model(config, 27, 3)
        objective = Objective(task_of(config), run.distillation, teacher.model, answers)
        asked.clear()
        return fit(model, objective, stores, run, folder, None, lambda *_: None)

    one = train(tmp_path / "asked", None)
    both = len(asked)
    other = train(tmp_path / "read", kept(teacher, run, stores, tmp_path / "teachers"))
    assert other.best_loss == pytest.approx(one.best_loss, rel=1e-4)
    assert 2 * len(asked) == both


def test_answers_are_computed_once_and_found_again(
    stores: Stores, tmp_path: Path, asked: list[int]
) -> None:
    teacher, run = teacher_of(LARGE_GAT), student_of(GAT)
    kept(teacher, run, stores, tmp_path)
    assert sum(asked) == len(stores[0]) + len(stores[1])
    asked.clear()
    # Another student, another seed and another alpha ask for the same answers.
    other = student_of(GatConfig(hidden=2), alpha=0.2).model_copy(update={"seed": 7})
    kept(teacher_of(LARGE_GAT), other, stores, tmp_path)
    assert asked == []
    assert not list(tmp_path.rglob(".*"))


def test_answers_of_other_weights_are_not_used(
    stores: Stores, tmp_path: Path, asked: list[int]
) -> None:
    teacher, run = teacher_of(LARGE_GAT), student_of(GAT)
    before = kept(teacher, run, stores, tmp_path).train.columns["logits"].clone()
    asked.clear()
    with torch.no_grad():
        next(iter(teacher.model.parameters()))[0, 0] += 1e-3
    after = kept(teacher, run, stores, tmp_path).train.columns["logits"]
    assert asked
    assert not torch.equal(before, after)


@pytest.mark.parametrize("change", ["window", "precision", "subset"])
def test_answers_to_other_windows_or_in_another_precision_are_not_used(
    change: str, stores: Stores, tmp_path: Path, asked: list[int]
) -> None:
    teacher, run = teacher_of(LARGE_GAT), student_of(GAT)
    kept(teacher, run, stores, tmp_path)
    asked.clear()
    if change == "window":
        x = stores[0].x.clone()
        x[-1, -1] += 1
        stores = (replace(stores[0], x=x), stores[1])
        expected = len(stores[0])
    elif change == "precision":
        training = run.training.model_copy(update={"precision": "bf16"})
        run = run.model_copy(update={"training": training})
        expected = len(stores[0]) + len(stores[1])
    else:
        stores = benign(stores)
        expected = len(stores[0]) + len(stores[1])
    answers = kept(teacher, run, stores, tmp_path)
    assert sum(asked) == expected
    assert len(answers.train.columns["logits"]) == len(stores[0])


def test_answers_for_nodes_follow_the_very_store_that_they_are_for(
    stores: Stores, tmp_path: Path
) -> None:
    teacher, run = teacher_of(LARGE_VGAE), student_of(VGAE)
    kept(teacher, run, stores, tmp_path)
    few = benign(stores)
    answers = kept(teacher, run, few, tmp_path)
    batch = collate(few[1], torch.tensor([5, 2, 9]))
    task = task_of(LARGE_VGAE)
    with torch.no_grad():
        asked = task.outputs(task.answer(teacher.model, batch))
    read = answers.validation.of(batch)
    for one, other in ((read.nodes, asked.nodes), (read.latents, asked.latents)):
        assert one is not None
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_damaged_answers_are_computed_again(stores: Stores, tmp_path: Path) -> None:
    teacher, run = teacher_of(LARGE_VGAE), student_of(VGAE)
    expected = kept(teacher, run, stores, tmp_path).train.columns["nodes"].clone()
    for path in tmp_path.rglob("nodes.npy"):
        path.write_bytes(path.read_bytes()[:-40])
    for path in tmp_path.rglob("latents.npy"):
        path.write_bytes(b"not an array")
    found = kept(teacher, run, stores, tmp_path).train.columns["nodes"]
    assert torch.equal(found, expected)


@pytest.mark.parametrize(
    "weights", [{"feature_weight": 0.1}, {"attention_weight": 0.1}, {"alpha": 0.0}]
)
def test_nothing_is_kept_where_answers_alone_are_not_enough_or_not_needed(
    weights: dict[str, float], stores: Stores, tmp_path: Path
) -> None:
    run = student_of(GAT, **weights)
    assert cached_answers(teacher_of(LARGE_GAT), run, stores, tmp_path / "none") is None
    assert not (tmp_path / "none").exists()


def test_without_the_latent_term_no_latents_are_kept(stores: Stores, tmp_path: Path) -> None:
    run = student_of(VGAE, latent_weight=0.0)
    answers = kept(teacher_of(LARGE_VGAE), run, stores, tmp_path)
    assert set(answers.train.columns) == {"nodes"}
