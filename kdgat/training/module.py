"""The Lightning module: an objective, an optimiser, and randomness of each step's own."""

from __future__ import annotations

from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from kdgat.configs.training import TrainingConfig
from kdgat.data.batches import BatchLoader, GraphBatch
from kdgat.data.packing import UNLIMITED, BatchLimits
from kdgat.data.store import GraphStore
from kdgat.training.curriculum import Curriculum
from kdgat.training.means import EpochMeans
from kdgat.training.optimizer import build_optimizer
from kdgat.training.tasks import Objective, Phase

_SEEDS = 2**63
"""Seeds that torch takes."""


class TrainingModule(L.LightningModule):
    """Trains `model` on one store and validates it on another.

    Every step seeds torch from (seed, epoch, step), so that a run resumed at an epoch draws the
    dropout and the samples that it would have drawn without the interruption. Of several ranks
    each draws its own. A student's projections to its teacher's widths are a part of this module,
    trained and kept in its checkpoints, and no part of the model.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        stores: tuple[GraphStore, GraphStore],
        config: TrainingConfig,
        seed: int,
        limits: BatchLimits = UNLIMITED,
        resident: bool = False,
        curriculum: Curriculum | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.objective = objective.prepared(model, seed)
        self.projections = self.objective.projections
        self.stores = stores
        self.config = config
        self.seed = seed
        self.limits = limits
        self.resident = resident
        self.curriculum = curriculum
        self._means = {"train": EpochMeans(), "val": EpochMeans()}

    def on_fit_start(self) -> None:
        """Bring the teacher to the device, and the graphs where the plan says so."""
        # The teacher is no submodule, so that no checkpoint keeps it; so Lightning leaves it.
        self.objective = self.objective.to(self.device)
        if self.resident:
            train, validation = self.stores
            self.stores = (train.to(self.device), validation.to(self.device))

    def train_dataloader(self) -> BatchLoader:
        """This epoch's batches; Lightning asks again each epoch."""
        loader = BatchLoader(
            self.stores[0],
            self.config.max_graphs,
            seed=self.seed,
            limit=self.limits.train,
            min_steps=self.config.min_steps_per_epoch,
            rank=self.trainer.global_rank,
            ranks=self.trainer.world_size,
            chosen=None if self.curriculum is None else self.curriculum.chosen,
        )
        loader.set_epoch(self.current_epoch)
        return loader

    def val_dataloader(self) -> BatchLoader:
        """The validation windows, in order."""
        return BatchLoader(
            self.stores[1],
            self.config.max_graphs,
            limit=self.limits.validation,
            rank=self.trainer.global_rank,
            ranks=self.trainer.world_size,
        )

    def training_step(self, batch: GraphBatch, batch_idx: int) -> Tensor:
        """The loss of one batch."""
        return self._step(batch, batch_idx, "train")["loss"]

    def validation_step(self, batch: GraphBatch, batch_idx: int) -> None:
        """The figures of one batch."""
        self._step(batch, batch_idx, "val")

    def take_means(self) -> dict[str, float]:
        """The epoch's figures over all ranks, such as `train_loss`; then the next epoch begins."""
        return {
            f"{phase}_{name}": value
            for phase, means in self._means.items()
            for name, value in means.take(self._total).items()
        }

    def on_validation_epoch_start(self) -> None:
        """An epoch's validation begins anew."""
        self._means["val"] = EpochMeans()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what the ranks have of the epoch so far."""
        checkpoint["epoch_means"] = self._means["train"].state_dict(self._total)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with it, on one rank."""
        if "epoch_means" in checkpoint and self.trainer.is_global_zero:
            self._means["train"].load_state_dict(checkpoint["epoch_means"])

    def _total(self, own: Tensor) -> Tensor:
        if self.trainer.world_size == 1:
            return own
        return self.trainer.strategy.reduce(own, reduce_op="sum")

    def configure_optimizers(self) -> Any:
        """AdamW, and a cosine down to nothing over all epochs."""
        optimizer = build_optimizer(self.parameters(), self.config)
        schedule = CosineAnnealingLR(optimizer, T_max=self.config.max_epochs)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule}}

    def _step(self, batch: GraphBatch, batch_idx: int, phase: Phase) -> dict[str, Tensor]:
        step_seed = (self.seed * 1_000_003 + self.current_epoch) * 1_000_003 + batch_idx
        if self.trainer.world_size > 1:
            step_seed = step_seed * 1_000_003 + self.trainer.global_rank
        torch.manual_seed(step_seed % _SEEDS)
        terms = self.objective(self.model, batch, phase)
        self._means[phase].add(terms, batch.num_graphs)
        return terms
