"""CLAUDE.md, .mcp.json and .claude/settings.json: kdgat's entries in them, and nobody else's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdgat.agent.clients import ASK, claude_text, servers_text, settings_text
from kdgat.errors import WorkspaceError
from kdgat.workspace import Workspace

HOOKS = """
[[hooks.SessionStart]]
command = "python -S -E kdgat/agent/hook.py SessionStart"
timeout_s = 5

[[hooks.PostToolUse]]
matcher = "Edit|Write"
command = "python -S -E kdgat/agent/hook.py PostToolUse"
"""


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent" / "hooks.toml").write_text(HOOKS)
    return Workspace(tmp_path, tmp_path / ".kdgat")


def test_claude_md_is_one_line_and_another_text_stays_below_it() -> None:
    assert claude_text(None) == "@AGENTS.md\n"
    assert claude_text("  \n") == "@AGENTS.md\n"
    assert claude_text("# Mine\n") == "@AGENTS.md\n\n# Mine\n"
    for there in ("# Mine\n@AGENTS.md\nmore", "See @./AGENTS.md, please\n"):
        assert claude_text(there) == there
    assert claude_text("mail me@AGENTS.md\n").startswith("@AGENTS.md\n\n")


def test_another_server_and_its_order_are_kept(ws: Workspace) -> None:
    there = '{\n    "mcpServers": {"other": {"command": "x"}},\n    "note": "mine"\n}\n'
    text = servers_text(ws, there)
    assert json.loads(text) == {
        "mcpServers": {
            "other": {"command": "x"},
            "kdgat": {"command": "uv", "args": ["run", "kdgat", "mcp"]},
        },
        "note": "mine",
    }
    assert text.startswith('{\n    "mcpServers"')
    assert servers_text(ws, text) == text


def test_a_file_that_says_the_same_keeps_its_spelling(ws: Workspace) -> None:
    there = '{"mcpServers":{"kdgat":{"command":"uv","args":["run","kdgat","mcp"]}}}'
    assert servers_text(ws, there) == there


def test_the_server_is_started_as_the_workspace_says(ws: Workspace) -> None:
    (ws.root / "agent" / "mcp.toml").write_text(
        '[caps]\njobs_per_day = 3\n[server]\ncommand = "kdgat"\nargs = ["mcp"]\n'
    )
    assert json.loads(servers_text(ws, None))["mcpServers"]["kdgat"] == {
        "command": "kdgat",
        "args": ["mcp"],
    }


def test_a_server_without_a_text_for_a_command_is_refused(ws: Workspace) -> None:
    (ws.root / "agent" / "mcp.toml").write_text("[server]\ncommand = 3\n")
    with pytest.raises(WorkspaceError, match=r"agent/mcp\.toml: server\.command is '3'"):
        servers_text(ws, None)


USERS = {
    "model": "mine",
    "hooks": {
        "SessionStart": [{"hooks": [{"type": "command", "command": "date"}]}],
        "PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": "look"}]}],
    },
    "permissions": {"allow": ["Bash(ls:*)"], "ask": ["Bash(rm:*)"]},
}


def test_a_users_settings_stay_beside_kdgats_hooks_and_rules(ws: Workspace) -> None:
    values = json.loads(settings_text(ws, json.dumps(USERS)))
    assert values["model"] == "mine"
    assert values["permissions"] == {"allow": ["Bash(ls:*)"], "ask": ["Bash(rm:*)", *ASK]}
    assert values["hooks"]["PreToolUse"] == USERS["hooks"]["PreToolUse"]
    users, ours = values["hooks"]["SessionStart"]
    assert users == USERS["hooks"]["SessionStart"][0]
    assert ours["hooks"][0]["command"].endswith("kdgat/agent/hook.py SessionStart")
    assert ours["hooks"][0]["timeout"] == 5
    assert values["hooks"]["PostToolUse"][0]["matcher"] == "Edit|Write"


def test_settings_that_are_current_are_not_spelt_anew(ws: Workspace) -> None:
    text = settings_text(ws, json.dumps(USERS))
    assert settings_text(ws, text) == text


def test_a_users_hook_keeps_its_place_behind_kdgats(ws: Workspace) -> None:
    values = json.loads(settings_text(ws, None))
    values["hooks"]["SessionStart"].append({"hooks": [{"type": "command", "command": "date"}]})
    text = json.dumps(values)
    assert settings_text(ws, text) == text


def test_an_event_that_is_mapped_no_more_goes_and_a_users_hook_in_it_stays(ws: Workspace) -> None:
    values = json.loads(settings_text(ws, None))
    values["hooks"]["PostToolUse"][0]["hooks"].append({"type": "command", "command": "mine"})
    (ws.root / "agent" / "hooks.toml").write_text("")
    after = json.loads(settings_text(ws, json.dumps(values)))
    assert after["hooks"] == {
        "PostToolUse": [
            {"matcher": "Edit|Write", "hooks": [{"type": "command", "command": "mine"}]}
        ]
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{\n  "a": 1,\n  // mine\n}', r"settings\.json:3: not JSON"),
        ("[]", "no JSON object"),
        ("[" * 99_999, "nested too deeply"),
        ('{"hooks": []}', "hooks is '\\[\\]'"),
        ('{"hooks": {"Stop": 3}}', r"hooks\.Stop is '3'"),
        ('{"permissions": {"ask": "x"}}', r"permissions\.ask is 'x'"),
    ],
)
def test_settings_that_can_not_be_merged_are_refused(
    ws: Workspace, text: str, problem: str
) -> None:
    with pytest.raises(WorkspaceError, match=problem):
        settings_text(ws, text)
