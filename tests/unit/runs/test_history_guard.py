"""What users and agents may ask of the history, and everything else that they may not."""

from __future__ import annotations

import os
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.errors import HistoryError
from kdgat.ledger.journal import Journal
from kdgat.runs.compact import compact
from kdgat.runs.database import database_of
from kdgat.runs.functions import FUNCTIONS, TABLE_FUNCTIONS
from kdgat.runs.guard import guarded
from kdgat.runs.history import open_history, user_query
from kdgat.runs.views import VIEWS
from kdgat.workspace import Workspace
from tests.unit.runs.folders import run_id, workspace, write_evaluation, write_run


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Runs compacted and fresh, and one that was removed."""
    ws = workspace(tmp_path_factory.mktemp("ws"))
    for number in range(20):
        write_run(ws, number)
    compact(ws)
    write_run(ws, 30)
    write_evaluation(ws, 31, 1)
    Journal(ws.journal).append("removed", run_id=run_id(19), name="x", folder="y")
    (ws.root / "secret.csv").write_text("secret\n1\n")
    return ws


ANSWERED = [
    "select count(*) from runs",
    "select count(*) from RUNS;",
    "  -- a comment\nselect 1 /* another */",
    "with q as (select * from runs) select count(*) from q",
    "with q as (select 1 as a), p as (select a from q) select * from p, q",
    "with recursive t as (select 1 as a union all select a + 1 from t where a < 5) from t",
    "with runs as (select 1 as one) select one from runs",
    "from runs select run_id order by all limit 1",
    "table models",
    "values (1), (2)",
    "describe runs",
    "describe select run_id from runs",
    "summarize metrics",
    "show runs",
    "show tables",
    "explain select * from runs",
    "select run_id, max(value) from metrics where name = 'f1' group by run_id order by 2 desc",
    "select m.scenario, avg(m.value) from metrics m join runs r using (run_id) group by all",
    "select stage, count(*) filter (where state = 'completed') from runs group by rollup (stage)",
    "select lag(value) over w from epochs window w as (partition by run_id order by epoch)",
    "select run_id from runs where run_id not in (select run_id from metrics) limit 3",
    "select run_id from runs union select run_id from params except select 'x' order by 1",
    "select name, [x * 2 for x in [1, 2]], {'a': 1}.a, seed % 2, -seed, 2 ** 3 from runs limit 1",
    "select quantile_cont(value, 0.5), string_agg(distinct name, ',') from metrics",
    "select case when seed > 1 then 'a' else 'b' end, seed::double, created_at + interval 1 day, "
    "extract(year from created_at), date_trunc('day', created_at), name ilike '%GAT%', "
    "seed between 1 and 2, coalesce(reason, 'none'), archived is not true from runs",
    "select * exclude (reason) replace (upper(name) as name) from runs limit 1",
    "select columns('.*_at') from runs limit 1",
    "select json_extract_string(tags, '$.teacher') from models",
    "select * from runs asof join epochs on runs.run_id = epochs.run_id and created_at >= time",
    "select * from range(3) r(i), lateral (select i + 1), unnest([1, 2]) u(v)",
    "select distinct on (dataset) dataset, run_id from runs order by run_id",
    "select 1 from runs qualify row_number() over (order by run_id) = 1",
    "select 1" + " + 1" * 200,
    "select " + "(" * 100 + "1" + ")" * 100,
    "select now()::timestamp, current_date",
    "unpivot (select run_id, seed, attempts from runs) on seed, attempts into name what value n",
]
READS_FILES = [
    "select * from '/etc/passwd'",
    'select * from "/etc/passwd"',
    "select * from '/etc/passwd.csv'",
    "from read_csv('/etc/passwd')",
    "from read_text('/etc/passwd')",
    "from read_blob('/etc/passwd')",
    "from read_json('/etc/passwd')",
    "from read_parquet('*')",
    "from parquet_scan('*')",
    "from parquet_metadata('*')",
    "from sniff_csv('/etc/passwd')",
    "from glob('/etc/*')",
    "from main.read_text('/etc/passwd')",
    "from system.main.read_text('/etc/passwd')",
    "select content from read_text('/etc/passwd')",
    "select (select content from read_text('/etc/passwd'))",
    "select 1 from runs where name in (select content from read_text('/etc/passwd'))",
    "with a as (from read_text('/etc/passwd')) from a",
    "with runs as (from read_text('/etc/passwd')) from runs",
    "select 1 union all select length(content) from read_text('/etc/passwd')",
    "from runs, lateral (from read_text('/etc/passwd'))",
    "from runs left join read_text('/etc/passwd') t on true",
    "select exists (from read_text('/etc/passwd'))",
    "select list_transform([1], lambda x: (select content from read_text('/etc/passwd')))",
    "describe (from read_text('/etc/passwd'))",
    "summarize (from read_text('/etc/passwd'))",
    "explain from read_text('/etc/passwd')",
    "from query('from read_text(''/etc/passwd'')')",
    "from query_table('/etc/passwd')",
    "select json_execute_serialized_sql('x')",
    "from (unpivot (from read_text('/etc/passwd')) on content into name n value v)",
    "select 1 order by (select content from read_text('/etc/passwd'))",
    "select 1 limit (select length(content) from read_text('/etc/passwd'))",
]
ACTS = [
    "copy runs to 'out.csv'",
    "copy (select 1) to 'out.csv'",
    "copy runs from '/etc/passwd'",
    "attach 'other.db'",
    "attach ':memory:' as other",
    "detach memory",
    "use memory",
    "install httpfs",
    "load httpfs",
    "set threads = 1",
    "set enable_external_access = true",
    "reset threads",
    "pragma version",
    "pragma database_list",
    "call pragma_version()",
    "create table t as select 1",
    "create view t as select 1",
    "create macro f() as 1",
    "create secret s (type s3)",
    "drop view runs",
    "alter table runs add column x int",
    "insert into runs select * from runs",
    "update runs set name = 'x'",
    "delete from runs",
    "truncate runs",
    "merge into runs using runs r on true when matched then delete",
    "export database 'out'",
    "import database 'out'",
    "vacuum",
    "checkpoint",
    "analyze",
    "begin",
    "commit",
    "prepare p as select 1",
    "execute p",
    "comment on view runs is 'x'",
    "explain analyze select 1",
    "explain copy runs to 'out.csv'",
    "explain explain select 1",
    "with t as (delete from runs returning *) from t",
    "select nextval('s')",
    "select setseed(0.5)",
    "select sleep_ms(100000)",
    "select pg_sleep(100)",
    "select write_log('x')",
    "select error('x')",
]
TELLS_TOO_MUCH = [
    "select getenv('HOME')",
    "select current_setting('temp_directory')",
    "select getvariable('x')",
    "select version()",
    "select current_database()",
    "select current_query()",
    "select user()",
    "from duckdb_settings()",
    "from duckdb_views()",
    "from duckdb_views",
    "from duckdb_functions()",
    "from duckdb_secrets()",
    "from duckdb_logs",
    "from pragma_database_list",
    "from pragma_table_info('runs')",
    "from information_schema.tables",
    "from pg_catalog.pg_views",
    "from pg_views",
    "from sqlite_master",
    "from main.runs",
    "from temp.runs",
    "from memory.main.runs",
    "from _runs",
    'from "_runs"',
    "describe _runs",
    "show databases",
    "show all settings",
    "with a as (from duckdb_views), duckdb_views as (select 1) from a",
    "with duckdb_views as (from duckdb_views) from duckdb_views",
    "with a as (from _runs), _runs as (select 1) from a",
    "with a as (from b), b as (select 1) from a",
    "from (with q as (select 1) from q), q",
    "select * from runs at (version => 1)",
    "select ?",
    "select $1",
    "select $name",
]
MANY = [
    "select 1; select 2",
    "select 1; drop view runs",
    "select 1;; copy runs to 'x'",
    "select 1 /* ; */ ; /* */ copy runs to 'x'",
]
NONE = ["", "   ", ";", "-- only a comment", "/* open", "select", "selct 1", "select 'open", "☃",
        "select 1\x00", "select '\ud800'", "select " + "x" * 30_000]  # fmt: skip


@pytest.mark.parametrize("sql", ANSWERED)
def test_a_question_of_the_views_is_answered(ws: Workspace, sql: str) -> None:
    user_query(ws, sql)


@pytest.mark.parametrize("sql", [*READS_FILES, *ACTS, *TELLS_TOO_MUCH, *MANY, *NONE])
def test_everything_else_is_refused_with_a_hint(
    ws: Workspace, sql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HistoryError) as caught:
        user_query(ws, sql)
    assert caught.value.problem
    assert any(view in caught.value.hint for view in VIEWS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sql", [*READS_FILES, *ACTS, *TELLS_TOO_MUCH, *MANY])
def test_a_refusal_is_told_in_one_sentence_without_a_path_of_ours(ws: Workspace, sql: str) -> None:
    with pytest.raises(HistoryError) as caught:
        guarded(sql)
    assert "\n" not in caught.value.problem
    assert str(ws.home) not in caught.value.problem + caught.value.hint


FILE_READERS = [
    "from read_text('/etc/passwd')",
    "from read_csv('{root}/secret.csv')",
    "from '{root}/secret.csv'",
    "from read_text('{root}/home/journal/*')",
    "from glob('/etc/*')",
    "copy (select 1) to '{root}/out.csv'",
    "attach '{root}/out.db'",
    "export database '{root}/out'",
    "install httpfs",
    "load httpfs",
    "set enable_external_access = true",
    "set allowed_directories = ['/']",
    "set allowed_paths = ['/etc/passwd']",
    "reset enable_external_access",
    "set temp_directory = '/tmp'",
    "set memory_limit = '100GB'",
    "set lock_configuration = false",
    "pragma enable_external_access",
]


@pytest.mark.parametrize("sql", FILE_READERS)
def test_the_database_behind_is_closed_too(ws: Workspace, sql: str) -> None:
    with open_history(ws) as history:
        history.query("select * from runs limit 1")
        with pytest.raises(HistoryError):
            history.query(sql.format(root=ws.root))
    assert not list(ws.root.glob("out*"))


def test_python_variables_are_no_tables(ws: Workspace) -> None:
    import pyarrow as pa

    secret = pa.table({"x": [1]})
    with pytest.raises(HistoryError):
        user_query(ws, "select * from secret")
    with database_of([], 64).connection() as database, pytest.raises(duckdb.Error):
        database.execute("select * from secret")
    assert len(secret) == 1


def test_runs_that_were_removed_can_not_be_asked_for(ws: Workspace) -> None:
    for view in ("runs", "params", "metrics", "epochs"):
        found = user_query(ws, f"select count(*) from {view} where run_id = '{run_id(19)}'")
        assert found.rows == ((0,),)


class TestLimits:
    def test_ten_million_rows_are_cut_and_that_is_said(self, ws: Workspace) -> None:
        table = user_query(ws, "select * from range(10000000)")
        assert len(table.rows) == 1000
        assert table.truncated

    def test_just_enough_rows_are_not_called_cut(self, ws: Workspace) -> None:
        assert not user_query(ws, "select * from range(7)", max_rows=7).truncated
        assert user_query(ws, "select * from range(8)", max_rows=7).truncated

    def test_rows_without_end_are_cut(self, ws: Workspace) -> None:
        endless = "with recursive t as (select 1 as a union all select a + 1 from t) from t"
        assert user_query(ws, endless, max_rows=10, timeout_s=20).truncated

    @pytest.mark.parametrize(
        "sql",
        [
            "select count(*) from range(10000000) a, range(10000000) b",
            "select count(*) from epochs a, epochs b, epochs c, epochs d, epochs e, epochs f",
            "with recursive t as (select 1 a union all select a + 1 from t) select count(*) from t",
            "select sum(hash(a || b)) from range(1000000) x(a), range(1000000) y(b)",
        ],
    )
    def test_a_runaway_is_cut_off_with_a_sentence(self, ws: Workspace, sql: str) -> None:
        with pytest.raises(HistoryError) as caught:
            user_query(ws, sql, timeout_s=0.5)
        assert "0.5 s" in caught.value.problem or "memory" in caught.value.problem

    def test_memory_is_limited_and_nothing_spills(
        self, ws: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(HistoryError, match="memory"):
            user_query(ws, "select a.* from range(30000000) a order by hash(range), 1",
                       memory_mb=64, timeout_s=60)  # fmt: skip
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        "sql",
        [
            "select repeat('x', 1000000000)",
            "select unnest(range(1000000000))",
            "select lpad('x', 1000000000, 'y')",
            "select list_resize([1], 1000000000)",
            "select format('{:1000000000}', 1)",
            "select printf('%1000000000d', 1)",
            "select bitstring('1', 1000000000)",
            "select bar(1, 0, 1, 1000000000)",
        ],
    )
    def test_what_makes_much_of_little_at_once_is_refused(self, ws: Workspace, sql: str) -> None:
        with pytest.raises(HistoryError, match="refused"):
            user_query(ws, sql)

    def test_long_text_is_cut_and_that_is_said(self, ws: Workspace) -> None:
        table = user_query(
            ws, "select string_agg(name, ',') as t from params, range(30000)", max_rows=5
        )
        assert len(table.rows[0][0]) <= 4_000_000
        assert table.truncated

    def test_the_next_question_is_answered_after_one_was_cut_off(self, ws: Workspace) -> None:
        with pytest.raises(HistoryError):
            user_query(
                ws, "select count(*) from range(10000000) a, range(10000000) b", timeout_s=0.2
            )
        assert user_query(ws, "select 1").rows == ((1,),)


def test_answers_are_plain_values_with_times_as_text(ws: Workspace) -> None:
    table = user_query(
        ws,
        "select timestamp '2026-11-01 10:00:00', date '2026-11-01', 1.5::decimal(3, 1), "
        "[1, 2], {'a': date '2026-11-01'}, null, true, uuid() is not null, interval 1 day",
    )
    moment, day, amount, numbers, mapping, *rest = table.rows[0]
    assert (moment, day, amount) == ("2026-11-01T10:00:00", "2026-11-01", "1.5")
    assert (numbers, mapping) == ([1, 2], {"a": "2026-11-01"})
    assert rest[:3] == [None, True, True]


def test_a_time_with_a_zone_is_told_how_to_be_asked_for(ws: Workspace) -> None:
    with pytest.raises(HistoryError) as caught:
        user_query(ws, "select now()")
    assert "::timestamp" in caught.value.hint


def test_a_misspelt_view_is_told_the_near_one(ws: Workspace) -> None:
    with pytest.raises(HistoryError) as caught:
        user_query(ws, "select * from metric")
    assert caught.value.hint == "did you mean 'metrics'?"


def test_show_tables_lists_the_views_and_nothing_else(ws: Workspace) -> None:
    assert [row[0] for row in user_query(ws, "SHOW TABLES;").rows] == list(VIEWS)


def test_an_explanation_names_no_file(ws: Workspace) -> None:
    told = str(user_query(ws, "explain select * from runs join metrics using (run_id)").rows)
    assert "parquet'" not in told
    assert str(ws.root) not in told


def test_folders_that_are_not_whole_are_told_beside_the_answer(tmp_path: Path) -> None:
    ws = workspace(tmp_path)
    write_run(ws, 1)
    (write_run(ws, 2) / "run.json").write_text("{")
    table = user_query(ws, "select run_id from runs")
    assert table.rows == ((run_id(1),),)
    assert "kdgat runs repair" in table.warnings[0]


def test_no_function_that_acts_or_tells_of_the_process_is_allowed() -> None:
    """Asked of DuckDB itself, so that a new version that adds one fails here."""
    with duckdb.connect() as database:
        acting = database.execute(
            "select distinct lower(function_name) from duckdb_functions() where has_side_effects"
        ).fetchall()
        tables = database.execute(
            "select distinct lower(function_name) from duckdb_functions() "
            "where function_type in ('table', 'table_macro', 'pragma')"
        ).fetchall()
    harmless = {"uuid", "gen_random_uuid", "random"}
    assert not {name for (name,) in acting} & (FUNCTIONS - harmless)
    assert not {name for (name,) in tables} & (FUNCTIONS - {"histogram", "unnest"})
    assert {name for (name,) in tables} >= TABLE_FUNCTIONS


PIECES = st.sampled_from([
    "select", "from", "runs", "metrics", "(", ")", "*", ",", "where", "read_text", "'/etc/passwd'",
    "with", "as", "q", "union", "all", "1", "=", "duckdb_views", "_runs", "join", "using", ";",
    "describe", "explain", "lateral", "pivot", "on", "run_id", "copy", "to", "order by", "limit",
    "read_csv('/etc/passwd')", "query('select 1')", "main.", "in", "exists", "values", "x", "::",
])  # fmt: skip


@given(words=st.lists(PIECES, min_size=2, max_size=14))
@settings(max_examples=400)
def test_no_mixture_of_words_reads_what_it_should_not(ws: Workspace, words: list[str]) -> None:
    sql = " ".join(words)
    try:
        table = user_query(ws, sql, max_rows=50)
    except HistoryError:
        return
    assert "root:" not in str(table.rows)
    assert str(ws.home) not in str(table.rows)
    assert os.sep + "parts" not in str(table.rows)
