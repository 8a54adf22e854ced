from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdgat.configs.model import GatConfig
from kdgat.configs.run import RunConfig
from kdgat.errors import CheckpointError
from kdgat.models.table import build_model
from kdgat.training.calibration import Calibration
from kdgat.training.checkpoint import (
    damage,
    epoch_path,
    first_epoch_from,
    keep_newest,
    load_best,
    newest_valid,
    save_best,
)

CONFIG = RunConfig(model=GatConfig(hidden=2, heads=1, layers=1, readout=2))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A whole best checkpoint."""
    path = tmp_path / "best.ckpt"
    calibration = Calibration((0.0,), (1.0,), 0.5, {})
    save_best(path, build_model(CONFIG.model, 5, 3), CONFIG, (5, 3), 4, calibration)
    return path


def test_what_was_saved_comes_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    model = build_model(CONFIG.model, 5, 3)
    calibration = Calibration((0.1, 0.2), (1.0, 2.0), None, {"own": {"car": [0.5, 1.5]}})
    save_best(path, model, CONFIG, (5, 3), 7, calibration)
    loaded = load_best(path)
    assert (loaded.config, loaded.features, loaded.epoch) == (CONFIG, (5, 3), 7)
    assert loaded.calibration == calibration
    assert not loaded.model.training
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[name], value)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^checkpoint '.*best\.ckpt' is missing$"):
        load_best(tmp_path / "best.ckpt")


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None
)
@given(cut=st.floats(0, 0.999))
def test_a_checkpoint_cut_anywhere_is_refused(saved: Path, cut: float) -> None:
    whole = saved.read_bytes()
    short = saved.with_name("cut.ckpt")
    short.write_bytes(whole[: int(len(whole) * cut)])
    with pytest.raises(CheckpointError, match=r"cut\.ckpt' is damaged"):
        load_best(short)


def test_one_wrong_byte_in_the_weights_is_found(saved: Path) -> None:
    weights = next(iter(build_model(CONFIG.model, 5, 3).state_dict().values()))
    assert damage(saved) is None
    content = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        entry = next(each for each in archive.infolist() if each.filename.endswith("data/0"))
        assert entry.file_size == weights.numel() * 4
        place = content.index(archive.read(entry))
    content[place] ^= 0xFF
    saved.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="is damaged"):
        load_best(saved)


def test_a_zip_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    torch.save({"format": 99}, path)
    with pytest.raises(CheckpointError, match="format 99 where 2 is expected"):
        load_best(path)


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "best.ckpt"
    save_best(path, build_model(CONFIG.model, 5, 3), CONFIG, (6, 3), 0)
    with pytest.raises(CheckpointError, match="does not fit"):
        load_best(path)


def test_the_newest_whole_checkpoint_is_found_behind_damaged_ones(tmp_path: Path) -> None:
    for epoch in range(4):
        torch.save({"epoch": epoch}, epoch_path(tmp_path, epoch))
    for epoch in (2, 3):
        epoch_path(tmp_path, epoch).write_bytes(b"half")
    path, damaged = newest_valid(tmp_path)
    assert path is not None
    assert first_epoch_from(path) == 2
    assert [first_epoch_from(each) for each in damaged] == [4, 3]


def test_no_checkpoint_at_all_is_no_error(tmp_path: Path) -> None:
    assert newest_valid(tmp_path / "nowhere") == (None, [])


def test_old_checkpoints_go_and_the_newest_stay(tmp_path: Path) -> None:
    for epoch in (1, 2, 10):
        torch.save({}, epoch_path(tmp_path, epoch))
    keep_newest(tmp_path, 2)
    assert [first_epoch_from(path) for path in sorted(tmp_path.iterdir())] == [3, 11]
