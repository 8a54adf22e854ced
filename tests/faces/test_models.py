"""`kdgat models`: from a trained run to a champion that everything else takes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from kdgat.runs.store import database, open_store, store_uri
from tests.unit.runs.small_ledger import empty_store

MODEL = "simulated-gat-large"


@pytest.fixture
def registered(trained: Any, kdgat: Any) -> Any:
    """The trained workspace with its teacher registered, and an empty MLflow store."""
    store = trained.home / "mlflow"
    store.mkdir(exist_ok=True)
    shutil.copyfile(database(empty_store()), database(store))
    done = kdgat("models", "register", trained.teacher, "--json").json
    assert done["version"]["run_id"] == trained.teacher
    assert done["version"]["aliases"] == ["challenger"]
    return trained


@pytest.mark.usefixtures("registered")
def test_a_model_is_listed_shown_and_promoted(kdgat: Any) -> None:
    (item,) = kdgat("models", "list", "--json").json["items"]
    assert (item["model"], item["challenger"], item["champion"]) == (MODEL, 1, None)
    looked = kdgat("models", "promote", MODEL, "--dry-run", "--json").json["promotion"]
    assert (looked["allowed"], looked["promoted"]) == (True, False)
    done = kdgat("models", "promote", MODEL, "--json").json["promotion"]
    assert done["promoted"]
    view = kdgat("models", "show", MODEL, "--json").json
    assert view["versions"][0]["aliases"] == ["champion"]
    kinds = [event["kind"] for event in view["history"]]
    assert kinds == ["registered", "alias_set", "alias_set", "alias_removed"]
    for words in (("list",), ("show", MODEL), ("promote", MODEL)):
        assert MODEL in kdgat("models", *words).out


@pytest.mark.usefixtures("registered")
def test_promoting_the_champion_says_that_nothing_is_to_do(kdgat: Any) -> None:
    kdgat("models", "promote", MODEL)
    for more in ((), ("--dry-run",)):
        again = kdgat("models", "promote", f"{MODEL}@1", *more)
        assert again.out == f"nothing to do: '{MODEL}@1' is the champion already\n"
        assert again.code == 0


def test_registering_again_changes_nothing(registered: Any, kdgat: Any) -> None:
    said = kdgat("models", "register", registered.teacher)
    assert "as it was before" in said.out


def test_two_models_are_compared(registered: Any, kdgat: Any) -> None:
    kdgat("models", "register", registered.student)
    found = kdgat("models", "diff", f"{MODEL}@1", "simulated-gat-small@1", "--json").json
    assert {"size", "distillation.teacher"} <= {each["name"] for each in found["config"]}
    assert "teacher" in {each["name"] for each in found["lineage"]}
    assert found["metrics"]
    assert "config" in kdgat("models", "diff", f"{MODEL}@1", "simulated-gat-small").out


def test_a_model_is_copied_whole_or_not_at_all(registered: Any, kdgat: Any, tmp_path: Path) -> None:
    to = tmp_path / "copies" / "one"
    done = kdgat("models", "pull", f"{MODEL}@1", "--to", to, "--json").json
    assert sorted(path.name for path in to.iterdir()) == sorted(done["files"])
    lineage = json.loads((to / "lineage.json").read_bytes())
    assert lineage["run_id"] == registered.teacher
    kdgat("models", "pull", MODEL, "--to", to).mistake("is there already")
    checkpoint = registered.run(registered.teacher) / "checkpoints" / "best.ckpt"
    checkpoint.write_bytes(checkpoint.read_bytes() + b"!")
    kdgat("models", "pull", MODEL, "--to", tmp_path / "two").mistake("not the one")
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("show", "simulated-gat-larg"), MODEL),
        (("show", f"{MODEL}@champion"), f"{MODEL}@1"),
        (("promote", MODEL, "--alias", "best"), "champion"),
        (("promote", MODEL, "--force"), "--reason"),
        (("promote", MODEL, "--rule", "margn=1"), "margin"),
        (("register", "nothing"), "kdgat runs list"),
    ],
)
def test_a_mistake_is_told_in_two_lines(
    registered: Any, kdgat: Any, words: tuple[str, ...], told: str
) -> None:
    kdgat("models", *words).mistake(told)


def test_an_evaluation_can_t_be_registered(registered: Any, kdgat: Any) -> None:
    kdgat("models", "register", registered.evaluation).mistake(registered.teacher)


def test_a_model_is_taken_wherever_a_run_is(registered: Any, kdgat: Any) -> None:
    kdgat("models", "promote", MODEL)
    reference = f"{MODEL}@champion"
    assert kdgat("runs", "show", reference, "--json").json["record"]["run_id"] == registered.teacher
    judged = kdgat("evaluate", reference, "--json").json
    assert (judged["subject"], judged["outcome"]) == (registered.teacher, "already done")


@pytest.mark.parametrize("command", [("runs", "show"), ("evaluate",), ("compare",)], ids=" ".join)
def test_help_on_runs_says_that_a_model_will_do(kdgat: Any, command: tuple[str, ...]) -> None:
    assert "simulated-gat-large@champion" in "".join(kdgat(*command, "--help").out.split())


def test_a_champion_can_be_the_teacher(
    registered: Any, kdgat: Any, tiny_config: tuple[str, ...]
) -> None:
    kdgat("models", "promote", MODEL)
    teacher = f"distillation.teacher={MODEL}@champion"
    done = kdgat("train", *tiny_config, "size=small", teacher, "--json").json
    assert (done["teacher"], done["run_id"]) == (registered.teacher, registered.student)


@pytest.mark.parametrize("protocol", ["zero_shot", "adapted"])
def test_mlflow_loads_a_model_that_scores_as_the_evaluation_did(
    registered: Any, kdgat: Any, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.delenv("KDGAT_NO_SYNC", raising=False)
    report = kdgat("runs", "sync", "--json").json
    assert (report["notes"], report["failed"]) == ([], [])
    scores = registered.run(registered.evaluation) / "artifacts" / "scores"
    path = next(scores.glob(f"test_01_*.{protocol}.parquet"))
    kept = pl.read_parquet(path).with_columns(pl.col("capture").cast(pl.String))
    capture = kept["capture"][0]
    messages = pl.read_parquet(registered.data / "captures" / f"{capture}.parquet")
    data = [
        int(payload).to_bytes(8, "big")[:dlc].hex()
        for payload, dlc in zip(messages["payload"], messages["dlc"], strict=True)
    ]
    import pandas as pd

    frame = pd.DataFrame(
        {
            "timestamp": messages["timestamp"].to_numpy(),
            "arbitration_id": messages["arbitration_id"].cast(pl.Int64).to_numpy(),
            "data": data,
        }
    )
    store = registered.home / "mlflow"
    with open_store(store):
        import mlflow

        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(store_uri(store))
        try:
            model = mlflow.pyfunc.load_model(f"models:/{MODEL}@challenger")
            answer = model.predict(frame, params={"protocol": protocol})
        finally:
            mlflow.set_tracking_uri(before)
    expected = kept.filter(pl.col("capture") == capture)
    # The evaluation scores no window of the prefix, under either protocol.
    after = answer.tail(len(expected))
    assert (len(after) < len(answer)) == (protocol == "zero_shot")
    assert np.allclose(after["score"].to_numpy(), expected["score"].to_numpy(), atol=1e-5)
    assert list(answer.columns) == ["start_s", "end_s", "score", "threshold", "alarm"]
