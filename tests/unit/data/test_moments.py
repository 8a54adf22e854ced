"""Means and deviations by blocks: numpy's own of the whole, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from kdgat.data.moments import Blocks, moments_by_pairs, moments_by_row


def cut(values: np.ndarray, seed: int) -> Blocks:
    """The same rows in blocks of any size, empty ones among them."""
    places = np.sort(np.random.default_rng(seed).integers(0, len(values) + 1, 9))

    def blocks() -> Iterator[np.ndarray]:
        return iter(np.split(values, [0, *places.tolist()]))

    return blocks


def drawn(rows: int) -> np.ndarray:
    """Columns whose sum depends on the order in which it is added up."""
    return np.random.default_rng(rows).lognormal(0, 3, (rows, 4)).astype(np.float32)


@pytest.mark.parametrize("rows", [1, 2, 9, 8_191, 8_192, 8_193, 70_001, 300_000])
@pytest.mark.parametrize("seed", [0, 1])
def test_rows_in_blocks_have_the_moments_of_the_whole_array(rows: int, seed: int) -> None:
    values = drawn(rows)
    mean, std = moments_by_row(cut(values, seed))
    assert mean.tolist() == values.mean(axis=0, dtype=np.float64).tolist()
    assert std.tolist() == values.std(axis=0, dtype=np.float64).tolist()
    turned = np.asfortranarray(values)
    found = moments_by_pairs(cut(values, seed))
    assert found is not None
    assert found[0].tolist() == turned.mean(axis=0, dtype=np.float64).tolist()
    assert found[1].tolist() == turned.std(axis=0, dtype=np.float64).tolist()


def test_the_order_of_addition_makes_a_difference() -> None:
    values = drawn(300_000)
    turned = np.asfortranarray(values)
    assert values.mean(axis=0, dtype=np.float64).tolist() != turned.mean(axis=0).tolist()
    assert moments_by_row(cut(values, 0))[1].tolist() != turned.std(axis=0, dtype=float).tolist()


def test_no_row_has_no_moments_by_pairs() -> None:
    assert moments_by_pairs(cut(np.zeros((0, 3), np.float32), 0)) is None
