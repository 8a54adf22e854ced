"""Programs from a child process and from the cache. One child serves most of these tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kdgat.configs.model import FusionConfig, GatConfig, ModelConfig, model_preset
from kdgat.configs.run import RunConfig
from kdgat.configs.training import DistillationConfig, ResourcesConfig
from kdgat.errors import ConfigError, MemoryPlanError
from kdgat.memory.programs import Probe, Prober, cache_path, own_programs
from kdgat.memory.spec import StepPrograms, StepSpec
from tests.unit.memory.runs import programs_of, spec_of, with_training

SPEC = spec_of("gat", "small")


@pytest.fixture(scope="module")
def prober(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prober]:
    with Prober(tmp_path_factory.mktemp("programs")) as prober:
        yield prober


@pytest.fixture(scope="module")
def fresh(prober: Prober) -> Probe:
    """The first answer of all, which the child traced."""
    return prober.programs(SPEC)


def with_config(spec: StepSpec, **parts: object) -> StepSpec:
    return replace(spec, config=spec.config.model_copy(update=parts))


def with_model(config: ModelConfig) -> StepSpec:
    return with_config(SPEC, model=config)


def test_the_child_traces_what_this_process_would(fresh: Probe) -> None:
    assert not fresh.cached
    assert fresh.programs.to_json() == programs_of(SPEC).to_json()


def test_the_second_time_no_child_is_needed(prober: Prober, fresh: Probe) -> None:
    with Prober(prober.folder) as other:
        again = other.programs(SPEC)
        assert again.cached
        assert again.programs.to_json() == fresh.programs.to_json()
        assert other._child is None


def test_own_programs_shares_the_cache(prober: Prober, fresh: Probe, tmp_path: Path) -> None:
    assert own_programs(prober.folder, SPEC).cached
    own = own_programs(tmp_path, SPEC)
    assert not own.cached
    assert own.programs.to_json() == fresh.programs.to_json()
    assert own_programs(tmp_path, SPEC).cached
    with Prober(tmp_path) as other:
        assert other.programs(SPEC).cached


@pytest.mark.parametrize("left", ["", "{", "[]", '{"training": {"planes": 3}}', "null"])
def test_a_damaged_file_is_made_again(left: str, tmp_path: Path) -> None:
    path = cache_path(tmp_path, SPEC)
    path.write_text(left)
    assert not own_programs(tmp_path, SPEC).cached
    assert StepPrograms.from_json(json.loads(path.read_text())).to_json() == (
        programs_of(SPEC).to_json()
    )
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_damaged_file_is_made_again_by_the_child_too(prober: Prober, fresh: Probe) -> None:
    path = cache_path(prober.folder, SPEC)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    again = prober.programs(SPEC)
    assert not again.cached
    assert path.read_bytes() == whole


def test_an_error_in_the_child_arrives_as_itself_and_the_child_goes_on(
    prober: Prober, fresh: Probe
) -> None:
    for _ in range(2):
        with pytest.raises(ConfigError) as caught:
            prober.programs(with_model(FusionConfig()))
        assert caught.value.problem.startswith("a fusion is made of the models of other runs")
        assert caught.value.hint.startswith("choose one of")
    assert not cache_path(prober.folder, with_model(FusionConfig())).exists()
    other = spec_of("vgae", "small")
    assert prober.programs(other).programs.to_json() == programs_of(other).to_json()


def test_a_child_that_dies_is_told_with_the_next_step(tmp_path: Path) -> None:
    with Prober(tmp_path) as prober:
        prober.start()
        assert prober._child is not None
        prober._child.kill()
        prober._child.join()
        with pytest.raises(MemoryPlanError) as caught:
            prober.programs(SPEC)
    assert caught.value.problem == "the process that traces a step of gat ended at once"
    assert "free some memory" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_the_child_ends_with_its_prober(tmp_path: Path) -> None:
    with Prober(tmp_path) as prober:
        prober.start()
        child = prober._child
        assert child is not None
        assert child.is_alive()
    assert not child.is_alive()


def test_what_decides_a_steps_memory_changes_the_key(tmp_path: Path) -> None:
    changed = [
        SPEC,
        with_model(model_preset("gat", "large")),
        with_model(GatConfig(hidden=13)),
        spec_of("vgae", "small"),
        spec_of("gat", "small", teacher=True),
        with_training(SPEC, precision="bf16"),
        with_config(SPEC, resources=ResourcesConfig(gradient_checkpointing=True)),
        replace(SPEC, features=(26, 3)),
        replace(SPEC, features=(27, 2)),
        replace(SPEC, device="cuda"),
        replace(SPEC, resident=False),
    ]
    assert len({cache_path(tmp_path, each) for each in changed}) == len(changed)


def test_what_does_not_decide_it_leaves_the_key_alone(tmp_path: Path) -> None:
    same = [
        SPEC,
        with_config(SPEC, seed=1),
        with_config(SPEC, size="large"),
        with_config(SPEC, dataset=RunConfig().dataset.model_copy(update={"name": "other"})),
        with_config(SPEC, distillation=DistillationConfig(alpha=0.1)),
        with_config(SPEC, resources=ResourcesConfig(threads=2, memory_margin_share=0.3)),
        with_training(SPEC, learning_rate=0.1),
        with_training(SPEC, gradient_clip_norm=3.0),
        with_training(SPEC, max_graphs=3, min_steps_per_epoch=1, max_epochs=2),
    ]
    assert len({cache_path(tmp_path, each) for each in same}) == 1
    # Nor does it change the answer.
    for each in (same[4], same[6]):
        assert programs_of(each).to_json() == programs_of(SPEC).to_json()
