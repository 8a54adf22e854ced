"""Each kind of gap, on rows with known answers."""

from __future__ import annotations

from datetime import timedelta
from statistics import NormalDist

import pytest

from kdgat.configs.resources import GPUS
from kdgat.runs.gaps.facts import (
    AxisRow,
    Card,
    DatasetRow,
    Family,
    Fired,
    MemoryRow,
    ModelRow,
    UseRow,
    WaitingRow,
)
from kdgat.runs.gaps.settings import moved
from tests.unit.runs.gaps.rows import (
    GAT,
    START,
    STUDENT,
    arena,
    effect,
    found,
    hour,
    judged,
    run_id,
    seeds,
)

SET = GAT._replace(dataset="set_01")
VGAE = GAT._replace(model="vgae")
TREES = GAT._replace(model="gradient_boosting")
FALLS = {"known": 0.99, "unknown": 0.55, "unknown_auroc": 0.98}


class TestAxes:
    def test_the_first_field_that_never_varied_is_swept_around_its_value(self) -> None:
        axes = (
            AxisRow(GAT, "training.learning_rate", 2, "0.002"),
            AxisRow(GAT, "model.hidden", 1, "32"),
            AxisRow(GAT, "model.dropout", 1, "0.1"),
        )
        (finding,) = found("axis never varied", judged=tuple(seeds(1, 0.8)), axes=axes)
        assert finding.trial.changes["model.hidden"] == ("16", "64")
        assert finding.trial.base == run_id(3)
        assert "2 of 3 fields" in finding.claim
        # One field was varied and moved nothing: (0 + 1) / (1 + 2).
        assert finding.chance == pytest.approx(1 / 3)

    def test_fields_that_moved_the_figure_make_others_more_promising(self) -> None:
        axes = (AxisRow(GAT, "model.hidden", 2, "32"), AxisRow(GAT, "model.layers", 1, "3"))
        given = {"judged": tuple(seeds(1, 0.8)), "axes": axes}
        (dull,) = found("axis never varied", **given)
        (telling,) = found("axis never varied", **given, effects=(effect(0.1),))
        assert (dull.chance, telling.chance) == (pytest.approx(1 / 3), pytest.approx(2 / 3))

    def test_effects_on_simulated_data_promise_nothing_for_real_data(self) -> None:
        made = GAT._replace(provenance="simulated", dataset="simulated")
        axes = (AxisRow(made, "model.hidden", 2, "32"), AxisRow(GAT, "model.layers", 1, "3"))
        (finding,) = found(
            "axis never varied",
            judged=tuple(seeds(1, 0.8)),
            axes=axes,
            effects=(effect(0.1, made),),
        )
        assert finding.chance == pytest.approx(1 / 2)

    def test_a_kind_of_model_that_was_never_judged_has_no_axes_yet(self) -> None:
        assert not found("axis never varied", axes=(AxisRow(GAT, "model.hidden", 1, "32"),))


class TestSeeds:
    def test_the_chance_is_that_the_order_is_the_other_way_round(self) -> None:
        rows = [*seeds(1, 0.80), judged(9, 0.81, recipe=2, seed=0)]
        (finding,) = found("one seed", judged=tuple(rows), durations=hour())
        error = 0.01 * (1 + 1 / 3) ** 0.5
        assert finding.chance == pytest.approx(1 - NormalDist().cdf(0.01 / error))
        assert finding.trial.changes == {"seed": ("1", "2")}
        assert finding.cost.hours == pytest.approx(2.2)
        assert finding.value == pytest.approx(finding.chance / 2.3)

    def test_a_clear_lead_is_not_worth_another_seed(self) -> None:
        rows = [*seeds(1, 0.80), judged(9, 0.95, recipe=2)]
        assert not found("one seed", judged=tuple(rows))

    def test_a_result_without_a_rival_may_be_off(self) -> None:
        (finding,) = found("one seed", judged=(judged(1, 0.8),))
        assert "has no rival" in finding.claim
        assert "assumed" in finding.because
        assert finding.chance == pytest.approx(2 * NormalDist().cdf(-1))

    def test_an_undefined_figure_is_no_result(self) -> None:
        assert not found("one seed", judged=(judged(1, None),))


class TestSettings:
    in_use = tuple(
        UseRow(GAT, "model.hidden", "32", run_id(50 + i), START + timedelta(hours=1 + i))
        for i in range(3)
    )

    def test_a_beaten_value_in_the_newest_trainings_is_named_with_the_better_one(self) -> None:
        (finding,) = found("dominated setting", effects=(effect(0.05),), in_use=self.in_use)
        assert finding.trial.base == run_id(52)
        assert finding.trial.changes == {"model.hidden": ("64",)}
        assert finding.figures["still_in_use"] == 3

    def test_what_is_better_and_dearer_dominates_nothing(self) -> None:
        dearer = effect(0.05, parameters=1000.0)
        assert not found("dominated setting", effects=(dearer,), in_use=self.in_use)

    def test_runs_of_the_comparison_itself_are_no_use_of_the_setting(self) -> None:
        early = tuple(each._replace(created_at=START) for each in self.in_use)
        assert not found("dominated setting", effects=(effect(0.05),), in_use=early)

    def test_of_many_comparisons_a_difference_must_be_clearer(self) -> None:
        row = effect(0.006, spread=0.005, pairs=8, compared=1)
        assert moved(row)
        assert not moved(row._replace(compared=100))
        assert not moved(row._replace(pairs=2))

    def test_opposite_effects_on_two_datasets_are_settled_on_a_third(self) -> None:
        third = GAT._replace(dataset="set_02")
        effects = (effect(0.05), effect(-0.05, SET))
        rows = (*seeds(1, 0.8), *seeds(11, 0.7, SET), *seeds(21, 0.6, third))
        (finding,) = found("opposite effects", effects=effects, judged=rows)
        assert "set_02, a third dataset" in finding.claim
        assert finding.trial.base == run_id(23)
        assert finding.trial.changes["model.hidden"] == ("32", "64")

    def test_without_a_third_dataset_more_seeds_settle_it_where_pairs_are_fewer(self) -> None:
        effects = (effect(0.05), effect(-0.05, SET, pairs=5))
        rows = (*seeds(1, 0.8), *seeds(11, 0.7, SET))
        (finding,) = found("opposite effects", effects=effects, judged=rows)
        assert finding.trial.base == run_id(13)
        assert finding.trial.changes["seed"] == ("3", "4")

    @pytest.mark.parametrize(
        "other",
        [
            GAT._replace(provenance="simulated", dataset="simulated"),
            GAT._replace(dataset="set_01", size="small"),
        ],
    )
    def test_other_provenances_and_sizes_contradict_nothing(self, other: Family) -> None:
        effects = (effect(0.05), effect(-0.05, other))
        assert not found("opposite effects", effects=effects, judged=tuple(seeds(1, 0.8)))

    def test_protocols_contradict_nothing(self) -> None:
        other = effect(-0.05, SET, arena=arena(SET, "adapted"))
        assert not found("opposite effects", effects=(effect(0.05), other))


class TestThresholds:
    @pytest.mark.parametrize("family", [VGAE, GAT])
    def test_what_ranks_well_and_decides_badly_is_judged_with_another_threshold(
        self, family: Family
    ) -> None:
        (finding,) = found("threshold", judged=tuple(seeds(1, 0.8, family, **FALLS)))
        assert finding.trial.words == (
            "evaluate", run_id(3), "evaluation.threshold=conformal",
        )  # fmt: skip
        assert finding.trial.base is None
        assert finding.chance == pytest.approx(0.96)

    def test_a_model_that_ranks_badly_too_has_no_wrong_threshold(self) -> None:
        blind = {**FALLS, "unknown_auroc": 0.6}
        assert not found("threshold", judged=tuple(seeds(1, 0.8, VGAE, **blind)))

    def test_a_dataset_of_one_vehicle_is_named_with_one_that_has_more(self) -> None:
        datasets = (
            DatasetRow("hcrl_sa", "real", "d" * 64, 1), DatasetRow("set_01", "real", "e" * 64, 4),
            DatasetRow("simulated", "simulated", "f" * 64, 3),
        )  # fmt: skip
        (finding,) = found("threshold", judged=tuple(seeds(1, 0.8)), datasets=datasets)
        assert finding.trial.changes == {"dataset": ("set_01",)}

    def test_the_best_model_is_judged_under_the_protocol_that_others_were(self) -> None:
        adapted = arena(GAT, "adapted")
        rows = (*seeds(1, 0.9), *seeds(11, 0.8, recipe=2))
        others = tuple(row._replace(arena=adapted, score=0.1234) for row in rows[3:])
        (finding,) = found("one protocol", judged=(*rows, *others))
        assert finding.protocol == "zero_shot"
        assert finding.trial.words == ("evaluate", run_id(3), "--again")
        assert "0.1234" not in finding.claim
        assert finding.chance == pytest.approx(1 / 4)


class TestRivals:
    def test_a_baseline_that_is_clearly_ahead_is_named(self) -> None:
        rows = (*seeds(1, 0.8), *seeds(11, 0.9, TREES))
        (finding,) = found("baseline wins", judged=rows)
        assert finding.trial.base == run_id(3)
        assert finding.chance > 0.99

    def test_a_baseline_that_is_ahead_by_chance_is_not(self) -> None:
        rows = (*seeds(1, 0.8), *seeds(11, 0.801, TREES))
        assert not found("baseline wins", judged=rows)

    def test_a_better_version_than_the_champion_is_put_to_the_promotion_rule(self) -> None:
        rows = (*seeds(1, 0.8), *seeds(11, 0.9, recipe=2))
        name = "hcrl_sa-gat-large"
        champion = ModelRow(name, 1, run_id(1), True)
        (finding,) = found("not promoted", judged=rows, models=(champion,))
        assert finding.trial.words == ("models", "register", run_id(13))
        known = ModelRow(name, 2, run_id(13), False)
        (finding,) = found("not promoted", judged=rows, models=(champion, known))
        assert finding.trial.words == ("models", "promote", f"{name}@2", "--dry-run")

    def test_another_seed_of_the_champion_s_config_is_no_better_model(self) -> None:
        champion = ModelRow("hcrl_sa-gat-large", 1, run_id(1), True)
        assert not found("not promoted", judged=tuple(seeds(1, 0.8)), models=(champion,))

    def test_a_better_teacher_that_taught_nobody_is_given_to_the_best_student(self) -> None:
        students = seeds(21, 0.7, STUDENT, recipe=3, teacher=run_id(1))
        rows = (*seeds(1, 0.8), *seeds(11, 0.9, recipe=2), *students)
        (finding,) = found("better teacher", judged=rows)
        assert finding.trial.base == run_id(23)
        assert finding.trial.changes == {"distillation.teacher": (run_id(13),)}

    def test_a_teacher_of_other_graphs_can_t_teach(self) -> None:
        students = seeds(21, 0.7, STUDENT, recipe=3, teacher=run_id(1))
        rows = (*seeds(1, 0.8), *seeds(11, 0.9, recipe=2, graphs="other"), *students)
        assert not found("better teacher", judged=rows)


class TestConflicts:
    def test_one_experiment_with_two_figures_is_replayed(self) -> None:
        rows = (*seeds(1, 0.8), judged(9, 0.7, seed=1, digest=f"{2:016x}"))
        (finding,) = found("contradiction", judged=rows)
        assert finding.trial.words == ("replay", run_id(9))
        assert finding.runs == (run_id(9), run_id(2))

    def test_a_difference_within_the_noise_contradicts_nothing(self) -> None:
        rows = (*seeds(1, 0.8), judged(9, 0.805, seed=1, digest=f"{2:016x}"))
        assert not found("contradiction", judged=rows)


class TestCards:
    cards = (
        Card("pitzer", "gpu", "v100-16gb", 86_400), Card("pitzer", "gpu-exp", "v100-32gb", None),
        Card("ascend", "nextgen", "a100-40gb", None),
    )  # fmt: skip

    def on(self, gpu: str, most_gib: float, precision: str = "32") -> list[tuple[str, ...]]:
        row = MemoryRow(GAT, run_id(1), gpu, most_gib * 2**30, 8, precision, 0)
        found_ = found("cheaper GPU", memory=(row,), cards=self.cards, durations=hour())
        return [each.trial.options for each in found_]

    def test_the_smallest_card_with_room_to_spare_is_named(self) -> None:
        (options,) = self.on("h100-94gb", 3)
        assert options[:4] == ("--cluster", "pitzer", "--partition", "gpu")
        (options,) = self.on("h100-94gb", 20)
        assert options[3] == "gpu-exp"

    def test_the_smallest_card_is_not_bettered(self) -> None:
        assert not self.on("v100-16gb", 3)

    def test_a_training_that_needs_its_card_keeps_it(self) -> None:
        assert not self.on("a100-80gb", 70)

    def test_a_card_that_emulates_the_precision_does_not_do(self) -> None:
        (options,) = self.on("h100-94gb", 3, "bf16")
        assert options[1] == "ascend"
        assert "bf16" not in GPUS["v100-16gb"].precisions


class TestUnfinished:
    waiting = WaitingRow(GAT, 2, run_id(7), "failed", "out of\nmemory")

    def test_a_training_without_a_judgement_may_be_the_best_as_any(self) -> None:
        rows = (*seeds(1, 0.8), *seeds(11, 0.7, recipe=2))
        (finding,) = found("not judged", judged=rows, unjudged=(self.waiting,))
        assert finding.trial.words == ("evaluate", run_id(7))
        assert finding.chance == pytest.approx(1 / 3)

    def test_a_broken_off_run_is_worth_what_earlier_retries_were(self) -> None:
        (finding,) = found("never retried", broken=(self.waiting,), retried=8, mended=2)
        assert finding.chance == pytest.approx(3 / 10)
        assert "out of memory" in finding.claim

    def test_what_this_version_can_t_train_is_not_to_be_retried(self) -> None:
        trees = self.waiting._replace(family=TREES)
        assert not found("never retried", broken=(trees,))


def test_a_question_whose_trigger_fired_is_shown() -> None:
    (finding,) = found("open question", questions=(Fired("0003", "why?", "so", (run_id(1),)),))
    assert finding.trial.words == ("questions", "show", "0003")


def test_an_empty_history_begins_with_the_quick_start_or_an_ingested_dataset() -> None:
    (finding,) = found("nothing yet", trainings=0)
    assert finding.trial.words == ("quickstart",)
    (finding,) = found(
        "nothing yet", trainings=0, datasets=(DatasetRow("set_01", "real", "d" * 64, 4),)
    )
    assert finding.trial.words[1] == "dataset=set_01"
