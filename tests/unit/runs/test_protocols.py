"""Two protocols, variants of one, and baselines, wherever models are compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdgat.errors import HistoryError, RunError
from kdgat.ledger.scan import run_folders
from kdgat.ops.analytics import compare_runs, effect, leaderboard, pareto
from kdgat.ops.history import query_runs
from kdgat.ops.report import write_report
from kdgat.runs.compact import compact
from kdgat.runs.history import open_history
from kdgat.runs.mirror import _scenario_figures
from kdgat.workspace import Workspace
from tests.unit.runs.judged import SCENARIOS, judge, judged, trained

FIRST, SECOND = SCENARIOS[:2]
BOTH = {"adapted": 0.9}
WINDOWS = {"false_positives": 1, "false_negatives": 1}


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, tmp_path / "home")


class TestTwoProtocols:
    def test_each_has_tables_of_its_own_unless_one_is_asked_for(self, ws: Workspace) -> None:
        judged(ws, 0.5, protocols=BOTH)
        tables = leaderboard(ws).tables
        assert [table.protocol for table in tables] == ["zero_shot", "adapted"]
        assert [table.rows[0].score.mean for table in tables if table.rows[0].score] == [0.5, 0.9]
        assert all(f"{table.protocol} protocol" in table.title for table in tables)
        (only,) = leaderboard(ws, protocol="adapted").tables
        assert only == tables[1]

    def test_a_model_judged_under_one_is_in_its_table_alone(self, ws: Workspace) -> None:
        judged(ws, 0.5)
        judged(ws, 0.6, model="vgae", protocols=BOTH)
        zero_shot, adapted = leaderboard(ws).tables
        assert len(zero_shot.rows) == 2
        assert [row.model for row in adapted.rows] == ["vgae"]

    def test_real_data_comes_first_whatever_the_protocol(self, ws: Workspace) -> None:
        judged(ws, 0.5, protocols=BOTH)
        judged(ws, 0.5, protocols=BOTH, provenance="simulated")
        found = leaderboard(ws, include_simulated=True).tables
        assert [(each.provenance, each.protocol) for each in found] == [
            ("real", "zero_shot"), ("real", "adapted"),
            ("simulated", "zero_shot"), ("simulated", "adapted"),
        ]  # fmt: skip

    def test_one_that_nobody_was_judged_under_is_refused_with_those_there_are(
        self, ws: Workspace
    ) -> None:
        judged(ws, 0.5, protocols=BOTH)
        for ask in (leaderboard, pareto):
            with pytest.raises(RunError) as caught:
                ask(ws, protocol="zeroshot")
            assert "zero_shot" in str(caught.value.hint)
        with pytest.raises(RunError, match="no evaluation has the protocol 'adopted'"):
            compare_runs(ws, runs=("latest", "latest"), protocol="adopted")

    def test_fronts_effects_and_reports_are_of_one_each(self, ws: Workspace) -> None:
        for width, score in ((8, 0.5), (16, 0.6)):
            judged(ws, score, config={"model.hidden": width}, protocols={"adapted": 1 - score})
        fronts = pareto(ws).fronts
        assert ["zero_shot" in fronts[0].title, "adapted" in fronts[1].title] == [True, True]
        means = [value.score.mean for value in effect(ws, "model.hidden").values]
        assert means == [0.5, 0.6]
        other = effect(ws, "model.hidden", protocol="adapted")
        assert [value.score.mean for value in other.values] == [0.5, 0.4]
        assert write_report(ws).models == 2
        page = (ws.home / "reports" / "report.html").read_text()
        assert "set_01, zero_shot" in page
        assert "set_01, adapted" in page
        write_report(ws, protocol="adapted")
        assert "set_01, zero_shot" not in (ws.home / "reports" / "report.html").read_text()

    def test_runs_side_by_side_tell_each_figure_s_protocol_and_windows(self, ws: Workspace) -> None:
        one = judged(ws, 0.5, seed=0, protocols=BOTH)
        two = judged(ws, 0.6, seed=1, protocols={"adapted": 0.8})
        found = compare_runs(ws, runs=(one.run_id, two.run_id))
        assert {row.protocol for row in found.figures if row.scenario} == {"zero_shot", "adapted"}
        assert [(each.protocol, each.windows, each.scenarios) for each in found.tested] == [
            ("zero_shot", 2000, 2), ("adapted", 2000, 2),
        ]  # fmt: skip
        order = [row.protocol for row in found.figures if row.scenario]
        assert list(dict.fromkeys(order)) == ["zero_shot", "adapted"]
        assert order.index("adapted") == order.count("zero_shot")
        alone = compare_runs(ws, runs=(one.run_id, two.run_id), protocol="adapted")
        assert {row.protocol for row in alone.figures} <= {"adapted", None}

    def test_runs_are_found_by_a_figure_under_either(self, ws: Workspace) -> None:
        judged(ws, 0.5, protocols=BOTH)
        columns = ("metrics.f1", "metrics.adapted.f1", "metrics.zero_shot.f1")
        where = "metrics.adapted.f1 > .8 and subject is null"
        assert query_runs(ws, where=where, columns=columns).rows == ((0.5, 0.9, 0.5),)
        with pytest.raises(HistoryError, match=r"no run has 'metrics\.f_one'"):
            query_runs(ws, where="metrics.adapted.f_one > 0")

    def test_the_mirror_tells_them_apart(self, ws: Workspace) -> None:
        record = trained(ws)
        own = judge(ws, record, 0.5, protocols=BOTH, variants={"poisoned": 0.1})
        (folder,) = run_folders(ws.runs, name=own.run_id)
        figures = _scenario_figures(folder, own)
        assert figures[f"zero_shot/{FIRST}/f1"] == 0.5
        assert figures[f"adapted/{FIRST}/f1"] == 0.9
        assert 0.1 not in figures.values()


class TestVariants:
    @pytest.mark.parametrize("compacted", [False, True])
    def test_they_are_in_a_view_of_their_own_and_in_no_other(
        self, ws: Workspace, *, compacted: bool
    ) -> None:
        judged(ws, 0.5, protocols=BOTH, variants={"prefix_5s": 0.7, "poisoned": 0.2})
        if compacted:
            assert compact(ws).runs == 2
        with open_history(ws) as history:
            sql = "select variant, protocol, avg(value), count(*) from {} where name = 'f1'"
            sql += " and attack_type = 'all' group by all order by all"
            told = history.query(sql.format("variants")).rows
            assert told == (
                ("poisoned", "adapted", 0.2, 2), ("prefix_5s", "adapted", 0.7, 2),
            )  # fmt: skip
            values = "select distinct value from metrics where name = 'f1' order by 1"
            assert history.query(values).rows == ((0.5,), (0.9,))
        assert [table.rows[0].score.mean for table in leaderboard(ws).tables
                if table.rows[0].score] == [0.5, 0.9]  # fmt: skip

    def test_a_report_that_knew_no_variants_has_headlines(self, ws: Workspace) -> None:
        record = judge(ws, trained(ws), 0.5)
        (folder,) = run_folders(ws.runs, name=record.run_id)
        path = folder.artifacts / "evaluation.json"
        report = json.loads(path.read_text())
        for row in report["scenarios"]:
            del row["variant"]
        path.write_text(json.dumps(report))
        assert len(leaderboard(ws).tables) == 1
        with open_history(ws) as history:
            assert history.query("select * from variants").rows == ()


class TestBaselines:
    def test_each_scenario_in_which_one_is_ahead_is_told(self, ws: Workspace) -> None:
        wrong = {"false_positives": 3, "false_negatives": 4}
        for seed in range(2):
            judged(ws, {FIRST: 0.8, SECOND: 0.9}, seed=seed, windows={**WINDOWS, **wrong})
            judged(
                ws, {FIRST: 0.95 + seed / 100, SECOND: 0.85}, seed=seed, model="profile",
                windows=WINDOWS,
            )  # fmt: skip
        judged(ws, 0.1, model="vgae", windows=WINDOWS)
        (table,) = leaderboard(ws).tables
        assert [(each.scenario, each.baseline, each.model) for each in table.beaten] == [
            (FIRST, "set_01-profile-large", "set_01-gat-large"),
            (None, "set_01-profile-large", "set_01-gat-large"),
        ]  # fmt: skip
        first = table.beaten[0]
        assert (first.score.mean, first.score.n) == (pytest.approx(0.955), 2)
        assert (first.wrong, first.model_wrong) == (2.0, 7.0)
        words = first.words("f1")
        for part in ("the baseline set_01-profile-large", "0.9550", "2 seeds", "2 windows wrong",
                     "against 0.8000", "7 windows wrong", "of set_01-gat-large"):  # fmt: skip
            assert part in words

    def test_where_lower_is_better_the_lower_one_is_ahead(self, ws: Workspace) -> None:
        judged(ws, 0.5)
        judged(ws, 0.9, model="id_frequency")
        (table,) = leaderboard(ws, metric="delay_s").tables
        assert [each.baseline for each in table.beaten] == ["set_01-id_frequency-large"] * 3

    def test_nothing_is_told_where_none_is_ahead_or_there_is_no_graph_model(
        self, ws: Workspace
    ) -> None:
        judged(ws, 0.9, model="mlp")
        assert leaderboard(ws).tables[0].beaten == ()
        judged(ws, 0.9)
        assert leaderboard(ws).tables[0].beaten == ()

    def test_a_protocol_s_table_tells_of_its_own_alone(self, ws: Workspace) -> None:
        judged(ws, 0.5, protocols={"adapted": 0.5})
        judged(ws, 0.4, model="gradient_boosting", protocols={"adapted": 0.9})
        zero_shot, adapted = leaderboard(ws).tables
        assert zero_shot.beaten == ()
        assert len(adapted.beaten) == 3

    def test_a_report_says_so_too(self, ws: Workspace) -> None:
        judged(ws, 0.5)
        judged(ws, 0.9, model="profile")
        write_report(ws)
        assert "Baseline ahead." in (ws.home / "reports" / "report.html").read_text()


class TestRecipes:
    def test_fusions_of_equally_trained_models_are_seeds_of_one_recipe(self, ws: Workspace) -> None:
        for seed in range(3):
            weighed = [judged(ws, 0.5, seed=seed, model=kind).run_id for kind in ("gat", "vgae")]
            judged(
                ws, 0.8 + seed / 100, seed=seed, model="fusion", scorers=tuple(weighed),
                config={"model.scorers": weighed},
            )  # fmt: skip
        (table,) = leaderboard(ws).tables
        (fusion,) = [row for row in table.rows if row.model == "fusion"]
        assert (fusion.seeds, fusion.configs) == (3, 1)

    def test_fusions_of_otherwise_trained_models_are_not(self, ws: Workspace) -> None:
        for seed, width in ((0, 8), (1, 16)):
            weighed = judged(ws, 0.5, seed=seed, config={"model.hidden": width}).run_id
            judged(ws, 0.8, seed=seed, model="fusion", config={"model.scorers": [weighed]})
        (table,) = leaderboard(ws).tables
        (fusion,) = [row for row in table.rows if row.model == "fusion"]
        assert (fusion.seeds, fusion.configs) == (1, 2)

    def test_they_are_paired_seed_by_seed(self, ws: Workspace) -> None:
        for seed in range(3):
            weighed = [judged(ws, 0.5, seed=seed).run_id]
            for width in (8, 16):
                judged(
                    ws, 0.6 + width / 100, seed=seed, model="fusion",
                    config={"model.scorers": weighed, "model.hidden": width},
                )  # fmt: skip
        (pair,) = effect(ws, "model.hidden", where=("model=fusion",)).paired
        assert (pair.pairs, pair.recipes, pair.by_seed) == (3, 1, True)

    def test_how_a_run_is_to_be_judged_is_no_part_of_what_it_is(self, ws: Workspace) -> None:
        for seed, alpha in ((0, 0.005), (1, 0.01)):
            judged(ws, 0.5, seed=seed, config={"evaluation.alpha": alpha})
        (row,) = leaderboard(ws).tables[0].rows
        assert (row.seeds, row.configs) == (2, 1)

    def test_thresholds_that_were_set_in_several_ways_are_told(self, ws: Workspace) -> None:
        judged(ws, 0.5)
        assert not any("thresholds" in note for note in leaderboard(ws).notes)
        judge(ws, trained(ws, model="vgae"), 0.6, config={"evaluation.threshold": "conformal"})
        (note,) = [note for note in leaderboard(ws).notes if "thresholds" in note]
        assert "evaluation.threshold=conformal" in note
