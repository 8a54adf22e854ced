"""Named experiments: one function that names a whole run, over every group.

`<dataset>-<model>-<size>[-kd]`; `kd` is a student with the newest teacher of its kind.
"""

from __future__ import annotations

from itertools import product

from kdgat.configs.dataset import DATASETS
from kdgat.configs.model import KINDS, SIZES, Kind, Size

_LEARNS_FROM_A_TEACHER = ("vgae", "gat", "fusion", "mlp")


def experiment(dataset: str, kind: Kind, size: Size, *, distilled: bool) -> tuple[str, ...]:
    """The overrides that make one named run."""
    overrides = (f"dataset={dataset}", f"model={kind}", f"size={size}")
    return (*overrides, "distillation.teacher=latest") if distilled else overrides


def experiments() -> dict[str, tuple[str, ...]]:
    """Every named experiment and its overrides; only students of models that take a teacher's
    answers are distilled."""
    names = {}
    for dataset, kind, size in product(DATASETS, KINDS, SIZES):
        names[f"{dataset}-{kind}-{size}"] = experiment(dataset, kind, size, distilled=False)
        if size == "small" and kind in _LEARNS_FROM_A_TEACHER:
            names[f"{dataset}-{kind}-{size}-kd"] = experiment(dataset, kind, size, distilled=True)
    return names
