"""`agent/hooks.toml`: what is wrong in it is named with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdgat.agent.wiring import hook_groups
from kdgat.errors import WorkspaceError
from kdgat.workspace import Workspace
from tests.faces.client import ROOT


def test_the_file_that_comes_with_kdgat_has_every_event_that_is_answered() -> None:
    groups = hook_groups(Workspace(ROOT, ROOT / ".kdgat"))
    assert list(groups) == ["SessionStart", "UserPromptSubmit", "PostToolUse", "Stop"]
    for event, (group,) in groups.items():
        (hook,) = group["hooks"]
        assert f'hook.py" {event} || :' in hook["command"]
        assert hook["timeout"] > 25


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[[hooks.Stop]]\nmatcher = 'x'\n", "'agent/hooks.toml:1': hooks.Stop.command is 'None'"),
        (
            "\n[[hooks.Stop]]\ncommand = 'x'\n\n[[hooks.Stop]]\n# how long\ntimeout = 3\n",
            "'agent/hooks.toml:7', hooks.Stop: unknown setting 'timeout'",
        ),
        (
            "[[hooks.Stop]]\ncommand = 'x'\ntimeout_s = '3'\n",
            "'agent/hooks.toml:3': hooks.Stop.timeout_s is '3'",
        ),
        ("# ours\n[hooks.Stop]\ncommand = 'x'\n", "'agent/hooks.toml:2': hooks.Stop is"),
        ("[[hooks.stop]]\ncommand = 'x'\n", "'agent/hooks.toml:1': the event is 'stop'"),
    ],
)
def test_a_fault_is_named_with_its_line(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "hooks.toml").write_text(text)
    with pytest.raises(WorkspaceError) as caught:
        hook_groups(Workspace(tmp_path, tmp_path / ".kdgat"))
    assert caught.value.problem.startswith(told)
    assert caught.value.hint
