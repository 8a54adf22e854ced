from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from kdgat.stages.loss_curves import losses_of
from kdgat.stages.plots import ScenarioPlot, _laid_end_to_end, _odds, plot_evaluation, plot_training


def _row(
    scenario: str, protocol: str = "zero_shot", *, scale: float = 1.0, windows: int = 120
) -> ScenarioPlot:
    rng = np.random.default_rng(len(scenario))
    attack = np.repeat(np.arange(windows // 10) % 3 == 0, 10)
    score = np.clip(attack * 0.7 + rng.random(windows) * 0.4, 0, 1) * scale
    return ScenarioPlot(
        scenario=scenario,
        protocol=protocol,
        score=score,
        threshold=0.5 * scale,
        attack=attack,
        capture=np.repeat((0, 1), windows // 2),
        # The second capture is of another year.
        start_s=np.arange(windows) * 0.05 + np.repeat((0, 5e7), windows // 2),
    )


def _ink(path: Path) -> float:
    """Share of pixels that are not white."""
    return float((imread(path)[..., :3] < 0.98).any(axis=2).mean())


def test_an_evaluation_has_four_files_a_protocol_and_one_a_scenario_in_each(tmp_path: Path) -> None:
    names = ("test_01_known", "test_02_unknown")
    rows = [_row(name, protocol) for protocol in ("zero_shot", "adapted") for name in names]
    written = plot_evaluation(tmp_path / "plots", rows, subject="set_01-gat-small (real data)")
    assert {path.name for path in written} == {
        f"{kind}_{protocol}.png"
        for protocol in ("zero_shot", "adapted")
        for kind in ("roc", "precision_recall", "calibration", "confusion",
                     "scores_test_01_known", "scores_test_02_unknown")
    }  # fmt: skip
    assert sorted(written) == sorted((tmp_path / "plots").iterdir())
    for path in written:
        assert path.read_bytes().startswith(b"\x89PNG")
        height, width, _ = imread(path).shape
        assert 700 < width <= 1500
        assert 350 < height < 900
        assert _ink(path) > 0.03


def test_the_same_scores_give_the_same_bytes(tmp_path: Path) -> None:
    rows = [_row("test_01_known")]
    first, again = (plot_evaluation(tmp_path / name, rows) for name in ("a", "b"))
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_other_scores_give_another_picture(tmp_path: Path) -> None:
    one = plot_evaluation(tmp_path / "a", [_row("test_01_known")])
    other = plot_evaluation(tmp_path / "b", [_row("test_01_other")])
    assert one[0].read_bytes() != other[0].read_bytes()


def test_benign_windows_alone_have_no_curve_but_scores_and_counts(tmp_path: Path) -> None:
    row = _row("test_01_known")
    benign = ScenarioPlot(
        row.scenario, row.protocol, row.score, 0.5, np.zeros_like(row.attack), row.capture,
        row.start_s,
    )  # fmt: skip
    written = plot_evaluation(tmp_path, [benign])
    assert [path.name for path in written] == [
        "confusion_zero_shot.png", "scores_test_01_known_zero_shot.png",
    ]  # fmt: skip


def test_a_scenario_without_windows_is_left_out(tmp_path: Path) -> None:
    nothing = np.zeros(0)
    row = ScenarioPlot("test_01", "adapted", nothing, 0.5, nothing > 0, nothing, nothing)
    assert plot_evaluation(tmp_path, [row]) == ()


@pytest.mark.parametrize("scale", [-1.0, 1.0, 3.0, 1e6])
def test_scores_of_any_range_can_be_drawn(tmp_path: Path, scale: float) -> None:
    row = _row("test_01_known", scale=scale)
    outlier = np.where(np.arange(len(row.score)) == 7, row.score * 1e4, row.score)
    wide = ScenarioPlot(
        row.scenario, row.protocol, outlier, row.threshold, row.attack, row.capture, row.start_s
    )
    for path in plot_evaluation(tmp_path, [row, wide]):
        assert _ink(path) > 0.03


def test_a_threshold_of_each_window_decides_on_that_window() -> None:
    row = _row("test_01_known")
    each = np.where(row.capture == 0, np.inf, 0.0)
    own = ScenarioPlot(
        row.scenario, row.protocol, row.score, each, row.attack, row.capture, row.start_s
    )
    assert own.alarm.tolist() == (row.capture == 1).tolist()


def test_captures_lie_end_to_end_whatever_their_clocks_say() -> None:
    time_s, seams = _laid_end_to_end(_row("test_01_known"))
    assert (np.diff(time_s) > 0).all()
    assert time_s[-1] == pytest.approx(119 * 0.05)
    assert seams == [pytest.approx(60 * 0.05)]


def test_odds_are_probabilities_as_they_are_and_other_scores_by_their_threshold() -> None:
    row = _row("test_01_known")
    assert _odds(row) is row.score
    other = _row("test_01_known", scale=8.0)
    odds = _odds(other)
    assert (odds[other.alarm] >= 0.5).all()
    assert (odds[~other.alarm] < 0.5).all()
    assert odds == pytest.approx(other.score / (other.score + 4))


def _logged(path: Path, lines: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_training_has_its_losses_drawn(tmp_path: Path) -> None:
    lines = [
        {"epoch": epoch, "time": "2026-11-21T12:00:00+00:00", "val_task_loss": 1 / (epoch + 1),
         "train_task_loss": 2 / (epoch + 1), "val_accuracy": 0.9}
        for epoch in range(5)
    ]  # fmt: skip
    path = plot_training(tmp_path / "plots", _logged(tmp_path / "metrics.jsonl", lines))
    assert path == tmp_path / "plots" / "training.png"
    assert _ink(tmp_path / "plots" / "training.png") > 0.02


def test_a_single_epoch_can_be_drawn(tmp_path: Path) -> None:
    metrics = _logged(tmp_path / "metrics.jsonl", [{"epoch": 0, "train_loss": 0.5}])
    path = plot_training(tmp_path, metrics)
    assert path is not None
    assert _ink(path) > 0.01


@pytest.mark.parametrize("line", [{"epoch": 0, "val_accuracy": 0.5}, {"epoch": 0, "loss": None}])
def test_a_training_without_losses_has_no_picture(tmp_path: Path, line: dict[str, object]) -> None:
    assert plot_training(tmp_path, _logged(tmp_path / "metrics.jsonl", [line])) is None
    assert plot_training(tmp_path, tmp_path / "nothing.jsonl") is None


def test_a_loss_that_another_one_equals_is_drawn_once() -> None:
    """Without a teacher the loss is the task's own."""
    lines = [
        {"epoch": epoch, "val_task_loss": 0.5, "val_loss": 0.5, "train_loss": 0.7 - epoch}
        for epoch in range(3)
    ]
    assert list(losses_of(lines)) == ["val_task_loss", "train_loss"]
