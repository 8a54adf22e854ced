"""Training to the best epoch: stops when nothing improves, resumes to the same numbers."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import nn

from kdgat.configs.run import RunConfig
from kdgat.data.packing import UNLIMITED, BatchLimits
from kdgat.data.store import GraphStore
from kdgat.errors import ConfigError, RunError
from kdgat.ledger.files import atomic_path
from kdgat.ledger.folder import Paused
from kdgat.models.layers import recompute_attention
from kdgat.progress import Progress, quiet
from kdgat.training.checkpoint import BEST, epoch_path, keep_newest, save_best, step_path
from kdgat.training.curriculum import curriculum_of
from kdgat.training.module import TrainingModule
from kdgat.training.ranks import ranks_of
from kdgat.training.tasks import Objective

MONITOR = "val_task_loss"
"""Figure by which the best epoch is chosen; smaller is better."""

EpochListener = Callable[[int, dict[str, float | None]], None]
Asked = Callable[[], bool]
"""Whether somebody asked the training to save and stop."""
_PRECISION = {"32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}
_KEPT_CHECKPOINTS = 2


@dataclass(frozen=True)
class FitResult:
    """How training ended."""

    best_epoch: int
    best_loss: float
    epochs: int
    """Epochs trained, earlier attempts counted in."""


def nobody_asked() -> bool:
    """For a training that nobody interrupts politely."""
    return False


class Selection(Callback):
    """Keeps the best epoch and a resume checkpoint, and says when to stop.

    Of several ranks the first one writes; all of them take part in gathering what is written.
    """

    def __init__(
        self,
        config: RunConfig,
        checkpoints: Path,
        features: tuple[int, int],
        listen: EpochListener,
        asked: Asked = nobody_asked,
    ) -> None:
        self.config = config
        self.checkpoints = checkpoints
        self.features = features
        self.listen = listen
        self.asked = asked
        self.best_loss = float("inf")
        self.best_epoch = -1
        self.learning_rate = 0.0
        self.epochs = 0
        self.last_loss: float | None = None

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know."""
        return {
            "loss": self.best_loss,
            "epoch": self.best_epoch,
            "epochs": self.epochs,
            "learning_rate": self.learning_rate,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from an earlier attempt."""
        self.best_loss, self.best_epoch = state_dict["loss"], state_dict["epoch"]
        self.epochs = state_dict["epochs"]
        # Absent from checkpoints of older versions, which lie between two epochs.
        self.learning_rate = state_dict.get("learning_rate", 0.0)

    @property
    def exhausted(self) -> bool:
        """Whether nothing improved for as long as patience allows, or all epochs are done."""
        waited = self.epochs - 1 - self.best_epoch
        training = self.config.training
        return waited >= training.patience_epochs or self.epochs >= training.max_epochs

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:  # noqa: ARG002
        """Note the epoch's step size: by its end the schedule has moved on to the next."""
        self.learning_rate = float(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note the epoch, keep it if it is the best, and write the checkpoint to resume from."""
        assert isinstance(pl_module, TrainingModule)
        epoch = trainer.current_epoch
        metrics = pl_module.take_means()
        self._refuse_nan(epoch, metrics)
        metrics["learning_rate"] = self.learning_rate
        self.epochs = epoch + 1
        self.last_loss = metrics[MONITOR]
        if self.last_loss < self.best_loss:
            self.best_loss, self.best_epoch = self.last_loss, epoch
            if trainer.is_global_zero:
                model = pl_module.get_submodule("model")
                save_best(self.checkpoints / BEST, model, self.config, self.features, epoch)
        if trainer.is_global_zero:
            self.listen(epoch, dict(metrics))
        self._save(trainer, epoch_path(self.checkpoints, epoch))
        trainer.should_stop = self.exhausted
        if not self.exhausted and self._asked(trainer):
            raise Paused(f"after epoch {epoch}")

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """Between two steps of an epoch: save and stop where somebody asked for it."""
        steps = batch_idx + 1
        # After the last step the epoch's end comes soon, and is the better place.
        if steps < trainer.num_training_batches and self._asked(trainer):
            self._save(trainer, step_path(self.checkpoints, trainer.current_epoch, steps))
            raise Paused(f"in epoch {trainer.current_epoch}, after step {steps}")

    def _asked(self, trainer: L.Trainer) -> bool:
        """Whether any rank was asked to stop: then all of them do, at the same step."""
        if trainer.world_size == 1:
            return self.asked()
        return trainer.strategy.reduce_boolean_decision(self.asked(), all=False)

    def _save(self, trainer: L.Trainer, path: Path) -> None:
        if not trainer.is_global_zero:
            trainer.save_checkpoint(path)
            return
        with atomic_path(path) as aside:
            trainer.save_checkpoint(aside)
        keep_newest(self.checkpoints, _KEPT_CHECKPOINTS)

    def _refuse_nan(self, epoch: int, metrics: dict[str, float]) -> None:
        wrong = [name for name, value in metrics.items() if not abs(value) < float("inf")]
        if wrong:
            raise RunError(
                f"training diverged in epoch {epoch}: {wrong[0]} is {metrics[wrong[0]]}",
                hint="lower training.learning_rate or training.gradient_clip_norm",
            )


class Ticker(Callback):
    """Tells a listener how far the epochs are."""

    def __init__(self, progress: Progress, what: str, selection: Selection) -> None:
        self.progress = progress
        self.what = what
        self.selection = selection

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ARG002
        batch: Any,  # noqa: ARG002
        batch_idx: int,
    ) -> None:
        """One batch more is done."""
        batches = int(trainer.num_training_batches)
        done = trainer.current_epoch * batches + batch_idx + 1
        loss = self.selection.last_loss
        told = "" if loss is None else f", validation loss {loss:.4g}"
        what = f"{self.what}: epoch {trainer.current_epoch + 1}{told}"
        self.progress(what, done, batches * (trainer.max_epochs or 1))


def fit(
    model: nn.Module,
    objective: Objective,
    stores: tuple[GraphStore, GraphStore],
    config: RunConfig,
    checkpoints: Path,
    resume: Path | None,
    listen: EpochListener,
    progress: Progress = quiet,
    limits: BatchLimits = UNLIMITED,
    resident: bool = False,
    asked: Asked = nobody_asked,
    watch: Callback | None = None,
) -> FitResult:
    """Train `model` on the first store, choosing the best epoch by the second.

    The weights of the best epoch end up in `checkpoints/best.ckpt`.

    Args:
        model: fresh weights; a checkpoint replaces them.
        objective: loss to minimise.
        stores: training and validation graphs, with labels.
        config: the run's config.
        checkpoints: folder of this run's checkpoints.
        resume: checkpoint to go on from.
        listen: called with each epoch's number and figures, before its checkpoint is written.
        progress: told of every batch.
        limits: bytes that batches may take.
        resident: whether the graphs are to be kept on the GPU.
        asked: looked at after every step; when it says so, a checkpoint is written there.
        watch: something else that follows the steps, such as a profiler.

    Raises:
        Paused: somebody asked for it; a checkpoint was written.
        ConfigError: a GPU, or half precision that needs one, is asked for where there is none, or
            several processes where no scheduler started them.
        DataError: a graph alone is over the limit.
        RunError: the loss is no longer a number.
        StorageError: a checkpoint can't be written.
    """
    features = (stores[0].x.shape[1], stores[0].edge_attr.shape[1])
    selection = Selection(config, checkpoints, features, listen, asked)
    if resume is not None:
        state = torch.load(resume, map_location="cpu", weights_only=True)
        selection.load_state_dict(state["callbacks"][selection.state_key])
    if not selection.exhausted:
        if config.resources.gradient_checkpointing:
            recompute_attention(model)
        module = TrainingModule(
            model,
            objective,
            stores,
            config.training,
            config.seed,
            limits,
            resident,
            curriculum_of(config, stores[0]),
        )
        what = f"{config.model.kind} {config.size}"
        callbacks = [Ticker(progress, what, selection), *([watch] if watch else []), selection]
        trainer = _trainer(config, callbacks, checkpoints)
        with _quiet_lightning():
            _run(trainer, module, resume)
    total = config.training.max_epochs
    progress(f"{config.model.kind} {config.size}: trained", total, total)
    return FitResult(selection.best_epoch, selection.best_loss, selection.epochs)


def _trainer(config: RunConfig, callbacks: list[Callback], folder: Path) -> L.Trainer:
    """A Lightning trainer that writes nothing of its own."""
    training, resources = config.training, config.resources
    if resources.threads:
        torch.set_num_threads(resources.threads)
    if resources.accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError(
            "resources.accelerator = 'gpu', and torch sees no GPU on this machine",
            hint="run on a node with one, or set resources.accelerator=auto",
        )
    on_gpu = resources.accelerator != "cpu" and torch.cuda.is_available()
    if training.precision == "fp16" and not on_gpu:
        # Lightning would take bf16 instead, and the run would not be what its config says.
        raise ConfigError(
            "training.precision = 'fp16', which needs a GPU, and this run is on the CPU",
            hint="set training.precision=bf16 or 32, or run on a node with a GPU",
        )
    several = ranks_of(resources).count > 1
    with _quiet_lightning():
        return L.Trainer(
            accelerator=resources.accelerator,
            devices=resources.devices,
            num_nodes=resources.nodes,
            strategy="ddp" if several else "auto",
            # Named, so that Lightning doesn't take a job of ours for one that it may requeue.
            plugins=[SLURMEnvironment(auto_requeue=False) if several else LightningEnvironment()],
            precision=_PRECISION[training.precision],  # pyright: ignore[reportArgumentType]
            max_epochs=training.max_epochs,
            gradient_clip_val=training.gradient_clip_norm,
            callbacks=callbacks,
            default_root_dir=folder,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )


def _run(trainer: L.Trainer, module: TrainingModule, resume: Path | None) -> None:
    """Fit; Lightning turns an interrupt into an exit and goes deaf to more, which is undone."""
    listener = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, ckpt_path=resume, weights_only=True)
    except SIGTERMException as error:
        raise RunError(
            "the process was told to end (SIGTERM)",
            hint="the same command goes on from the last whole epoch",
        ) from error
    except SystemExit as error:
        signal.signal(signal.SIGINT, listener)
        raise KeyboardInterrupt from error


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Without Lightning's notes on devices and on loaders it did not make."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", message=".*num_workers.*")
        try:
            yield
        finally:
            logger.setLevel(level)
