"""Leaderboard and front, on ledgers with known answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdgat.errors import RunError
from kdgat.ledger.journal import Journal
from kdgat.ledger.states import State
from kdgat.ops.analytics import leaderboard, pareto
from kdgat.runs.figures import METRICS, cost_named
from kdgat.runs.leaderboard import LeaderboardTable, short_names
from kdgat.runs.pareto import Point, split
from kdgat.runs.statistics import estimate
from kdgat.training.metrics import WindowMetrics
from kdgat.workspace import Workspace
from tests.unit.runs.judged import SCENARIOS, judge, judged, trained


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path, home=tmp_path / ".kdgat")


def only(ws: Workspace, **asked: Any) -> LeaderboardTable:
    """The one table of the leaderboard."""
    (table,) = leaderboard(ws, **asked).tables
    return table


def means(table: LeaderboardTable) -> list[float | None]:
    return [row.score and round(row.score.mean, 6) for row in table.rows]


class TestMetrics:
    def test_every_metric_is_a_figure_of_an_evaluation(self) -> None:
        assert set(METRICS) <= set(WindowMetrics.__annotations__)

    def test_every_rate_of_an_evaluation_can_be_ranked_by(self) -> None:
        kinds = WindowMetrics.__annotations__
        assert {name for name, kind in kinds.items() if "float" in str(kind)} == set(METRICS)

    def test_an_unknown_metric_names_the_nearest(self, ws: Workspace) -> None:
        with pytest.raises(RunError) as caught:
            leaderboard(ws, metric="aurocc")
        assert "did you mean 'auroc'?" in caught.value.hint

    def test_an_unknown_cost_names_the_nearest(self) -> None:
        with pytest.raises(RunError, match="no cost 'parameter'"):
            cost_named("parameter")


class TestLeaderboard:
    def test_models_are_ranked_by_their_mean_over_scenarios(self, ws: Workspace) -> None:
        judged(ws, dict(zip(SCENARIOS, (0.9, 0.5), strict=True)), model="vgae")
        best = judged(ws, 0.8, model="gat")
        table = only(ws)
        assert [(row.rank, row.name) for row in table.rows] == [
            (1, "set_01-gat-large"), (2, "set_01-vgae-large"),
        ]  # fmt: skip
        assert means(table) == [0.8, 0.7]
        assert table.rows[0].run_id == best.run_id
        assert [each.mean for each in table.rows[1].scenarios.values() if each] == [0.9, 0.5]

    def test_one_scenario_can_be_ranked_by_the_beginning_of_its_name(self, ws: Workspace) -> None:
        judged(ws, dict(zip(SCENARIOS, (0.9, 0.5), strict=True)), model="vgae")
        judged(ws, 0.8)
        table = only(ws, scenario="test_01")
        assert [row.name for row in table.rows] == ["set_01-vgae-large", "set_01-gat-large"]
        assert [scenario.name for scenario in table.scenarios] == [SCENARIOS[0]]

    def test_seeds_of_one_config_are_averaged_with_an_interval(self, ws: Workspace) -> None:
        scores = [0.8, 0.9, 0.85]
        for seed, score in enumerate(scores):
            judged(ws, score, seed=seed)
        (row,) = only(ws).rows
        expected = estimate(scores)
        assert row.score is not None
        assert row.score.mean == pytest.approx(expected.mean)
        assert (row.score.low, row.score.high) == pytest.approx((expected.low, expected.high))
        assert (row.seeds, row.configs, row.score.n) == (3, 1, 3)
        assert row.scenarios[SCENARIOS[0]] == estimate([0.9, 0.85, 0.8])

    def test_resources_and_citation_make_no_other_config(self, ws: Workspace) -> None:
        judged(ws, 0.8, seed=0)
        judged(ws, 0.9, seed=1, config={"resources.threads": 8, "dataset.citation": "other"})
        judged(ws, 0.7, seed=2, config={"distillation.alpha": 0.1})
        (row,) = only(ws).rows
        assert (row.seeds, row.configs) == (3, 1)

    def test_a_lucky_seed_of_one_config_does_not_join_another(self, ws: Workspace) -> None:
        judged(ws, 0.99, seed=0)
        judged(ws, 0.51, seed=1)
        judged(ws, 0.8, seed=0, config={"model.hidden": 64})
        (row,) = only(ws).rows
        assert row.score == estimate([0.8])
        assert row.configs == 2

    def test_values_that_changed_places_make_another_config(self, ws: Workspace) -> None:
        judged(ws, 0.8, seed=0, config={"model.hidden": 8, "model.readout": 16})
        judged(ws, 0.9, seed=1, config={"model.hidden": 16, "model.readout": 8})
        (row,) = only(ws).rows
        assert (row.seeds, row.configs) == (1, 2)

    def test_a_run_trained_or_judged_again_is_no_further_seed(self, ws: Workspace) -> None:
        judged(ws, 0.1, seed=0)
        again = judged(ws, 0.5, seed=0)
        judge(ws, again, 0.6)
        (row,) = only(ws).rows
        assert (row.seeds, row.score) == (1, estimate([0.6]))

    def test_students_of_teachers_that_differ_in_their_seed_are_of_one_config(
        self, ws: Workspace
    ) -> None:
        for seed in range(2):
            teacher = judged(ws, 0.9, seed=seed)
            judged(ws, 0.8, seed=seed, size="small", teacher=teacher.run_id)
        rows = only(ws).rows
        assert [(row.name, row.seeds) for row in rows] == [
            ("set_01-gat-large", 2), ("set_01-gat-small-kd", 2),
        ]  # fmt: skip

    def test_simulated_and_real_are_never_in_one_table(self, ws: Workspace) -> None:
        judged(ws, 0.5, provenance="real")
        judged(ws, 0.9, provenance="simulated")
        judged(ws, 0.7, provenance="imported")
        found = leaderboard(ws, include_simulated=True)
        assert [table.provenance for table in found.tables] == ["real", "imported", "simulated"]
        assert all(len(table.rows) == 1 for table in found.tables)
        assert all(f"{table.provenance} data" in table.title for table in found.tables)

    def test_simulated_data_is_left_out_unless_asked_for(self, ws: Workspace) -> None:
        judged(ws, 0.5)
        judged(ws, 0.9, provenance="simulated", dataset="made")
        found = leaderboard(ws)
        assert [table.provenance for table in found.tables] == ["real"]
        assert any("1 evaluation of simulated data is left out" in note for note in found.notes)
        assert only(ws, dataset="made").provenance == "simulated"

    def test_other_captures_and_other_windows_have_tables_of_their_own(self, ws: Workspace) -> None:
        judged(ws, 0.5)
        judged(ws, 0.6, dataset_hash="e" * 64)
        judged(ws, 0.7, windows={"windows": 2000})
        assert len(leaderboard(ws).tables) == 3

    def test_the_title_says_what_the_figures_are_of(self, ws: Workspace) -> None:
        judged(ws, 0.5)
        for part in ("set_01", "real", "zero_shot", "test split", "2,000 windows", "2 scenarios"):
            assert part in only(ws).title

    def test_archived_and_removed_runs_are_left_out(self, ws: Workspace) -> None:
        judged(ws, 0.5, model="vgae")
        away, gone = judged(ws, 0.9), judged(ws, 0.8, size="small")
        Journal(ws.journal).append("archived", run_id=away.run_id)
        Journal(ws.journal).append("removed", run_id=gone.run_id, name=gone.name, folder="x")
        assert [row.name for row in only(ws).rows] == ["set_01-vgae-large"]

    def test_an_evaluation_that_failed_does_not_count(self, ws: Workspace) -> None:
        record = trained(ws)
        judge(ws, record, 0.9, state=State.FAILED)
        judge(ws, record, 0.4)
        assert means(only(ws)) == [0.4]

    def test_a_figure_that_is_undefined_in_a_scenario_gives_no_rank(self, ws: Workspace) -> None:
        judged(ws, {SCENARIOS[0]: 0.99, SCENARIOS[1]: None})
        judged(ws, 0.5, model="vgae")
        table = only(ws)
        assert [(row.rank, row.name) for row in table.rows] == [
            (1, "set_01-vgae-large"), (None, "set_01-gat-large"),
        ]  # fmt: skip

    def test_where_lower_is_better_the_lowest_comes_first(self, ws: Workspace) -> None:
        judged(ws, 0.5)
        judged(ws, 0.9, model="vgae")
        found = leaderboard(ws, metric="delay_s")
        assert means(found.tables[0]) == [0.1, 0.5]
        assert any("detected" in note for note in found.notes)

    def test_equal_models_share_a_rank(self, ws: Workspace) -> None:
        for model, score in (("gat", 0.5), ("vgae", 0.5), ("mlp", 0.25)):
            judged(ws, score, model=model)
        assert [row.rank for row in only(ws).rows] == [1, 1, 3]

    def test_costs_are_of_the_best_seeds_evaluation(self, ws: Workspace) -> None:
        judged(ws, 0.5, seed=0, latency_ms=9.0)
        judged(ws, 0.9, seed=1, latency_ms=2.0)
        (row,) = only(ws).rows
        assert (row.parameters, row.checkpoint_bytes, row.latency_ms) == (1000, 4000, 2.0)

    def test_an_attack_type_is_ranked_on_its_captures(self, ws: Workspace) -> None:
        judged(ws, 0.5)
        assert "captures with dos" in only(ws, attack_type="dos").title

    @pytest.mark.parametrize(
        ("asked", "problem", "hint"),
        [
            ({"dataset": "set_02"}, "no evaluation has the dataset 'set_02'", "set_01"),
            ({"protocol": "zeroshot"}, "no evaluation has the protocol", "zero_shot"),
            ({"attack_type": "doss"}, "no evaluation has the attack type", "'dos'"),
            ({"scenario": "test_09"}, "no evaluation has the scenario", SCENARIOS[0]),
            ({"scenario": "test"}, "'test' fits 2 scenarios", SCENARIOS[1]),
            ({"metric": "mcc"}, "no evaluation fits", "kdgat evaluate"),
        ],
    )
    def test_what_does_not_exist_is_told_with_the_nearest(
        self, ws: Workspace, asked: dict[str, Any], problem: str, hint: str
    ) -> None:
        judged(ws, 0.5)
        with pytest.raises(RunError) as caught:
            leaderboard(ws, **asked)
        assert problem in caught.value.problem
        assert hint in caught.value.hint

    def test_nothing_judged_says_what_to_do(self, ws: Workspace) -> None:
        trained(ws)
        with pytest.raises(RunError) as caught:
            leaderboard(ws)
        assert "kdgat evaluate" in caught.value.hint

    def test_only_simulated_says_how_to_see_it(self, ws: Workspace) -> None:
        judged(ws, 0.5, provenance="simulated")
        with pytest.raises(RunError) as caught:
            leaderboard(ws)
        assert "--include-simulated" in caught.value.hint

    def test_short_names_are_used_where_they_tell_scenarios_apart(self) -> None:
        assert short_names(SCENARIOS) == ["test_01", "test_02"]
        assert short_names(["test_01_a", "test_01_b"]) == ["test_01_a", "test_01_b"]
        assert short_names(["city", "motorway"]) == ["city", "motorway"]


def point(run: str, cost: float, score: float) -> Point:
    return Point(run, run, cost, estimate([score]), None)


class TestPareto:
    def test_who_is_beaten_is_told_with_by_whom(self) -> None:
        given = [point("a", 1, 0.5), point("b", 2, 0.7), point("c", 3, 0.6), point("d", 9, 0.7)]
        marked = {each.run_id: each.dominated_by for each in split(METRICS["f1"], given)}
        assert marked == {"a": None, "b": None, "c": "b", "d": "b"}

    def test_equal_models_do_not_beat_each_other(self) -> None:
        given = [point("a", 1, 0.5), point("b", 1, 0.5), point("c", 1, 0.4)]
        marked = {each.run_id: each.dominated_by for each in split(METRICS["f1"], given)}
        assert marked == {"a": None, "b": None, "c": "a"}

    def test_where_lower_is_better_the_front_turns(self) -> None:
        given = [point("a", 1, 9.0), point("b", 2, 5.0), point("c", 3, 7.0)]
        marked = {each.run_id: each.dominated_by for each in split(METRICS["delay_s"], given)}
        assert marked == {"a": None, "b": None, "c": "b"}

    def test_all_recipes_take_part_and_not_only_each_models_best(self, ws: Workspace) -> None:
        judged(ws, 0.6, config={"model.hidden": 8}, parameters=10)
        judged(ws, 0.8, config={"model.hidden": 64}, parameters=100)
        judged(ws, 0.7, config={"model.hidden": 99}, parameters=200)
        (front,) = pareto(ws).fronts
        assert [each.cost for each in front.front] == [10, 100]
        assert [each.dominated_by for each in front.dominated] == [front.front[1].run_id]

    def test_what_tells_namesakes_apart_is_told(self, ws: Workspace) -> None:
        judged(ws, 0.6, config={"model.hidden": 8}, parameters=10)
        judged(ws, 0.7, config={"model.hidden": 16}, parameters=20)
        judged(ws, 0.8, model="vgae", parameters=30)
        (front,) = pareto(ws).fronts
        assert [point.differs for point in front.front] == ["hidden=8", "hidden=16", ""]

    def test_namesakes_with_one_config_are_told_by_their_runs(self, ws: Workspace) -> None:
        one = judged(ws, 0.6, parameters=10, stage_version=1)
        other = judged(ws, 0.7, parameters=20, stage_version=2)
        (front,) = pareto(ws).fronts
        assert [point.run_id for point in front.front] == [one.run_id, other.run_id]
        assert [point.differs for point in front.front] == [
            f"run …{each.run_id[-7:]}" for each in (one, other)
        ]

    def test_latency_of_different_hosts_is_pointed_out(self, ws: Workspace) -> None:
        judged(ws, 0.6, latency_ms=1.0)
        judged(ws, 0.8, latency_ms=2.0, model="vgae", host="node2")
        (front,) = pareto(ws, cost="latency_ms").fronts
        assert "node1, node2" in " ".join(front.cautions)

    def test_simulated_and_real_have_fronts_of_their_own(self, ws: Workspace) -> None:
        judged(ws, 0.6)
        judged(ws, 0.9, provenance="simulated")
        found = pareto(ws, include_simulated=True)
        assert [front.provenance for front in found.fronts] == ["real", "simulated"]
