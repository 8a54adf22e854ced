"""Operation `bench`: the project's speed against the usual way, on this machine and this data."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from kdgat.configs.model import GatConfig, model_preset
from kdgat.errors import DataError
from kdgat.ops.config import compose_config
from kdgat.progress import Progress, numbered, quiet
from kdgat.workspace import Workspace

if TYPE_CHECKING:
    from kdgat.training.compare import Comparison

_GRAPHS, _QUICK_GRAPHS = 4096, 768
_ROUNDS, _QUICK_ROUNDS = 7, 3
_FEWEST = 64
_PACKAGES = ("torch", "torch-geometric", "numpy", "polars")


@dataclass(frozen=True)
class BenchReport:
    """How much faster than the usual way each thing is, here."""

    dataset: str
    graphs: int
    nodes_per_graph: float
    edges_per_graph: float
    device: str
    batch_graphs: int
    """Graphs of one step in the epochs."""
    rounds: int
    versions: dict[str, str]
    comparisons: tuple[Comparison, ...]


def bench(
    ws: Workspace,
    *,
    overrides: Sequence[str] = (),
    quick: bool = False,
    progress: Progress = quiet,
) -> BenchReport:
    """Compare batches, epochs, distillation and scoring with PyTorch Geometric's usual way.

    Args:
        ws: the workspace.
        overrides: Hydra overrides, such as `dataset=hcrl_sa training.max_graphs=512`.
        quick: fewer graphs and rounds: a first impression in about a minute.
        progress: told of every comparison.

    Raises:
        ConfigError: an override is wrong.
        DataError: the dataset is not ingested, or has too few graphs.
    """
    config = compose_config(ws, overrides)
    # torch and PyG take seconds to import.
    import torch

    from kdgat.data.batches import subset
    from kdgat.stages.prepare import prepare
    from kdgat.training.compare import Bench, comparisons

    prepared = prepare(ws.dataset(config.dataset.name), config.data, numbered(progress, "graphs"))
    whole = prepared.train()
    if len(whole) < _FEWEST:
        raise DataError(
            f"'{prepared.dataset}' has {len(whole)} training graphs, too few to time anything",
            hint="name another dataset, or ingest more captures",
        )
    count = min(len(whole), _QUICK_GRAPHS if quick else _GRAPHS)
    spread = torch.linspace(0, len(whole) - 1, count).long()
    on_gpu = config.resources.accelerator != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    models = [model_preset("gat", size) for size in ("small", "large")]
    student, teacher = (each for each in models if isinstance(each, GatConfig))
    made = Bench(
        subset(whole, spread),
        config.training,
        student,
        teacher,
        _QUICK_ROUNDS if quick else _ROUNDS,
        device,
        workers=4 if on_gpu else 0,
    )
    return BenchReport(
        dataset=prepared.dataset,
        graphs=count,
        nodes_per_graph=len(made.store.x) / count,
        edges_per_graph=len(made.store.edge_attr) / count,
        device=torch.cuda.get_device_name() if on_gpu else f"{platform.machine()}, one thread",
        batch_graphs=config.training.max_graphs,
        rounds=made.rounds,
        versions={name: version(name) for name in _PACKAGES},
        comparisons=tuple(comparisons(made, progress)),
    )
