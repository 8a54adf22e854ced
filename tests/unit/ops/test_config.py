"""Operations on configs: show, explain, diff, the named experiments, a workspace's datasets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdgat.configs.dataset import DatasetConfig
from kdgat.configs.experiments import experiments
from kdgat.configs.fields import leaves
from kdgat.configs.run import RunConfig
from kdgat.data.captures import DatasetManifest, save_manifest
from kdgat.errors import ConfigError, RunError
from kdgat.ledger.folder import RunFolder
from kdgat.ledger.record import new_run_id
from kdgat.ops.config import (
    FieldDifference,
    FieldOrigin,
    compose_config,
    diff_configs,
    explain_config,
    ingested_datasets,
    list_experiments,
    show_config,
)
from kdgat.stages.table import STAGES
from kdgat.workspace import Workspace
from tests.unit.ledger.made import new_record

MINE = DatasetConfig(name="mine", format="candump", provenance="imported")


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(root=tmp_path, home=tmp_path / ".kdgat")


def ingest(ws: Workspace, dataset: DatasetConfig) -> Path:
    """A dataset without a capture."""
    folder = ws.dataset(dataset.name)
    folder.mkdir(parents=True)
    manifest = DatasetManifest(dataset.model_dump(mode="json"), (), "0" * 64)
    save_manifest(folder, manifest)
    return folder


def add_run(ws: Workspace, config: RunConfig) -> str:
    record = new_record(
        dataset=config.dataset.name,
        provenance=config.dataset.provenance,
        model=config.model.kind,
        size=config.size,
        digest=config.digest(),
        seed=config.seed,
    )
    RunFolder.create(ws.runs, record, config.model_dump(mode="json"))
    return record.run_id


def test_a_config_is_shown_with_its_digest_and_a_line_on_each_field(ws: Workspace) -> None:
    view = show_config(ws, overrides=["model=vgae", "seed=3"])
    config = compose_config(ws, ["model=vgae", "seed=3"])
    assert view.digest == config.digest()
    assert view.config == config.model_dump(mode="json")
    assert set(leaves(view.config)) <= set(view.docs)
    assert view.docs["model.latent"] == "Width of a node's latent."
    assert all(view.docs.values())


def test_what_is_shown_is_plain_json_that_composes_to_the_same_run(ws: Workspace) -> None:
    view = show_config(ws, overrides=["size=small"])
    again = RunConfig.model_validate(json.loads(json.dumps(view.config)))
    assert again.digest() == view.digest


@pytest.mark.parametrize("teacher", ["latest", "mine-gat-large@champion", "20261121-07"])
def test_no_digest_is_shown_while_the_teacher_is_yet_to_be_found(
    ws: Workspace, teacher: str
) -> None:
    view = show_config(ws, overrides=["size=small", f"distillation.teacher={teacher}"])
    assert view.digest is None


def test_a_teacher_that_is_a_whole_run_id_is_part_of_the_digest(ws: Workspace) -> None:
    overrides = ["size=small", f"distillation.teacher={new_run_id()}"]
    assert show_config(ws, overrides=overrides).digest == compose_config(ws, overrides).digest()


def test_each_field_is_explained_once_with_value_origin_and_line(ws: Workspace) -> None:
    explained = explain_config(ws, overrides=["training.max_epochs=5"])
    names = [each.field for each in explained]
    assert names == list(leaves(show_config(ws).config))
    assert (
        FieldOrigin(
            field="training.max_epochs",
            value=5,
            origin="override training.max_epochs=5",
            doc="Most epochs to train.",
        )
        in explained
    )
    assert all(each.doc and each.origin for each in explained)


def test_the_line_on_a_field_is_that_of_the_model_chosen(ws: Workspace) -> None:
    lines = {each.field: each.doc for each in explain_config(ws, overrides=["model=gat"])}
    assert lines["model.hidden"] == "Width of one attention head."


def test_a_mistake_in_the_overrides_is_a_config_error(ws: Workspace) -> None:
    for operation in (show_config, explain_config):
        with pytest.raises(ConfigError, match="unknown size 'smal'"):
            operation(ws, overrides=["size=smal"])


def test_two_runs_differ_in_the_fields_that_differ(ws: Workspace) -> None:
    first = add_run(ws, compose_config(ws, []))
    second = add_run(ws, compose_config(ws, ["seed=3", "model.hidden=64"]))
    assert diff_configs(ws, first, second) == (
        FieldDifference("model.hidden", 32, 64),
        FieldDifference("seed", 42, 3),
    )
    assert diff_configs(ws, first, first) == ()


def test_a_field_that_only_one_of_two_runs_has_differs_from_nothing(ws: Workspace) -> None:
    first = add_run(ws, compose_config(ws, ["model=gat"]))
    second = add_run(ws, compose_config(ws, ["model=vgae"]))
    found = {each.field: (each.first, each.second) for each in diff_configs(ws, first, second)}
    assert found["model.kind"] == ("gat", "vgae")
    assert found["model.readout"] == (128, None)
    assert found["model.latent"] == (None, 32)


def test_the_difference_from_a_run_that_does_not_exist_is_an_error(ws: Workspace) -> None:
    run = add_run(ws, RunConfig())
    with pytest.raises(RunError, match="no run 'nope'"):
        diff_configs(ws, run, "nope")


def test_every_experiment_is_listed_and_says_whether_a_stage_trains_it(ws: Workspace) -> None:
    listed = {each.name: each for each in list_experiments(ws)}
    kinds = {stage.kind for stage in STAGES.values()}
    assert {name: each.overrides for name, each in listed.items()} == experiments()
    assert {name for name, each in listed.items() if each.trainable} == {
        name for name in experiments() if name.split("-")[1] in kinds
    }


def test_a_workspace_without_data_has_no_datasets(ws: Workspace) -> None:
    assert ingested_datasets(ws) == {}


def test_an_ingested_dataset_can_be_chosen_by_name(ws: Workspace) -> None:
    ingest(ws, MINE)
    assert ingested_datasets(ws) == {"mine": MINE}
    assert compose_config(ws, ["dataset=mine"]).dataset == MINE
    origins = {each.field: each.origin for each in explain_config(ws, overrides=["dataset=mine"])}
    assert origins["dataset.format"] == "override dataset=mine"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 1}'])
def test_a_damaged_dataset_is_passed_over_and_never_hides_the_others(
    ws: Workspace, content: str
) -> None:
    ingest(ws, MINE)
    (ingest(ws, DatasetConfig(name="bad")) / "captures.json").write_text(content)
    assert ingested_datasets(ws) == {"mine": MINE}
