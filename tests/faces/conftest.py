"""A tiny workspace, prepared and trained once a session; each test gets a copy of its own."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pytest

SIMULATION = (
    "seed=3", "capture_s=5", "attack_free_s=6", "known_attacks=[dos,fuzzing]",
    "unknown_attacks=[malfunction,suppress]",
)  # fmt: skip
WINDOWS = ("data.training_stride_messages=100", "data.prefix_s=1")
TINY = (
    *WINDOWS, "training.max_epochs=2", "model=gat", "model.hidden=4", "model.heads=2",
    "model.layers=1", "model.readout=8", "resources.threads=1", "training.min_steps_per_epoch=0",
)  # fmt: skip
STUDENT = (*TINY, "size=small", "distillation.teacher=latest")
_SETTINGS = ("KDGAT_HOME", "KDGAT_ROOT", "FORCE_COLOR", "TTY_COMPATIBLE", "NO_COLOR")


@dataclass(frozen=True)
class Said:
    """What one call of the command line said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON; nothing else may be on it, nor anything on standard error."""
        assert self.code == 0, self.err
        assert self.err == ""
        return json.loads(self.out)

    def mistake(self, *words: str) -> str:
        """The text of a user's mistake: two lines, code 2, nothing on standard output."""
        assert self.code == 2, self
        assert self.out == ""
        assert self.err.endswith("\n")
        lines = self.err[:-1].split("\n")
        assert len(lines) == 2, self.err
        assert lines[0].startswith("error: ")
        assert lines[1].startswith("hint: ")
        assert len(lines[1]) > len("hint: ")
        missing = [word for word in words if word not in self.err]
        assert not missing, f"{missing} not in:\n{self.err}"
        return self.err


class Command(Protocol):
    """Calls kdgat in a workspace."""

    def __call__(self, *arguments: object) -> Said: ...


@dataclass(frozen=True)
class Tiny:
    """A workspace, and the ids of what was trained in it."""

    root: Path
    teacher: str = ""
    student: str = ""
    evaluation: str = ""

    @property
    def home(self) -> Path:
        """Where everything is written at run time."""
        return self.root / ".kdgat"

    @property
    def data(self) -> Path:
        """The folder of the simulated dataset."""
        return self.home / "data" / "simulated"

    def run(self, run_id: str) -> Path:
        """The folder of one run."""
        return next(self.home.glob(f"runs/*/*/{run_id}"))

    def runs(self) -> set[str]:
        """Every run id of the ledger."""
        return {path.parent.name for path in self.home.glob("runs/*/*/*/run.json")}

    def leftovers(self) -> list[Path]:
        """Files and folders that were written aside and never renamed."""
        return list(self.home.rglob(".partial-*"))


def call(*arguments: object) -> Said:
    """Run the entry point of `kdgat` in this process, as the shell would."""
    from kdgat.cli.main import main

    out, err, code = io.StringIO(), io.StringIO(), 0
    before = sys.argv
    sys.argv = ["kdgat", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    finally:
        sys.argv = before
    return Said(code, out.getvalue(), err.getvalue())


def new_root(root: Path) -> Path:
    """An empty workspace."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text("[tool.kdgat]\n")
    return root


def enter(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Work in a workspace, whatever the caller's environment says."""
    for name in _SETTINGS:
        patch.delenv(name, raising=False)
    # MLflow takes seconds to import; the tests of tracking sync by themselves.
    patch.setenv("KDGAT_NO_SYNC", "1")
    patch.chdir(root)


@pytest.fixture(scope="session")
def prepared_once(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    tiny = Tiny(new_root(tmp_path_factory.mktemp("prepared")))
    with pytest.MonkeyPatch.context() as patch:
        enter(tiny.root, patch)
        assert call("data", "simulate", *SIMULATION).code == 0
        assert call("data", "ingest", "simulated").code == 0
        assert call("data", "prepare", *WINDOWS).code == 0
    return tiny


@pytest.fixture(scope="session")
def trained_once(prepared_once: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    root = tmp_path_factory.mktemp("trained") / "workspace"
    shutil.copytree(prepared_once.root, root)
    with pytest.MonkeyPatch.context() as patch:
        enter(root, patch)
        teacher = call("train", *TINY, "--json").json["run_id"]
        student = call("train", *STUDENT, "--json").json["run_id"]
        evaluation = call("evaluate", teacher, "--json").json["run_id"]
    return Tiny(root, teacher, student, evaluation)


def _copy(tiny: Tiny, root: Path, patch: pytest.MonkeyPatch) -> Tiny:
    shutil.copytree(tiny.root, root)
    enter(root, patch)
    return Tiny(root, tiny.teacher, tiny.student, tiny.evaluation)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """A workspace with nothing in it, entered."""
    root = new_root(tmp_path / "workspace")
    enter(root, monkeypatch)
    return Tiny(root)


@pytest.fixture
def prepared(prepared_once: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """A workspace with simulated captures, ingested and prepared, and no run, entered."""
    return _copy(prepared_once, tmp_path / "workspace", monkeypatch)


@pytest.fixture
def trained(trained_once: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tiny:
    """The same with a teacher, its distilled student and an evaluation of the teacher, entered."""
    return _copy(trained_once, tmp_path / "workspace", monkeypatch)


@pytest.fixture
def kdgat() -> Command:
    """The command line, in this process."""
    return call


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """`python ARGUMENTS` as a process of its own, in the current folder."""

    def run(
        *arguments: object, environ: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *map(str, arguments)]
        env = {**os.environ, **(environ or {})}
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=env, timeout=900, **options
        )

    return run


@pytest.fixture(scope="session")
def tiny_config() -> tuple[str, ...]:
    """The overrides of the smallest model."""
    return TINY


@pytest.fixture
def student_config() -> tuple[str, ...]:
    """The overrides of its student."""
    return STUDENT


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts a disk of a few KiB; skips where that is not allowed."""
    mounted: list[Path] = []

    def mount(options: str) -> Path:
        disk = tmp_path / f"disk{len(mounted)}"
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)]
        if shutil.which("mount") is None or subprocess.call(command, stderr=subprocess.DEVNULL):
            pytest.skip("mounting a small disk is not allowed here")
        mounted.append(disk)
        return disk

    yield mount
    for disk in mounted:
        # Lazily: graphs that were mapped into memory may wait for the garbage collector.
        subprocess.run(["umount", "-l", str(disk)], check=True)
