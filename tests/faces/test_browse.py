"""`kdgat history export` and `browse`: the SQLite copy, and the real Datasette on it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from kdgat.ledger.states import State
from kdgat.runs.browsing import READY, TABLES
from kdgat.workspace import Workspace
from tests.faces.conftest import Command, Tiny
from tests.unit.runs.judged import judged, trained


@pytest.fixture
def swept(empty: Tiny) -> Tiny:
    """Two configs of two seeds on real data, a simulated model, and a run that failed."""
    ws = Workspace(root=empty.root, home=empty.home)
    for hidden, base in ((16, 0.6), (32, 0.7)):
        for seed in range(2):
            config = {"model.hidden": hidden}
            judged(ws, base + seed / 100, seed=seed, config=config, protocols={"adapted": 0.9})
    judged(ws, 0.9, provenance="simulated", dataset="made")
    trained(ws, state=State.FAILED, reason="the GPU fell off", seed=9)
    return empty


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return database.execute(sql).fetchall()


class TestTheCopy:
    def test_has_the_rows_of_every_view(self, swept: Tiny, kdgat: Command) -> None:
        done = kdgat("history", "export", "--sqlite", "runs.sqlite", "--json").json
        path = swept.root / "runs.sqlite"
        assert (done["path"], done["metadata"]) == ("runs.sqlite", "runs.metadata.json")
        assert done["size_bytes"] == path.stat().st_size
        for view in ("runs", "params", "metrics", "epochs", "variants", "datasets", "models"):
            told = kdgat("history", "sql", f"select count(*) from {view}", "--json").json
            assert rows(path, f"select count(*) from {view}") == [tuple(told["rows"][0])]
            assert done["rows"][view] == told["rows"][0][0]
        asked = "select run_id, stage, seed, duration_s, archived from runs order by run_id"
        told = kdgat("history", "sql", asked, "--json").json["rows"]
        assert rows(path, asked) == [tuple(row) for row in told]
        assert swept.leftovers() == list(swept.root.glob(".partial-*")) == []

    def test_ranks_as_the_leaderboard_does(self, swept: Tiny, kdgat: Command) -> None:
        kdgat("history", "export", "--sqlite", "runs.sqlite")
        tables = kdgat("leaderboard", "--include-simulated", "--json").json["tables"]
        ranked = [
            (table["title"], row["rank"], row["name"], row["score"]["mean"], row["run_id"])
            for table in tables
            for row in table["rows"]
        ]
        found = rows(
            swept.root / "runs.sqlite", "select title, rank, name, f1, run_id from leaderboard"
        )
        assert len(ranked) == 3
        assert sorted(found) == sorted(ranked)

    def test_has_views_for_what_is_asked_often(self, swept: Tiny, kdgat: Command) -> None:
        kdgat("history", "export", "--sqlite", "runs.sqlite")
        path = swept.root / "runs.sqlite"
        for ready in READY:
            with closing(sqlite3.connect(path)) as database:
                names = [
                    each[0] for each in database.execute(f"select * from {ready.name}").description
                ]
            assert names == [column.name for column in ready.columns]
        failed = rows(path, "select state, reason, epochs from failures")
        assert failed == [("failed", "the GPU fell off", 3)]
        latest = rows(path, "select run_id from latest_runs")
        assert latest == sorted(latest, reverse=True)
        assert len(latest) == 11
        assert rows(path, "select f1, protocol from evaluations where f1 > .89 limit 1")

    def test_joins_hold_and_times_are_text(self, swept: Tiny, kdgat: Command) -> None:
        kdgat("history", "export", "--sqlite", "runs.sqlite")
        path = swept.root / "runs.sqlite"
        assert rows(
            path,
            "select count(*) from metrics left join runs using (run_id) where runs.run_id is null",
        ) == [(0,)]
        assert re.fullmatch(
            r"2026-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", rows(path, "select started_at from runs")[0][0]
        )
        assert rows(path, "select title from figures where name = 'f1'") == [("F1",)]
        assert rows(path, "pragma integrity_check") == [("ok",)]

    def test_is_told_of_by_its_metadata(self, swept: Tiny, kdgat: Command) -> None:
        kdgat("history", "export", "--sqlite", "runs.sqlite")
        told = json.loads((swept.root / "runs.metadata.json").read_text())["databases"]["runs"]
        assert set(told["tables"]) == {each.name for each in (*TABLES, *READY)}
        for each in (*TABLES, *READY):
            about = told["tables"][each.name]
            assert about["description"].endswith(".")
            assert set(about["columns"]) == {column.name for column in each.columns}
        runs = told["tables"]["runs"]["columns"]
        assert runs["duration_s"] == "seconds from its first start to its end (s)"
        assert told["tables"]["standings"]["columns"]["checkpoint_bytes"].endswith("(bytes)")

    def test_of_an_empty_history_has_every_table(self, empty: Tiny, kdgat: Command) -> None:
        assert "leaderboard" in kdgat("history", "export", "--sqlite", "runs.sqlite").out
        assert rows(empty.root / "runs.sqlite", "select count(*) from leaderboard") == [(0,)]


class TestWhatIsThere:
    def test_an_export_is_replaced(self, empty: Tiny, kdgat: Command) -> None:
        words = ("history", "export", "--sqlite", "runs.sqlite")
        assert kdgat(*words).code == 0
        judged(Workspace(empty.root, empty.home), 0.5)
        assert kdgat(*words).code == 0
        assert rows(empty.root / "runs.sqlite", "select count(*) from runs") == [(2,)]

    @pytest.mark.parametrize("name", ["runs.sqlite", "runs.metadata.json"])
    def test_anything_else_is_not_unless_forced(
        self, empty: Tiny, kdgat: Command, name: str
    ) -> None:
        (empty.root / name).write_text("precious")
        words = ("history", "export", "--sqlite", "runs.sqlite")
        kdgat(*words).mistake(name, "--force")
        assert (empty.root / name).read_text() == "precious"
        assert kdgat(*words, "--force").code == 0
        assert (empty.root / name).read_text(errors="replace") != "precious"

    def test_a_database_of_somebody_else_is_not(self, empty: Tiny, kdgat: Command) -> None:
        with closing(sqlite3.connect(empty.root / "runs.sqlite")) as database:
            database.execute("create table precious (x)")
        kdgat("history", "export", "--sqlite", "runs.sqlite").mistake("runs.sqlite", "--force")
        assert rows(empty.root / "runs.sqlite", "select name from sqlite_schema") == [("precious",)]

    @pytest.mark.usefixtures("empty")
    def test_a_folder_is_refused_whatever_is_said(self, kdgat: Command) -> None:
        kdgat("history", "export", "--sqlite", ".", "--force").mistake("folder", "history.sqlite")

    @pytest.mark.usefixtures("empty")
    def test_a_full_disk_leaves_nothing(self, kdgat: Command, small_disk: Any) -> None:
        disk = small_disk("size=16k")
        kdgat("history", "export", "--sqlite", disk / "runs.sqlite").mistake("runs.sqlite")
        assert list(disk.iterdir()) == []


@contextmanager
def served(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`kdgat history browse` as a process of its own, and its address."""
    command = [sys.executable, "-W", "ignore", "-m", "kdgat.cli.main", "history", "browse"]
    process = subprocess.Popen(
        [*command, "--no-open", "--port", "0", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ),
    )  # fmt: skip
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        match = re.match(r"http://127\.0\.0\.1:\d+/", line)
        assert match, line + process.communicate()[1]
        yield process, match[0]
    finally:
        process.kill()
        process.communicate()


def get(address: str, **headers: str) -> Any:
    request = urllib.request.Request(address, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.mark.slow
class TestDatasette:
    @pytest.mark.usefixtures("swept")
    def test_answers_with_the_runs_and_what_they_mean(self) -> None:
        pytest.importorskip("datasette")
        with served() as (process, address):
            found = get(f"{address}history/leaderboard.json?_shape=objects")
            assert [row["rank"] for row in found["rows"]] == [1, 1, 1]
            assert {row["provenance"] for row in found["rows"]} == {"real", "simulated"}
            asked = "select+count(*)+as+n+from+runs"
            assert get(f"{address}history.json?sql={asked}&_shape=array") == [{"n": 11}]
            about = get(f"{address}-/metadata.json")["databases"]["history"]["tables"]["runs"]
            assert about["columns"]["host"] == "where it ran last"
            with urllib.request.urlopen(f"{address}history/runs", timeout=60) as page:
                assert "One row a run" in page.read().decode()
            with pytest.raises(urllib.error.HTTPError, match="400"):
                get(address, Host="evil.example")
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
            assert (process.returncode, out, err) == (0, "", "")

    def test_ends_on_sigterm_and_listens_here_alone(self, empty: Tiny, kdgat: Command) -> None:
        pytest.importorskip("datasette")
        kdgat("history", "export", "--sqlite", "runs.sqlite")
        before = (empty.root / "runs.sqlite").read_bytes()
        with served("runs.sqlite") as (process, address):
            assert get(f"{address}runs/runs.json?_shape=array") == []
            port = int(address.rsplit(":", 1)[1].strip("/"))
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(("127.0.0.2", port), timeout=60)
            process.send_signal(signal.SIGTERM)
            out, err = process.communicate(timeout=60)
            assert (process.returncode, out, err) == (0, "", "")
        assert (empty.root / "runs.sqlite").read_bytes() == before


class TestBrowsing:
    def test_tells_what_it_would_show(self, empty: Tiny, kdgat: Command) -> None:
        pytest.importorskip("datasette")
        plan = kdgat("history", "browse", "--json").json
        assert plan["host"] == "127.0.0.1"
        assert Path(plan["path"]) == empty.home / "browse" / "history.sqlite"
        assert Path(plan["metadata"]).is_file()

    def test_another_file_is_refused(self, empty: Tiny, kdgat: Command) -> None:
        pytest.importorskip("datasette")
        (empty.root / "notes.txt").write_text("hello")
        kdgat("history", "browse", "notes.txt").mistake("notes.txt", "history export")
        kdgat("history", "browse", "nothing.sqlite").mistake("not there", "history export")

    @pytest.mark.usefixtures("empty")
    def test_a_port_that_is_taken_is_told(self, kdgat: Command) -> None:
        pytest.importorskip("datasette")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            kdgat("history", "browse", "--no-open", "--port", port).mistake(str(port), "--port")

    @pytest.mark.usefixtures("empty")
    def test_a_missing_group_is_one_sentence(
        self, kdgat: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "datasette", None)
        kdgat("history", "browse").mistake("datasette", "uv sync --extra browse")
