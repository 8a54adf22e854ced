"""Checkpoints: written aside and renamed, checked before they are believed.

checkpoints/epoch-0007.ckpt              everything a resumed run needs; the newest two are kept
checkpoints/epoch-0008-step-000012.ckpt  the same, after that many steps of epoch 8
checkpoints/best.ckpt                    the best epoch's weights with what is needed to use them
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from kdgat.configs.fields import validated
from kdgat.configs.model import FusionConfig
from kdgat.configs.run import RunConfig
from kdgat.errors import CheckpointError, ConfigError
from kdgat.ledger.files import atomic_path
from kdgat.models.fusion import FusionModel
from kdgat.models.table import build_model
from kdgat.training.calibration import Calibration
from kdgat.training.scorers import fuse

BEST = "best.ckpt"
_FORMAT = 2
# What zipfile, pickle and torch raise on files that are no checkpoints, or only nearly.
_UNREADABLE = (
    zipfile.BadZipFile, pickle.UnpicklingError, zlib.error, struct.error, OSError, EOFError,
    RuntimeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True)
class TrainedModel:
    """A model ready to score windows, and what it was trained as."""

    model: nn.Module
    config: RunConfig
    features: tuple[int, int]
    """Node and edge features it takes."""
    epoch: int
    calibration: Calibration | None
    """How its scores become decisions; None until training ended."""
    scorers: tuple[TrainedModel, ...] = ()
    """The models that a fusion weighs; its `model` holds these very ones."""


def save_best(
    path: Path,
    model: nn.Module,
    config: RunConfig,
    features: tuple[int, int],
    epoch: int,
    calibration: Calibration | None = None,
    scorers: Sequence[TrainedModel] = (),
) -> None:
    """Write the best epoch's weights.

    Args:
        path: the file.
        model: the model; of a fusion only the policy's weights are its own.
        config: the run's config.
        features: node and edge features that it takes.
        epoch: the best epoch.
        calibration: how its scores become decisions, once that is known.
        scorers: the models that a fusion weighs, kept whole so that it needs no other file.
    """
    content = _packed(TrainedModel(model, config, features, epoch, calibration, tuple(scorers)))
    # By way of memory: torch's own writer tells a full disk as a RuntimeError without a reason.
    packed = io.BytesIO()
    torch.save(content, packed)
    with atomic_path(path) as aside:
        aside.write_bytes(packed.getbuffer())


def load_best(path: Path) -> TrainedModel:
    """Read a `best.ckpt`, on the CPU, in evaluation mode.

    Raises:
        CheckpointError: the file is missing, damaged, or doesn't fit this version's models.
    """
    hint = "choose another run (`kdgat runs list`), or train this one anew with --fresh"
    fault = damage(path)
    if fault:
        raise CheckpointError(f"checkpoint '{path}' {fault}", hint=hint)
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict):
            raise TypeError(f"it holds {type(content).__name__}, not a trained model")
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']} where {_FORMAT} is expected")
        return _unpacked(content, path)
    except (*_UNREADABLE, LookupError, TypeError, AttributeError, ConfigError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"checkpoint '{path}' does not fit: {reason}", hint=hint) from error


def _packed(trained: TrainedModel) -> dict[str, Any]:
    model, calibration = trained.model, trained.calibration
    own = model.policy if isinstance(model, FusionModel) else model
    return {
        "format": _FORMAT,
        "config": trained.config.model_dump(mode="json"),
        "features": trained.features,
        "epoch": trained.epoch,
        "calibration": None if calibration is None else asdict(calibration),
        "state": own.state_dict(),
        "scorers": [_packed(each) for each in trained.scorers],
    }


def _unpacked(content: dict[str, Any], path: Path) -> TrainedModel:
    config = validated(content["config"], f"the config in '{path}'")
    features = (int(content["features"][0]), int(content["features"][1]))
    scorers = tuple(_unpacked(each, path) for each in content["scorers"])
    if isinstance(config.model, FusionConfig):
        model = fused_model(config.model, scorers)
        model.policy.load_state_dict(content["state"])
    else:
        model = build_model(config.model, *features)
        model.load_state_dict(content["state"])
    saved = content["calibration"]
    calibration = None if saved is None else Calibration(**saved)
    return TrainedModel(model.eval(), config, features, content["epoch"], calibration, scorers)


def fused_model(config: FusionConfig, scorers: Sequence[TrainedModel]) -> FusionModel:
    """A fusion of trained models with a fresh policy.

    Raises:
        ConfigError: the policy would choose from too many weights.
        ValueError: the training of one of the models never ended.
    """
    parts = []
    for each in scorers:
        if each.calibration is None:
            raise ValueError(f"a {each.config.model.kind} has no calibration")
        parts.append((each.model, each.config.model, each.calibration))
    return fuse(config, parts)


def epoch_path(folder: Path, epoch: int) -> Path:
    """Where the checkpoint after an epoch lies."""
    return folder / f"epoch-{epoch:04d}.ckpt"


def step_path(folder: Path, epoch: int, steps: int) -> Path:
    """Where the checkpoint within an epoch lies, after so many of its steps."""
    # In the order of names it comes before the one of the whole epoch.
    return folder / f"epoch-{epoch:04d}-step-{steps:06d}.ckpt"


def first_epoch_from(path: Path) -> int:
    """The epoch that a run resumed from this checkpoint ends first."""
    epoch, _, steps = path.stem.removeprefix("epoch-").partition("-step-")
    return int(epoch) + (0 if steps else 1)


def newest_valid(folder: Path) -> tuple[Path | None, list[Path]]:
    """The newest whole resume checkpoint, and the damaged ones newer than it."""
    damaged: list[Path] = []
    for path in sorted(folder.glob("epoch-*.ckpt"), reverse=True):
        if damage(path) is None:
            return path, damaged
        damaged.append(path)
    return None, damaged


def keep_newest(folder: Path, count: int) -> None:
    """Remove all but the newest resume checkpoints."""
    for path in sorted(folder.glob("epoch-*.ckpt"))[:-count]:
        path.unlink(missing_ok=True)


def damage(path: Path) -> str | None:
    """What is wrong with a checkpoint file, by the checksums torch writes into it; or None."""
    if not path.is_file():
        return "is missing"
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except _UNREADABLE as error:
        return f"is damaged: {error or type(error).__name__}"
    return None if broken is None else f"is damaged: {broken} fails its checksum"
