"""A client of the agent's hooks: starts what .claude/settings.json says, as Claude Code does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COPIED = ("kdgat", "agent", "modes", "slurm", "pyproject.toml")


@dataclass(frozen=True)
class Answer:
    """What a hook said."""

    code: int
    out: bytes
    err: bytes

    @property
    def silent(self) -> bool:
        """Whether it ended well and said nothing at all."""
        return (self.code, self.out, self.err) == (0, b"", b"")

    @property
    def json(self) -> dict[str, Any]:
        """What it said, in the client's form."""
        assert (self.code, self.err) == (0, b""), self
        return json.loads(self.out)

    @property
    def context(self) -> str:
        """What the agent is told."""
        return self.json["hookSpecificOutput"]["additionalContext"]


@dataclass(frozen=True)
class Client:
    """A session in a checkout."""

    root: Path
    session: str = "3f2a-11"
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def agent(self) -> Path:
        """What hooks keep."""
        return self.root / ".kdgat" / "agent"

    @property
    def errors(self) -> list[dict[str, str]]:
        """What hooks complained of."""
        path = self.agent / "hook-errors.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def hook(self, event: str, **fields: Any) -> Answer:
        """Start the hook of an event with a payload as the client sends it."""
        payload = {
            "session_id": self.session, "transcript_path": "/tmp/t.jsonl", "cwd": str(self.root),
            "permission_mode": "default", "hook_event_name": event, **fields,
        }  # fmt: skip
        return self.send(event, json.dumps(payload).encode())

    def send(self, event: str, payload: bytes, *, cwd: Path | None = None) -> Answer:
        """The same with any payload, from any folder."""
        settings = json.loads((self.root / ".claude" / "settings.json").read_text())
        done = subprocess.run(
            ["sh", "-c", settings["hooks"][event][0]["hooks"][0]["command"]],
            cwd=cwd or self.root, env=self._environ(), input=payload, capture_output=True,
            timeout=120, check=False,
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)

    def kdgat(self, *arguments: str) -> str:
        """The user's own command, in another window."""
        done = subprocess.run(
            [sys.executable, "-m", "kdgat.cli.main", *arguments], cwd=self.root,
            env=self._environ(), capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def git(self, *arguments: str) -> None:
        """Git with a name to commit by."""
        named = ("-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false")
        command = ["git", *named, *arguments]
        subprocess.run(command, cwd=self.root, check=True, capture_output=True, timeout=60)

    def _environ(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("KDGAT_", "CLAUDE_"))}
        path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
        return {**kept, "PATH": path, "CLAUDE_PROJECT_DIR": str(self.root), **self.environ}


def copied(root: Path, *names: str) -> Client:
    """A copy of these files and folders of this checkout."""
    root.mkdir()
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, root / name)
    return Client(root)


def checkout(root: Path) -> Client:
    """A copy of this checkout's text, committed, and set up for an agent."""
    client = copied(root, *COPIED, ".gitignore")
    client.git("init", "-q")
    client.kdgat("agent", "install")
    client.git("add", "-A")
    client.git("commit", "-qm", "all")
    # The render itself made folders of compiled modules, which a second one takes note of.
    client.kdgat("agent", "render", "--quiet")
    return client
