"""Composition: Hydra's grammar in, one config out, and nothing of Hydra left behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hydra import initialize
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra

from kdgat.configs.compose import compose
from kdgat.configs.dataset import DATASETS, DatasetConfig
from kdgat.configs.fields import field_docs, leaves
from kdgat.configs.model import KINDS, SIZES, Kind, Size, model_preset
from kdgat.configs.run import RunConfig
from kdgat.errors import ConfigError
from tests.unit.configs.faults import fault


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


@pytest.mark.parametrize("overrides", [[], ["training=[1,2]"]])
def test_composing_leaves_no_global_hydra_state_behind(
    somebodys_store: ConfigStore, overrides: list[str]
) -> None:
    before = contents(somebodys_store)
    # Seeds that no other test has: what was composed before is not composed again.
    for seed in (90_210, 90_211):
        try:
            compose([f"seed={seed}", *overrides])
        except ConfigError:
            assert overrides
    assert not GlobalHydra.instance().is_initialized()
    assert contents(somebodys_store) == before
    assert list(somebodys_store.repo["model"]) == ["theirs.yaml"]


def test_composing_inside_another_hydra_application_leaves_that_one_initialised() -> None:
    with initialize(version_base="1.3", config_path=None):
        theirs = GlobalHydra.instance().hydra
        assert compose(["seed=90212"]).seed == 90_212
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


def test_every_field_of_every_model_has_its_line_in_the_docs() -> None:
    docs = field_docs()
    for kind in KINDS:
        assert set(leaves(compose([f"model={kind}"]).model_dump())) <= set(docs)
        assert "model.kind" in field_docs(kind)
    assert "\n" not in "".join(docs.values())
    assert field_docs("gat")["model.hidden"] == "Width of one attention head."
