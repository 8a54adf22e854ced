"""GraphStore: what was saved comes back, labels only when asked for, and damage is named."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kdgat.configs.data import DataConfig
from kdgat.data.graphs import Graphs, build_graphs
from kdgat.data.measured import BORROWED, OWN, UNPROFILED
from kdgat.data.sealing import labels_sealed
from kdgat.data.store import CaptureLabel, open_store, save_labels, save_store
from kdgat.data.windows import Messages
from kdgat.errors import DataError

ARRAYS = ("x", "edge_index", "edge_attr", "node_ptr", "edge_ptr", "start_s", "end_s")
CAPTURES = (CaptureLabel("train_02/DoS-kia", "dos", "kia"), CaptureLabel("train_01/a", "", ""))
CAPTURE = np.array([0, 0, 1, 1, 1], np.int32)
ATTACKS = np.array([0, 3, 0, 0, 1])
REFERENCE = np.array([OWN, OWN, BORROWED, UNPROFILED, OWN], np.int8)


def made(count: int = 5) -> Graphs:
    rng = np.random.default_rng(0)
    messages = Messages(
        time_s=np.arange(20 * count) / 1000,
        arbitration_id=rng.integers(0, 9, 20 * count).astype(np.uint32),
        dlc=np.full(20 * count, 8, np.uint8),
        payload=rng.integers(0, 2**64, 20 * count, dtype=np.uint64),
    )
    starts = np.arange(0, 20 * count, 20)
    return build_graphs(messages, starts, DataConfig(window_messages=20))


def save(folder: Path) -> Path:
    save_store(folder, made(), CAPTURE, CAPTURES, ATTACKS, 20, REFERENCE)
    return folder


def refused(folder: Path) -> str:
    """What opening says; it must name the folder and what to do."""
    with pytest.raises(DataError) as caught:
        open_store(folder, labels=True)
    assert str(folder) in caught.value.problem
    assert f"delete '{folder}'" in caught.value.hint
    return caught.value.problem


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that nobody changes; it is copied to be damaged, as saving waits for the disk."""
    return save(tmp_path_factory.mktemp("saved") / "train")


@pytest.fixture
def store_folder(saved: Path, tmp_path: Path) -> Path:
    """A copy of the store, to be damaged."""
    return shutil.copytree(saved, tmp_path / "train")


def test_what_was_saved_is_opened_as_it_was(saved: Path) -> None:
    store = open_store(saved, labels=True)
    graphs = made()
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(store, name), getattr(graphs, name), strict=True)
    assert len(store) == 5
    assert (store.captures, store.window_messages) == (CAPTURES, 20)
    assert store.capture.tolist() == CAPTURE.tolist()
    assert store.reference.tolist() == REFERENCE.tolist()
    assert store.attack_messages is not None
    assert store.attack_messages.tolist() == ATTACKS.tolist()
    assert store.y.tolist() == [0, 1, 0, 0, 1]


def test_a_store_without_graphs_is_opened_too(tmp_path: Path) -> None:
    none = build_graphs(
        Messages(np.zeros(0), *(np.zeros(0, t) for t in (np.uint32, np.uint8, np.uint64))),
        np.zeros(0, np.int64),
        DataConfig(),
    )
    save_store(tmp_path / "empty", none, np.zeros(0, np.int32), (), np.zeros(0, np.int64), 100)
    store = open_store(tmp_path / "empty", labels=True)
    assert (len(store), store.y.tolist(), store.x.shape) == (0, [], (0, 21))


def test_a_store_is_saved_over_an_older_one(tmp_path: Path) -> None:
    folder = save(tmp_path / "train")
    save_store(folder, made(2), CAPTURE[:2], CAPTURES, ATTACKS[:2], 20)
    assert len(open_store(folder, labels=True)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_labels_are_out_of_reach_of_a_store_opened_without_them(saved: Path) -> None:
    store = open_store(saved, labels=False)
    assert store.attack_messages is None
    with pytest.raises(RuntimeError, match="without its labels"):
        _ = store.y
    assert store.to(torch.device("cpu")).attack_messages is None


def test_under_seal_a_store_is_opened_without_its_labels_alone(saved: Path) -> None:
    with labels_sealed():
        assert len(open_store(saved, labels=False)) == 5
        with pytest.raises(RuntimeError, match="while windows are scored"):
            open_store(saved, labels=True)
    assert open_store(saved, labels=True).y.sum() == 2


def test_a_blind_store_gets_its_labels_later(tmp_path: Path) -> None:
    save_store(tmp_path / "blind", made(), CAPTURE, CAPTURES, None, 20, REFERENCE)
    assert "attack_messages.npy' are missing" in refused(tmp_path / "blind")
    save_labels(tmp_path / "blind", ATTACKS)
    assert open_store(tmp_path / "blind", labels=True).y.tolist() == [0, 1, 0, 0, 1]


def test_windows_are_measured_against_nothing_unless_it_is_said(tmp_path: Path) -> None:
    save_store(tmp_path / "train", made(), CAPTURE, CAPTURES, ATTACKS, 20)
    assert open_store(tmp_path / "train", labels=False).reference.tolist() == [UNPROFILED] * 5


def test_scoring_needs_no_labels_file_at_all(store_folder: Path) -> None:
    (store_folder / "attack_messages.npy").unlink()
    assert len(open_store(store_folder, labels=False)) == 5
    assert "attack_messages.npy' are missing" in refused(store_folder)


def test_no_array_but_the_labels_says_which_windows_are_attacks(tmp_path: Path) -> None:
    quiet, loud = tmp_path / "quiet", tmp_path / "loud"
    save_store(quiet, made(), CAPTURE, CAPTURES, np.zeros(5, np.int64), 20)
    save_store(loud, made(), CAPTURE, CAPTURES, np.full(5, 20), 20)
    differ = {p.name for p in quiet.iterdir() if p.read_bytes() != (loud / p.name).read_bytes()}
    assert differ == {"attack_messages.npy"}


def test_writing_to_an_open_store_does_not_change_the_file(store_folder: Path) -> None:
    open_store(store_folder, labels=True).x.zero_()
    np.testing.assert_array_equal(open_store(store_folder, labels=True).x, made().x)


def test_a_store_that_was_never_made_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_store(tmp_path / "train", labels=True)
    assert f"{tmp_path}/train" in caught.value.problem
    assert f"delete '{tmp_path}/train'" in caught.value.hint


@pytest.mark.parametrize("name", [*ARRAYS, "capture", "reference", "attack_messages"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.99])
def test_an_array_cut_short_anywhere_is_refused(store_folder: Path, name: str, kept: float) -> None:
    path = store_folder / f"{name}.npy"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    refused(store_folder)


@pytest.mark.parametrize("name", [*ARRAYS, "capture", "reference", "attack_messages"])
def test_an_array_of_another_length_or_type_is_refused(store_folder: Path, name: str) -> None:
    path = store_folder / f"{name}.npy"
    array = np.load(path)
    np.save(path, array[:, :-1] if name == "edge_index" else array[:-1])
    assert f"{name} has" in refused(store_folder)
    np.save(path, array.astype(np.float16))
    assert f"{name} is torch.float16" in refused(store_folder)


@pytest.mark.parametrize("name", ["node_ptr", "edge_ptr"])
def test_a_pointer_that_ends_elsewhere_is_refused(store_folder: Path, name: str) -> None:
    path = store_folder / f"{name}.npy"
    np.save(path, np.load(path) + 1)
    assert f"{name} ends at" in refused(store_folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    name=st.sampled_from([*ARRAYS, "capture", "reference", "attack_messages"]),
    place=st.integers(0, 127),
    value=st.integers(0, 255),
)
def test_a_byte_changed_in_a_header_is_refused_or_harmless(
    store_folder: Path, saved: Path, name: str, place: int, value: int
) -> None:
    path = store_folder / f"{name}.npy"
    whole = (saved / path.name).read_bytes()
    path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
    try:
        graphs, problem = len(open_store(store_folder, labels=True)), ""
    except DataError as error:
        graphs, problem = 0, error.problem
    path.write_bytes(whole)
    assert graphs == 5 or str(store_folder) in problem


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "can't be read"),
        ('{"version": 2, "graphs"', "can't be read"),
        ("[]", "can't be read"),
        ('{"version": 99}', "version 99 where 2 is expected"),
        ('{"version": 2}', "'graphs'"),
    ],
)
def test_a_damaged_description_is_refused(store_folder: Path, text: str, complaint: str) -> None:
    (store_folder / "store.json").write_text(text)
    assert complaint in refused(store_folder)


@pytest.mark.parametrize(
    "change", [{"graphs": 4}, {"nodes": 1}, {"edges": 1}, {"captures": [{"name": "a"}]}]
)
def test_a_description_of_another_store_is_refused(
    store_folder: Path, change: dict[str, object]
) -> None:
    path = store_folder / "store.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    refused(store_folder)


# The last thing written, or the last array, is what kills the process when it is asked for.
KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from kdgat.configs.data import DataConfig
from kdgat.data.graphs import concatenate
from kdgat.data.store import save_store

class Deadly:
    def __array__(self, *args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)
    def __iter__(self):
        os.kill(os.getpid(), signal.SIGKILL)

graphs, none = concatenate([], DataConfig()), np.zeros(0, np.int32)
captures, attacks = ((), Deadly()) if sys.argv[2] == "array" else (Deadly(), none)
save_store(Path(sys.argv[1]), graphs, none, captures, attacks, 100)
"""


def killed(folder: Path, when: str) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder), when], check=False)
    assert done.returncode == -signal.SIGKILL


def test_killed_while_writing_arrays_there_is_no_store(tmp_path: Path) -> None:
    killed(tmp_path / "train", "array")
    assert list(tmp_path.rglob("*.npy")), "it was killed before it wrote anything"
    assert "are missing" in refused(tmp_path / "train")


def test_killed_before_the_end_there_is_the_store_of_before(store_folder: Path) -> None:
    killed(store_folder, "description")
    np.testing.assert_array_equal(open_store(store_folder, labels=True).x, made().x)
