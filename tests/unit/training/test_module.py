"""The module under Lightning: the batches that are planned are the batches that are trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from kdgat.configs.model import GatConfig
from kdgat.configs.run import RunConfig
from kdgat.configs.training import TrainingConfig
from kdgat.data.batches import BatchLoader
from kdgat.data.packing import UNLIMITED, BatchLimits, ByteLimit, PeakCost
from kdgat.data.store import GraphStore
from kdgat.errors import DataError
from kdgat.models.table import build_model
from kdgat.training.fit import FitResult, fit
from kdgat.training.module import TrainingModule
from kdgat.training.tasks import Objective, task_of

GAT = GatConfig(hidden=4, heads=2, layers=2, readout=8, dropout=0.0)
EDGES = PeakCost(np.array([[0, 100, 0, 50]]))
LIMITS = BatchLimits(train=ByteLimit(EDGES, 6_000), validation=ByteLimit(EDGES, 5_000))
TRAINING = TrainingConfig(max_epochs=4, patience_epochs=4, max_graphs=32, min_steps_per_epoch=2)
Stores = tuple[GraphStore, GraphStore]


class _Counts(Callback):
    """What Lightning thinks of each epoch, and what really came."""

    def __init__(self) -> None:
        self.train: list[tuple[int, int]] = []
        self.validation: list[tuple[int, int]] = []
        self.graphs: list[list[int]] = []
        self.bytes: set[int] = set()
        self.seen = [0, 0]

    def on_train_epoch_start(self, *_: Any) -> None:
        self.seen = [0, 0]
        self.graphs.append([])

    def on_train_batch_start(self, _trainer: Any, _module: Any, batch: Any, *_: Any) -> None:
        self.seen[0] += 1
        self.graphs[-1] += batch.index.tolist()
        self.bytes.add(int(EDGES.peak_bytes(len(batch.x), len(batch.edge_attr), batch.num_graphs)))

    def on_validation_batch_start(self, *_: Any) -> None:
        self.seen[1] += 1

    def on_train_epoch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.train.append((int(trainer.num_training_batches), self.seen[0]))
        self.validation.append((int(trainer.num_val_batches[0]), self.seen[1]))


# Lightning's own: worker processes that are not wanted, and an `isinstance` that torch deprecates.
@pytest.mark.filterwarnings("ignore:.*does not have many workers.*")
@pytest.mark.filterwarnings("ignore:The `srun` command is available.*")
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
def test_lightning_sees_the_number_of_batches_of_every_epochs_plan(stores: Stores) -> None:
    counts = _Counts()
    objective = Objective(task_of(GAT), RunConfig().distillation)
    torch.manual_seed(0)
    module = TrainingModule(build_model(GAT, 27, 3), objective, stores, TRAINING, 5, LIMITS)
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=4,
        callbacks=[counts],
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module)
    planned = []
    for epoch in range(4):
        loader = BatchLoader(stores[0], 32, seed=5, limit=LIMITS.train, min_steps=2)
        loader.set_epoch(epoch)
        planned.append(len(loader))
    validation = len(BatchLoader(stores[1], 32, limit=LIMITS.validation))
    assert counts.train == [(count, count) for count in planned]
    assert counts.validation == [(validation, validation)] * 4
    # The limit binds, and not alike in every epoch.
    assert min(planned) > len(stores[0]) / 32
    assert len(set(planned)) > 1
    assert validation > len(stores[1]) / 32
    assert max(counts.bytes) <= 6_000
    for graphs in counts.graphs:
        assert sorted(graphs) == list(range(len(stores[0])))


def _fit(folder: Path, stores: Stores, limits: BatchLimits, **training: Any) -> FitResult:
    values = {**TRAINING.model_dump(), "max_epochs": 2, **training}
    config = RunConfig(model=GAT, training=TrainingConfig.model_validate(values))
    torch.manual_seed(config.seed)
    objective = Objective(task_of(GAT), config.distillation)
    model = build_model(GAT, 27, 3)
    return fit(model, objective, stores, config, folder, None, lambda *_: None, limits=limits)


def test_a_limit_that_does_not_bind_changes_no_number(stores: Stores, tmp_path: Path) -> None:
    roomy = BatchLimits(train=ByteLimit(EDGES, 10**9), validation=ByteLimit(EDGES, 10**9))
    assert _fit(tmp_path / "a", stores, roomy) == _fit(tmp_path / "b", stores, UNLIMITED)
    assert _fit(tmp_path / "c", stores, LIMITS) != _fit(tmp_path / "d", stores, UNLIMITED)


def test_an_epoch_has_the_fewest_steps_asked_for(stores: Stores, tmp_path: Path) -> None:
    many = _fit(tmp_path / "a", stores, UNLIMITED, min_steps_per_epoch=6)
    # 96 graphs in six steps are batches of 16; validation is added up in other batches.
    same = _fit(tmp_path / "b", stores, UNLIMITED, max_graphs=16, min_steps_per_epoch=0)
    assert many.best_loss == pytest.approx(same.best_loss, rel=1e-6)
    assert many.best_epoch == same.best_epoch


def test_a_graph_too_large_for_the_limit_ends_training_with_a_sentence(
    stores: Stores, tmp_path: Path
) -> None:
    tight = BatchLimits(train=ByteLimit(EDGES, 100))
    with pytest.raises(DataError, match=r"^graph \d+ \(\d+ nodes, \d+ edges\) alone needs"):
        _fit(tmp_path, stores, tight)
