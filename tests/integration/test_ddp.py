"""Two real processes under Lightning's DDP: as many batches each, and the same weights at the end.

Run as a script this file is one of the two. They find each other through a file: no port is taken.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

_EPOCHS = 3
_WINDOWS = {"train": 61, "validation": 30}
_DEADLINE_S = 300


@pytest.mark.slow
def test_two_processes_see_each_graph_once_in_equal_steps_and_end_alike(tmp_path: Path) -> None:
    for seed, (name, windows) in enumerate(_WINDOWS.items()):
        _save_store(tmp_path / name, seed, windows)
    workers = [_worker(tmp_path, rank) for rank in range(2)]
    try:
        said = [worker.communicate(timeout=_DEADLINE_S)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(said)
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert first["ranks"] == [0, 2]
    assert second["ranks"] == [1, 2]
    assert first["weights_before"] != second["weights_before"]
    assert first["weights"] == second["weights"] != first["weights_before"]
    assert first["losses"] == second["losses"]
    assert len(first["epochs"]) == len(second["epochs"]) == _EPOCHS
    for one, two in zip(first["epochs"], second["epochs"], strict=True):
        for phase, windows in _WINDOWS.items():
            assert one[phase]["expected"] == two[phase]["expected"] == one[phase]["planned"]
            assert len(one[phase]["batches"]) == len(two[phase]["batches"])
            assert len(one[phase]["batches"]) == one[phase]["expected"] > 2
            seen = [*one[phase]["batches"], *two[phase]["batches"]]
            assert sorted(graph for batch in seen for graph in batch) == list(range(windows))
    # Dropout is each rank's own.
    assert first["draws"] != second["draws"]


def _worker(folder: Path, rank: int) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "LOCAL_RANK": str(rank),
        "NODE_RANK": "0",
        "WORLD_SIZE": "2",
        "GLOO_SOCKET_IFNAME": "lo",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, __file__, str(folder), str(rank)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _save_store(folder: Path, seed: int, windows: int) -> None:
    """Windows of two to nine ids, every third an attack."""
    from kdgat.configs.data import DataConfig
    from kdgat.data.graphs import build_graphs
    from kdgat.data.store import CaptureLabel, save_store
    from kdgat.data.windows import Messages

    rng = np.random.default_rng(seed)
    count = 20 * windows
    messages = Messages(
        time_s=np.arange(count) / 1000,
        arbitration_id=(rng.random(count) * np.repeat(np.arange(windows) % 8 + 2, 20)).astype("u4"),
        dlc=np.full(count, 8, np.uint8),
        payload=rng.integers(0, 2**64, count, dtype=np.uint64),
    )
    graphs = build_graphs(messages, np.arange(0, count, 20), DataConfig(window_messages=20))
    captures = [CaptureLabel("made", "flood", "none")]
    attacks = (np.arange(windows) % 3 == 0).astype(np.int64)
    save_store(folder, graphs, np.zeros(windows, np.int32), captures, attacks, 20)


def _train(folder: Path, rank: int) -> None:
    """One of the two processes."""
    import lightning as L
    import torch
    from lightning.pytorch.callbacks import Callback

    from kdgat.configs.model import GatConfig
    from kdgat.configs.run import RunConfig
    from kdgat.configs.training import TrainingConfig
    from kdgat.data.packing import BatchLimits, ByteLimit, PeakCost
    from kdgat.data.store import open_store
    from kdgat.models.table import build_model
    from kdgat.training.module import TrainingModule
    from kdgat.training.tasks import Objective, task_of

    class Watch(Callback):
        def __init__(self) -> None:
            self.epochs: list[dict[str, Any]] = []
            self.losses: list[float] = []
            self.draws: list[float] = []

        def on_train_epoch_start(self, *_: Any) -> None:
            self.epochs.append({phase: {"batches": []} for phase in _WINDOWS})

        def on_train_batch_end(
            self, _trainer: Any, _module: Any, _outputs: Any, batch: Any, *_: Any
        ) -> None:
            self.epochs[-1]["train"]["batches"].append(batch.index.tolist())
            self.draws.append(float(torch.rand(())))

        def on_validation_batch_end(
            self, _trainer: Any, _module: Any, _outputs: Any, batch: Any, *_: Any
        ) -> None:
            self.epochs[-1]["validation"]["batches"].append(batch.index.tolist())

        def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            now = self.epochs[-1]
            now["train"]["expected"] = int(trainer.num_training_batches)
            now["validation"]["expected"] = int(trainer.num_val_batches[0])
            now["train"]["planned"] = len(pl_module.train_dataloader())
            now["validation"]["planned"] = len(pl_module.val_dataloader())
            self.losses.append(pl_module.take_means()["val_task_loss"])

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2
    )
    stores = (
        open_store(folder / "train", labels=True),
        open_store(folder / "validation", labels=True),
    )
    config = GatConfig(hidden=4, heads=2, layers=2, readout=8, dropout=0.2)
    training = TrainingConfig(max_epochs=_EPOCHS, max_graphs=16, min_steps_per_epoch=4)
    cost = PeakCost(np.array([[20, 5, 0, 10], [0, 12, 30, 0]]))
    limit = ByteLimit(cost, 1_000)
    # Each rank starts elsewhere; DDP gives all the first one's weights.
    torch.manual_seed(rank)
    model = build_model(config, stores[0].x.shape[1], stores[0].edge_attr.shape[1])
    before = _weights(model)
    objective = Objective(task_of(config), RunConfig().distillation)
    limits = BatchLimits(train=limit, validation=limit)
    module = TrainingModule(model, objective, stores, training, 5, limits)
    watch = Watch()
    trainer = L.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="ddp",
        max_epochs=_EPOCHS,
        callbacks=[watch],
        default_root_dir=folder,
        reload_dataloaders_every_n_epochs=1,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module)
    told = {
        "ranks": [trainer.global_rank, trainer.world_size],
        "epochs": watch.epochs,
        "losses": watch.losses,
        "draws": watch.draws,
        "weights": _weights(model),
        "weights_before": before,
    }
    (folder / f"{rank}.json").write_text(json.dumps(told))
    torch.distributed.destroy_process_group()


def _weights(model: Any) -> list[list[float]]:
    return [value.flatten().tolist() for value in model.state_dict().values()]


if __name__ == "__main__":
    _train(Path(sys.argv[1]), int(sys.argv[2]))
