"""What a single check looks at: a workspace, a home folder, and no program at all."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from kdgat.agent.given import Given
from kdgat.ops.checkup.finding import Surroundings
from kdgat.workspace import Workspace
from tests.unit.ops.checkup.made import put


@pytest.fixture
def here(tmp_path: Path) -> Surroundings:
    root, home = tmp_path / "workspace", tmp_path / "home"
    put(root / "pyproject.toml", "[tool.kdgat]\n")
    environ = {"HOME": str(home), "PATH": str(home / "bin")}
    ws = Workspace(root, root / ".kdgat")
    return Surroundings(ws, Given(), environ, home, time.time(), root / "nvidia")
