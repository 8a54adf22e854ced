"""A workspace on a real Slurm, used as its user would: by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdgat.ledger.folder import RunFolder
from kdgat.ledger.states import State

CLUSTER = "fixture"
LEAD_S = 60
SIMULATION = (
    "seed=3", "capture_s=5", "attack_free_s=6", "known_attacks=[dos,fuzzing]",
    "unknown_attacks=[malfunction,suppress]",
)  # fmt: skip
TINY = (
    "data.training_stride_messages=100", "data.prefix_s=1", "training.max_epochs=2", "model=gat",
    "model.hidden=4", "model.heads=2", "model.layers=1", "model.readout=8", "resources.threads=1",
    "training.min_steps_per_epoch=4",
)  # fmt: skip
SMALL_JOB = ("--cores", "1", "--memory-gb", "1.8", "--time", "10m")
_ENDS = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED, State.TIMEOUT})
_LIMIT_S = 600


@dataclass(frozen=True)
class Lab:
    """A workspace, and the environment in which Slurm's commands find the fixture."""

    root: Path
    environ: Mapping[str, str]

    @property
    def home(self) -> Path:
        """Where everything is written at run time."""
        return Path(self.environ.get("KDGAT_HOME") or self.root / ".kdgat")

    def __call__(
        self, *arguments: object, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `kdgat` as the shell would."""
        return subprocess.run(
            [sys.executable, "-m", "kdgat.cli.main", *map(str, arguments)],
            cwd=self.root, env=dict(environ or self.environ), capture_output=True, text=True,
            check=False, timeout=_LIMIT_S,
        )  # fmt: skip

    def json(self, *arguments: object) -> Any:
        """What a command that works prints with --json."""
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def mistake(self, *arguments: object, environ: Mapping[str, str] | None = None) -> str:
        """What a command says of a user's mistake: two lines, code 2, and nothing else."""
        done = self(*arguments, environ=environ)
        assert done.returncode == 2, (done.stdout, done.stderr)
        assert done.stdout == ""
        lines = done.stderr.rstrip("\n").split("\n")
        assert len(lines) == 2, done.stderr
        assert lines[0].startswith("error: ")
        assert lines[1].startswith("hint: ")
        return done.stderr

    def submit(self, *arguments: object) -> Any:
        """Submit to the fixture."""
        return self.json("submit", *arguments, "--cluster", CLUSTER)

    def run(self, run_id: str) -> RunFolder:
        """The folder of one run."""
        return RunFolder(next(self.home.glob(f"runs/*/*/{run_id}")))

    def state(self, run_id: str) -> State:
        """A run's state in the ledger."""
        return self.run(run_id).current().state

    def until_ended(self, run_ids: Sequence[str], limit_s: float = _LIMIT_S) -> dict[str, State]:
        """Wait until runs have ended, as `kdgat status` sees it; their states."""
        deadline = time.monotonic() + limit_s
        while True:
            self.json("status", "--all", "--limit", "1000")
            states = {run_id: self.state(run_id) for run_id in run_ids}
            if all(state in _ENDS for state in states.values()):
                return states
            assert time.monotonic() < deadline, (states, self.logs())
            time.sleep(2)

    def until(self, condition: Any, limit_s: float = 180) -> None:
        """Wait until something is so."""
        deadline = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.5)

    def logs(self) -> str:
        """The ends of what all jobs printed, for a test that failed."""
        found = sorted(self.home.glob("jobs/*/*.out"))
        return "\n".join(f"== {path}\n{path.read_text()[-1500:]}" for path in found)

    def slurm(self, *words: str, check: bool = True) -> str:
        """What one of Slurm's own commands prints."""
        done = subprocess.run(
            words, env=dict(self.environ), capture_output=True, text=True, check=False, timeout=60
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout


def make_lab(root: Path, environ: Mapping[str, str]) -> Lab:
    """A workspace with simulated data and the fixture as a cluster."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "pyproject.toml").write_text("[tool.kdgat]\n")
    own = {name: value for name, value in environ.items() if not name.startswith("KDGAT_")}
    lab = Lab(root, {**own, "KDGAT_NO_SYNC": "1", "OMP_NUM_THREADS": "1"})
    for words in (
        ("data", "simulate", *SIMULATION),
        ("data", "ingest", "simulated"),
        ("data", "prepare", TINY[0]),
        ("clusters", "import", CLUSTER),
    ):
        lab.json(*words)
    path = root / "slurm" / "clusters" / f"{CLUSTER}.toml"
    text = path.read_text()
    assert "signal_lead_s = 180" in text
    path.write_text(text.replace("signal_lead_s = 180", f"signal_lead_s = {LEAD_S}"))
    return lab


def wait_until(what: Callable[[], bool], seconds: float = 90) -> None:
    """Ask every second until it is so."""
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(1)
