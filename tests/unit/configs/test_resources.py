"""The GPU catalogue: figures that fit a card's nominal memory, and names found however spelt."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import get_args

import pytest

from kdgat.configs.resources import GPUS, Gpu, gpu, gpu_named
from kdgat.configs.training import TrainingConfig
from kdgat.errors import ConfigError

MIB = 2**20
CARDS = [known for known in GPUS.values() if known.compute_capability]


def nominal_gb(card: Gpu) -> int:
    return int(card.name.partition("-")[2].removesuffix("gb"))


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_card_reports_a_little_less_than_its_nominal_memory(card: Gpu) -> None:
    assert 0.9 * nominal_gb(card) * 10**9 < card.total_bytes < nominal_gb(card) * 2**30


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_card_leaves_nearly_all_of_its_memory_to_pytorch(card: Gpu) -> None:
    assert 0 < card.workspace_bytes < card.context_bytes < 0.05 * card.total_bytes


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_a_card_says_where_its_memory_was_read_and_what_is_assumed(card: Gpu) -> None:
    assert card.source
    assert all(re.fullmatch(r"https://[\w.-]+/\S+", url) for url in card.source)
    assert card.assumed == ("context_bytes",)


def test_the_workspace_is_the_default_of_the_cards_generation() -> None:
    assert {card.compute_capability: card.workspace_bytes for card in CARDS} == {
        (7, 0): 8_519_680,
        (8, 0): 8_519_680,
        (9, 0): 33_554_432,
    }


def test_each_entry_is_found_by_its_own_name_and_names_its_title() -> None:
    assert all(GPUS[name].name == name for name in GPUS)
    assert all(gpu(known.title) is known for known in CARDS)
    assert len({known.title for known in GPUS.values()}) == len(GPUS)


def test_precisions_are_those_of_the_config_and_volta_has_no_bf16() -> None:
    annotation = TrainingConfig.model_fields["precision"].annotation
    assert {p for known in GPUS.values() for p in known.precisions} == set(get_args(annotation))
    assert {name for name, known in GPUS.items() if "bf16" not in known.precisions} == {
        "v100-16gb",
        "v100-32gb",
    }


def test_a_host_has_no_memory_of_its_own_no_context_and_no_fp16() -> None:
    host = gpu("cpu")
    assert (host.total_bytes, host.context_bytes, host.workspace_bytes) == (0, 0, 0)
    assert host.compute_capability is None
    assert host.precisions == ("32", "bf16")


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("v100-16gb", "v100-16gb"),
        ("V100-16GB", "v100-16gb"),
        ("a100_80gb", "a100-80gb"),
        ("A100 40 GB", "a100-40gb"),
        ("h100-94", "h100-94gb"),
        ("NVIDIA H100 80GB", "h100-80gb"),
        ("Tesla V100-32GB", "v100-32gb"),
        ("H200", "h200-141gb"),
        ("CPU", "cpu"),
    ],
)
def test_common_spellings_find_the_entry(spelling: str, name: str) -> None:
    assert gpu(spelling).name == name


@pytest.mark.parametrize(
    ("spelling", "hint"),
    [
        ("a10-80gb", "did you mean 'a100-80gb'?"),
        ("H100", "choose one of: h100-80gb, h100-94gb"),
        ("tpu-v4", f"choose one of: {', '.join(sorted(GPUS))}"),
        ("", f"choose one of: {', '.join(sorted(GPUS))}"),
    ],
)
def test_an_unknown_gpu_is_refused_with_a_way_on(spelling: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        gpu(spelling)
    assert caught.value.problem == f"GPU '{spelling}' is not in the catalogue"
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("torch_name", "total_mib", "name"),
    [
        ("Tesla V100-SXM2-16GB", 16151, "v100-16gb"),
        ("Tesla V100-SXM2-16GB", 16384, "v100-16gb"),
        ("Tesla V100-PCIE-32GB", 32494, "v100-32gb"),
        ("Tesla V100S-PCIE-32GB", 32501, "v100-32gb"),
        ("NVIDIA A100-PCIE-40GB", 40339, "a100-40gb"),
        ("NVIDIA A100-SXM4-80GB", 81251, "a100-80gb"),
        ("NVIDIA A100 80GB PCIe", 81038, "a100-80gb"),
        ("NVIDIA H100 80GB HBM3", 81090, "h100-80gb"),
        ("NVIDIA H100 PCIe", 81008, "h100-80gb"),
        ("NVIDIA H100 NVL", 95330, "h100-94gb"),
        ("NVIDIA H100", 95330, "h100-94gb"),
        ("NVIDIA H200", 143156, "h200-141gb"),
    ],
)
def test_what_torch_says_of_a_card_finds_the_entry(
    torch_name: str, total_mib: int, name: str
) -> None:
    found = gpu_named(torch_name, total_mib * MIB)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    ("torch_name", "total_mib"),
    [
        ("NVIDIA A100 80GB PCIe MIG 1g.10gb", 9728),
        ("NVIDIA GH200 480GB", 97280),
        ("NVIDIA RTX A1000", 8192),
        ("NVIDIA GeForce RTX 4090", 24564),
        ("NVIDIA H100", 97871),
        ("", 0),
    ],
)
def test_a_card_that_is_not_in_the_catalogue_is_not_guessed(
    torch_name: str, total_mib: int
) -> None:
    assert gpu_named(torch_name, total_mib * MIB) is None


def test_every_card_is_recognised_by_its_family_and_its_own_total() -> None:
    assert all(gpu_named(f"NVIDIA {card.family}", card.total_bytes) is card for card in CARDS)


def test_the_catalogue_needs_no_torch() -> None:
    heavy = "{'torch', 'numpy', 'pydantic'}"
    code = f"import sys, kdgat.configs.resources; print({heavy} & {{*sys.modules}})"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
