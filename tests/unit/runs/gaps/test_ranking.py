"""How findings are ranked, chosen, and written as commands."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from kdgat.configs.compose import compose, sweep
from kdgat.ledger.folder import RunFolder
from kdgat.runs.gaps.costs import Costs
from kdgat.runs.gaps.finding import FREE, Cost, Finding, Kind, Trial, chosen, ranked
from kdgat.runs.gaps.overrides import command
from kdgat.runs.rows import param_rows
from tests.unit.ledger.made import new_record
from tests.unit.runs.gaps.planted import whole_config
from tests.unit.runs.gaps.rows import GAT, hour


def finding(kind: Kind, chance: float, hours: float | None = 0.9, **changes: Any) -> Finding:
    values = {"provenance": "real", "claim": f"{chance}", **changes}
    return Finding(
        kind=kind, protocol="", runs=(), n=0, figures={}, trial=Trial(("quickstart",)),
        cost=Cost(hours), chance=chance, because="", **values,
    )  # fmt: skip


class TestRanking:
    def test_the_chance_for_each_hour_decides(self) -> None:
        dear, cheap = finding("one seed", 0.9, 8.9), finding("contradiction", 0.5, 0.4)
        assert [each.value for each in ranked([dear, cheap])] == [1.0, 0.1]

    def test_simulated_data_comes_after_real_data(self) -> None:
        made = finding("one seed", 0.9, provenance="simulated")
        assert ranked([made, finding("one seed", 0.1)])[-1] is made

    def test_what_would_change_nothing_is_not_told(self) -> None:
        assert not ranked([finding("one seed", 0.001)])

    def test_unknown_costs_count_as_an_hour(self) -> None:
        assert finding("one seed", 0.55, None).value == 0.5

    def test_a_fourth_finding_of_a_kind_waits_for_other_kinds(self) -> None:
        many = [finding("one seed", 0.9 - place / 100) for place in range(6)]
        other = finding("contradiction", 0.1)
        told = chosen(ranked([*many, other]), 5)
        assert [each.kind for each in told] == ["one seed"] * 4 + ["contradiction"]


class TestCosts:
    def test_the_nearest_likeness_counts(self) -> None:
        costs = Costs(hour())
        assert costs.training(GAT, 2).hours == 2.2
        assert costs.training(GAT._replace(dataset="set_04")).hours == 1.1
        assert costs.training(GAT._replace(model="vgae")).hours is None

    def test_simulated_runs_tell_nothing_of_real_ones(self) -> None:
        assert Costs(hour()).training(GAT._replace(provenance="simulated")).hours is None

    def test_costs_are_told_in_words(self) -> None:
        assert Cost(2.0, True, 3).text == "2.0 GPU-h, as 3 runs like it took"
        assert Cost(0.05, True, 3).text == "3.0 min of a GPU, as 3 runs like it took"
        assert Cost(None).text == "unknown, no run is like it"
        assert FREE.text == "next to nothing"


def params(runs: Path, *wanted: Any) -> dict[str, str | None]:
    """A config as the history has it."""
    folder = RunFolder.create(runs, new_record(), whole_config(*wanted).model_dump(mode="json"))
    return {name: text for _, name, text, _ in param_rows(folder.path)}


class TestCommands:
    def test_only_what_differs_from_the_preset_is_written(self, tmp_path: Path) -> None:
        held = params(tmp_path, "hcrl_sa", "gat", "small", 3, {"model.dropout": 0.2}, None)
        said = command(Trial(("train",), "x", {"seed": ("4", "5")}), held)
        assert said == (
            "kdgat train -m dataset=hcrl_sa model=gat size=small model.dropout=0.2 seed=4,5"
        )

    def test_a_command_composes_to_the_run_s_own_config(self, tmp_path: Path) -> None:
        changes = {
            "data.features": ["bytes", "entropy"], "training.precision": "bf16",
            "training.learning_rate": 1e-05,
        }  # fmt: skip
        teacher = "20261121-074455-123f9a2"
        config = whole_config("set_02", "vgae", "small", 7, changes, teacher)
        said = command(
            Trial(("train",), "x"), params(tmp_path, "set_02", "vgae", "small", 7, changes, teacher)
        )
        assert said is not None
        (words,) = sweep(shlex.split(said)[2:])
        assert compose(words) == config

    def test_a_config_of_another_version_has_no_command(self, tmp_path: Path) -> None:
        held = params(tmp_path, "hcrl_sa", "gat", "small", 3, {}, None)
        assert command(Trial(("train",), "x"), {**held, "model.kind": "transformer"}) is None
        assert command(Trial(("train",), "x", {"model.heads": ("99",)}), held) is None
        assert command(Trial(("train",), "x"), None) is None
