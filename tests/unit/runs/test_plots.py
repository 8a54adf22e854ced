"""The plots of the report: what is drawn where, in which colours."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from kdgat.runs.figures import METRICS, cost_named
from kdgat.runs.labels import Box, place_labels
from kdgat.runs.pareto import Point
from kdgat.runs.pareto_plot import figure_range, pareto_plot
from kdgat.runs.plots import Bars, Curve, learning_curves, scenario_bars
from kdgat.runs.statistics import Estimate, estimate


def words(svg: str) -> list[str]:
    """Every text of a picture."""
    return re.findall(r">([^<>]+)</text>", svg)


def places(svg: str, text: str) -> list[tuple[float, float]]:
    """Where a text stands, from the left and from the top."""
    found = re.findall(rf"<text ([^>]*)>{re.escape(text)}</text>", svg)
    number = r"(-?[0-9.]+)"
    return [
        (float(match[1]), float(match[2]))
        for each in found
        if (match := re.search(rf'x="{number}" y="{number}"', each))
    ]


def test_bars_of_a_rate_begin_at_zero_and_end_at_one() -> None:
    svg = scenario_bars("k", METRICS["f1"], ["a"], [Bars("m", (estimate([0.97]),))])
    ticks = re.findall(r">([0-9.]+)</text>", svg)
    assert {"0.0", "1.0"} <= set(ticks)
    assert "0.970" in ticks


def test_bars_below_zero_have_room() -> None:
    svg = scenario_bars("k", METRICS["mcc"], ["a"], [Bars("m", (estimate([-0.5]),))])
    assert "\N{MINUS SIGN}1" in svg


def test_pictures_take_the_pages_colours() -> None:
    svg = scenario_bars("k", METRICS["f1"], ["a"], [Bars("m", (estimate([0.9]),))])
    assert "currentColor" in svg
    assert "var(--grid)" in svg
    assert not re.search(r"#0[147]0[258]0[369]", svg)


def test_a_bars_figure_stands_below_the_axis_whatever_the_interval() -> None:
    wide = Estimate(0.635, 0.27, 1.0, 2, "t")
    svg = scenario_bars("k", METRICS["f1"], ["a"], [Bars("m", (wide,))])
    ((_, figure),), ((_, zero),) = places(svg, "0.635"), places(svg, "0.0")
    assert figure > zero, "from the top"


def test_figures_that_would_run_into_each_other_are_left_out() -> None:
    models = [Bars(f"m{number}", (estimate([0.951]),) * 4) for number in range(7)]
    svg = scenario_bars("k", METRICS["f1"], list("abcd"), models)
    assert "0.951" not in words(svg)
    one = [Bars("m", (estimate([0.951]),))]
    assert words(scenario_bars("k", METRICS["f1"], ["a"], one)).count("0.951") == 1


def test_one_epoch_has_one_tick_and_both_losses() -> None:
    curve = Curve("m", 0, (0,), (0.4,), (0.6,), 0)
    svg = learning_curves("k", "classifier", [curve])
    ticks = [word for word in words(svg) if re.fullmatch(r"[\N{MINUS SIGN}-]?0(\.0\d+)?", word)]
    assert ticks == ["0"]
    # Validation, training, the ring, and the legend's.
    assert len(re.findall("<use [^>]*style=", svg)) >= 4


def point(name: str, cost: float, score: Sequence[float], **more: str) -> Point:
    return Point(name, name, cost, estimate(score), None, **more)


def test_what_is_a_hundredth_apart_does_not_fill_the_axis() -> None:
    close = [point("a", 1, [0.951]), point("b", 2, [0.966])]
    low, high = figure_range(METRICS["f1"], close)
    assert high - low == pytest.approx(0.1)
    assert low < 0.951 < 0.966 < high


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_an_axis_ends_a_little_beyond_what_a_figure_can_be(score: float) -> None:
    low, high = figure_range(METRICS["f1"], [point("a", 1, [score])])
    assert -0.01 < low < score < high < 1.01
    assert high - low == pytest.approx(0.1)


def test_an_axis_has_room_for_intervals() -> None:
    wide = Point("a", "a", 1.0, Estimate(2.0, 0.5, 3.5, 3, "t"), None)
    low, high = figure_range(METRICS["delay_s"], [wide])
    assert low < 0.5
    assert high > 3.5


def test_namesakes_in_a_front_have_different_names() -> None:
    front = [
        point("d-gat", 10, [0.5], differs="hidden=8"),
        point("d-gat", 40, [0.6], differs="hidden=9"),
    ]
    svg = pareto_plot("k", METRICS["f1"], cost_named("parameters"), front, [])
    assert {"gat (hidden=8)", "gat (hidden=9)"} <= set(words(svg))
    assert "F1, mean (axis not from 0)" in words(svg)


def test_only_what_is_drawn_is_in_the_legend() -> None:
    alone = pareto_plot("k", METRICS["f1"], cost_named("parameters"), [point("a-b", 1, [0.5])], [])
    assert not {"dominated", "95 % interval"} & set(words(alone))
    several = [point("a-b", 1, [0.5, 0.6])]
    svg = pareto_plot("k", METRICS["f1"], cost_named("parameters"), several, [])
    assert "95 % interval" in words(svg)


def test_names_of_crowded_points_cover_neither_points_nor_names() -> None:
    points = [(100.0, 100.0), (104.0, 108.0), (110.0, 96.0), (290.0, 100.0)]
    texts = ["gat-small (hidden=8)", "gat-small", "vgae-large", "gat-large"]
    within = Box(0, 0, 300, 200)
    boxes = [
        Box(x + dx, y + dy, x + dx + 0.58 * 8 * len(text), y + dy + 8)
        for (x, y), text, (dx, dy) in zip(
            points, texts, place_labels(points, texts, [], within, 8), strict=True
        )
    ]
    for number, box in enumerate(boxes):
        assert box.shared(within) == pytest.approx(box.area)
        assert not any(box.shared(other) for other in boxes[:number])
        assert not any(box.shared(Box(x - 1, y - 1, x + 1, y + 1)) for x, y in points)
