"""Registered models: the journal is the truth, MLflow has a copy, and a champion must be earned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from kdgat.configs.promotion import PromotionConfig, promotion_rule
from kdgat.errors import CheckpointError, ConfigError, KdgatError, RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.journal import Journal
from kdgat.ledger.states import State
from kdgat.runs.champions import promote
from kdgat.runs.promotion import compare, figure, judgement
from kdgat.runs.registry import find_version, models, register, resolve_model
from kdgat.runs.store import open_store
from kdgat.runs.tracking import pending, sync_runs
from kdgat.workspace import Workspace
from tests.unit.runs.small_ledger import (
    SCENARIO,
    contents,
    make_evaluation,
    make_run,
    rows,
    run_id,
    workspace,
)

MODEL = "simulated-gat-large"
RULE = PromotionConfig()
GOOD, BAD = (900, 10, 10, 900), (600, 200, 300, 710)


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return workspace(tmp_path)


def judged(
    ws: Workspace, number: int, counts: tuple[int, int, int, int], **changes: object
) -> RunFolder:
    """A registered run with an evaluation."""
    folder = make_run(ws, number, **changes)  # type: ignore[arg-type]
    make_evaluation(ws, 100 + number, folder, counts)
    register(ws, run_id(number))
    return folder


class TestRegister:
    def test_versions_count_up_and_know_their_lineage(self, ws: Workspace) -> None:
        for number in (1, 2):
            make_run(ws, number, teacher="t1")
        first, new = register(ws, run_id(1))
        assert (first.reference, new) == (f"{MODEL}@1", True)
        assert register(ws, run_id(2))[0].version == 2
        assert first.tags["teacher"] == "t1"
        assert first.tags["dataset_hash"] == "a" * 64
        assert (first.tags["commit"], first.tags["kd"]) == ("c0ffee", True)
        assert first.tags["provenance"] == "simulated"

    def test_the_same_checkpoint_keeps_its_version(self, ws: Workspace) -> None:
        make_run(ws, 1)
        first, _ = register(ws, run_id(1))
        assert register(ws, "latest") == (first, False)

    @pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED, State.PLANNED])
    def test_only_completed_runs_are_taken(self, ws: Workspace, state: State) -> None:
        make_run(ws, 1, state=state)
        with pytest.raises(RunError, match="not completed"):
            register(ws, run_id(1))

    def test_an_evaluation_has_no_model(self, ws: Workspace) -> None:
        make_evaluation(ws, 2, make_run(ws, 1), GOOD)
        with pytest.raises(RunError, match="is an evaluation"):
            register(ws, run_id(2))

    def test_a_damaged_or_missing_checkpoint_is_refused(self, ws: Workspace) -> None:
        path = make_run(ws, 1).checkpoints / "best.ckpt"
        path.write_bytes(path.read_bytes()[:-1] + b"X")
        with pytest.raises(CheckpointError, match="not the one that the training wrote"):
            register(ws, run_id(1))
        path.unlink()
        with pytest.raises(CheckpointError, match="is missing"):
            register(ws, run_id(1))
        assert models(ws) == {}

    def test_a_number_that_two_claim_belongs_to_the_first(self, ws: Workspace) -> None:
        make_run(ws, 1)
        register(ws, run_id(1))
        Journal(ws.journal).append(
            "registered", model=MODEL, version=1, run_id="other", checkpoint_sha256="x", tags={}
        )
        assert models(ws)[MODEL][1].run_id == run_id(1)

    def test_a_removed_version_s_number_is_not_used_again(self, ws: Workspace) -> None:
        make_run(ws, 1)
        register(ws, run_id(1))
        Journal(ws.journal).append("version_removed", model=MODEL, version=1)
        assert models(ws) == {}
        assert register(ws, run_id(1))[0].version == 2


class TestReference:
    def test_of_alias_or_number_is_a_run(self, ws: Workspace) -> None:
        judged(ws, 1, BAD)
        judged(ws, 2, GOOD)
        promote(ws, f"{MODEL}@1", RULE)
        promote(ws, f"{MODEL}@2", RULE, alias="challenger")
        assert resolve_model(ws, f"{MODEL}@champion") == run_id(1)
        assert resolve_model(ws, f"{MODEL}@challenger") == run_id(2)
        assert resolve_model(ws, f"{MODEL}@2") == run_id(2)

    @pytest.mark.parametrize("reference", ["latest", "20261121", ""])
    def test_of_anything_else_is_left_alone(self, ws: Workspace, reference: str) -> None:
        assert resolve_model(ws, reference) == reference

    def test_that_is_wrong_tells_what_there_is(self, ws: Workspace) -> None:
        with pytest.raises(RunError, match="no registered model") as caught:
            resolve_model(ws, "x@champion")
        assert "models register" in caught.value.hint
        judged(ws, 1, GOOD)
        with pytest.raises(RunError) as caught:
            resolve_model(ws, "simulated-gat-larg@champion")
        assert MODEL in caught.value.hint
        for wrong in ("champion", "7", "v1", ""):
            with pytest.raises(RunError) as caught:
                resolve_model(ws, f"{MODEL}@{wrong}")
            assert f"{MODEL}@1" in caught.value.hint

    def test_to_a_removed_run_is_told(self, ws: Workspace) -> None:
        judged(ws, 1, GOOD)
        Journal(ws.journal).append("removed", run_id=run_id(1), name="x", folder="y")
        with pytest.raises(RunError, match="was removed"):
            resolve_model(ws, f"{MODEL}@1")


class TestPromotion:
    def test_of_the_first_champion_needs_an_evaluation(self, ws: Workspace) -> None:
        make_run(ws, 1)
        register(ws, run_id(1))
        with pytest.raises(RunError, match="never evaluated"):
            promote(ws, MODEL, RULE)
        make_evaluation(ws, 101, RunFolder(next(ws.runs.glob(f"*/*/{run_id(1)}"))), GOOD)
        done = promote(ws, MODEL, RULE)
        assert done.promoted
        assert done.version.aliases == ("champion",)
        assert "first champion" in done.reason

    def test_of_a_clearly_better_challenger_replaces_the_champion(self, ws: Workspace) -> None:
        judged(ws, 1, BAD)
        judged(ws, 2, GOOD)
        promote(ws, f"{MODEL}@1", RULE)
        promote(ws, f"{MODEL}@2", RULE, alias="challenger")
        done = promote(ws, MODEL, RULE)
        assert done.promoted
        assert done.comparison is not None
        assert done.comparison.method == "multinomial counts"
        assert 0 < done.comparison.low < done.comparison.difference < done.comparison.high
        assert done.replaced is not None
        assert done.replaced.version == 1
        assert find_version(ws, f"{MODEL}@champion").aliases == ("champion",)
        assert find_version(ws, f"{MODEL}@1").aliases == ()

    def test_of_one_that_is_better_by_chance_is_refused(self, ws: Workspace) -> None:
        judged(ws, 1, (90, 10, 10, 90))
        judged(ws, 2, (91, 10, 9, 90))
        promote(ws, f"{MODEL}@1", RULE)
        done = promote(ws, f"{MODEL}@2", RULE)
        assert (done.allowed, done.promoted) == (False, False)
        assert done.comparison is not None
        assert done.comparison.low < 0 < done.comparison.difference
        assert find_version(ws, f"{MODEL}@champion").version == 1

    def test_takes_the_margin_into_account(self, ws: Workspace) -> None:
        judged(ws, 1, BAD)
        judged(ws, 2, GOOD)
        promote(ws, f"{MODEL}@1", RULE)
        assert not promote(ws, f"{MODEL}@2", promotion_rule(["margin=0.5"])).promoted
        assert promote(ws, f"{MODEL}@2", promotion_rule(["margin=0.1"])).promoted

    def test_only_looks_in_a_dry_run(self, ws: Workspace) -> None:
        judged(ws, 1, GOOD)
        before = Journal(ws.journal).events()
        done = promote(ws, MODEL, RULE, dry_run=True)
        assert (done.allowed, done.promoted) == (True, False)
        assert Journal(ws.journal).events() == before

    def test_by_force_needs_a_reason_which_is_kept(self, ws: Workspace) -> None:
        judged(ws, 1, GOOD)
        judged(ws, 2, BAD)
        promote(ws, f"{MODEL}@1", RULE)
        with pytest.raises(RunError, match="without a reason"):
            promote(ws, f"{MODEL}@2", RULE, force=True)
        assert promote(ws, f"{MODEL}@2", RULE, force=True, reason="fits the ECU").promoted
        last = Journal(ws.journal).events()[-1]
        assert last.details["reason"] == "forced: fits the ECU"
        assert last.details["rule"]["metric"] == "f1"

    def test_never_makes_a_simulated_run_champion_of_a_real_dataset(self, ws: Workspace) -> None:
        judged(ws, 1, GOOD, dataset="hcrl_sa", provenance="simulated")
        for force in (False, True):
            with pytest.raises(RunError, match="can't be its champion"):
                promote(ws, "hcrl_sa-gat-large", RULE, force=force, reason="please")
        judged(ws, 2, GOOD, dataset="hcrl_sa", provenance="real")
        assert promote(ws, "hcrl_sa-gat-large@2", RULE).promoted

    def test_never_mixes_provenances_of_a_dataset_of_one_s_own(self, ws: Workspace) -> None:
        judged(ws, 1, BAD, dataset="my_car", provenance="real")
        judged(ws, 2, GOOD, dataset="my_car", provenance="simulated")
        promote(ws, "my_car-gat-large@1", RULE)
        with pytest.raises(RunError, match="can't be its champion"):
            promote(ws, "my_car-gat-large@2", RULE)

    def test_refuses_a_checkpoint_that_changed_since(self, ws: Workspace) -> None:
        folder = judged(ws, 1, GOOD)
        (folder.checkpoints / "best.ckpt").write_bytes(b"others")
        with pytest.raises(CheckpointError, match="not the one that was registered"):
            promote(ws, MODEL, RULE)

    def test_refuses_evaluations_on_other_captures(self, ws: Workspace) -> None:
        judged(ws, 1, GOOD)
        make_evaluation(ws, 102, make_run(ws, 2), GOOD, dataset_hash="b" * 64)
        register(ws, run_id(2))
        promote(ws, f"{MODEL}@1", RULE)
        with pytest.raises(RunError, match="test captures"):
            promote(ws, f"{MODEL}@2", RULE)

    def test_names_the_scenarios_there_are(self, ws: Workspace) -> None:
        judged(ws, 1, GOOD)
        with pytest.raises(RunError) as caught:
            promote(ws, MODEL, promotion_rule(["scenario=test_09"]))
        assert caught.value.hint == f"choose one with --rule scenario=...: {SCENARIO}"

    def test_names_the_attack_types_of_a_scenario(self, ws: Workspace) -> None:
        judged(ws, 1, GOOD)
        with pytest.raises(
            RunError, match=f"no attack_type 'dso' in scenario '{SCENARIO}'"
        ) as told:
            promote(ws, MODEL, promotion_rule(["attack_type=dso"]))
        assert told.value.hint == "choose one with --rule attack_type=...: all"

    def test_of_the_champion_itself_changes_nothing(self, ws: Workspace) -> None:
        judged(ws, 1, GOOD)
        promote(ws, MODEL, RULE)
        before = Journal(ws.journal).events()
        assert not promote(ws, f"{MODEL}@champion", RULE).promoted
        assert Journal(ws.journal).events() == before

    def test_knows_two_aliases(self, ws: Workspace) -> None:
        judged(ws, 1, GOOD)
        with pytest.raises(RunError, match="no alias"):
            promote(ws, MODEL, RULE, alias="best")


class TestRule:
    def test_is_set_field_by_field(self) -> None:
        rule = promotion_rule(["metric=recall", "margin=0.01", "attack_type=dos"])
        assert (rule.metric, rule.margin, rule.attack_type) == ("recall", 0.01, "dos")

    @pytest.mark.parametrize("setting", ["margn=1", "margin", "margin=x", "metric=speed"])
    def test_with_a_mistake_is_refused(self, setting: str) -> None:
        with pytest.raises(ConfigError):
            promotion_rule([setting])


class TestInterval:
    def test_is_drawn_from_blocks_of_windows_that_both_scored(self, ws: Workspace) -> None:
        counts = with_scores(ws)
        for number in (1, 2):
            assert judgement(ws, run_id(number), "simulated", RULE).counts == counts[number]
        champion, challenger = (judgement(ws, run_id(n), "simulated", RULE) for n in (1, 2))
        found = compare(ws, champion, challenger, RULE)
        assert found.method == "paired block bootstrap"
        # Three captures of 100, 50 and 10 windows in blocks of 20.
        assert found.blocks == 5 + 3 + 1
        assert found.low <= found.difference <= found.high
        again = compare(ws, champion, challenger, RULE)
        assert again == found

    def test_of_a_model_with_itself_is_nothing_when_it_is_paired(self, ws: Workspace) -> None:
        with_scores(ws)
        one = judgement(ws, run_id(1), "simulated", RULE)
        found = compare(ws, one, one, RULE)
        assert (found.low, found.difference, found.high) == (0, 0, 0)

    def test_falls_back_to_counts_where_scores_are_of_another_evaluation(
        self, ws: Workspace
    ) -> None:
        with_scores(ws)
        path = next(ws.runs.glob(f"*/*/{run_id(101)}/artifacts/scores/*.parquet"))
        pl.read_parquet(path).with_columns(score=pl.lit(0.9)).write_parquet(path)
        champion, challenger = (judgement(ws, run_id(n), "simulated", RULE) for n in (1, 2))
        assert compare(ws, champion, challenger, RULE).method == "multinomial counts"

    def test_figures_are_those_of_the_books(self) -> None:
        counts = np.array([[8, 1, 2, 9]])
        assert figure("f1", counts) == pytest.approx(16 / 19)
        assert figure("precision", counts) == pytest.approx(8 / 9)
        assert figure("recall", counts) == pytest.approx(0.8)
        assert figure("specificity", counts) == pytest.approx(0.9)
        assert figure("accuracy", counts) == pytest.approx(0.85)
        assert figure("mcc", counts) == pytest.approx(70 / np.sqrt(9 * 10 * 10 * 11))


def with_scores(ws: Workspace) -> dict[int, tuple[int, int, int, int]]:
    """Two evaluated runs with kept scores, and the labels of the windows."""
    rng = np.random.default_rng(0)
    captures = np.repeat(["c/a", "c/b", "c/c"], (100, 50, 10))
    attack = rng.random(160) < 0.4
    store = ws.dataset("simulated") / "graphs" / "graphs01" / SCENARIO / "zero_shot"
    store.mkdir(parents=True)
    np.save(store / "attack_messages.npy", attack.astype(np.int64))
    found = {}
    for number, noise in ((1, 0.6), (2, 0.5)):
        score = np.clip(attack + rng.normal(0, noise, 160), 0, 1)
        alarm = score >= 0.5
        pairs = ((alarm, attack), (alarm, ~attack), (~alarm, attack), (~alarm, ~attack))
        found[number] = tuple(int((one & other).sum()) for one, other in pairs)
        evaluation = make_evaluation(ws, 100 + number, make_run(ws, number), found[number])
        (evaluation.artifacts / "scores").mkdir()
        frame = pl.DataFrame({"capture": captures, "score": score, "threshold": 0.5})
        frame.cast({"capture": pl.Categorical}).write_parquet(
            evaluation.artifacts / "scores" / f"{SCENARIO}.zero_shot.parquet"
        )
    return found


class TestMirror:
    def test_has_the_same_versions_and_aliases(self, ws: Workspace) -> None:
        judged(ws, 1, BAD)
        judged(ws, 2, GOOD)
        promote(ws, f"{MODEL}@1", RULE)
        promote(ws, f"{MODEL}@2", RULE, alias="challenger")
        assert sync_runs(ws).models == (MODEL,)
        found = contents(ws)
        assert [row[:2] for row in found["models"]] == [(MODEL, 1), (MODEL, 2)]
        assert found["aliases"] == [(MODEL, "challenger", 2), (MODEL, "champion", 1)]
        tags = rows(ws, "SELECT key, value FROM model_version_tags WHERE version = 1")
        assert ("kdgat.dataset_hash", "a" * 64) in tags
        assert ("kdgat.run_id", run_id(1)) in tags

    def test_follows_and_is_made_once(self, ws: Workspace) -> None:
        judged(ws, 1, BAD)
        promote(ws, MODEL, RULE)
        sync_runs(ws)
        before = contents(ws, raw=True)
        assert sync_runs(ws).models == ()
        assert contents(ws, raw=True) == before
        judged(ws, 2, GOOD)
        promote(ws, f"{MODEL}@2", RULE)
        assert sync_runs(ws).models == (MODEL,)
        assert contents(ws)["aliases"] == [(MODEL, "champion", 2)]
        Journal(ws.journal).append("alias_removed", model=MODEL, alias="champion")
        sync_runs(ws)
        assert contents(ws)["aliases"] == []

    def test_made_again_keeps_numbers_and_leaves_out_removed_versions(self, ws: Workspace) -> None:
        for number in (1, 2, 3):
            judged(ws, number, GOOD)
        sync_runs(ws)
        Journal(ws.journal).append("version_removed", model=MODEL, version=2)
        sync_runs(ws)
        before = contents(ws)
        active = [row for row in before["models"] if row[2] != "Deleted_Internal"]
        assert [row[1] for row in active] == [1, 3]
        sync_runs(ws, rebuild=True)
        assert contents(ws) == before

    def test_without_a_scaling_says_what_can_t_be_loaded(self, ws: Workspace) -> None:
        judged(ws, 1, GOOD)
        (note,) = sync_runs(ws).notes
        assert "can't be loaded by MLflow" in note
        assert pending(ws) == ()

    def test_is_gone_with_the_last_version(self, ws: Workspace) -> None:
        judged(ws, 1, GOOD)
        sync_runs(ws)
        Journal(ws.journal).append("version_removed", model=MODEL, version=1)
        sync_runs(ws)
        with open_store(ws.mlflow) as client:
            assert list(client.search_registered_models()) == []


def test_the_journal_keeps_plain_values(ws: Workspace) -> None:
    judged(ws, 1, GOOD)
    promote(ws, MODEL, RULE)
    for path in ws.journal.glob("*.json"):
        json.loads(path.read_bytes())
    with pytest.raises(KdgatError):
        find_version(ws, "nothing")
