from __future__ import annotations

import numpy as np
import pytest

from kdgat.configs.model import VgaeConfig
from kdgat.training.calibration import PROBABILITY, calibrate


def test_a_classifiers_probability_is_taken_as_it_is() -> None:
    assert PROBABILITY.threshold == 0.5
    assert PROBABILITY.scores(np.array([[0.3], [0.7]])).tolist() == [0.3, 0.7]


def test_an_autoencoders_threshold_is_a_quantile_of_benign_scores() -> None:
    rng = np.random.default_rng(0)
    benign = rng.normal([1.0, 5.0, 0.1], [0.1, 2.0, 0.01], size=(2000, 3))
    calibration = calibrate(VgaeConfig(threshold_quantile=0.99), benign)
    assert (calibration.scores(benign) > calibration.threshold).mean() == pytest.approx(
        0.01, abs=2e-3
    )


@pytest.mark.parametrize("part", [0, 1, 2])
def test_any_part_far_out_of_the_benign_range_raises_the_score(part: int) -> None:
    rng = np.random.default_rng(0)
    benign = rng.normal([1.0, 5.0, 0.1], [0.1, 2.0, 0.01], size=(500, 3))
    calibration = calibrate(VgaeConfig(), benign)
    odd = benign.mean(axis=0, keepdims=True)
    odd[0, part] += 20 * benign[:, part].std()
    assert calibration.scores(odd)[0] > calibration.threshold


def test_a_part_that_never_varies_does_not_divide_by_zero() -> None:
    calibration = calibrate(VgaeConfig(), np.ones((50, 3)))
    assert np.isfinite(calibration.scores(np.ones((5, 3)))).all()
