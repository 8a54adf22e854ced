"""Labels under seal: asking for one is a mistake, until the seal is off."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdgat.data.captures import load_manifest, load_messages
from kdgat.data.messages import LABEL, MESSAGE_SCHEMA
from kdgat.data.sealing import labels_sealed, need_unsealed
from kdgat.stages.ingest import ingest
from tests.unit.data.tiny import DATASET, write_folder


def test_a_label_asked_for_under_seal_is_named_in_the_mistake() -> None:
    need_unsealed("a label")
    with labels_sealed(), pytest.raises(RuntimeError, match="a label was asked for while"):
        need_unsealed("a label")
    need_unsealed("a label")


def test_the_seal_is_off_after_an_error_within_it() -> None:
    with pytest.raises(KeyError), labels_sealed():
        raise KeyError
    need_unsealed("a label")


def test_a_seal_within_a_seal_leaves_the_outer_one_on() -> None:
    with labels_sealed():
        with labels_sealed():
            pass
        with pytest.raises(RuntimeError):
            need_unsealed("a label")


def test_under_seal_a_captures_messages_are_read_without_their_labels_alone(
    tmp_path: Path,
) -> None:
    write_folder(tmp_path / "raw/test_01/a.csv", 30)
    ingest(DATASET, tmp_path / "raw", tmp_path / "tiny")
    (record,) = load_manifest(tmp_path / "tiny").captures
    with labels_sealed():
        blind = load_messages(tmp_path / "tiny", record, labels=False)
        with pytest.raises(RuntimeError, match=r"a\.parquet' was asked for"):
            load_messages(tmp_path / "tiny", record)
    assert blind.columns == [name for name in MESSAGE_SCHEMA if name != LABEL]
    assert load_messages(tmp_path / "tiny", record).drop(LABEL).equals(blind)
