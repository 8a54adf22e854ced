"""Windows as sequences: each message against a plain loop, and what lies on disk."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kdgat.configs.data import DataConfig
from kdgat.data import sequences
from kdgat.data.batches import collate, subset
from kdgat.data.graphs import build_graphs
from kdgat.data.sequence_store import (
    Source,
    has_sequences,
    made_sequences,
    open_sequences,
    write_sequences,
)
from kdgat.data.sequences import (
    MESSAGE_BYTES,
    MESSAGE_FEATURE_NAMES,
    MessageScaler,
    chunks,
    window_messages,
)
from kdgat.data.store import CaptureLabel, open_store
from kdgat.data.store_writer import save_store
from kdgat.data.windows import window_starts
from kdgat.errors import DataError
from tests.unit.data.plain import Message, bits, payload, taken

WINDOW = 12
CONFIG = DataConfig(window_messages=WINDOW, stride_messages=WINDOW, features=("bytes", "rate"))
PLAIN = MessageScaler((0.0,) * 14, (1.0,) * 14, 1e4)


def bus(count: int, seed: int = 0) -> list[Message]:
    """Messages of a few ids of any length, whose clock steps back now and then."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(-0.0002, 0.003, count))
    return [
        Message(float(t), int(rng.integers(0x100, 0x105)), rng.bytes(int(rng.integers(0, 9))))
        for t in times
    ]


def plain(window: list[Message]) -> list[dict[str, float]]:
    """The features of a window's messages, one message after the other."""
    ids = sorted({m.id for m in window})
    rows, last = [], {}
    for place, m in enumerate(window):
        before, earlier = window[max(place - 1, 0)], last.get(m.id)
        padded = m.data.ljust(8, b"\0")
        rows.append(
            {
                "gap_ms_log": math.log1p(max(m.time_s - before.time_s, 0) * 1000),
                "interval_ms_log": 0.0
                if earlier is None
                else math.log1p(max(m.time_s - earlier.time_s, 0) * 1000),
                "first_of_id": float(earlier is None),
                "id_rank": ids.index(m.id) / max(len(ids) - 1, 1),
                "dlc": len(m.data) / 8,
                "bits_changed": 0.0
                if earlier is None
                else (payload(m) ^ payload(earlier)).bit_count() / bits(m),
                **{f"byte{i}": padded[i] / 255 for i in range(8)},
            }
        )
        last[m.id] = m
    return rows


@pytest.mark.parametrize("stride", [5, WINDOW])
def test_each_message_is_what_a_plain_loop_says(stride: int) -> None:
    messages = bus(100)
    starts = window_starts(100, WINDOW, stride)
    made = window_messages(taken(messages), starts, WINDOW)
    for i, start in enumerate(starts):
        wanted = plain(messages[start : start + WINDOW])
        table = [[row[name] for name in MESSAGE_FEATURE_NAMES] for row in wanted]
        np.testing.assert_allclose(made.values[i], table, rtol=1e-4, atol=1e-5)


def test_a_message_names_the_node_that_its_id_is_in_the_graph() -> None:
    messages = taken(bus(60))
    starts = window_starts(60, WINDOW, WINDOW)
    graphs = build_graphs(messages, starts, CONFIG)
    made = window_messages(messages, starts, WINDOW)
    # Message by message, the edges of the graph are found again.
    for i in range(len(starts)):
        edges = graphs.edge_index[:, graphs.edge_ptr[i] : graphs.edge_ptr[i + 1]].T
        walked = {tuple(pair) for pair in zip(made.node[i, :-1], made.node[i, 1:], strict=True)}
        assert walked == {tuple(edge) for edge in edges.tolist()}


def test_another_id_in_every_message_changes_nothing_if_their_order_stays() -> None:
    messages = taken(bus(60))
    starts = window_starts(60, WINDOW, WINDOW)
    moved = replace(messages, arbitration_id=messages.arbitration_id * np.uint32(3))
    first, second = (window_messages(each, starts, WINDOW) for each in (messages, moved))
    assert np.array_equal(first.values, second.values)
    assert np.array_equal(first.node, second.node)


def test_pieces_are_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    messages, starts = taken(bus(200)), window_starts(200, WINDOW, 3)
    whole = window_messages(messages, starts, WINDOW)
    monkeypatch.setattr(sequences, "CHUNK_WINDOWS", 7)
    pieces = list(chunks(messages, starts, WINDOW))
    assert len(pieces) > 3
    assert np.array_equal(np.concatenate([each.values for each in pieces]), whole.values)
    scaler = MessageScaler.fit(pieces, 3.0)
    rows = whole.values.reshape(-1, 14).astype(np.float64)
    np.testing.assert_allclose(scaler.mean, rows.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(scaler.std, rows.std(axis=0), rtol=1e-6)
    assert np.abs(scaler.scaled(whole)).max() <= 3.0


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, Source]:
    """A store of graphs without their sequences, and its windows."""
    source = Source(taken(bus(200)), window_starts(200, WINDOW, 5))
    graphs = build_graphs(source.messages, source.starts, CONFIG)
    count = len(graphs)
    owner, label = np.zeros(count, np.int32), CaptureLabel("a/0", "dos", "car")
    save_store(tmp_path / "s", graphs, owner, [label], np.zeros(count, np.int64), WINDOW)
    return tmp_path / "s", source


class TestStore:
    def test_what_is_read_is_what_was_written(self, stored: tuple[Path, Source]) -> None:
        folder, source = stored
        assert open_store(folder, labels=True).sequences is None
        assert not has_sequences(folder)
        write_sequences(folder, [source], PLAIN, WINDOW)
        assert has_sequences(folder)
        found = open_store(folder, labels=True, sequences=True).sequences
        made = made_sequences([source], PLAIN, WINDOW)
        assert found is not None
        assert torch.equal(found.values, made.values)
        assert torch.equal(found.node, made.node)
        sizes = [each[0].nbytes // WINDOW for each in (found.values, found.node)]
        assert sizes == list(MESSAGE_BYTES)

    def test_a_batch_has_its_windows_messages_and_the_rows_of_their_nodes(
        self, stored: tuple[Path, Source]
    ) -> None:
        folder, source = stored
        write_sequences(folder, [source], PLAIN, WINDOW)
        store = open_store(folder, labels=True, sequences=True)
        index = torch.tensor([3, 0, 7])
        ids = source.messages.arbitration_id
        for batch in (collate(store, index), collate(subset(store, index), torch.arange(3))):
            assert batch.messages is not None
            assert batch.message_node is not None
            assert batch.messages.dtype == torch.float32
            assert store.sequences is not None
            assert torch.equal(batch.messages, store.sequences.values[index].float())
            for row, window in enumerate(index.tolist()):
                start = source.starts[window]
                own = torch.from_numpy(
                    np.unique(ids[start : start + WINDOW], return_inverse=True)[1]
                )
                first = int((batch.graph < row).sum())
                assert torch.equal(batch.message_node[row], own + first)

    def test_a_batch_of_a_store_without_them_has_none(self, stored: tuple[Path, Source]) -> None:
        batch = collate(open_store(stored[0], labels=True), torch.tensor([0]))
        assert batch.messages is None
        assert batch.to("cpu").message_node is None

    def test_other_windows_than_the_graphs_are_refused(self, stored: tuple[Path, Source]) -> None:
        folder, source = stored
        with pytest.raises(DataError, match="begin at other times"):
            write_sequences(folder, [replace(source, starts=source.starts[1:])], PLAIN, WINDOW)
        assert not has_sequences(folder)

    def test_damage_is_found_when_they_are_opened(self, stored: tuple[Path, Source]) -> None:
        folder, source = stored
        with pytest.raises(DataError, match="are missing"):
            open_store(folder, labels=True, sequences=True)
        write_sequences(folder, [source], PLAIN, WINDOW)
        with pytest.raises(ValueError, match="is expected"):
            open_sequences(folder, len(source.starts) + 1, WINDOW)
        np.save(folder / "messages" / "node.npy", np.zeros(3))
        with pytest.raises(DataError, match="can't be read"):
            open_store(folder, labels=True, sequences=True)
