"""How captures become graphs: windows, features, scaling and the split."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from kdgat.configs.schema import Config

FeatureGroup = Literal["bytes", "entropy", "rate", "timing", "shape", "profile"]
IdEncoding = Literal["none", "hash", "lookup_unk"]


class DataConfig(Config):
    """Windows, features and the split between training and validation."""

    window_messages: int = Field(default=100, ge=4, le=10_000)
    """Consecutive messages in one window; a window is one graph."""
    stride_messages: int = Field(default=100, ge=1, le=10_000)
    """Messages from the start of one test window to the start of the next."""
    training_stride_messages: int = Field(default=25, ge=1, le=10_000)
    """The same for training and validation; overlapping windows show an attack's first and last
    messages at every place in a window."""
    features: tuple[FeatureGroup, ...] = ("shape", "profile")
    """Groups of node features, none of which tells the id: `shape` is relative to the window,
    `profile` to the vehicle's benign traffic, the others are absolute."""
    id_encoding: IdEncoding = "none"
    """How a node's arbitration id enters the model: not at all, as hash bits, or as one of the
    benign training ids, with one place for all others."""
    id_hash_bits: int = Field(default=8, ge=1, le=64)
    """Bits of an arbitration id's hash that are features (`hash`)."""
    prefix_s: float = Field(default=10.0, gt=0.0, le=3600.0)
    """Seconds at a capture's beginning that `adapted` takes a profile from; never scored."""
    vehicle_match_share: float = Field(default=0.5, ge=0.0, le=1.0)
    """Share of a window's messages with ids of a training vehicle from which on `zero_shot`
    measures the window against that vehicle."""
    unprofiled_share: float = Field(default=0.25, ge=0.0, le=1.0)
    """Share of training and validation windows that are measured against nothing, as a vehicle
    never seen is."""
    borrowed_share: float = Field(default=0.25, ge=0.0, le=1.0)
    """Share of them that are measured against another capture of their vehicle."""
    scale_clip: float = Field(default=10.0, gt=0.0, le=1000.0)
    """Largest scaled feature, in standard deviations of benign training data."""
    validation_fraction: float = Field(default=0.2, gt=0.0, lt=1.0)
    """Share of the training captures' windows kept for validation."""
    validation_blocks: int = Field(default=5, ge=1, le=1000)
    """Contiguous blocks a capture that validation is spread over."""
    embargo_windows: int = Field(default=1, ge=0, le=1000)
    """Windows left out on each side of a validation block, so that neighbours can't leak."""

    @field_validator("features")
    @classmethod
    def _some_features_once(cls, value: tuple[FeatureGroup, ...]) -> tuple[FeatureGroup, ...]:
        if not value or len(set(value)) < len(value):
            raise ValueError("name at least one group, each once")
        return value
