"""`kdgat suggest` as a user calls it."""

from __future__ import annotations

import shlex

from kdgat.workspace import Workspace
from tests.faces.conftest import Command, Tiny
from tests.unit.runs.gaps.planted import Ledger


def test_an_empty_workspace_is_told_what_to_run_first(empty: Tiny, kdgat: Command) -> None:
    said = kdgat("suggest")
    assert said.code == 0
    assert "kdgat quickstart" in said.out
    (item,) = kdgat("suggest", "--json").json["items"]
    assert (item["kind"], item["command"], item["runs"]) == ("nothing yet", "kdgat quickstart", [])


def test_an_ingested_dataset_is_told_its_first_model(prepared: Tiny, kdgat: Command) -> None:
    (item,) = kdgat("suggest", "--json").json["items"]
    assert item["command"] == "kdgat train dataset=simulated model=gat size=large"
    assert item["provenance"] == "simulated"


def test_what_was_trained_and_never_judged_is_judged_by_the_command(
    trained: Tiny, kdgat: Command
) -> None:
    found = kdgat("suggest", "--json").json
    item = next(each for each in found["items"] if each["kind"] == "not judged")
    assert item["runs"] == [trained.student]
    done = kdgat(*shlex.split(item["command"])[1:], "--json")
    assert done.json["subject"] == trained.student
    again = kdgat("suggest", "--json").json["items"]
    assert "not judged" not in {each["kind"] for each in again}


def test_a_person_reads_claim_command_value_cost_and_evidence(
    trained: Tiny, kdgat: Command
) -> None:
    said = kdgat("suggest", "--limit", "2")
    lines = said.out.splitlines()
    assert lines[0].startswith("1. ")
    assert lines[1].startswith("   $ kdgat ")
    assert lines[2].startswith("   value ")
    assert "rests on 1 run: " in said.out
    assert "2 of " in said.out


def test_simulated_findings_come_last_and_are_never_mixed_with_real_ones(
    empty: Tiny, kdgat: Command
) -> None:
    ledger = Ledger(Workspace(empty.root, empty.home))
    for dataset in ("simulated", "hcrl_sa"):
        ledger.judged(dataset, "gat", f1=0.8)
        ledger.train(dataset, "gat", seed=1)
    found = kdgat("suggest", "--json").json
    provenances = [each["provenance"] for each in found["items"]]
    assert provenances == sorted(provenances)
    assert set(provenances) == {"real", "simulated"}
    runs = {
        kind: {run for each in found["items"] if each["provenance"] == kind for run in each["runs"]}
        for kind in ("real", "simulated")
    }
    assert not runs["real"] & runs["simulated"]
    assert found["notes"] == ["findings on simulated data come last"]


def test_a_limit_of_none_or_of_eleven_is_refused(empty: Tiny, kdgat: Command) -> None:
    for limit in (0, 11):
        said = kdgat("suggest", "--limit", str(limit))
        assert said.code == 2
        assert "--limit" in said.err
