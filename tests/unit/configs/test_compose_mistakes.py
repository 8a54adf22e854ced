"""Composition's mistakes: one sentence and the next step, whatever the text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.configs.compose import compose, sweep
from kdgat.configs.dataset import DatasetConfig
from kdgat.configs.fields import validated
from kdgat.errors import ConfigError
from tests.unit.configs.faults import fault, one_sentence

OTHER_MISTAKES = [
    *("", "=5", "a=[1", "seed=${", "seed=null", "seed=-1", "seed=4294967296", "seed=???"),
    *("model=null", "training=3", "model={hidden:3}", "seed=range(3)", "defaults=[]"),
    *("hydra/launcher=basic", "training.precision=64", "model.dropout=1", "+model=gat"),
]


@pytest.mark.parametrize(
    ("override", "problem", "hint"),
    [
        (
            "training.max_epoch=5",
            "unknown config field 'training.max_epoch' in override 'training.max_epoch=5'",
            "did you mean 'training.max_epochs'?",
        ),
        (
            "training={max_epoch:5}",
            "unknown config field 'training.max_epoch' in override 'training={max_epoch:5}'",
            "did you mean 'training.max_epochs'?",
        ),
        (
            "dataset=hcrl_s",
            "unknown dataset 'hcrl_s' in override 'dataset=hcrl_s'",
            "did you mean 'hcrl_sa'?",
        ),
        ("size=smal", "unknown size 'smal' in override 'size=smal'", "did you mean 'small'?"),
        (
            "model=transformer",
            "unknown model 'transformer' in override 'model=transformer'",
            "choose one of: fusion, gat, gradient_boosting, id_frequency, mlp, profile, vgae",
        ),
        (
            "training.max_epochs=0",
            "the overrides: training.max_epochs = 0: input should be greater than or equal to 1",
            "training.max_epochs: Most epochs to train.",
        ),
        (
            "training.max_epochs=five",
            "the overrides: training.max_epochs = 'five': "
            "input should be a valid integer, unable to parse string as an integer",
            "training.max_epochs: Most epochs to train.",
        ),
        (
            "training.max_epochs=5.5",
            "the overrides: training.max_epochs = 5.5: "
            "input should be a valid integer, got a number with a fractional part",
            "training.max_epochs: Most epochs to train.",
        ),
        (
            "model.hidden=true",
            "the overrides: model.hidden = True: input should be a number",
            "model.hidden: Width of one attention head.",
        ),
        (
            "training.learning_rate=nan",
            "the overrides: training.learning_rate = nan: input should be a finite number",
            "training.learning_rate: Peak step size of AdamW; it falls to nothing along a cosine "
            "over `max_epochs`.",
        ),
        (
            "data.features=[bites]",
            "the overrides: data.features = 'bites': "
            "input should be 'bytes', 'entropy', 'rate', 'timing', 'shape' or 'profile'",
            "data.features: Groups of node features, none of which tells the id: `shape` is "
            "relative to the window, `profile` to the vehicle's benign traffic, the others are "
            "absolute.",
        ),
        (
            "data.features=[bytes,bytes]",
            "the overrides: data.features = ['bytes', 'bytes']: name at least one group, each once",
            "data.features: Groups of node features, none of which tells the id: `shape` is "
            "relative to the window, `profile` to the vehicle's benign traffic, the others are "
            "absolute.",
        ),
        (
            "seed=${nope}",
            "override 'seed=${nope}' refers to something else",
            "write the value itself",
        ),
        (
            "training.max_epochs",
            "override 'training.max_epochs' can't be read: missing EQUAL at '<EOF>'",
            "write it as key=value, for example training.max_epochs=5",
        ),
        (
            "",
            "override '' can't be read: mismatched input '<EOF>'",
            "write it as key=value, for example training.max_epochs=5",
        ),
        (
            "seed=1,2",
            "override 'seed=1,2' names several values, which makes a sweep",
            "add -m to run one after the other, or give one value",
        ),
        (
            "experiment=set_01-gat-large,set_01-gat-small",
            "override 'experiment=set_01-gat-large,set_01-gat-small' names several values, "
            "which makes a sweep",
            "add -m to run one after the other, or give one value",
        ),
        (
            "+new.field=1",
            "unknown config field 'new.field' in override '+new.field=1'",
            "`kdgat config show` lists every field",
        ),
        (
            "+seed=1",
            "override '+seed=1' would add or remove a field, and 'seed' is always there",
            "write seed=VALUE to change it",
        ),
        (
            "~training",
            "override '~training' would add or remove a field, and 'training' is always there",
            "write training=VALUE to change it",
        ),
        (
            "hydra.run.dir=x",
            "unknown config field 'hydra.run.dir' in override 'hydra.run.dir=x'",
            "`kdgat config show` lists every field",
        ),
        (
            "preset=gat_small",
            "unknown config field 'preset' in override 'preset=gat_small'",
            "`kdgat config show` lists every field",
        ),
        (
            "model@x=gat",
            "unknown config field 'model@x' in override 'model@x=gat'",
            "did you mean 'model'?",
        ),
        (
            "model.latent=3",
            "model 'gat' has no field 'latent' (override 'model.latent=3')",
            "its fields are model.kind, model.hidden, model.heads, model.layers, model.readout, "
            "model.dropout",
        ),
        (
            "model.kind=vgae",
            "override 'model.kind=vgae' sets a part of what model=NAME stands for",
            "write model=NAME; NAME is one of: fusion, gat, gradient_boosting, id_frequency, mlp, "
            "profile, vgae",
        ),
        (
            # Simulated traffic that calls itself real would be a champion of real data.
            "dataset.provenance=real",
            "override 'dataset.provenance=real' sets a part of what dataset=NAME stands for",
            "write dataset=NAME; NAME is one of: hcrl_ch, hcrl_sa, set_01, set_02, set_03, "
            "set_04, simulated",
        ),
        (
            "experiment=hcrl_sa-gat-larg",
            "unknown experiment 'hcrl_sa-gat-larg'",
            "did you mean 'hcrl_sa-gat-large'?",
        ),
        ("experiment=xyz", "unknown experiment 'xyz'", "`kdgat experiments` lists them"),
    ],
)
def test_a_mistake_is_told_in_one_sentence_with_the_next_step(
    override: str, problem: str, hint: str
) -> None:
    assert fault(override) == (problem, hint)


@pytest.mark.parametrize(
    "override",
    [
        "=5",
        "a=[1",
        "seed=${",
        "seed=null",
        "seed=-1",
        "seed=4294967296",
        "seed=???",
        "model=null",
        "training=3",
        "model={hidden:3}",
        "seed=range(3)",
        "defaults=[]",
        "hydra/launcher=basic",
        "training.precision=64",
        "model.dropout=1",
        "training.learning_rate=inf",
        "+model=gat",
    ],
)
def test_every_other_mistake_names_the_override_or_its_field(override: str) -> None:
    problem, _ = fault(override)
    assert override in problem or override.partition("=")[0] in problem


@pytest.mark.parametrize(
    "value",
    [
        "${oc.env:LAB_TOKEN}",
        "$\\{oc.env:LAB_TOKEN\\}",
        "str($\\{oc.env:LAB_TOKEN\\})",
        "latest,$\\{oc.env:LAB_TOKEN\\}",
        "\\$\\{oc.env:LAB_TOKEN\\}",
    ],
)
@pytest.mark.parametrize("override", ["distillation.teacher={}", "distillation={{teacher: {}}}"])
def test_no_config_tells_what_is_in_the_environment(
    monkeypatch: pytest.MonkeyPatch, override: str, value: str
) -> None:
    monkeypatch.setenv("LAB_TOKEN", "hunter2")
    problem, hint = fault(override.format(value))
    assert "hunter2" not in problem + hint


def test_a_reference_in_a_dataset_that_was_ingested_stays_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LAB_TOKEN", "hunter2")
    lab = DatasetConfig(name="lab", citation="see ${oc.env:LAB_TOKEN}")
    config = compose(["dataset=lab"], {"lab": lab})
    assert config.dataset.citation == "see ${oc.env:LAB_TOKEN}"


def test_a_field_of_another_model_is_refused_by_the_model_that_was_chosen() -> None:
    problem, hint = fault("model.readout=3", "model=vgae")
    assert problem == "model 'vgae' has no field 'readout' (override 'model.readout=3')"
    assert "model.latent" in hint


@settings(max_examples=60, deadline=None)
@given(st.text("abse=,[]{}()'\"\\$+~@./:1 ü", max_size=12))
def test_no_text_whatever_gives_a_traceback(text: str) -> None:
    for work in (compose, sweep):
        try:
            work([text])
        except ConfigError as error:
            one_line = f"{error.problem} {error.hint}".splitlines()
            assert len(one_line) == 1


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([], "'config.json': input should be a valid dictionary or instance of RunConfig"),
        (
            {"model": {"kind": "vgae", "layers": 3}},
            "'config.json': unknown config field 'model.layers'",
        ),
        ({"gat": 1}, "'config.json': unknown config field 'gat'"),
        ({"seed": -1}, "'config.json': seed = -1: input should be greater than or equal to 0"),
    ],
)
def test_values_from_a_file_are_refused_by_its_name(values: object, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(values, "'config.json'")
    assert one_sentence(caught.value)[0] == problem
