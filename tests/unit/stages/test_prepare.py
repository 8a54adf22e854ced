"""Prepare: training captures alone, once for each content and config."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from kdgat.data.captures import capture_path, load_manifest, load_messages
from kdgat.data.features import feature_names
from kdgat.data.store import GraphStore
from kdgat.data.windows import Messages, window_hashes, window_starts
from kdgat.errors import DataError
from kdgat.stages.ingest import ingest
from kdgat.stages.prepare import Prepared, prepare
from tests.unit.data.tiny import DATASET, HEADER, traffic, write
from tests.unit.stages.small import CONFIG


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.glob("**/*.*")}


def same(one: GraphStore, other: GraphStore) -> bool:
    return bool(len(one) == len(other) and (one.x.numpy() == other.x.numpy()).all())


def test_a_second_call_makes_nothing_and_says_the_same(folder: Path) -> None:
    first = prepare(folder, CONFIG)
    times = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    second = prepare(folder, CONFIG)
    assert (first.made, second.made) == (True, False)
    assert {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")} == times
    assert (second.key, second.captures) == (first.key, first.captures)
    assert second.scaler == first.scaler
    assert (second.train_graphs, len(second.train())) == (first.train_graphs, first.train_graphs)


def test_the_same_captures_and_config_give_the_same_bytes(
    folder: Path, shared: tuple[Path, Prepared]
) -> None:
    _, before = shared
    assert bytes_of(prepare(folder, CONFIG).folder / "train") == bytes_of(before.folder / "train")


def test_another_config_has_a_folder_of_its_own(folder: Path) -> None:
    one = prepare(folder, CONFIG)
    other = prepare(folder, CONFIG.model_copy(update={"training_stride_messages": 100}))
    assert other.made
    assert other.folder != one.folder
    assert other.train_graphs < one.train_graphs
    assert not prepare(folder, CONFIG).made


def test_the_test_folders_are_not_opened(folder: Path, shared: tuple[Path, Prepared]) -> None:
    tests = load_manifest(folder).of_role("test")
    assert tests
    for record in tests:
        capture_path(folder, record).unlink()
    _, before = shared
    assert same(prepare(folder, CONFIG).train(), before.train())


def test_every_training_window_goes_somewhere_and_is_counted(
    shared: tuple[Path, Prepared],
) -> None:
    folder, prepared = shared
    records = load_manifest(folder).of_role("train")
    assert [split.key for split in prepared.captures] == [record.key for record in records]
    for record, split in zip(records, prepared.captures, strict=True):
        windows = len(window_starts(record.rows, 100, 50))
        assert split.train + split.validation + split.embargoed + split.repeats == windows
        assert split.tail_messages == record.rows - (windows - 1) * 50 - 100
        assert split.train > split.validation > 0
    assert prepared.train_graphs == sum(split.train for split in prepared.captures)
    assert prepared.validation_graphs == sum(split.validation for split in prepared.captures)
    attacks = sum(split.train_attacks for split in prepared.captures)
    assert attacks == prepared.train().y.sum()


def test_every_graph_is_a_window_of_the_capture_it_says(shared: tuple[Path, Prepared]) -> None:
    folder, prepared = shared
    records = load_manifest(folder).of_role("train")
    seconds = [load_messages(folder, record)["timestamp"].to_numpy() for record in records]
    for store in (prepared.train(), prepared.validation()):
        assert [label.key for label in store.captures] == [record.key for record in records]
        for number, times in enumerate(seconds):
            mine = store.capture.numpy() == number
            starts = window_starts(len(times), 100, 50)
            windows = set(zip(times[starts], times[starts + 99], strict=True))
            found = list(zip(store.start_s.numpy()[mine], store.end_s.numpy()[mine], strict=True))
            assert set(found) <= windows
            assert len(set(found)) == len(found)


def test_no_moment_of_a_capture_is_in_training_and_in_validation(
    shared: tuple[Path, Prepared],
) -> None:
    _, prepared = shared
    train, validation = prepared.train(), prepared.validation()
    for number in range(len(train.captures)):
        spans = [
            list(zip(store.start_s[mine].tolist(), store.end_s[mine].tolist(), strict=True))
            for store in (train, validation)
            if (mine := store.capture == number).any()
        ]
        assert not any(a <= d and c <= b for a, b in spans[0] for c, d in spans[1])


def test_no_content_of_training_is_in_validation(raw: Path, tmp_path: Path) -> None:
    # The same five seconds twice in one file, so that validation meets what training holds.
    name = "train_01_attack_free"
    shutil.copytree(raw / name, tmp_path / "raw" / name)
    (path,) = (tmp_path / "raw" / name).glob("*.csv.gz")
    record = ingest(DATASET, tmp_path / "raw", tmp_path / "once").captures[0]
    rows = load_messages(tmp_path / "once", record).head(5_000)
    text = [
        f"{time},{id:03X},{payload:016X}"[: -(16 - 2 * dlc) or None] + f",{int(attack)}"
        for time, id, dlc, payload, attack, _ in rows.iter_rows()
    ]
    path.unlink()
    path.with_suffix("").write_text(HEADER + "\n".join([*text, *text]) + "\n")
    ingest(DATASET, tmp_path / "raw", tmp_path / "twice")

    (split,) = prepare(tmp_path / "twice", CONFIG).captures
    # All but what is within an embargo of both halves has its copy in training.
    assert split.repeats > 0.5 * (split.repeats + split.validation)
    (plain,) = prepare(tmp_path / "once", CONFIG).captures
    assert plain.repeats == 0


def test_train_and_validation_share_no_window_by_hash(shared: tuple[Path, Prepared]) -> None:
    folder, prepared = shared
    hashes: list[set[int]] = [set(), set()]
    for number, record in enumerate(load_manifest(folder).of_role("train")):
        messages = Messages.from_frame(load_messages(folder, record))
        starts = window_starts(len(messages), 100, 50)
        begins = messages.time_s[starts].tolist()
        of = dict(zip(begins, window_hashes(messages, starts, 100).tolist(), strict=True))
        for which, store in enumerate((prepared.train(), prepared.validation())):
            mine = store.capture == number
            hashes[which] |= {of[time_s] for time_s in store.start_s[mine].tolist()}
    assert all(len(each) > 10 for each in hashes)
    assert not hashes[0] & hashes[1]


def test_graphs_are_scaled_by_benign_training_windows_alone(
    shared: tuple[Path, Prepared],
) -> None:
    _, prepared = shared
    store = prepared.train()
    benign = np.repeat(store.y.numpy() == 0, np.diff(store.node_ptr.numpy()))
    x = store.x.numpy()
    there = feature_names(CONFIG.features).index("profile_there")
    assert set(x[:, there].tolist()) == {0, 1}
    inside = (np.abs(x) < CONFIG.scale_clip).all(axis=0)
    inside = inside & (np.arange(len(inside)) != there)
    assert inside.sum() > 4
    assert np.abs(x[benign][:, inside].mean(axis=0)).max() < 1e-3
    assert np.abs(x[~benign].mean(axis=0)).max() > 0.1
    assert np.abs(x).max() == CONFIG.scale_clip


@pytest.mark.parametrize("forged", ["FFFFFFFFFFFFFFFF", "00", ""])
def test_no_attack_however_absurd_changes_the_scaling_or_a_profile(
    tmp_path: Path, forged: str
) -> None:
    def learned(name: str, payload: str) -> tuple[object, bytes]:
        raw = tmp_path / name / "raw/train_02_with_attacks/a.csv"
        write(raw, traffic(6_000, lambda i: i >= 3_000, payload))
        ingest(DATASET, tmp_path / name / "raw", tmp_path / name / "data")
        prepared = prepare(tmp_path / name / "data", CONFIG)
        return prepared.scaler, (prepared.folder / "library.npz").read_bytes()

    assert learned("mild", "0123") == learned("absurd", forged)


def test_a_dataset_without_a_benign_window_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "raw/train_02_with_attacks/a.csv", traffic(900, lambda i: i % 50 == 0, "00"))
    ingest(DATASET, tmp_path / "raw", tmp_path / "tiny")
    with pytest.raises(DataError, match="none of them benign") as caught:
        prepare(tmp_path / "tiny", CONFIG)
    assert "add benign captures" in caught.value.hint
    assert not list((tmp_path / "tiny").rglob("prepare.json"))


def test_a_dataset_of_test_captures_alone_is_refused(raw: Path, tmp_path: Path) -> None:
    for test in raw.glob("test_*"):
        shutil.copytree(test, tmp_path / "raw" / test.name)
    ingest(DATASET, tmp_path / "raw", tmp_path / "tiny")
    with pytest.raises(DataError, match="no capture in a folder named train_"):
        prepare(tmp_path / "tiny", CONFIG)


def test_a_capture_shorter_than_a_window_is_all_tail(tmp_path: Path) -> None:
    write(tmp_path / "raw/train_01_attack_free/a.csv", traffic(3_000))
    write(tmp_path / "raw/train_01_attack_free/b.csv", traffic(60))
    ingest(DATASET, tmp_path / "raw", tmp_path / "tiny")
    short = prepare(tmp_path / "tiny", CONFIG).captures[1]
    assert (short.train, short.validation, short.tail_messages) == (0, 0, 60)


@pytest.mark.parametrize(
    "lost", ["prepare.json", "train/store.json", "validation/store.json", "library.npz"]
)
def test_what_was_cut_short_is_made_again(folder: Path, lost: str) -> None:
    first = prepare(folder, CONFIG)
    before = bytes_of(first.folder)
    (first.folder / lost).unlink()
    second = prepare(folder, CONFIG)
    assert second.made
    assert bytes_of(second.folder) == before


def test_a_damaged_report_is_named_with_the_folder_to_delete(folder: Path) -> None:
    made = prepare(folder, CONFIG)
    (made.folder / "prepare.json").write_text('{"version"')
    with pytest.raises(DataError, match=r"prepare\.json' can't be read") as caught:
        prepare(folder, CONFIG)
    assert str(made.folder) in caught.value.hint
    assert prepare(folder, CONFIG, force=True).made


def test_force_makes_the_same_again(folder: Path) -> None:
    first = prepare(folder, CONFIG)
    before = bytes_of(first.folder)
    assert prepare(folder, CONFIG, force=True).made
    assert bytes_of(first.folder) == before


def test_a_capture_repeated_in_train_and_test_is_not_trained_on(raw: Path, tmp_path: Path) -> None:
    shutil.copytree(raw, tmp_path / "raw")
    test = next((tmp_path / "raw/test_01_known_vehicle_known_attack").glob("*.gz"))
    shutil.copy(test, tmp_path / "raw/train_02_with_attacks/copy.csv.gz")
    manifest = ingest(DATASET, tmp_path / "raw", tmp_path / "tiny")
    assert any(c.key == "train_02_with_attacks/copy" for c in manifest.captures)

    prepared = prepare(tmp_path / "tiny", CONFIG)
    keys = {split.key for split in prepared.captures}
    assert "train_02_with_attacks/copy" not in keys
    assert {label.key for label in prepared.train().captures} == keys


def test_a_capture_that_moved_to_a_test_folder_is_no_longer_trained_on(
    raw: Path, tmp_path: Path
) -> None:
    shutil.copytree(raw, tmp_path / "raw")
    ingest(DATASET, tmp_path / "raw", tmp_path / "tiny")
    before = prepare(tmp_path / "tiny", CONFIG)
    moved = next((tmp_path / "raw/train_02_with_attacks").glob("*.gz"))
    moved.rename(tmp_path / "raw/test_01_known_vehicle_known_attack" / f"moved-{moved.name}")
    ingest(DATASET, tmp_path / "raw", tmp_path / "tiny")

    after = prepare(tmp_path / "tiny", CONFIG)
    assert after.made
    assert len(after.captures) == len(before.captures) - 1
    assert after.train_graphs < before.train_graphs


def test_progress_is_told_in_steps_that_end_at_the_total(folder: Path) -> None:
    told: list[tuple[int, int]] = []
    prepare(folder, CONFIG, lambda _, done, total: told.append((done, total)))
    done = [step for step, _ in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]
