"""Comparison and effect, on ledgers with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdgat.errors import RunError
from kdgat.ledger.record import RunRecord
from kdgat.ops.analytics import compare_runs, effect
from kdgat.runs.statistics import estimate
from kdgat.workspace import Workspace
from tests.unit.runs.judged import SCENARIOS, judge, judged, trained


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path, home=tmp_path / ".kdgat")


class TestCompare:
    def test_differing_fields_and_figures_come_first_and_the_rest_is_a_count(
        self, ws: Workspace
    ) -> None:
        one = judged(ws, 0.8)
        two = judged(ws, {SCENARIOS[0]: 0.8, SCENARIOS[1]: 0.6}, config={"model.hidden": 64})
        found = compare_runs(ws, runs=[one.run_id, two.run_id])
        assert [(row.field, row.values) for row in found.config] == [("model.hidden", (32, 64))]
        assert found.equal_fields == 14
        (f1,) = (row for row in found.figures if row.metric == "f1")
        assert (f1.scenario, f1.values) == (SCENARIOS[1], (0.8, 0.6))
        assert f1.difference == pytest.approx(-0.2)
        assert {row.metric for row in found.figures} == {"f1", "delay_s"}

    def test_an_evaluation_stands_for_the_run_it_judged(self, ws: Workspace) -> None:
        one, two = trained(ws), judged(ws, 0.6, seed=1)
        first, _newer = judge(ws, one, 0.5), judge(ws, one, 0.7)
        found = compare_runs(ws, runs=[first.run_id, two.run_id])
        assert [run.run_id for run in found.runs] == [one.run_id, two.run_id]
        assert found.runs[0].evaluation == first.run_id
        (row, *_) = [row for row in found.figures if row.metric == "f1"]
        assert row.values == (0.5, 0.6)

    def test_a_field_that_one_run_lacks_differs(self, ws: Workspace) -> None:
        one, two = judged(ws, 0.5), judged(ws, 0.5, config={"model.heads": 4})
        found = compare_runs(ws, runs=[one.run_id, two.run_id])
        assert [(row.field, row.values) for row in found.config] == [("model.heads", (None, 4))]

    @pytest.mark.parametrize(
        ("change", "word"),
        [
            ({"provenance": "simulated"}, "provenance differs"),
            ({"dataset": "set_02"}, "datasets differ"),
            ({"dataset_hash": "e" * 64}, "captures of 'set_01' changed"),
        ],
    )
    def test_figures_of_different_data_are_not_put_side_by_side(
        self, ws: Workspace, change: dict[str, str], word: str
    ) -> None:
        one, two = judged(ws, 0.5), judged(ws, 0.9, **change)
        found = compare_runs(ws, runs=[one.run_id, two.run_id])
        assert found.figures == ()
        assert word in " ".join(found.cautions)

    def test_a_run_that_was_not_judged_is_named(self, ws: Workspace) -> None:
        one, two = judged(ws, 0.5), trained(ws)
        found = compare_runs(ws, runs=[one.run_id, two.run_id])
        assert f"kdgat evaluate {two.run_id}" in " ".join(found.cautions)

    def test_other_windows_are_named(self, ws: Workspace) -> None:
        one, two = judged(ws, 0.5), judged(ws, 0.5, windows={"windows": 7})
        found = compare_runs(ws, runs=[one.run_id, two.run_id])
        assert "test windows differ" in " ".join(found.cautions)

    def test_one_run_can_not_be_compared(self, ws: Workspace) -> None:
        one = trained(ws)
        evaluation = judge(ws, one, 0.5)
        with pytest.raises(RunError, match="alone can't be compared"):
            compare_runs(ws, runs=[one.run_id, evaluation.run_id])

    def test_three_runs_have_three_columns(self, ws: Workspace) -> None:
        runs = [judged(ws, 0.5, seed=seed) for seed in range(3)]
        found = compare_runs(ws, runs=[run.run_id for run in runs])
        assert [(row.field, row.values) for row in found.config] == [("seed", (0, 1, 2))]


def swept(ws: Workspace, hidden: int, seed: int, f1: float, **config: Any) -> RunRecord:
    return judged(ws, f1, seed=seed, config={"model.hidden": hidden, **config})


class TestEffect:
    def test_each_value_has_its_runs_mean_and_interval(self, ws: Workspace) -> None:
        for hidden, scores in ((64, (0.9, 0.8)), (8, (0.5,)), (16, (0.7, 0.6))):
            for seed, score in enumerate(scores):
                swept(ws, hidden, seed, score)
        found = effect(ws, "model.hidden")
        assert [each.value for each in found.values] == ["8", "16", "64"]
        assert [each.score for each in found.values] == [
            estimate(scores).within(0, 1) for scores in ([0.5], [0.7, 0.6], [0.9, 0.8])
        ]  # fmt: skip
        assert found.confounders == ()

    def test_runs_that_differ_in_the_axis_alone_are_paired_by_seed(self, ws: Workspace) -> None:
        for seed, base in enumerate((0.5, 0.7, 0.9)):
            swept(ws, 16, seed, base)
            swept(ws, 32, seed, base + 0.05)
        (pair,) = effect(ws, "model.hidden").paired
        assert (pair.value, pair.baseline, pair.pairs, pair.recipes) == ("32", "16", 3, 1)
        assert pair.by_seed
        assert pair.difference is not None
        assert pair.difference.mean == pytest.approx(0.05)
        assert pair.difference.low == pytest.approx(0.05)

    def test_without_shared_seeds_means_are_compared_and_it_says_so(self, ws: Workspace) -> None:
        for seed in (0, 1):
            swept(ws, 16, seed, 0.5)
            swept(ws, 32, seed + 10, 0.6)
        (pair,) = effect(ws, "model.hidden").paired
        assert (pair.pairs, pair.by_seed) == (1, False)
        assert pair.difference is not None
        assert (pair.difference.low, pair.difference.method) == (None, "none")

    def test_another_field_that_goes_along_is_named_and_nothing_is_paired(
        self, ws: Workspace
    ) -> None:
        swept(ws, 16, 0, 0.5)
        swept(ws, 32, 0, 0.9, **{"model.dropout": 0.3})
        found = effect(ws, "model.hidden")
        (confounder,) = found.confounders
        assert confounder.field == "model.dropout"
        assert confounder.values == {"16": ("0.1",), "32": ("0.3",)}
        assert found.paired[0].difference is None

    def test_a_full_grid_is_balanced_and_paired_in_each_setting(self, ws: Workspace) -> None:
        for hidden, gain in ((16, 0.0), (32, 0.1)):
            for dropout, base in ((0.1, 0.5), (0.3, 0.7)):
                swept(ws, hidden, 0, base + gain, **{"model.dropout": dropout})
        found = effect(ws, "model.hidden")
        assert (found.confounders, found.balanced) == ((), ("model.dropout",))
        (pair,) = found.paired
        assert (pair.pairs, pair.recipes) == (2, 2)
        assert pair.difference is not None
        assert pair.difference.mean == pytest.approx(0.1)

    def test_a_field_that_is_only_more_frequent_at_one_value_confounds(self, ws: Workspace) -> None:
        for seed in range(2):
            swept(ws, 16, seed, 0.5)
            swept(ws, 32, seed, 0.5)
        swept(ws, 16, 0, 0.9, **{"model.dropout": 0.3})
        swept(ws, 16, 1, 0.9, **{"model.dropout": 0.3})
        swept(ws, 32, 0, 0.9, **{"model.dropout": 0.3})
        assert [each.field for each in effect(ws, "model.hidden").confounders] == ["model.dropout"]

    def test_other_captures_confound(self, ws: Workspace) -> None:
        swept(ws, 16, 0, 0.5)
        judged(ws, 0.6, config={"model.hidden": 32}, dataset_hash="e" * 64)
        assert [each.field for each in effect(ws, "model.hidden").confounders] == ["captures"]

    def test_a_data_field_may_change_the_windows_and_it_says_so(self, ws: Workspace) -> None:
        judged(ws, 0.5)
        judged(ws, 0.6, config={"data.window_messages": 50}, windows={"windows": 2000})
        found = effect(ws, "data.window_messages")
        assert found.confounders == ()
        assert any("other windows" in note for note in found.cautions)

    def test_filters_narrow_the_runs_and_groups_go_by_their_short_name(self, ws: Workspace) -> None:
        swept(ws, 16, 0, 0.5)
        swept(ws, 32, 0, 0.6)
        judged(ws, 0.1, model="vgae", config={"model.hidden": 99})
        found = effect(ws, "model.hidden", where=["model=gat", "model.dropout=0.10"])
        assert [each.value for each in found.values] == ["16", "32"]

    def test_the_baseline_can_be_chosen(self, ws: Workspace) -> None:
        swept(ws, 16, 0, 0.5)
        swept(ws, 32, 0, 0.6)
        (pair,) = effect(ws, "model.hidden", baseline="32").paired
        assert (pair.value, pair.baseline) == ("16", "32")
        assert pair.difference is not None
        assert pair.difference.mean == pytest.approx(-0.1)

    def test_the_seed_has_values_but_no_pairs(self, ws: Workspace) -> None:
        swept(ws, 16, 0, 0.5)
        swept(ws, 16, 1, 0.6)
        found = effect(ws, "seed")
        assert [each.value for each in found.values] == ["0", "1"]
        assert found.paired == ()

    @pytest.mark.parametrize(
        ("axis", "options", "problem", "hint"),
        [
            ("model.hiden", {}, "no run's config has a field", "did you mean 'model.hidden'"),
            ("model.dropout", {}, "has the one value 0.1", "sweep it"),
            ("model.hidden", {"where": ["size"]}, "is no filter", "field=value"),
            ("model.hidden", {"where": ["size=tiny"]}, "no judged run has size=tiny", "--where"),
            ("model.hidden", {"baseline": "17"}, "no judged run has the baseline", "16"),
        ],
    )
    def test_what_can_not_be_answered_is_told_with_the_next_step(
        self, ws: Workspace, axis: str, options: dict[str, Any], problem: str, hint: str
    ) -> None:
        swept(ws, 16, 0, 0.5)
        swept(ws, 32, 0, 0.6)
        with pytest.raises(RunError) as caught:
            effect(ws, axis, **options)
        assert problem in caught.value.problem
        assert hint in caught.value.hint

    def test_datasets_are_never_mixed(self, ws: Workspace) -> None:
        swept(ws, 16, 0, 0.5)
        judged(ws, 0.6, dataset="made", provenance="simulated", config={"model.hidden": 32})
        with pytest.raises(RunError, match="figures don't mix") as caught:
            effect(ws, "model.hidden")
        assert "--dataset made" in caught.value.hint
