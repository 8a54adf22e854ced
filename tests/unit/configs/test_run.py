"""The run's config: frozen, closed, documented, and the digest that is its identity."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from kdgat.configs.compose import compose
from kdgat.configs.dataset import SimulationConfig
from kdgat.configs.evaluation import EvaluationConfig
from kdgat.configs.model import KINDS, SIZES, model_preset
from kdgat.configs.run import RunConfig, json_digest
from kdgat.configs.schema import Config
from kdgat.configs.training import DistillationConfig, ResourcesConfig, TrainingConfig

DIGEST_OF_THE_DEFAULTS = "714c59f7b8262443"
"""Written down, not computed. It changes with every field and default that a run depends on, and
then no earlier run counts as done any more: change it here only when that is what you mean."""

UNITS = {
    "in seconds": "_s",
    "in milliseconds": "_ms",
    "in minutes": "_min",
    "in bytes": "_bytes",
    "per second": "_per_s",
    "Share of": ("_share", "_fraction", "alpha"),
    "Epochs": "_epochs",
    "Graphs in": "_graphs",
}
"""What a number's description says, and how its name then ends."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def config_classes(kind: type[Config] = Config) -> Iterator[type[Config]]:
    for each in kind.__subclasses__():
        if each.__module__.startswith("kdgat."):
            yield each
        yield from config_classes(each)


FIELDS = [
    pytest.param(name, field, id=f"{kind.__name__}.{name}")
    for kind in config_classes()
    for name, field in kind.model_fields.items()
]


def test_the_digest_of_the_defaults_is_the_one_written_down() -> None:
    assert RunConfig().digest() == DIGEST_OF_THE_DEFAULTS, (
        "the identity of every run changed: if a field or a default was changed on purpose, write "
        f"{RunConfig().digest()} into DIGEST_OF_THE_DEFAULTS; if not, find what changed it"
    )


@pytest.mark.parametrize("hash_seed", ["0", "4711"])
def test_the_digest_is_the_same_in_every_process(hash_seed: str) -> None:
    code = "from kdgat.configs.run import RunConfig; print(RunConfig().digest())"
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ
    )
    assert done.stdout.strip() == RunConfig().digest()


def test_where_a_run_computes_is_no_part_of_its_identity() -> None:
    elsewhere = ResourcesConfig(accelerator="cpu", threads=3)
    assert RunConfig(resources=elsewhere).digest() == RunConfig().digest()


def test_how_a_run_is_judged_is_no_part_of_its_identity() -> None:
    otherwise = EvaluationConfig(threshold="conformal", alpha=0.1, prefix_sweep_s=())
    assert RunConfig(evaluation=otherwise).digest() == RunConfig().digest()


def test_distillation_without_a_teacher_is_no_part_of_the_identity() -> None:
    unused = DistillationConfig(alpha=0.1, temperature=9.0)
    assert RunConfig(distillation=unused).digest() == RunConfig().digest()


def test_the_teacher_and_its_weights_are_part_of_the_identity() -> None:
    digests = {
        RunConfig(distillation=DistillationConfig(teacher=teacher, alpha=alpha)).digest()
        for teacher in (None, "20261121-074455-3f9a2c", "20261121-074455-3f9a2d")
        for alpha in (0.1, 0.7)
    }
    assert len(digests) == 5


def test_whom_to_cite_is_no_part_of_the_identity() -> None:
    config = RunConfig()
    cited = config.dataset.model_copy(update={"citation": "somebody else"})
    assert config.model_copy(update={"dataset": cited}).digest() == config.digest()


@pytest.mark.parametrize(
    "override",
    [
        "seed=1",
        "size=small",
        "model=vgae",
        "dataset=set_01",
        "model.hidden=33",
        "training.learning_rate=0.01",
        "data.stride_messages=50",
        "data.features=[bytes]",
        "data.prefix_s=5",
        "data.id_encoding=hash",
    ],
)
def test_everything_else_is_part_of_the_identity(override: str) -> None:
    assert compose([override]).digest() != RunConfig().digest()


def test_a_whole_number_for_a_fraction_is_the_same_run() -> None:
    whole = TrainingConfig.model_validate({"learning_rate": 1})
    assert json_digest(whole.model_dump(mode="json")) == json_digest(
        TrainingConfig(learning_rate=1.0).model_dump(mode="json")
    )


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(), JSON, min_size=2))
def test_a_digest_does_not_depend_on_the_order_of_keys(values: dict[str, Any]) -> None:
    turned = dict(reversed(values.items()))
    assert json_digest(values) == json_digest(turned)
    assert len(json_digest(values)) == 16


@settings(max_examples=40, deadline=None)
@given(JSON, JSON)
def test_two_values_share_a_digest_only_if_they_are_written_alike(one: Any, two: Any) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(two, sort_keys=True)
    assert (json_digest(one) == json_digest(two)) is same


def test_what_is_no_number_has_no_digest() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_digest({"loss": float("nan")})


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_config_comes_back_from_json_as_it_was(kind: str, size: str) -> None:
    config = compose([f"model={kind}", f"size={size}", "distillation.teacher=latest"])
    again = RunConfig.model_validate(json.loads(json.dumps(config.model_dump(mode="json"))))
    assert again == config
    assert again.digest() == config.digest()
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_a_config_is_frozen_at_every_depth() -> None:
    config = RunConfig()
    for part, name in ((config, "seed"), (config.training, "max_epochs"), (config.model, "hidden")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, name, 1)


@pytest.mark.parametrize(
    "values", [{"sed": 1}, {"training": {"epochs": 1}}, {"model": {"kind": "gat", "latent": 1}}]
)
def test_an_unknown_field_is_refused_at_every_depth(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        RunConfig.model_validate(values)


@pytest.mark.parametrize(
    "values",
    [
        {"seed": True},
        {"training": {"learning_rate": False}},
        {"model": {"kind": "gat", "heads": True}},
    ],
)
def test_true_and_false_are_no_numbers(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="input should be a number"):
        RunConfig.model_validate(values)


def test_a_simulation_with_an_empty_range_is_refused() -> None:
    with pytest.raises(ValidationError, match="ids_min = 50 is above ids_max = 40"):
        SimulationConfig(ids_min=50, ids_max=40)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "id_frequency"])
def test_the_student_is_not_the_teacher(kind: Any) -> None:
    presets = [model_preset(kind, size) for size in SIZES]
    assert len({preset.model_dump_json() for preset in presets}) == len(SIZES) == 3


def test_counting_ids_has_nothing_to_make_smaller() -> None:
    assert len({model_preset("id_frequency", size).model_dump_json() for size in SIZES}) == 1


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_every_field_has_a_line_of_documentation(name: str, field: Any) -> None:
    line = " ".join((field.description or "").split())
    assert line.endswith(".")
    assert line[0].isupper() or line[0] == "`"
    assert 5 < len(line) < 160


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_a_numbers_name_ends_in_the_unit_its_documentation_tells(name: str, field: Any) -> None:
    if field.annotation not in (int, float):
        return
    for words, ending in UNITS.items():
        if words in field.description:
            assert name.endswith(ending), f"{name}: {field.description}"


def test_the_walk_over_the_fields_finds_every_part_of_a_run() -> None:
    parts = {type(value) for value in dict(RunConfig()).values() if isinstance(value, BaseModel)}
    assert parts | {RunConfig, SimulationConfig} <= set(config_classes())
