"""Frozen code: what is in it, and that nobody's repository changes."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from kdgat.errors import SlurmError
from kdgat.slurm.snapshot import freeze, look

Git = Callable[..., str]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "somebody")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "somebody@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = tmp_path / "check out"
    (folder / "kdgat").mkdir(parents=True)
    (folder / "kdgat" / "a.py").write_text("a = 1\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / ".gitignore").write_text("*.log\n/.kdgat\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message=first")
    return folder


@pytest.fixture
def snapshots(tmp_path: Path) -> Path:
    return tmp_path / "home" / "snapshots"


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def files(folder: Path) -> dict[str, str]:
    """Every file below a folder, with a hash of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_clean_checkout_is_frozen_as_its_commit(root: Path, snapshots: Path) -> None:
    snapshot = freeze(root, snapshots)
    assert snapshot.name == git(root, "rev-parse", "HEAD^{tree}")
    assert snapshot.commit == git(root, "rev-parse", "HEAD")
    assert (snapshot.branch, snapshot.dirty, snapshot.warnings) == ("main", False, ())
    assert snapshot.path == snapshots / snapshot.name / "code"
    assert set(files(snapshot.path)) == {"kdgat/a.py", "run.sh", ".gitignore"}
    assert os.access(snapshot.path / "run.sh", os.X_OK)
    told = json.loads((snapshot.path.parent / "snapshot.json").read_text())
    assert (told["name"], told["commit"], told["dirty"]) == (snapshot.name, snapshot.commit, False)


def test_changes_are_frozen_whether_staged_or_not(root: Path, snapshots: Path) -> None:
    clean = freeze(root, snapshots)
    (root / "kdgat" / "a.py").write_text("a = 2\n")
    (root / "kdgat" / "new.py").write_text("new = 1\n")
    git(root, "add", "kdgat/new.py")
    (root / "run.sh").unlink()
    snapshot = freeze(root, snapshots)
    assert snapshot.dirty
    assert snapshot.name != clean.name
    assert (snapshot.path / "kdgat" / "a.py").read_text() == "a = 2\n"
    assert set(files(snapshot.path)) == {"kdgat/a.py", "kdgat/new.py", ".gitignore"}
    assert (clean.path / "kdgat" / "a.py").read_text() == "a = 1\n"


def test_nothing_in_the_repository_changes(root: Path, snapshots: Path) -> None:
    (root / "kdgat" / "a.py").write_text("a = 3\n")
    before, status = files(root), git(root, "status", "--porcelain")
    before = files(root)
    freeze(root, snapshots)
    look(root, snapshots)
    assert files(root) == before
    assert git(root, "status", "--porcelain") == status


def test_the_same_content_is_frozen_once(root: Path, snapshots: Path) -> None:
    first = freeze(root, snapshots)
    made = (first.path / "run.sh").stat().st_ino
    git(root, "commit", "--quiet", "--allow-empty", "--message=second")
    assert freeze(root, snapshots).path == first.path
    assert (first.path / "run.sh").stat().st_ino == made
    assert len(list(snapshots.iterdir())) == 1


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("a = 'other'\n")])
def test_a_snapshot_that_was_damaged_is_made_again(
    root: Path, snapshots: Path, damage: Callable[[Path], object]
) -> None:
    first = freeze(root, snapshots)
    damage(first.path / "kdgat" / "a.py")
    freeze(root, snapshots)
    assert (first.path / "kdgat" / "a.py").read_text() == "a = 1\n"
    assert len(list(snapshots.iterdir())) == 1


def test_looking_writes_nothing(root: Path, snapshots: Path) -> None:
    assert look(root, snapshots).name == git(root, "rev-parse", "HEAD^{tree}")
    assert not snapshots.exists()


def test_python_files_that_git_does_not_track_are_named(root: Path, snapshots: Path) -> None:
    (root / "kdgat" / "böse name.py").write_text("")
    (root / "notes.txt").write_text("")
    (root / "x.log").write_text("")
    snapshot = freeze(root, snapshots)
    assert snapshot.untracked == ("kdgat/böse name.py",)
    assert "kdgat/böse name.py" in snapshot.warnings[0]
    assert not (snapshot.path / "kdgat" / "böse name.py").exists()


def test_links_stay_links_and_those_that_lead_out_are_named(
    root: Path, snapshots: Path, tmp_path: Path
) -> None:
    (root / "inside").symlink_to("kdgat/a.py")
    (root / "outside").symlink_to(tmp_path / "data")
    (root / "kdgat" / "up").symlink_to("../../elsewhere")
    git(root, "add", ".")
    snapshot = freeze(root, snapshots)
    assert (snapshot.path / "inside").readlink() == Path("kdgat/a.py")
    assert snapshot.left_out == ("kdgat/up", "outside")


def test_a_submodule_is_named_and_left_out(root: Path, snapshots: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet")
    git(other, "commit", "--quiet", "--allow-empty", "--message=x")
    git(root, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "sub")
    snapshot = freeze(root, snapshots)
    assert snapshot.left_out == ("sub",)
    assert freeze(root, snapshots) == snapshot


def test_a_linked_work_tree_is_frozen_too(root: Path, snapshots: Path, tmp_path: Path) -> None:
    git(root, "worktree", "add", "--quiet", "--detach", str(tmp_path / "tree"))
    snapshot = freeze(tmp_path / "tree", snapshots)
    assert snapshot.branch is None
    assert snapshot.name == git(root, "rev-parse", "HEAD^{tree}")


def test_an_outer_git_does_not_lead_to_another_repository(
    root: Path, snapshots: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    name = look(root, snapshots).name
    monkeypatch.setenv("GIT_DIR", str(tmp_path))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    assert look(root, snapshots).name == name


def test_code_that_was_never_committed_can_be_frozen(tmp_path: Path, snapshots: Path) -> None:
    root = tmp_path / "fresh"
    root.mkdir()
    (root / "a.py").write_text("")
    git(root, "init", "--quiet")
    with pytest.raises(SlurmError, match="tracks no file"):
        freeze(root, snapshots)
    git(root, "add", ".")
    snapshot = freeze(root, snapshots)
    assert (snapshot.commit, snapshot.dirty) == (None, True)


def test_without_a_repository_there_is_a_next_step(tmp_path: Path, snapshots: Path) -> None:
    with pytest.raises(SlurmError, match="not a git repository") as error:
        freeze(tmp_path, snapshots)
    assert "clone kdgat" in error.value.hint


def test_a_folder_in_another_repository_is_not_taken_for_one(root: Path, snapshots: Path) -> None:
    with pytest.raises(SlurmError, match="not a repository of its own"):
        freeze(root / "kdgat", snapshots)


def test_without_git_there_is_a_next_step(
    root: Path, snapshots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SlurmError, match="'git' is not on PATH"):
        freeze(root, snapshots)
