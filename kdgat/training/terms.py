"""Which terms a distilled student's loss has, and which of its teacher's answers can be kept.

Apart from the terms themselves and without torch, because a memory plan asks too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from kdgat.configs.model import GatConfig, MlpConfig, ModelConfig, VgaeConfig
from kdgat.configs.training import DistillationConfig

Term = Literal["answer", "latent", "feature", "attention"]
INSIDE: frozenset[Term] = frozenset(("feature", "attention"))
"""Terms that look into the layers of both models."""
MOST_KEPT_BYTES = 2 << 30
"""Most bytes of a teacher's answers that are kept; they are a little more than the graphs."""


@dataclass(frozen=True)
class Column:
    """One kept array of a teacher's answers: a row for each graph or for each node."""

    rows: Literal["graphs", "nodes"]
    width: int


def terms_on(config: DistillationConfig, *, latents: bool) -> frozenset[Term]:
    """The terms whose weight is not nothing; `latents` says whether the models have any."""
    if config.alpha == 0:
        return frozenset()
    weights: dict[Term, float] = {
        "answer": 1.0,
        "latent": config.latent_weight if latents else 0.0,
        "feature": config.feature_weight,
        "attention": config.attention_weight,
    }
    return frozenset(term for term, weight in weights.items() if weight > 0)


def kept_columns(
    config: DistillationConfig, teacher: ModelConfig, node_features: int
) -> dict[str, Column]:
    """The answers of a teacher that a student's loss needs, where nothing else of it is needed.

    There are none where a term looks into the teacher's layers, which are too large to keep.
    """
    terms = terms_on(config, latents=isinstance(teacher, VgaeConfig))
    if not terms or terms & INSIDE:
        return {}
    match teacher:
        case GatConfig() | MlpConfig():
            return {"logits": Column("graphs", 2)}
        case VgaeConfig():
            nodes = {"nodes": Column("nodes", node_features)}
            latents = {"latents": Column("nodes", teacher.latent)}
            return nodes | latents if "latent" in terms else nodes
        case _:
            return {}


def kept_blocks(columns: Mapping[str, Column], graphs: int, nodes: int) -> tuple[int, ...]:
    """Bytes of each array of one store's kept answers, the pointers to its nodes counted in."""
    rows = {"graphs": graphs, "nodes": nodes}
    blocks = [4 * each.width * rows[each.rows] for each in columns.values()]
    pointers = [8 * (graphs + 1)] if by_node(columns) else []
    return tuple(blocks + pointers)


def by_node(columns: Mapping[str, Column]) -> bool:
    """Whether a kept array has a row for each node."""
    return any(each.rows == "nodes" for each in columns.values())
