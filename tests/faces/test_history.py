"""`kdgat history ...` and `kdgat runs query`, as a person or a pipe meets them."""

from __future__ import annotations

import pytest

from tests.faces.conftest import Command, Tiny


def test_sql_prints_a_table_or_json(trained: Tiny, kdgat: Command) -> None:
    statement = "select run_id, stage from runs order by run_id"
    said = kdgat("history", "sql", statement)
    assert said.code == 0
    assert trained.teacher in said.out
    told = kdgat("history", "sql", statement, "--json").json
    assert told["columns"] == ["run_id", "stage"]
    assert told["rows"][0] == [trained.teacher, "classifier"]
    assert told["truncated"] is False


def test_sql_says_when_there_is_more(trained: Tiny, kdgat: Command) -> None:
    said = kdgat("history", "sql", "select * from range(10)", "--max-rows", 3)
    assert "there are more" in said.out
    assert kdgat("history", "sql", "from range(10)", "--max-rows", 3, "--json").json["truncated"]


@pytest.mark.parametrize(
    "statement",
    ["select * from read_csv('/etc/passwd')", "copy runs to 'x'", "attach 'x'", "install httpfs",
     "set threads = 1", "select 1; select 2", "selct 1", "select * from '/etc/passwd'"],
)  # fmt: skip
def test_sql_that_does_more_than_ask_is_refused(
    empty: Tiny, kdgat: Command, statement: str
) -> None:
    kdgat("history", "sql", statement).mistake("views are" if "from '" in statement else "SELECT")
    assert not (empty.root / "x").exists()


def test_a_runaway_is_cut_off(empty: Tiny, kdgat: Command) -> None:
    endless = "select count(*) from range(10000000) a, range(10000000) b"
    kdgat("history", "sql", endless, "--timeout-s", 0.5).mistake("0.5 s", "LIMIT")


def test_tables_tells_every_view(empty: Tiny, kdgat: Command) -> None:
    said = kdgat("history", "tables")
    assert "runs: one row a run" in said.out
    names = [view["name"] for view in kdgat("history", "tables", "--json").json["items"]]
    assert names[:4] == ["runs", "params", "metrics", "epochs"]


def test_compact_foretells_and_does(trained: Tiny, kdgat: Command) -> None:
    assert kdgat("history", "compact", "--dry-run", "--json").json["outcome"] == "would compact"
    assert not (trained.home / "history").exists()
    assert "compacted" in kdgat("history", "compact").out
    assert kdgat("history", "compact", "--json").json["outcome"] == "nothing to do"
    assert trained.leftovers() == []


def test_query_finds_runs_by_figures_and_config(trained: Tiny, kdgat: Command) -> None:
    condition = "metrics.f1 >= 0 and params.model.hidden = 4 and stage = 'classifier'"
    told = kdgat("runs", "query", "--where", condition, "--json").json
    assert [row[0] for row in told["rows"]] == [trained.teacher]
    assert told["columns"][-2:] == ["metrics.f1", "params.model.hidden"]
    said = kdgat("runs", "query", "--order-by", "run_id", "--columns", "run_id, round(seed, 1)")
    assert trained.teacher in said.out


def test_whole_numbers_are_shown_without_decimals_and_others_with(
    trained: Tiny, kdgat: Command
) -> None:
    names = "run_id, params.model.hidden, params.training.learning_rate"
    said = kdgat("runs", "query", "--columns", names, "--where", "stage = 'classifier'")
    row = next(line for line in said.out.splitlines() if trained.teacher in line)
    assert row.split()[:2] == [trained.teacher, "4"]
    assert "." in row.split()[2]
    mixed = kdgat("history", "sql", "select * from (values (1.5, 3.0::double, 1), (2, 'nan', 2))")
    assert [line.split() for line in mixed.out.splitlines()[-3:-1]] == [
        ["1.5", "3.0000", "1"],
        ["2.0", "nan", "2"],
    ]
    told = kdgat("history", "sql", "select 3.0::double, null::double union all select 4, null")
    assert [line.split() for line in told.out.splitlines()[-3:-1]] == [["3", "-"], ["4", "-"]]


def test_query_tells_a_mistake(trained: Tiny, kdgat: Command) -> None:
    kdgat("runs", "query", "--where", "metrics.f_one > 1").mistake("metrics.f_one")
    kdgat("runs", "query", "--where", "nonsense = 1").mistake("nonsense", "params.NAME")


def test_a_broken_folder_breaks_no_question(trained: Tiny, kdgat: Command) -> None:
    (trained.run(trained.student) / "run.json").write_text("{")
    said = kdgat("runs", "query", "--limit", 9)
    assert said.code == 0
    assert trained.teacher in said.out
    assert "runs repair" in said.out
