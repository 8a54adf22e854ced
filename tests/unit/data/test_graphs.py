"""Graphs: a capture worked out by hand, a plain reference for random ones, and no ids in them."""

from __future__ import annotations

import math
from itertools import pairwise
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.configs.data import DataConfig
from kdgat.data.features import feature_names
from kdgat.data.graphs import Graphs, build_graphs, concatenate, node_feature_count, picked
from kdgat.data.profiles import VehicleProfile, make_profile
from kdgat.data.windows import Messages, window_starts
from tests.unit.data.plain import EVERYTHING, Graph, Message, reference, taken

ABSOLUTE = ("bytes", "entropy", "rate", "timing")


def built(
    messages: list[Message], config: DataConfig, profile: VehicleProfile | None = None
) -> list[Graph]:
    starts = window_starts(len(messages), config.window_messages, config.stride_messages)
    return split(build_graphs(taken(messages), starts, config, profile))


def split(graphs: Graphs) -> list[Graph]:
    found = []
    for i in range(len(graphs)):
        nodes = slice(graphs.node_ptr[i], graphs.node_ptr[i + 1])
        edges = slice(graphs.edge_ptr[i], graphs.edge_ptr[i + 1])
        found.append(
            Graph(
                x=graphs.x[nodes].tolist(),
                edges=[(s, d) for s, d in graphs.edge_index[:, edges].T.tolist()],
                edge_attr=graphs.edge_attr[edges].tolist(),
                start_s=graphs.start_s[i].item(),
                end_s=graphs.end_s[i].item(),
            )
        )
    return found


@st.composite
def captures(draw: st.DrawFn) -> list[Message]:
    """Few ids, so that they repeat; clocks that step back; payloads that are empty or repeat."""
    some_ids = st.integers(0, 0x7FF) | st.integers(0x800, 0x1FFF_FFFF)
    ids = draw(st.lists(some_ids, min_size=1, max_size=6, unique=True))
    payloads = draw(st.lists(st.binary(max_size=8), min_size=1, max_size=5))
    steps_us = st.integers(-8_000, 8_000) | st.integers(0, 1_000_000)
    rows = st.tuples(steps_us, st.sampled_from(ids), st.sampled_from(payloads))
    now_us = draw(st.sampled_from([0, 1_672_531_200_000_000]))
    messages = []
    for step_us, id, data in draw(st.lists(rows, max_size=40)):
        now_us += step_us
        messages.append(Message(now_us / 1e6, id, data))
    return messages


profiled = st.none() | st.integers(0, 40)
"""How many of a capture's first messages its profile is made of; None where it has none."""

# Node 0 is id 0x100, node 1 is 0x200, node 2 is 0x300.
BY_HAND = [
    Message(5.000, 0x300, b"\x01\x02"),
    Message(5.001, 0x100, b""),
    Message(5.002, 0x300, b"\x01\x02"),
    Message(5.004, 0x300, b"\x03\x02"),
    Message(5.007, 0x100, b"\xff"),
    Message(5.010, 0x200, bytes(range(8))),
]


def by_hand() -> Graph:
    config = DataConfig(window_messages=6, stride_messages=6, features=ABSOLUTE)
    (graph,) = built(BY_HAND, config)
    return graph


def test_the_capture_worked_by_hand_has_the_expected_edges() -> None:
    graph = by_hand()
    assert graph.edges == [(2, 0), (0, 1), (0, 2), (2, 2)]
    gaps = [[1.0, 3.0], [3.0], [1.0], [2.0]]
    expected = [(len(g), sum(g) / len(g), min(g)) for g in gaps]
    found = [[math.expm1(value) for value in row] for row in graph.edge_attr]
    assert found == [pytest.approx(row, rel=1e-5) for row in expected]
    assert (graph.start_s, graph.end_s) == (5.000, 5.010)


def test_the_capture_worked_by_hand_has_the_expected_nodes() -> None:
    names = feature_names(ABSOLUTE)
    found = [dict(zip(names, row, strict=True)) for row in by_hand().x]
    ln = math.log
    expected: dict[str, list[float]] = {
        "byte0_mean": [127.5 / 255, 0, (1 + 1 + 3) / 3 / 255],
        "byte0_std": [127.5 / 255, 0, math.sqrt(8 / 9) / 255],
        "byte1_mean": [0, 1 / 255, 2 / 255],
        "byte1_std": [0, 0, 0],
        "byte7_mean": [0, 7 / 255, 0],
        "dlc": [0.5 / 8, 1, 2 / 8],
        "byte_entropy_bits": [0, 3, 1],
        "bits_set": [(0 + 8 / 8) / 2, 12 / 64, (2 + 2 + 3) / 16 / 3],
        "bits_changed": [8 / 8, 0, (0 + 1 / 16) / 2],
        "payload_repeated": [0, 0, 1 / 2],
        "messages_log": [ln(3), ln(2), ln(4)],
        "share_of_window": [2 / 6, 1 / 6, 3 / 6],
        "rate_hz_log": [ln(201), ln(101), ln(301)],
        "interval_ms_log": [ln(7), ln(11), ln(3)],
        "interval_std_ms_log": [0, 0, 0],
        "interval_min_ms_log": [ln(7), ln(11), ln(3)],
    }
    for name, values in expected.items():
        assert [row[name] for row in found] == pytest.approx(values, rel=1e-5, abs=1e-6), name


@settings(deadline=None)
@given(captures(), st.integers(4, 10), st.integers(1, 12), profiled)
def test_graphs_are_those_of_a_plain_loop(
    messages: list[Message], window: int, stride: int, count: int | None
) -> None:
    config = DataConfig(window_messages=window, stride_messages=stride, features=EVERYTHING)
    profile = None if count is None else make_profile(taken(messages[:count]))
    found = built(messages, config, profile)
    starts = range(0, len(messages) - window + 1, stride)
    assert len(found) == len(starts)
    for graph, start in zip(found, starts, strict=True):
        expected = reference(messages[start : start + window], profile)
        assert graph.edges == expected.edges
        assert (graph.start_s, graph.end_s) == (expected.start_s, expected.end_s)
        np.testing.assert_allclose(graph.x, expected.x, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(graph.edge_attr, expected.edge_attr, rtol=1e-5, atol=1e-5)


@settings(deadline=None)
@given(
    captures(),
    st.integers(4, 10),
    st.integers(1, 12),
    profiled,
    st.randoms(use_true_random=False),
)
def test_no_number_in_a_graph_depends_on_which_ids_there_are(
    messages: list[Message], window: int, stride: int, count: int | None, random: Random
) -> None:
    ids = sorted({m.id for m in messages})
    others = dict(zip(ids, random.sample(range(0x2000_0000), len(ids)), strict=True))
    renamed = [Message(m.time_s, others[m.id], m.data) for m in messages]
    config = DataConfig(window_messages=window, stride_messages=stride, features=EVERYTHING)
    before, after = (
        built(each, config, None if count is None else make_profile(taken(each[:count])))
        for each in (messages, renamed)
    )

    assert len(before) == len(after)
    for number, (one, other) in enumerate(zip(before, after, strict=True)):
        part = messages[number * stride : number * stride + window]
        old = sorted({m.id for m in part})
        new = sorted(others[id] for id in old)
        place = [new.index(others[id]) for id in old]
        assert [other.x[place[i]] for i in range(len(old))] == one.x
        moved = [(place[source], place[destination]) for source, destination in one.edges]
        expected = dict(zip(moved, one.edge_attr, strict=True))
        assert dict(zip(other.edges, other.edge_attr, strict=True)) == expected


def test_a_window_with_one_id_alone_is_one_node_with_an_edge_to_itself() -> None:
    messages = [Message(i / 1000, 0x7FF, b"\x01") for i in range(4)]
    (graph,) = built(messages, DataConfig(window_messages=4))
    assert (len(graph.x), graph.edges) == (1, [(0, 0)])


def test_a_short_window_that_ends_before_it_began_has_finite_features() -> None:
    # Real captures step back by up to 8 ms, which is more than a few messages take.
    messages = [Message(t, i, b"\x01") for i, t in enumerate([1.008, 1.0081, 1.0082, 1.0])]
    config = DataConfig(window_messages=4, features=EVERYTHING)
    (graph,) = built(messages, config, make_profile(taken(messages)))
    assert np.isfinite(graph.x).all()
    assert np.isfinite(graph.edge_attr).all()


def traffic(count: int, seed: int = 0) -> Messages:
    """Random messages, 11-bit and 29-bit ids, with time that now and then steps back."""
    rng = np.random.default_rng(seed)
    ids = np.append(rng.integers(0, 0x800, 30), [0x1FFF_FFFF, 0x0800_0000]).astype(np.uint32)
    dlc = rng.integers(0, 9, count).astype(np.uint8)
    size_bits = dlc.astype(np.uint64) * np.uint64(8)
    beyond = np.where(dlc < 8, np.uint64(2**64 - 1) >> (size_bits % np.uint64(64)), np.uint64(0))
    return Messages(
        time_s=1e9 + np.cumsum(rng.integers(-50, 1_000, count)) / 1e6,
        arbitration_id=rng.choice(ids, count),
        dlc=dlc,
        payload=rng.integers(0, 2**64, count, dtype=np.uint64) & ~beyond,
    )


def assert_same(one: Graphs, other: Graphs) -> None:
    for name, values in vars(one).items():
        np.testing.assert_array_equal(values, getattr(other, name), err_msg=name, strict=True)


@pytest.mark.parametrize(("window", "stride"), [(100, 100), (100, 30), (4, 4)])
def test_a_capture_longer_than_a_chunk_has_the_graphs_of_its_parts(
    window: int, stride: int
) -> None:
    messages = traffic(450_000)
    config = DataConfig(window_messages=window, stride_messages=stride)
    starts = window_starts(len(messages), window, stride)
    profile = make_profile(messages.span(0, 30_000))
    whole = build_graphs(messages, starts, config, profile)
    # Cut elsewhere than the chunks are.
    cuts = [0, 777, len(starts) // 2 + 13, len(starts)]
    parts = [build_graphs(messages, starts[a:b], config, profile) for a, b in pairwise(cuts)]
    assert_same(whole, concatenate(parts, config))
    assert len(whole) == len(starts)
    ends = messages.time_s[starts + window - 1]
    np.testing.assert_array_equal(whole.start_s, messages.time_s[starts])
    np.testing.assert_array_equal(whole.end_s, ends)


def test_two_captures_have_the_graphs_of_each_and_none_that_spans_both() -> None:
    config = DataConfig(window_messages=10, stride_messages=10)
    first, second = traffic(95, seed=1), traffic(85, seed=2)
    both = concatenate([build_graphs(m, window_starts(len(m), 10, 10), config)
                        for m in (first, second)], config)  # fmt: skip
    assert len(both) == 9 + 8
    alone = build_graphs(second, window_starts(85, 10, 10), config)
    assert split(both)[9:] == split(alone)


def test_a_window_knows_nothing_of_the_messages_around_it() -> None:
    messages = traffic(300)
    config = DataConfig(window_messages=50, stride_messages=50, features=EVERYTHING)
    profile = make_profile(messages)
    whole = split(build_graphs(messages, np.array([0, 120, 200]), config, profile))
    (alone,) = split(build_graphs(messages.span(120, 170), np.array([0]), config, profile))
    assert whole[1] == alone


def test_edges_are_sorted_by_destination_and_lie_within_their_graph() -> None:
    config = DataConfig(window_messages=100, stride_messages=37)
    messages = traffic(5_000)
    graphs = build_graphs(messages, window_starts(5_000, 100, 37), config)
    for graph in split(graphs):
        by_destination = [(destination, source) for source, destination in graph.edges]
        assert by_destination == sorted(set(by_destination))
        assert {n for edge in graph.edges for n in edge} == set(range(len(graph.x)))
        transitions = sum(math.expm1(row[0]) for row in graph.edge_attr)
        assert transitions == pytest.approx(99, rel=1e-4)


def test_the_columns_of_x_are_those_of_the_groups_in_their_order() -> None:
    messages = traffic(1_000)
    starts = window_starts(1_000, 100, 100)
    profile = make_profile(messages)
    everything = build_graphs(messages, starts, DataConfig(features=EVERYTHING), profile)
    names = feature_names(EVERYTHING)
    some = DataConfig(features=("profile", "timing", "bytes"))
    chosen = [names.index(name) for name in feature_names(some.features)]
    np.testing.assert_array_equal(
        build_graphs(messages, starts, some, profile).x, everything.x[:, chosen], strict=True
    )


def test_a_node_says_nothing_of_its_id_unless_that_is_asked_for() -> None:
    assert DataConfig().id_encoding == "none"
    assert node_feature_count(DataConfig()) == len(feature_names(DataConfig().features)) == 21


def test_a_nodes_id_enters_as_the_bits_of_its_hash() -> None:
    config = DataConfig(window_messages=6, id_encoding="hash", id_hash_bits=12)
    (graph,) = built(BY_HAND, config)
    assert len(graph.x[0]) == node_feature_count(config) == 21 + 12
    codes = [tuple(row[21:]) for row in graph.x]
    assert {bit for code in codes for bit in code} == {-1.0, 1.0}
    assert len(set(codes)) == 3
    (again,) = built([*BY_HAND[3:], *BY_HAND[:3]], config)
    assert [tuple(row[21:]) for row in again.x] == codes


def test_a_nodes_id_enters_as_one_of_those_known_or_as_none_of_them() -> None:
    config = DataConfig(window_messages=6, id_encoding="lookup_unk")
    known = np.array([0x001, 0x100, 0x300], np.uint32)
    graphs = build_graphs(taken(BY_HAND), np.array([0]), config, None, known)
    assert graphs.x.shape[1] == node_feature_count(config, known) == 21 + 4
    assert graphs.x[:, 21:].tolist() == [[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]


def test_picked_graphs_are_whole_and_in_the_order_asked_for() -> None:
    graphs = build_graphs(traffic(500), window_starts(500, 50, 50), DataConfig(window_messages=50))
    order = np.array([7, 0, 3, 3, 9])
    assert split(picked(graphs, order)) == [split(graphs)[i] for i in order]
    assert len(picked(graphs, order[:0])) == 0


def test_a_capture_shorter_than_a_window_has_no_graph_but_the_right_columns() -> None:
    graphs = build_graphs(traffic(50), window_starts(50, 100, 100), DataConfig())
    assert len(graphs) == 0
    assert (graphs.x.shape, graphs.edge_index.shape, graphs.edge_attr.shape) == (
        (0, 21), (2, 0), (0, 3),
    )  # fmt: skip
    more = build_graphs(traffic(300), window_starts(300, 100, 100), DataConfig())
    assert_same(concatenate([graphs, more, graphs], DataConfig()), more)
