"""Composition: Hydra's grammar in, one config or one sentence out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hydra import initialize
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hypothesis import given, settings
from hypothesis import strategies as st

from kdgat.configs.compose import compose, sweep
from kdgat.configs.dataset import DATASETS, DatasetConfig
from kdgat.configs.experiments import experiments
from kdgat.configs.fields import field_docs, leaves, validated
from kdgat.configs.model import KINDS, SIZES, Kind, Size, model_preset
from kdgat.configs.run import RunConfig
from kdgat.errors import ConfigError

OTHER_MISTAKES = [
    *("", "=5", "a=[1", "seed=${", "seed=null", "seed=-1", "seed=4294967296", "seed=???"),
    *("model=null", "training=3", "model={hidden:3}", "seed=range(3)", "defaults=[]"),
    *("hydra/launcher=basic", "training.precision=64", "model.dropout=1", "+model=gat"),
]


def fault(*overrides: str) -> tuple[str, str]:
    """Problem and hint of what can't be composed; one sentence, in one line."""
    with pytest.raises(ConfigError) as caught:
        compose(overrides)
    return one_sentence(caught.value)


def one_sentence(error: ConfigError) -> tuple[str, str]:
    assert "\n" not in error.problem + error.hint
    assert ". " not in error.problem
    assert error.hint
    return error.problem, error.hint


def test_nothing_composes_to_the_defaults() -> None:
    assert compose() == RunConfig()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_and_a_size_give_the_preset_of_both(kind: Kind, size: Size) -> None:
    config = compose([f"model={kind}", f"size={size}"])
    assert config.model == model_preset(kind, size)
    assert (config.model.kind, config.size) == (kind, size)


def test_the_order_of_groups_does_not_matter() -> None:
    assert compose(["size=small", "model=vgae", "dataset=set_02"]) == compose(
        ["dataset=set_02", "model=vgae", "size=small"]
    )


def test_a_field_wins_over_its_preset_wherever_it_stands() -> None:
    for overrides in (["model.hidden=7", "size=small"], ["size=small", "model.hidden=7"]):
        model = compose(overrides).model
        assert model == model_preset("gat", "small").model_copy(update={"hidden": 7})


@pytest.mark.parametrize("name", DATASETS)
def test_every_named_dataset_composes(name: str) -> None:
    assert compose([f"dataset={name}"]).dataset == DATASETS[name]


def test_the_last_of_two_overrides_wins() -> None:
    assert compose(["seed=1", "seed=2", "size=small", "size=large"]) == compose(["seed=2"])


@pytest.mark.parametrize(
    ("override", "field", "value"),
    [
        ("training.max_epochs=5", "training.max_epochs", 5),
        ("++training.max_epochs=5", "training.max_epochs", 5),
        ("training.max_graphs=1e3", "training.max_graphs", 1000),
        ("training={max_epochs: 5}", "training.max_epochs", 5),
        ("training.learning_rate=1", "training.learning_rate", 1.0),
        ("data.features=[rate,bytes]", "data.features", ("rate", "bytes")),
        ("model.hidden=${model.heads}", "model.hidden", 4),
        ("distillation.teacher=latest", "distillation.teacher", "latest"),
        ("distillation.teacher=null", "distillation.teacher", None),
        # Hydra reads digits as a number; both fields are text.
        ("training.precision=32", "training.precision", "32"),
        ("distillation.teacher=20261121", "distillation.teacher", "20261121"),
    ],
)
def test_the_override_grammar_sets_a_field(override: str, field: str, value: object) -> None:
    changed = leaves(compose([override]).model_dump())
    assert changed.pop(field) == value
    rest = leaves(RunConfig().model_dump())
    rest.pop(field)
    assert changed == rest


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
            "choose one of: fusion, gat, gradient_boosting, mlp, vgae",
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
            "input should be 'bytes', 'entropy', 'rate' or 'timing'",
            "data.features: Groups of node features; none of them says which arbitration id the "
            "node is.",
        ),
        (
            "data.features=[bytes,bytes]",
            "the overrides: data.features = ['bytes', 'bytes']: name at least one group, each once",
            "data.features: Groups of node features; none of them says which arbitration id the "
            "node is.",
        ),
        (
            "seed=${nope}",
            "the overrides: seed: Interpolation key 'nope' not found",
            "`kdgat config show` lists every field",
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
            "write model=NAME; NAME is one of: fusion, gat, gradient_boosting, mlp, vgae",
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


def test_a_dataset_of_the_workspace_is_known_beside_the_named_ones() -> None:
    mine = {"mine": DatasetConfig(name="mine", format="candump", provenance="imported")}
    assert compose(["dataset=mine"], mine).dataset == mine["mine"]
    assert compose(["dataset=set_01"], mine).dataset == DATASETS["set_01"]
    assert fault("dataset=mine")[0] == "unknown dataset 'mine' in override 'dataset=mine'"


def test_a_named_dataset_can_not_be_redefined_by_a_workspace() -> None:
    disguised = {"simulated": DatasetConfig(name="simulated", provenance="real")}
    assert compose([], disguised).dataset.provenance == "simulated"


@pytest.fixture
def somebodys_store() -> Iterator[ConfigStore]:
    """Another library's entry in Hydra's global store, under a name that kdgat uses too."""
    store = ConfigStore.instance()
    store.store(group="model", name="theirs", node={"width": 3})
    yield store
    store.repo.pop("model")


def contents(store: ConfigStore) -> dict[str, list[str]]:
    return {name: list(group) for name, group in store.repo.items() if isinstance(group, dict)}


@pytest.mark.parametrize("overrides", [[], ["seed=${nope}"]])
def test_composing_leaves_no_global_hydra_state_behind(
    somebodys_store: ConfigStore, overrides: list[str]
) -> None:
    before = contents(somebodys_store)
    for _ in range(2):
        try:
            compose(overrides)
        except ConfigError:
            assert overrides
    assert not GlobalHydra.instance().is_initialized()
    assert contents(somebodys_store) == before
    assert list(somebodys_store.repo["model"]) == ["theirs.yaml"]


def test_composing_inside_another_hydra_application_leaves_that_one_initialised() -> None:
    with initialize(version_base="1.3", config_path=None):
        theirs = GlobalHydra.instance().hydra
        assert compose(["seed=3"]).seed == 3
        assert GlobalHydra.instance().hydra is theirs


def test_many_threads_compose_at_once_and_each_gets_its_own() -> None:
    together = threading.Barrier(8)

    def one(seed: int) -> RunConfig:
        together.wait(timeout=30)
        return compose([f"seed={seed}", f"model={KINDS[seed % len(KINDS)]}"])

    with ThreadPoolExecutor(8) as pool:
        configs = list(pool.map(one, range(8)))
    assert [(c.seed, c.model.kind) for c in configs] == [
        (seed, KINDS[seed % len(KINDS)]) for seed in range(8)
    ]


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


def test_every_field_of_every_model_has_its_line_in_the_docs() -> None:
    docs = field_docs()
    for kind in KINDS:
        assert set(leaves(compose([f"model={kind}"]).model_dump())) <= set(docs)
        assert "model.kind" in field_docs(kind)
    assert "\n" not in "".join(docs.values())
    assert field_docs("gat")["model.hidden"] == "Width of one attention head."
