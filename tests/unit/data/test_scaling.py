"""Scaling: standard deviations of what it was fitted on, clipped, and never a division by zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kdgat.data.scaling import Scaler

EDGES = np.array([[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]], np.float32)


def test_what_it_was_fitted_on_has_mean_zero_and_deviation_one() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal([5, -3], [2, 0.5], size=(10_000, 2)).astype(np.float32)
    scaler = Scaler.fit(x, EDGES, clip=100.0)
    scaled = scaler.nodes(x)
    assert scaled.dtype == np.float32
    assert scaled.mean(axis=0).tolist() == pytest.approx([0, 0], abs=1e-4)
    assert scaled.std(axis=0).tolist() == pytest.approx([1, 1], abs=1e-4)


def test_nodes_and_edges_have_scales_of_their_own() -> None:
    x = np.array([[10.0], [30.0]], np.float32)
    scaler = Scaler.fit(x, EDGES, clip=100.0)
    assert ([*scaler.node_mean], [*scaler.node_std]) == ([20.0], [10.0])
    assert ([*scaler.edge_mean], [*scaler.edge_std]) == ([2.0, 2.0, 2.0], [1.0, 1e-3, 1.0])
    assert scaler.nodes(x).tolist() == [[-1.0], [1.0]]
    assert scaler.edges(EDGES).tolist() == [[-1.0, 0.0, 1.0], [1.0, 0.0, -1.0]]


def test_a_feature_that_never_varies_stays_finite_and_tells_a_change() -> None:
    constant = np.full((5, 1), 0.25, np.float32)
    scaler = Scaler.fit(constant, EDGES, clip=10.0)
    assert scaler.nodes(constant).tolist() == [[0.0]] * 5
    changed = scaler.nodes(np.array([[0.252], [1.0]], np.float32))
    assert changed[0].item() == pytest.approx(2.0, abs=1e-3)
    assert changed[1].item() == 10.0


@settings(deadline=None)
@given(
    hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 20), st.just(3)),
        elements=st.floats(-1e6, 1e6, width=32),
    ),
    st.floats(0.5, 100),
)
def test_no_scaled_value_is_beyond_the_clip(x: np.ndarray, clip: float) -> None:
    scaler = Scaler.fit(EDGES, EDGES, clip=clip)
    assert (np.abs(scaler.nodes(x)) <= np.float32(clip)).all()


NAMES = ("shape_span", "profile_there", "profile_known", "profile_count")


def with_profile() -> np.ndarray:
    """Nodes of which all but the last have a profile, and one column that encodes an id."""
    return np.array(
        [[1, 1, 1, 4, -1], [3, 1, 1, 6, 1], [1, 1, 1, 4, 1], [3, 1, 1, 6, -1], [9, 0, 0, 0, 1]],
        np.float32,
    )


def test_columns_of_a_profile_are_scaled_by_the_nodes_that_have_one() -> None:
    scaler = Scaler.fit(with_profile(), EDGES, 100.0, NAMES)
    assert scaler.profile == [1, 2, 3]
    assert [scaler.node_mean[i] for i in (1, 2, 3)] == [0.0, 1.0, 5.0]
    assert [scaler.node_std[i] for i in (1, 3)] == [1.0, 1.0]
    assert scaler.node_mean[0] == pytest.approx(17 / 5), "other columns are of all nodes"
    assert scaler.nodes(with_profile())[:4, 3].tolist() == [-1.0, 1.0, -1.0, 1.0]


def test_a_node_without_a_profile_has_nothing_out_of_the_ordinary() -> None:
    scaler = Scaler.fit(with_profile(), EDGES, 100.0, NAMES)
    scaled = scaler.nodes(with_profile())
    assert scaled[4, 1:4].tolist() == [0, 0, 0]
    assert scaled[4, 0] != 0
    assert scaled[:4, 1].tolist() == [1, 1, 1, 1], "whether there is a profile is left as it is"


def test_a_departure_that_benign_traffic_never_shows_has_a_floor_of_its_own() -> None:
    scaler = Scaler.fit(with_profile(), EDGES, 10.0, NAMES)
    assert scaler.node_std[2] == 0.25
    stranger = np.array([[1, 1, 0, 5, 1]], np.float32)
    assert scaler.nodes(stranger)[0, 2] == -4.0


def test_columns_that_encode_an_id_are_left_as_they_are() -> None:
    scaler = Scaler.fit(with_profile(), EDGES, 100.0, NAMES)
    assert scaler.nodes(with_profile())[:, 4].tolist() == with_profile()[:, 4].tolist()


def test_training_data_without_any_profile_is_scaled_too() -> None:
    nothing = with_profile()[-1:].repeat(3, axis=0)
    scaler = Scaler.fit(nothing, EDGES, 10.0, NAMES)
    assert scaler.nodes(nothing)[:, :4].tolist() == [[0.0] * 4] * 3
    assert np.isfinite(scaler.nodes(with_profile())).all()


def test_scaling_leaves_its_argument_as_it_was() -> None:
    before = EDGES.copy()
    Scaler.fit(EDGES, EDGES, clip=1.0).edges(EDGES)
    np.testing.assert_array_equal(EDGES, before)
