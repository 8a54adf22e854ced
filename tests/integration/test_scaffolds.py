"""One of each kind is made in a copy of the project, where what `.ci/run` checks still holds.

The types of the whole project take minutes, so the type checker reads what is new or edited.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CHECKOUT = Path(__file__).parents[2]
MADE = (
    ("model", "edge_mlp"), ("stage", "window_counts"), ("dataset-format", "semicolons"),
    # As long as a name may be, and before and behind all others in any order.
    ("model", "a" * 24), ("stage", "z" * 24), ("dataset-format", "z" * 23 + "2"),
    ("mode", "reviewing"), ("cluster", "newton"), ("question", "Does it help?"),
    ("decision", "why-so"), ("paper", "itsc-2027"),
)  # fmt: skip
NEW_TESTS = (
    "tests/unit/models/test_edge_mlp.py", "tests/unit/stages/test_window_counts.py",
    "tests/unit/data/test_semicolons.py",
)  # fmt: skip
TABLES = (
    "tests/unit/configs/test_compose_mistakes.py", "tests/unit/data/test_formats.py",
    "tests/unit/training/test_tasks.py", "tests/faces/test_mode.py",
)  # fmt: skip
"""Tests that name what the tables hold."""


@dataclass(frozen=True)
class Copy:
    """The project with one of each kind more."""

    root: Path

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of this environment, on the copy's own code."""
        command = Path(sys.executable).parent / words[0]
        dropped = {"KDGAT_HOME", "KDGAT_ROOT", "FORCE_COLOR", "PYTEST_ADDOPTS"}
        env = {name: value for name, value in os.environ.items() if name not in dropped}
        env |= {"PYTHONPATH": str(self.root), "KDGAT_NO_SYNC": "1", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [str(command), *words[1:]], cwd=self.root, env=env, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900,
        )  # fmt: skip

    def good(self, *words: str) -> str:
        """What a command prints that must end well."""
        done = self.run(*words)
        assert done.returncode == 0, f"{words}\n{done.stdout[-5000:]}"
        return done.stdout

    def changed(self) -> list[str]:
        """Files that are new or edited."""
        lines = self._git("status", "--porcelain", "-uall").splitlines()
        return [line[3:] for line in lines]

    def commit(self) -> None:
        """Make what is there the state that `changed` compares with."""
        self._git("add", "-A")
        self._git("-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "a")

    def _git(self, *words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=self.root, capture_output=True, text=True, check=True
        )
        return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    root = tmp_path_factory.mktemp("project") / "copy"
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"],
        cwd=CHECKOUT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (CHECKOUT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / name, root / name)
    made = Copy(root)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    made.commit()
    for kind, name in MADE:
        made.good("python", "-m", "kdgat.cli.main", "new", kind, name)
    return made


def test_what_is_made_is_formatted_linted_and_in_the_order_of_layers(copy: Copy) -> None:
    copy.good("ruff", "format", "--check")
    copy.good("ruff", "check")
    assert "5 kept, 0 broken" in copy.good("lint-imports")


def test_what_is_made_has_right_types(copy: Copy) -> None:
    python = [name for name in copy.changed() if name.endswith(".py")]
    assert len(python) == 22
    copy.good("pyright", "--pythonpath", sys.executable, *python)


def test_the_context_and_the_reference_are_written_anew_and_then_hold(copy: Copy) -> None:
    assert copy.run("python", "-m", "kdgat.cli.main", "agent", "check").returncode == 1
    for words in (
        ("agent", "render"), ("agent", "check"), ("reference", "write"), ("reference", "check"),
    ):  # fmt: skip
        copy.good("python", "-m", "kdgat.cli.main", *words)


def test_its_tests_pass_and_those_of_the_tables_still_do(copy: Copy) -> None:
    said = copy.good("python", "-m", "pytest", "-n", "0", "-q", *NEW_TESTS, *TABLES)
    assert "passed" in said
    assert "skipped" not in said


def test_a_new_model_and_a_new_stage_train_and_are_judged(copy: Copy) -> None:
    tiny = ("data.training_stride_messages=100", "data.prefix_s=1", "size=small")
    kdgat = ("python", "-m", "kdgat.cli.main")
    copy.good(*kdgat, "data", "simulate", "capture_s=5", "attack_free_s=6",
              "known_attacks=[dos,fuzzing]", "unknown_attacks=[malfunction,suppress]")  # fmt: skip
    copy.good(*kdgat, "data", "ingest", "simulated")
    copy.good(*kdgat, "train", "model=edge_mlp", "training.max_epochs=1",
              "training.min_steps_per_epoch=0", *tiny)  # fmt: skip
    copy.good(*kdgat, "evaluate", "latest")
    copy.good(*kdgat, "train", "model=window_counts", *tiny)
    copy.good(*kdgat, "evaluate", "latest")
    assert list((copy.root / ".kdgat").glob("runs/*/*window_counts/*/artifacts/windows.json"))
