"""Runs that fit a condition: columns, figures and config by dotted names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kdgat.errors import HistoryError
from kdgat.ops.history import history_compact, history_tables, query_runs
from kdgat.runs.compact import compact
from kdgat.workspace import Workspace
from tests.unit.runs.folders import config, record, run_id, workspace, write_evaluation, write_run


@pytest.fixture(scope="module", params=["fresh", "compacted"])
def ws(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    ws = workspace(tmp_path_factory.mktemp("ws"))
    for number in range(20):
        write_run(ws, number)
    write_evaluation(ws, 50, 3)
    write_evaluation(ws, 60, 3)
    write_evaluation(ws, 70, 4)
    write_evaluation(ws, 80, 4, state="failed")
    if request.param == "compacted":
        compact(ws)
    return ws


def found(ws: Workspace, **question: Any) -> list[str]:
    return [row[0] for row in query_runs(ws, **question).rows]


def test_without_a_condition_the_newest_come_first(ws: Workspace) -> None:
    table = query_runs(ws, limit=3)
    assert [row[0] for row in table.rows] == [run_id(80), run_id(70), run_id(60)]
    assert table.truncated
    assert table.columns[:4] == ("run_id", "name", "stage", "state")


def test_all_that_fit_can_be_counted_whatever_the_limit(ws: Workspace) -> None:
    for where in (None, "dataset = 'hcrl_sa'", "params.model.hidden = 64", "seed < 0"):
        every = query_runs(ws, where=where, limit=99)
        some = query_runs(ws, where=where, limit=2, counted=True)
        assert (some.columns, some.rows) == (every.columns, every.rows[:2])
        assert (some.total, every.total) == (len(every.rows), None)
        assert some.truncated is (len(every.rows) > 2)
    newest = query_runs(ws, order_by="6, 1 desc", limit=3)
    assert query_runs(ws, order_by="6, 1 desc", limit=3, counted=True).rows == newest.rows


def test_columns_of_a_run_can_be_named(ws: Workspace) -> None:
    wanted = [run_id(n) for n in range(19, -1, -1) if record(n)["dataset"] == "hcrl_sa"]
    assert found(ws, where="dataset = 'hcrl_sa' and stage = 'classifier'") == wanted


def test_a_number_of_the_config_is_a_number(ws: Workspace) -> None:
    wanted = [run_id(n) for n in range(19, -1, -1) if config(n)["model"]["hidden"] == 64]
    assert found(ws, where="params.model.hidden = 64 and subject is null") == wanted
    assert found(ws, where="params.model.hidden > 40 and subject is null") == wanted
    table = query_runs(ws, where="params.model.hidden = 64", limit=1)
    assert table.columns[-1] == "params.model.hidden"
    assert table.rows[0][-1] == 64.0


def test_text_of_the_config_is_text(ws: Workspace) -> None:
    wanted = [run_id(n) for n in range(19, -1, -1) if n % 2 == 0]
    condition = "params.training.precision = 'bf16-mixed' and subject is null"
    assert found(ws, where=condition) == wanted
    assert len(found(ws, where="params.data.features like '%entropy%'", limit=99)) == 24


def test_a_figure_of_the_run_itself_comes_first(ws: Workspace) -> None:
    assert found(ws, where="metrics.best_val_loss > 0.3") == [run_id(2), run_id(1), run_id(0)]


def test_a_figure_of_the_newest_completed_evaluation_is_its_mean_over_scenarios(
    ws: Workspace,
) -> None:
    rows = query_runs(ws, where="metrics.f1 is not null", columns=("run_id", "metrics.f1")).rows
    means = {row[0]: row[1] for row in rows}
    assert means == {
        run_id(80): pytest.approx(0.81),
        run_id(70): pytest.approx(0.71),
        run_id(60): pytest.approx(0.61),
        run_id(50): pytest.approx(0.51),
        run_id(4): pytest.approx(0.71),
        run_id(3): pytest.approx(0.61),
    }


def test_a_name_with_other_characters_goes_in_quotes(ws: Workspace) -> None:
    assert len(found(ws, where='metrics."test_01/f1" = 0.5')) == 4


def test_runs_are_ordered_as_asked(ws: Workspace) -> None:
    told = found(
        ws, where="metrics.f1 > 0 and subject is null", order_by="metrics.f1 desc nulls last"
    )
    assert told == [run_id(4), run_id(3)]
    table = query_runs(ws, where="subject is null", order_by="params.seed, run_id desc", limit=2)
    assert [row[0] for row in table.rows] == [run_id(15), run_id(10)]


def test_columns_can_be_chosen_and_computed(ws: Workspace) -> None:
    table = query_runs(
        ws, where="metrics.f1 > 0", limit=1,
        columns=("run_id", "round(metrics.f1, 1) as rounded", "params.model.kind"),
    )  # fmt: skip
    assert table.columns == ("run_id", "rounded", "params.model.kind")
    assert table.rows == ((run_id(80), 0.8, "gat"),)
    assert len(query_runs(ws, columns=("*",), limit=1).columns) == 28


def test_a_condition_can_ask_other_views(ws: Workspace) -> None:
    condition = "run_id in (select run_id from epochs where name = 'val_loss' and value > 0.4)"
    assert len(found(ws, where=condition, limit=99)) == 20


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"where": "metrics.f2 > 0"}, ("metrics.f2", "select distinct name")),
        ({"where": "params.model.hiden = 1"}, ("params.model.hiden", "model.hidden")),
        ({"where": "datset = 'x'"}, ("datset", "dataset")),
        ({"where": "seed ="}, ("SQL", "runs")),
        ({"where": "true; drop view runs"}, ("SQL",)),
        ({"where": "true) union select * from read_text('/etc/passwd') --"}, ("SQL",)),
        ({"where": "name in (select content from read_text('/etc/passwd'))"}, ("read_text",)),
        ({"order_by": "1; copy runs to 'x'"}, ("2 statements",)),
        ({"columns": ("getenv('HOME')",)}, ("getenv",)),
        ({"columns": ("* from duckdb_views --",)}, ("SQL",)),
        ({"where": "params.training.precision > 5"}, ()),
        ({"where": "metrics.f1 > 0 and metrics.f1.deeper > 0"}, ("f1",)),
        ({"limit": 0}, ("0 rows",)),
        ({"timeout_s": float("nan")}, ("nan",)),
    ],
)
def test_a_mistake_is_told(ws: Workspace, question: Any, words: tuple[str, ...]) -> None:
    with pytest.raises(HistoryError) as caught:
        query_runs(ws, **question)
    told = f"{caught.value.problem} {caught.value.hint}"
    assert all(word in told for word in words), told


def test_brackets_that_close_ours_still_ask_nothing_but_runs(ws: Workspace) -> None:
    assert len(found(ws, where="seed = 1) or (1 = 1", limit=99)) == 24


def test_without_any_run_nothing_is_found_and_nothing_is_wrong(tmp_path: Path) -> None:
    empty = workspace(tmp_path)
    assert query_runs(empty, where="metrics.f1 > .9 and params.model.hidden = 32").rows == ()
    assert history_compact(empty).outcome == "nothing to do"


def test_the_views_are_told_with_their_columns(tmp_path: Path) -> None:
    told = {view.name: view for view in history_tables(workspace(tmp_path)).items}
    assert len(told) == 10
    assert all(column.meaning for view in told.values() for column in view.columns)
    assert json.dumps([view.names for view in told.values()])
