"""What the quick start proposes."""

from __future__ import annotations

import subprocess

import pytest

from kdgat.ops.quickstart import next_steps


@pytest.mark.parametrize("command", next_steps("20261121-074455-123f9a2"))
def test_each_next_step_can_be_pasted_into_a_shell(command: str) -> None:
    done = subprocess.run(
        ["bash", "-n", "-c", command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
