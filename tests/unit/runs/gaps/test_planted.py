"""Suggestions on whole histories: ten planted gaps, and none where nothing is lacking."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from kdgat.configs.compose import compose, sweep
from kdgat.ledger.journal import Journal
from kdgat.ops.suggest import Suggestion, Suggestions, suggest
from kdgat.workspace import Workspace
from tests.integration.test_guide_fences import parse
from tests.unit.runs.gaps.planted import BEST, TEN, Ledger, complete

SWEEPING = ("train", "submit")


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The history with ten gaps; tests that change it take a copy."""
    root = tmp_path_factory.mktemp("planted")
    ledger = Ledger(Workspace(root, root / ".kdgat"))
    complete(ledger, gaps=True)
    assert 480 < ledger.written < 520
    return ledger.ws


@pytest.fixture(scope="module")
def found(history: Workspace) -> Suggestions:
    return suggest(history, questions=True)


def of(found: Suggestions, kind: str) -> Suggestion:
    (one,) = [each for each in found.items if each.kind == kind]
    return one


def test_the_ten_planted_gaps_are_found_and_nothing_else(found: Suggestions) -> None:
    assert found.total == 10
    assert {each.kind for each in found.items} == TEN


def test_the_planted_best_comes_first_and_values_fall(found: Suggestions) -> None:
    assert found.items[0].kind == BEST
    values = [each.value for each in found.items]
    assert values == sorted(values, reverse=True)


def test_each_names_the_planted_data(found: Suggestions) -> None:
    claims = {each.kind: each.claim for each in found.items}
    for kind, *words in (
        ("axis never varied", "hcrl_sa-vgae-large", "model.latent=32"),
        ("threshold", "hcrl_sa-vgae-large", "AUROC 0.97"),
        ("cheaper GPU", "set_01-vgae-large", "H100 94 GB", "V100 16 GB of pitzer"),
        ("baseline wins", "set_01-gradient_boosting-large", "set_01-gat-large"),
        ("dominated setting", "model.dropout=0.0", "model.dropout=0.2", "8 pairs"),
        ("one seed", "set_01-vgae-large", "seed 0 alone"),
        ("not judged", "set_01-gat-large"),
        ("never retried", "set_01-vgae-large", "unspecified launch failure"),
        ("contradiction", "hcrl_sa-gat-large", "seed 0"),
        ("open question", "0001"),
    ):
        missing = [word for word in words if word not in claims[kind]]
        assert not missing, f"{kind}: {missing} not in: {claims[kind]}"


def test_evidence_is_of_runs_that_exist_under_one_provenance_and_protocol(
    history: Workspace, found: Suggestions
) -> None:
    known = {path.name for path in history.runs.glob("*/*/*")}
    for each in found.items:
        assert set(each.runs) <= known
        assert each.n >= 1 or each.kind == "open question"
        assert each.provenance in ("real", "")
        assert each.protocol in ("zero_shot", "")
        assert 0 < each.chance <= 1


def test_every_command_parses_and_composes_to_runs_that_were_not_done(
    history: Workspace, found: Suggestions
) -> None:
    done = {path.read_text() for path in history.runs.glob("*/*/*/config.json")}
    composed = 0
    for each in found.items:
        words = shlex.split(each.command)
        assert words[0] == "kdgat"
        parse(words[1:])
        if words[1] in SWEEPING and each.kind != "never retried":
            overrides = [word for word in words[2:] if "=" in word]
            for combination in sweep(overrides):
                assert compose(combination).model_dump_json(indent=None) not in done
                composed += 1
    assert composed >= 8


def test_costs_are_those_of_runs_like_it(found: Suggestions) -> None:
    assert of(found, BEST).cost_h == pytest.approx(20 / 3600)
    student = of(found, "dominated setting")
    assert student.on_gpu
    assert student.cost_h == pytest.approx((90 + 20) / 3600)
    assert of(found, "baseline wins").cost_h == pytest.approx(2 * (3600 + 20) / 3600)
    assert of(found, "open question").cost_h == 0


def test_questions_stay_hidden_unless_they_are_asked_for(history: Workspace) -> None:
    found = suggest(history)
    assert found.total == 9
    assert "question" not in str(found.items)


def test_a_limit_keeps_the_best(history: Workspace, found: Suggestions) -> None:
    assert suggest(history, limit=3, questions=True).items == found.items[:3]


def test_archived_and_removed_runs_never_count(
    history: Workspace, found: Suggestions, tmp_path: Path
) -> None:
    shutil.copytree(history.root, tmp_path / "copy", dirs_exist_ok=True)
    ws = Workspace(tmp_path / "copy", tmp_path / "copy" / ".kdgat")
    journal = Journal(ws.journal)
    for kind in ("not judged", "one seed"):
        journal.append("archived", run_id=of(found, kind).runs[0])
    gone = of(found, "never retried").runs[0]
    journal.append("removed", run_id=gone, name="", folder="")
    left = {each.kind for each in suggest(ws, questions=True).items}
    assert left == TEN - {"not judged", "one seed", "never retried"}


def test_where_nothing_is_lacking_nothing_is_invented(tmp_path: Path) -> None:
    ws = Workspace(tmp_path, tmp_path / ".kdgat")
    complete(Ledger(ws))
    assert suggest(ws, questions=True).items == ()
