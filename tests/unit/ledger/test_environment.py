"""What a run remembers of where it ran, with real git repositories."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from kdgat.ledger.environment import (
    MAX_DIFF_BYTES,
    capture_environment,
    gpu_names,
    slurm_ids,
    uncommitted_diff,
)


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit of one file, on the branch `trial`."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    root = tmp_path / "checkout"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch=trial")
    (root / "model.py").write_text("hidden = 4\n")
    git(root, "add", "model.py")
    git(root, "commit", "--quiet", "-m", "first")
    return root


def test_commit_branch_and_lock_of_a_clean_checkout(checkout: Path) -> None:
    (checkout / "uv.lock").write_text("")
    found = capture_environment(checkout, {})
    assert found["git_commit"] == git(checkout, "rev-parse", "HEAD")
    assert (found["git_branch"], found["git_dirty"]) == ("trial", False)
    assert found["lock_sha256"].startswith("e3b0c44298fc1c14")
    assert found["host"] == socket.gethostname()
    assert found["user"]
    assert found["slurm"] == {}
    json.dumps(found, allow_nan=False)


def test_a_detached_head_is_on_no_branch(checkout: Path) -> None:
    git(checkout, "checkout", "--quiet", "--detach")
    found = capture_environment(checkout, {})
    assert found["git_branch"] is None
    assert found["git_commit"] is not None


def test_outside_of_a_repository_git_knows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    found = capture_environment(tmp_path, {})
    assert [found[f"git_{name}"] for name in ("commit", "branch", "dirty")] == [None] * 3
    assert found["lock_sha256"] is None
    assert uncommitted_diff(tmp_path) is None


def test_without_git_a_run_can_still_be_made(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(checkout))
    assert capture_environment(checkout, {})["git_commit"] is None
    assert uncommitted_diff(checkout) is None


def test_a_clean_checkout_and_one_without_a_commit_have_no_diff(
    checkout: Path, tmp_path: Path
) -> None:
    assert uncommitted_diff(checkout) is None
    (checkout / "new.py").write_text("not tracked\n")
    assert uncommitted_diff(checkout) is None
    git(tmp_path, "init", "--quiet", "fresh")
    assert uncommitted_diff(tmp_path / "fresh") is None


def test_the_diff_is_a_patch_that_makes_the_same_code_again(checkout: Path, tmp_path: Path) -> None:
    (checkout / "model.py").write_text("hidden = 8\n")
    (checkout / "weights.bin").write_bytes(bytes(range(256)))
    git(checkout, "add", "weights.bin")
    # Whatever the user's own git is set to.
    git(checkout, "config", "color.ui", "always")
    git(checkout, "config", "diff.noprefix", "true")
    git(checkout, "config", "diff.external", "false")
    assert capture_environment(checkout, {})["git_dirty"] is True
    patch = uncommitted_diff(checkout)
    assert patch is not None
    git(tmp_path, "clone", "--quiet", str(checkout), "again")
    (tmp_path / "patch").write_text(patch)
    git(tmp_path / "again", "apply", str(tmp_path / "patch"))
    assert (tmp_path / "again" / "model.py").read_text() == "hidden = 8\n"
    assert (tmp_path / "again" / "weights.bin").read_bytes() == bytes(range(256))


def test_a_long_diff_is_cut_and_says_so(checkout: Path) -> None:
    (checkout / "model.py").write_text("x = 1\n" * 1_000_000)
    patch = uncommitted_diff(checkout)
    assert patch is not None
    assert patch.endswith("\n# cut after 1,000,000 bytes\n")
    assert MAX_DIFF_BYTES < len(patch) < MAX_DIFF_BYTES + 50


def test_a_file_that_is_no_utf8_is_no_error(checkout: Path) -> None:
    (checkout / "model.py").write_bytes(b"name = 'M\xfcller'\n")
    patch = uncommitted_diff(checkout)
    assert patch is not None
    assert "M\ufffdller" in patch


def test_looking_takes_no_lock_from_the_users_own_git(checkout: Path) -> None:
    (checkout / "model.py").touch()
    (checkout / ".git" / "index.lock").touch()
    assert capture_environment(checkout, {})["git_dirty"] is False
    assert uncommitted_diff(checkout) is None


def test_gpus_are_named_as_the_driver_names_them(tmp_path: Path) -> None:
    for bus, name in (("0000:18:00.0", "Tesla V100-SXM2-16GB"), ("0000:af:00.0", "NVIDIA H200")):
        (tmp_path / bus).mkdir()
        text = f"Model: \t\t {name}\nIRQ:   \t\t 37\nGPU UUID: \t GPU-1\n"
        (tmp_path / bus / "information").write_text(text)
    assert gpu_names(tmp_path) == ["Tesla V100-SXM2-16GB", "NVIDIA H200"]
    assert gpu_names(tmp_path / "none") == []


def test_slurms_ids_are_kept_as_far_as_there_are_any() -> None:
    environ = {
        "SLURM_JOB_ID": "1234",
        "SLURM_ARRAY_JOB_ID": "1230",
        "SLURM_ARRAY_TASK_ID": "4",
        "SLURM_RESTART_COUNT": "1",
        "SLURM_CLUSTER_NAME": "pitzer",
        "SLURM_JOB_NODELIST": "p[0301-0302]",
        "SLURM_JWT": "secret",
    }
    assert slurm_ids(environ) == {
        "job_id": "1234",
        "array_job_id": "1230",
        "array_task_id": "4",
        "restart_count": "1",
        "cluster_name": "pitzer",
        "job_nodelist": "p[0301-0302]",
    }
    assert slurm_ids({"SLURM_JOB_ID": "7"}) == {"job_id": "7"}
    assert slurm_ids({}) == {}
