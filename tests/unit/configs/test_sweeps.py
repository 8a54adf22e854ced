"""Experiments and sweeps: overrides that stand for others, or for several runs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.configs.compose import compose, sweep
from kdgat.configs.experiments import experiments
from kdgat.errors import ConfigError
from tests.unit.configs.faults import one_sentence


def test_an_experiment_stands_for_its_overrides_and_others_win_over_it() -> None:
    assert compose(["experiment=hcrl_sa-vgae-small-kd"]) == compose(
        ["dataset=hcrl_sa", "model=vgae", "size=small", "distillation.teacher=latest"]
    )
    assert compose(["size=large", "experiment=hcrl_sa-vgae-small"]).size == "large"


def test_there_are_over_a_hundred_experiments() -> None:
    assert len(experiments()) > 100


def test_every_experiment_composes_to_a_run_of_its_own() -> None:
    digests = {compose([f"experiment={name}"]).digest() for name in experiments()}
    assert len(digests) == len(experiments())


def test_a_teacher_is_never_distilled() -> None:
    distilled = [name for name in experiments() if name.endswith("-kd")]
    assert distilled
    assert all("-small-" in name for name in distilled)


def test_a_sweep_makes_every_combination_with_the_last_key_fastest() -> None:
    assert sweep(["model.hidden=32,64", "size=small", "seed=range(3)"]) == [
        (f"model.hidden={hidden}", "size=small", f"seed={seed}")
        for hidden in (32, 64)
        for seed in (0, 1, 2)
    ]


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("seed=3,1,2", ["3", "1", "2"]),
        ("seed=choice(3,1,2)", ["3", "1", "2"]),
        ("seed=range(2,8,3)", ["2", "5"]),
        ("seed=sort(3,1,2)", ["1", "2", "3"]),
        ("seed=7", ["7"]),
    ],
)
def test_a_sweeps_values_come_in_the_order_of_the_grammar(override: str, values: list[str]) -> None:
    assert sweep([override]) == [(f"seed={value}",) for value in values]


def test_values_with_commas_and_brackets_stay_whole_in_a_sweep() -> None:
    combinations = sweep(["data.features=[bytes],[rate,timing]"])
    assert [compose(each).data.features for each in combinations] == [
        ("bytes",),
        ("rate", "timing"),
    ]


def test_what_is_no_sweep_is_one_run() -> None:
    assert sweep([]) == [()]
    assert sweep(["seed=1", "size=small"]) == [("seed=1", "size=small")]


def test_a_sweep_over_experiments_runs_one_after_the_other() -> None:
    configs = [
        compose(each)
        for each in sweep(["seed=1,2", "experiment=set_01-gat-large,set_02-vgae-small"])
    ]
    assert [(c.dataset.name, c.model.kind, c.size, c.seed) for c in configs] == [
        ("set_01", "gat", "large", 1),
        ("set_01", "gat", "large", 2),
        ("set_02", "vgae", "small", 1),
        ("set_02", "vgae", "small", 2),
    ]


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("seed=range(0)", "override 'seed=range(0)' names no value"),
        (
            "model.dropout=interval(0,1)",
            "override 'model.dropout=interval(0,1)' names values that can't be counted",
        ),
        ("dataset=glob(h*)", "override 'dataset=glob(h*)' names values that can't be counted"),
    ],
)
def test_a_sweep_that_can_not_be_counted_is_refused(override: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep([override])
    assert one_sentence(caught.value)[0] == problem


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(1, 4))
def test_a_sweep_has_as_many_runs_as_its_values_multiplied(seeds: list[int], count: int) -> None:
    combinations = sweep([f"seed={','.join(map(str, seeds))}", f"model.hidden=range({count})"])
    assert len(combinations) == len(seeds) * count
