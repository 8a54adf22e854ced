"""Overrides that leave a field open, for a search."""

from __future__ import annotations

import pytest

from kdgat.configs.compose import search_space, sweep
from kdgat.configs.space import Choices, Interval
from kdgat.errors import ConfigError


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("model.hidden=8,12,16", Choices(("8", "12", "16"))),
        ("model.hidden=choice(8,12)", Choices(("8", "12"))),
        ("model.hidden=8,12,8", Choices(("8", "12"))),
        ("model.layers=range(1,4)", Choices(("1", "2", "3"))),
        ("data.features=[bytes],[bytes,rate]", Choices(("[bytes]", "[bytes,rate]"))),
        ("training.weight_decay=interval(0,1e-3)", Interval(0.0, 1e-3)),
        ("model.hidden=int(interval(4,9))", Interval(4, 9, whole=True)),
        ("training.learning_rate=tag(log,interval(1e-4,1e-2))", Interval(1e-4, 1e-2, log=True)),
        ("training.learning_rate=log(1e-4, 1e-2)", Interval(1e-4, 1e-2, log=True)),
    ],
)
def test_an_override_with_several_values_leaves_its_field_open(
    override: str, values: Choices | Interval
) -> None:
    field = override.partition("=")[0]
    assert search_space(["model=gat", override]) == (("model=gat",), {field: values})


def test_an_experiment_fixes_what_it_stands_for() -> None:
    fixed, space = search_space(["experiment=hcrl_sa-gat-small", "model.hidden=8,12"])
    assert fixed == ("dataset=hcrl_sa", "model=gat", "size=small")
    assert list(space) == ["model.hidden"]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("a=interval(3,1)", "smaller number first"),
        ("a=interval(1,1)", "smaller number first"),
        ("a=interval(1,inf)", "no interval"),
        ("a=log(0,1)", "above 0"),
        ("a=log(1)", "can't be read"),
        ("a=range(3,3)", "names no value"),
        ("a=glob(*)", "can't be counted"),
    ],
)
def test_what_leaves_nothing_to_choose_is_refused(override: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        search_space([override])
    assert words in f"{caught.value.problem} {caught.value.hint}"


def test_two_overrides_of_one_field_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"two overrides give values of 'model.hidden'"):
        search_space(["model.hidden=8,12", "model.hidden=interval(1,2)"])


def test_a_sweep_does_not_count_an_interval() -> None:
    with pytest.raises(ConfigError, match="can't be counted"):
        sweep(["training.learning_rate=log(1e-4,1e-2)"])
