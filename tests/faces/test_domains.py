"""Two other domains through real commands: simulate, ingest, prepare, train, evaluate."""

from __future__ import annotations

import pytest

from tests.faces.conftest import Command, Tiny

SHORT = ("capture_s=300", "attack_free_s=420", "seed=1")
TRAIN = (
    "size=small", "training.max_epochs=3", "data.prefix_s=60", "resources.threads=1",
    "evaluation.prefix_sweep_s=[]", "evaluation.poisoned=false", "evaluation.resamples=200",
    "training.min_steps_per_epoch=20",
)  # fmt: skip


@pytest.mark.parametrize("domain", ["internet", "watertreatment"])
def test_a_simulated_domain_is_made_and_read_the_same_way_twice(
    empty: Tiny, kdgat: Command, domain: str
) -> None:
    made = kdgat("data", "simulate", f"domain={domain}", *SHORT, "--json").json
    assert made["dataset"] == f"simulated_{domain}"
    raw = empty.root / made["folder"]
    before = {path.name: path.read_bytes() for path in raw.rglob("*.csv")}
    kdgat("data", "simulate", f"domain={domain}", *SHORT)
    assert {path.name: path.read_bytes() for path in raw.rglob("*.csv")} == before
    done = kdgat("data", "ingest", made["dataset"], "--json").json
    assert (done["provenance"], done["format"], done["captures"]) == ("simulated", "table", 7)
    assert 0 < done["attack_rows"] < done["rows"] / 2


def test_a_field_of_another_domain_is_told(empty: Tiny, kdgat: Command) -> None:
    kdgat("data", "simulate", "domain=internet", "ids_min=30").mistake("ids_min")
    kdgat("data", "simulate", "domain=space").mistake("domain", "space")


def test_a_table_is_no_bus_format_and_the_other_way_round(empty: Tiny, kdgat: Command) -> None:
    kdgat("data", "simulate", "domain=internet", *SHORT, "--out", "raw")
    kdgat("data", "ingest", "mine", "--raw", "raw", "--format", "candump").mistake(
        "dataset.toml", "--format candump"
    )
    (empty.root / "raw" / "dataset.toml").unlink()
    kdgat("data", "ingest", "mine", "--raw", "raw", "--format", "table").mistake(
        "has no dataset.toml"
    )


@pytest.mark.slow
@pytest.mark.parametrize("domain", ["internet", "watertreatment"])
def test_both_models_detect_attacks_of_another_domain_better_than_chance(
    empty: Tiny, kdgat: Command, domain: str
) -> None:
    dataset = f"simulated_{domain}"
    kdgat("data", "simulate", f"domain={domain}", *SHORT)
    kdgat("data", "ingest", dataset)
    prepared = kdgat("data", "prepare", f"dataset={dataset}", "data.prefix_s=60", "--json").json
    assert prepared["train_graphs"] > 300
    for model in ("gat", "vgae"):
        trained = kdgat("train", f"dataset={dataset}", f"model={model}", *TRAIN)
        assert trained.code == 0, trained.err
        judged = kdgat("evaluate", "latest", "--json").json
        rows = [
            row["metrics"]["auroc"] for row in judged["scenarios"]
            if (row["scenario"], row["attack_type"]) == ("test_01_known_attack", "all")
        ]  # fmt: skip
        assert len(rows) == 2
        assert max(rows) > 0.7, (model, rows)
