"""Python, uv's lock, torch, PyG and Slurm: what does not fit is told with the value met."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kdgat.ops.checkup.finding import Surroundings
from kdgat.ops.checkup.gpu_stack import look_at_pyg, look_at_torch
from kdgat.ops.checkup.interpreter import look_at_python
from kdgat.ops.checkup.lock import look_at_lock
from kdgat.ops.checkup.scheduler import look_at_slurm
from tests.unit.ops.checkup.made import program, put


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  450.51.06  Sun Jul 19\n", "wants driver"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  999.10.01  Release\n", ""),
    ],
)
def test_the_driver_is_held_against_what_torch_is_built_for(
    here: Surroundings, driver: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_torch(tmp_path, monkeypatch, "2.9.1+cu128", "12.8")
    assert list(look_at_torch(here)) == []
    put(here.nvidia / "version", driver)
    said = [each.finding.what for each in look_at_torch(here)]
    assert len(said) == bool(words)
    assert all(words in each for each in said)


def test_a_build_for_the_cpu_and_gpus_without_code_are_told(
    here: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(here.nvidia / "version", "Kernel Module  999.10.01  Release\n")
    put(here.nvidia / "gpus" / "0000:3b:00.0" / "information", "Model: \t Tesla V100-PCIE-16GB\n")
    fake_torch(tmp_path, monkeypatch, "2.15.0+cu132", "13.2")
    (found,) = look_at_torch(here)
    assert "no code for Tesla V100-PCIE-16GB" in found.finding.what
    fake_torch(tmp_path, monkeypatch, "2.15.0+cpu", None)
    (found,) = look_at_torch(here)
    assert "built for the CPU" in found.finding.what


def test_parts_of_pyg_for_another_torch_are_told(
    here: Surroundings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_torch(tmp_path, monkeypatch, "2.9.1+cu128", "12.8")
    (tmp_path / "site" / "torch_scatter-2.1.2+pt29cu128.dist-info").mkdir()
    (tmp_path / "site" / "torch_sparse-0.6.18+pt26cu124.dist-info").mkdir()
    (found,) = look_at_pyg(here)
    assert found.finding.what.startswith("torch-sparse 0.6.18+pt26cu124 is built for another torch")


def fake_torch(folder: Path, patch: pytest.MonkeyPatch, version: str, cuda: str | None) -> None:
    """A torch that is found before the installed one; `find_spec` imports nothing."""
    put(folder / "site" / "torch" / "__init__.py", "")
    text = f"__version__ = '{version}'\ncuda: Optional[str] = {cuda!r}\n"
    put(folder / "site" / "torch" / "version.py", text)
    patch.delitem(sys.modules, "torch", raising=False)
    if str(folder / "site") not in sys.path:
        patch.syspath_prepend(str(folder / "site"))


def test_a_lock_that_was_made_from_other_wishes_is_told(here: Surroundings) -> None:
    put(here.ws.root / "pyproject.toml", '[project]\nname = "lab"\nrequires-python = ">=3.11"\n'
        'dependencies = ["rich>=13", "nowhere-to-be-found>=1"]\n[tool.kdgat]\n')  # fmt: skip
    put(here.ws.root / "uv.lock", '[[package]]\nname = "lab"\nversion = "0"\n'
        '[package.metadata]\nrequires-dist = [{ name = "rich", specifier = ">=12" }]\n\n'
        '[[package]]\nname = "rich"\nversion = "99.0"\n')  # fmt: skip
    lock, environment = look_at_lock(here)
    assert "'rich>=13' was 'rich>=12' when it was made" in lock.finding.what
    assert "'nowhere-to-be-found>=1' is not in it" in lock.finding.what
    assert "(locked 99.0)" in environment.finding.what
    assert "nowhere-to-be-found is not installed" in environment.finding.what


def test_another_python_or_another_checkouts_code_is_told(here: Surroundings) -> None:
    root = here.ws.root
    put(root / "pyproject.toml", '[project]\nname = "lab"\nrequires-python = ">=99"\n')
    put(root / ".venv" / "pyvenv.cfg", "")
    put(root / "kdgat" / "workspace.py", "")
    said = [each.finding.what for each in look_at_python(here)]
    assert [word for word, text in zip(("wants >=99", "environment in .venv", "not this checkout"),
                                       said, strict=True) if word not in text] == []  # fmt: skip


def test_half_of_slurm_or_a_slurm_that_is_silent_is_told(here: Surroundings) -> None:
    assert list(look_at_slurm(here)) == []
    home = here.user_home
    program(home / "bin", "sbatch", "squeue")
    (found,) = look_at_slurm(here)
    assert found.finding.what == "of Slurm there is sbatch, squeue, and no sacct, scancel, scontrol"
    program(home / "bin", "sacct", "scancel")
    (home / "bin" / "scontrol").write_text("#!/bin/sh\necho 'no controller' >&2\nexit 1\n")
    (home / "bin" / "scontrol").chmod(0o755)
    (found,) = look_at_slurm(here)
    assert "no controller" in found.finding.what
    (home / "bin" / "scontrol").write_text("#!/bin/sh\necho 'ClusterName = moon'\n")
    (found,) = look_at_slurm(here)
    assert "'moon', and no file describes it" in found.finding.what
