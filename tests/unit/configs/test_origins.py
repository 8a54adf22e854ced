"""Where each value of a config comes from."""

from __future__ import annotations

import pytest

from kdgat.configs.compose import compose, origins
from kdgat.configs.dataset import DatasetConfig
from kdgat.configs.fields import leaves
from kdgat.errors import ConfigError


def test_without_overrides_all_is_default_or_preset() -> None:
    found = origins([])
    assert found["seed"] == found["size"] == found["dataset.name"] == "default of RunConfig"
    assert found["training.max_epochs"] == "default of TrainingConfig"
    assert found["data.stride_messages"] == "default of DataConfig"
    assert {v for k, v in found.items() if k.startswith("model.")} == {"preset gat large"}


@pytest.mark.parametrize(
    "overrides", [[], ["model=vgae"], ["experiment=set_01-mlp-small", "seed=1"]]
)
def test_every_field_of_the_config_has_an_origin(overrides: list[str]) -> None:
    assert list(origins(overrides)) == list(leaves(compose(overrides).model_dump()))


def test_an_override_is_named_as_it_was_written_and_only_at_its_own_fields() -> None:
    found = origins(["training.max_epochs=5", "model=vgae", "size=small"])
    assert found["training.max_epochs"] == "override training.max_epochs=5"
    assert found["training.patience_epochs"] == "default of TrainingConfig"
    assert found["model.kind"] == "override model=vgae"
    assert found["model.latent"] == "preset vgae small"
    assert found["size"] == "override size=small"


def test_a_group_of_fields_in_one_override_is_told_field_by_field() -> None:
    found = origins(["training={max_epochs: 5}"])
    assert found["training.max_epochs"] == "override training={max_epochs: 5}"
    assert found["training.patience_epochs"] == "default of TrainingConfig"


def test_the_last_of_two_overrides_is_the_origin() -> None:
    assert origins(["seed=1", "seed=2"])["seed"] == "override seed=2"


def test_a_dataset_sets_all_that_describes_it() -> None:
    mine = {"mine": DatasetConfig(name="mine")}
    found = origins(["dataset=mine"], mine)
    described = {k: v for k, v in found.items() if k.startswith("dataset.")}
    assert set(described.values()) == {"override dataset=mine"}
    assert len(described) == len(DatasetConfig.model_fields)


def test_an_experiment_is_named_beside_what_it_stands_for() -> None:
    found = origins(["experiment=hcrl_sa-gat-small-kd"])
    named = "experiment=hcrl_sa-gat-small-kd"
    assert found["dataset.name"] == f"{named} dataset=hcrl_sa"
    assert found["size"] == f"{named} size=small"
    assert found["distillation.teacher"] == f"{named} distillation.teacher=latest"
    assert found["model.hidden"] == "preset gat small"
    assert found["seed"] == "default of RunConfig"


def test_an_override_wins_over_the_experiment_it_stands_beside() -> None:
    found = origins(["experiment=hcrl_sa-gat-small", "size=large"])
    assert found["size"] == "override size=large"
    assert found["model.hidden"] == "preset gat large"


def test_what_can_not_be_composed_has_no_origins() -> None:
    with pytest.raises(ConfigError, match="unknown size 'smal'"):
        origins(["size=smal"])
