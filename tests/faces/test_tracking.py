"""`kdgat runs sync` and `kdgat mlflow ui`."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import Any

from kdgat.runs.store import database
from tests.unit.runs.small_ledger import empty_store


def give_store(tiny: Any) -> None:
    store = tiny.home / "mlflow"
    store.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(database(empty_store()), database(store))


def test_sync_brings_every_run_and_then_has_nothing_to_do(trained: Any, kdgat: Any) -> None:
    give_store(trained)
    done = kdgat("runs", "sync", "--json").json
    assert set(done["created"]) == trained.runs()
    assert (done["failed"], done["notes"]) == ([], [])
    assert "3 unchanged" in kdgat("runs", "sync").out
    assert trained.leftovers() == []


def test_one_run_is_synced_by_name(trained: Any, kdgat: Any) -> None:
    give_store(trained)
    done = kdgat("runs", "sync", trained.teacher, "--json").json
    assert done["created"] == [trained.teacher]
    kdgat("runs", "sync", "nothing").mistake("no run 'nothing'", "kdgat runs list")


def test_where_there_is_no_run_there_is_nothing_to_sync(empty: Any, kdgat: Any) -> None:
    done = kdgat("runs", "sync", "--json").json
    assert (done["created"], done["unchanged"]) == ([], 0)
    assert not (empty.home / "mlflow").exists()


def test_the_ui_is_mlflow_s_own_on_the_store(empty: Any, kdgat: Any) -> None:
    kdgat("mlflow", "ui").mistake("there is no MLflow store", "kdgat runs sync")
    give_store(empty)
    said = kdgat("mlflow", "ui", "--port", 5017, "--dry-run")
    words = shlex.split(said.out)
    assert words[1:4] == ["-m", "mlflow", "ui"]
    assert f"sqlite:///{empty.home}/mlflow/mlflow.db" in words
    assert kdgat("mlflow", "ui", "--port", 5017, "--json").json["command"] == words


def test_mlflow_takes_the_options_it_is_given(empty: Any, kdgat: Any) -> None:
    give_store(empty)
    command = kdgat("mlflow", "ui", "--json").json["command"]
    done = subprocess.run(
        [*command, "--help"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    options = [word for word in command if word.startswith("--")]
    assert all(option in done.stdout for option in options)
