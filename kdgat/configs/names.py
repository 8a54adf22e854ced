"""Names that tables of results are told apart by; without pydantic, which takes long to import."""

from __future__ import annotations

from typing import Literal, get_args

Protocol = Literal["zero_shot", "adapted"]
"""What a model may know of a test capture: nothing but the window that is scored, or a prefix."""
PROTOCOLS: tuple[str, ...] = get_args(Protocol)
BASELINES = ("gradient_boosting", "mlp", "profile", "id_frequency")
"""Kinds of models without a graph: what a graph model must beat to be worth its parameters."""
