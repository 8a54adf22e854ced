"""`kdgat runs import`: old results beside new ones, marked, once, and whole or not at all."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from kdgat.runs.store import silent
from tests.faces.conftest import Command, Tiny, call, enter, new_root

SCENARIOS = ("test_01_known_vehicle_known_attack", "test_02_unknown_vehicle_known_attack")


class Bomb:
    """Whoever unpickles it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def core(f1: float, windows: int = 1000) -> dict[str, Any]:
    """What the predecessor wrote of one model on some windows."""
    return {
        "core": {"f1": f1, "auc": f1, "accuracy": f1, "n_samples": windows, "youden_j": 0.5},
        "additional": {"detection_at_fpr": {"0.05": 0.9}},
    }


def config(**more: Any) -> dict[str, Any]:
    values = {"dataset": "hcrl_sa", "model_type": "gat", "scale": "large", "seed": 42}
    return {**values, "auxiliaries": [], "training": {"lr": 0.001}, **more}


def write(folder: Path, **files: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    return folder


def forest(root: Path) -> Path:
    """Results as the predecessor left them: an evaluation of two models, a training, a student."""
    test = {"gat": {each: core(0.9 - 0.3 * i) for i, each in enumerate(SCENARIOS)},
            "vgae": {each: core(0.8 - 0.3 * i) for i, each in enumerate(SCENARIOS)}}  # fmt: skip
    write(root / "hcrl_sa" / "eval_large_evaluation", config=config(),
          metrics={"gat": core(0.999), "vgae": core(0.95), "test": test})  # fmt: skip
    trained = write(root / "hcrl_sa" / "gat_large_curriculum", config=config(seed=7))
    (trained / "best_model.pt").write_bytes(pickle.dumps(Bomb(root / "opened")))
    write(root / "hcrl_sa" / "vgae_small_autoencoder_kd", metrics={"val_f1": 0.7, "val_loss": 0.1})
    return root


@pytest.fixture
def old(empty: Tiny) -> Path:
    return forest(empty.root / "old")


def listed(kdgat: Command) -> list[dict[str, Any]]:
    return kdgat("runs", "list", "--json").json["items"]


def tables(kdgat: Command, *words: str) -> list[dict[str, Any]]:
    return kdgat("leaderboard", *words, "--json").json["tables"]


def test_a_dry_run_tells_what_would_come_in_and_writes_nothing(
    empty: Tiny, kdgat: Command, old: Path
) -> None:
    told = kdgat("runs", "import", old, "--dry-run", "--json").json
    rows = {(row["model"], row["size"]): row for row in told["items"] if row["scenarios"]}
    assert rows["gat", "large"]["splits"] == ["validation", "test"]
    assert rows["vgae", "small"]["distilled"]
    assert rows["vgae", "small"]["splits"] == ["validation"]
    assert "val_loss" in rows["vgae", "small"]["not_mapped"]
    assert {row["run_id"] for row in told["items"]} == {None}
    assert empty.runs() == set()


def test_old_figures_stand_in_the_leaderboard_by_the_split_they_are_of(
    empty: Tiny, kdgat: Command, old: Path
) -> None:
    assert kdgat("runs", "import", old).code == 0
    found = {(table["split"], len(table["rows"])): table for table in tables(kdgat)}
    assert {"test", "validation"} == {split for split, _ in found}
    test = next(table for (split, _), table in found.items() if split == "test")
    assert test["provenance"] == "imported"
    assert "protocol unknown" in test["title"]
    assert [(row["name"], row["score"]["mean"]) for row in test["rows"]] == [
        ("hcrl_sa-gat-large", pytest.approx(0.75)), ("hcrl_sa-vgae-large", pytest.approx(0.65)),
    ]  # fmt: skip
    assert test["windows"] == 2000
    assert "imported figures were made elsewhere" in kdgat("leaderboard").out


def test_importing_twice_or_from_another_place_brings_in_nothing_new(
    empty: Tiny, kdgat: Command, old: Path
) -> None:
    first = kdgat("runs", "import", old, "--json").json
    before = empty.runs()
    shutil.move(old, empty.root / "moved")
    again = kdgat("runs", "import", empty.root / "moved", "--json").json
    assert {row["action"] for row in again["items"]} == {"here already"}
    assert [row["run_id"] for row in again["items"]] == [row["run_id"] for row in first["items"]]
    assert empty.runs() == before


def test_a_damaged_folder_is_named_and_the_others_come_in(
    empty: Tiny, kdgat: Command, old: Path
) -> None:
    (old / "hcrl_sa" / "eval_large_evaluation" / "metrics.json").write_text('{"gat": {"core"')
    write(old / "odd", config=config(dataset="../../elsewhere"))
    done = kdgat("runs", "import", old)
    assert done.code == 1
    assert "skipped: hcrl_sa/eval_large_evaluation: metrics.json is no JSON" in done.out
    assert "skipped: odd: '../../elsewhere' can't be a dataset's name" in done.out
    assert {run["model"] for run in listed(kdgat)} == {"gat", "vgae"}
    assert "every run is whole" in kdgat("runs", "repair").out


def test_what_was_mapped_and_what_was_not_is_kept_with_the_originals(
    empty: Tiny, kdgat: Command, old: Path
) -> None:
    done = kdgat("runs", "import", old, "--json").json
    row = next(row for row in done["items"] if row["seed"] == 7)
    kept = empty.run(row["run_id"]) / "artifacts" / "imported"
    source = old / "hcrl_sa" / "gat_large_curriculum" / "config.json"
    assert (kept / "config.json").read_bytes() == source.read_bytes()
    told = json.loads((kept / "mapping.json").read_text())
    assert told["mapped"]["training.learning_rate"] == "training.lr"
    assert kdgat("runs", "show", row["run_id"], "--json").json["config"]["training"] == {
        "learning_rate": 0.001
    }


def test_checkpoints_are_copied_only_when_asked_for_and_never_opened(
    empty: Tiny, kdgat: Command, old: Path
) -> None:
    other = new_root(empty.root.parent / "other")
    kdgat("runs", "import", old)
    assert list(empty.home.rglob("best_model.pt")) == []
    with pytest.MonkeyPatch.context() as patch:
        enter(other, patch)
        assert call("runs", "import", old, "--with-checkpoints").code == 0
        copy = next((other / ".kdgat").rglob("best_model.pt"))
        original = old / "hcrl_sa" / "gat_large_curriculum" / "best_model.pt"
        assert copy.read_bytes() == original.read_bytes()
    assert not (old / "opened").exists()


def test_an_imported_run_is_never_champion_judged_repeated_or_the_latest(
    empty: Tiny, kdgat: Command, old: Path
) -> None:
    done = kdgat("runs", "import", old, "--json").json
    run = next(row["run_id"] for row in done["items"] if row["seed"] == 7)
    for command in (("models", "register"), ("evaluate",), ("replay",), ("export",)):
        kdgat(*command, run).mistake(f"'{run}' was imported", "train one here")
    kdgat("runs", "show", "latest").mistake("no completed run fits 'latest'")


def test_a_killed_import_is_finished_by_the_next(empty: Tiny, kdgat: Command, old: Path) -> None:
    kdgat("runs", "import", old)
    whole = empty.runs()
    # What a kill between a training and its evaluation leaves.
    for path in empty.home.glob("runs/*/large_evaluation/*"):
        shutil.rmtree(path)
    again = kdgat("runs", "import", old, "--json").json
    assert sorted(row["action"] for row in again["items"]) == [
        "here already", "here already", "new", "new",
    ]  # fmt: skip
    assert empty.runs() == whole
    assert empty.leftovers() == []


def store(uri: str) -> None:
    """Two runs as another program logs them, one that goes on, and a copy of kdgat's own."""
    with silent():
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        experiment = client.create_experiment("hcrl_sa")
        for seed in (1, 2):
            run = client.create_run(experiment, run_name=f"gat_{seed}").info.run_id
            for name, value in {"model_type": "gat", "scale": "small", "seed": seed}.items():
                client.log_param(run, name, value)
            for step, loss in enumerate((0.5, 0.4)):
                client.log_metric(run, "val_loss", loss, step=step)
            client.log_metric(run, f"test.gat.{SCENARIOS[0]}.f1", 0.8 + seed / 100)
            client.set_terminated(run)
        client.create_run(experiment, run_name="going on")
        own = client.create_run(experiment, tags={"kdgat.run_id": "20260101-000000-000abcd"})
        client.set_terminated(own.info.run_id)


@pytest.mark.parametrize("kind", ["database", "folder"])
def test_an_mlflow_store_comes_in_by_mlflows_own_client(
    empty: Tiny, kdgat: Command, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    path = empty.root / ("mlflow.db" if kind == "database" else "mlruns")
    source = f"sqlite:///{path}" if kind == "database" else str(path)
    store(source if kind == "database" else path.as_uri())
    before = path.read_bytes() if kind == "database" else b""
    done = kdgat("runs", "import", source)
    assert done.code == 1
    assert "its status is RUNNING" in done.out
    assert "a copy of kdgat's own run" in done.out
    (table,) = tables(kdgat)
    assert (table["split"], table["rows"][0]["seeds"]) == ("test", 2)
    assert table["rows"][0]["score"]["mean"] == pytest.approx(0.815)
    run = table["rows"][0]["run_id"]
    epochs = kdgat("runs", "show", run, "--json").json["epochs"]
    assert [row["val_loss"] for row in epochs] == [0.5, 0.4]
    assert before == (path.read_bytes() if before else b"")
    assert "0 runs came in" in kdgat("runs", "import", source).out


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "there is no folder 'nowhere'"),
        ("sqlite:///nowhere.db", "there is no database 'nowhere.db'"),
        (".", "no folder in '.' holds config.json or metrics.json"),
        ("sqlite:///pyproject.toml", "'pyproject.toml' can't be read"),
    ],
)
def test_a_source_that_is_none_is_told(
    empty: Tiny, kdgat: Command, source: str, words: str
) -> None:
    kdgat("runs", "import", source).mistake(words)
    assert empty.runs() == set()


@pytest.mark.slow
def test_old_and_new_stand_in_one_leaderboard(trained: Tiny, kdgat: Command) -> None:
    assert kdgat("runs", "import", forest(trained.root / "old")).code == 0
    found = tables(kdgat, "--include-simulated")
    assert {table["provenance"] for table in found} == {"simulated", "imported"}
    assert kdgat("suggest").code == 0
