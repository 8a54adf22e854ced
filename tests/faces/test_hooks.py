"""The agent's hooks, started as its client starts them, with every kind of payload."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from kdgat.agent.hook import DEFAULT_MODE, find_place
from kdgat.modes.packs import token_count
from kdgat.modes.state import DEFAULT
from kdgat.ops.session import NAMES
from kdgat.ops.session_sections import MADE
from kdgat.workspace import Workspace
from tests.faces.client import ROOT, Answer, Client, checkout

pytestmark = pytest.mark.slow

EVENTS = ("SessionStart", "UserPromptSubmit", "PostToolUse", "Stop")
EDIT = {"tool_name": "Edit", "tool_input": {"file_path": "x.py"}, "tool_response": {}}
ODD = {
    "nothing": b"",
    "no JSON": b'{"session_id": "s", "cwd',
    "no text": b"\xff\xfe\x00{",
    "a list": b"[]",
    "null": b"null",
    "no fields": b"{}",
    "fields of other types": b'{"session_id": 7, "cwd": [1], "source": {}, "stop_hook_active": 1}',
    "a session named like a path": b'{"session_id": "../../../escape", "cwd": "/"}',
    "a folder that can't be": b'{"session_id": "s", "cwd": "/no/such\\u0000folder"}',
    "a thousand brackets": b"[" * 100_000,
    "too long to be read": b'{"session_id": "s", "tool_response": "' + b"x" * 20_000_000 + b'"}',
}
MORE_EPOCHS = (
    "kdgat/configs/training.py",
    "max_epochs: int = Field(default=6",
    "max_epochs: int = Field(default=7",
)


@pytest.fixture(scope="session")
def client_once(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return checkout(tmp_path_factory.mktemp("hooks") / "checkout")


@pytest.fixture
def client(client_once: Client, tmp_path: Path) -> Client:
    """A checkout of its own, in which a session began."""
    root = tmp_path / "checkout"
    shutil.copytree(client_once.root, root, symlinks=True)
    copy = Client(root)
    (copy.agent / "hook-errors.jsonl").unlink(missing_ok=True)
    assert copy.hook("SessionStart", source="startup").context
    return copy


def state_of(client: Client) -> dict[Path, int]:
    """Every file but git's, and when it was written."""
    files = (path for path in client.root.rglob("*") if ".git" not in path.parts)
    return {path: path.stat().st_mtime_ns for path in files if path.is_file()}


def write_code(client: Client, lines: int, name: str = "kdgat/models/extra.py") -> None:
    path = client.root / name
    path.write_text('"""Something."""\n' + "".join(f"VALUE_{n} = {n}\n" for n in range(lines - 1)))


def edit(client: Client, file: str, old: str, new: str) -> None:
    path = client.root / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("source", ["startup", "resume", "clear", "compact"])
def test_a_session_begins_with_the_mode_and_dated_facts(source: str, client_once: Client) -> None:
    answer = client_once.hook("SessionStart", source=source, model="any")
    assert answer.json["hookSpecificOutput"]["hookEventName"] == "SessionStart"
    text = answer.context
    assert re.match(r"# kdgat on \d{4}-\d\d-\d\d at \d\d:\d\d UTC, mode 'mlops'", text)
    assert "Look before you theorise" in text
    for title in ("Failed and not done since: none", "Queue: empty", "Last runs", "Best runs"):
        assert f"## {title}" in text
    assert "question" not in text.partition("## ")[2]
    agents = token_count((client_once.root / "AGENTS.md").read_text())
    assert token_count(text) + agents <= 2_500
    assert len(text) < 9_000


def test_with_nothing_changed_every_other_hook_is_silent_and_writes_nothing(
    client: Client,
) -> None:
    before = state_of(client)
    assert client.hook("UserPromptSubmit", prompt="go on").silent
    assert client.hook("PostToolUse", **EDIT).silent
    assert client.hook("Stop", stop_hook_active=False).silent
    assert state_of(client) == before


def test_with_nothing_changed_a_hook_imports_nothing_of_kdgat(client: Client) -> None:
    command = [sys.executable, "-X", "importtime", "-S", "-E", str(ROOT / "kdgat/agent/hook.py")]
    for event in ("UserPromptSubmit", "PostToolUse", "Stop"):
        done = subprocess.run(
            [*command, event], cwd=client.root, input=json.dumps({"session_id": client.session}),
            env={"CLAUDE_PROJECT_DIR": str(client.root)}, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "json" in loaded
        assert {name for name in loaded if name.startswith("kdgat")} == set()
        assert {name.partition(".")[0] for name in loaded} <= {
            *sys.stdlib_module_names,
            "imported package",
        }


@pytest.mark.parametrize("event", ["PostToolUse", "PostToolBatch"])
def test_after_an_edit_what_it_made_stale_is_rendered_and_one_line_says_so(
    event: str, client: Client
) -> None:
    if event == "PostToolBatch":
        edit(client, ".claude/settings.json", "PostToolUse", "PostToolBatch")
        edit(client, "agent/hooks.toml", "PostToolUse", "PostToolBatch")
    edit(
        client,
        "kdgat/configs/training.py",
        "max_epochs: int = Field(default=6",
        "max_epochs: int = Field(default=7",
    )
    answer = client.hook(event, **EDIT)
    assert answer.json["hookSpecificOutput"]["hookEventName"] == event
    assert "AGENTS.md was rendered again (new there: config;" in answer.context
    assert "\n" not in answer.context
    assert "max_epochs=7" in (client.root / "AGENTS.md").read_text()
    assert client.hook(event, **EDIT).silent
    assert client.errors == []


def test_an_edit_that_shows_nowhere_in_the_context_is_not_told(client: Client) -> None:
    edit(client, "kdgat/configs/training.py", "Most epochs to train.", "The most epochs to train.")
    agents = client.root / "AGENTS.md"
    before = agents.stat().st_mtime_ns
    assert client.hook("PostToolUse", **EDIT).silent
    assert agents.stat().st_mtime_ns == before


def test_what_a_command_made_is_seen_too(client: Client) -> None:
    (client.root / "kdgat" / "ranks.py").write_text('"""Who stands where."""\n')
    answer = client.hook("PostToolUse", tool_name="Bash", tool_input={"command": "cp"})
    assert "AGENTS.md was rendered again (new there: map;" in answer.context


def test_a_render_that_fails_is_silent_noted_once_and_tried_again_after_the_next_edit(
    client: Client,
) -> None:
    file = "kdgat/cli/main.py"
    good = (client.root / file).read_text()
    (client.root / file).write_text(good + "\ndef half(")
    assert client.hook("PostToolUse", **EDIT).silent
    assert client.hook("PostToolUse", **EDIT).silent
    (error,) = client.errors
    assert error["event"] == "PostToolUse"
    assert "SyntaxError" in error["error"]
    assert error["time"].endswith("Z")
    (client.root / file).write_text(good.replace('app.command("replay")', 'app.command("re-play")'))
    assert "commands" in client.hook("PostToolUse", **EDIT).context
    assert len(client.errors) == 1


def test_what_changed_between_sessions_is_rendered_when_the_next_one_begins(client: Client) -> None:
    edit(
        client,
        "kdgat/configs/training.py",
        "max_epochs: int = Field(default=6",
        "max_epochs: int = Field(default=7",
    )
    assert "new there: config" in client.hook("SessionStart", source="startup").context


def test_a_clone_on_which_nobody_rendered_is_rendered_once(client: Client) -> None:
    (client.agent / "context.json").unlink()
    assert client.hook("PostToolUse", **EDIT).silent
    assert (client.agent / "context.json").is_file()


def test_without_an_agents_file_nothing_is_rendered_or_complained_of(client: Client) -> None:
    (client.agent / "context.json").unlink()
    (client.root / "AGENTS.md").unlink()
    assert client.hook("PostToolUse", **EDIT).silent
    assert not (client.root / "AGENTS.md").exists()
    assert client.errors == []


def test_a_mode_that_changed_meanwhile_is_told_once_to_each_session(client: Client) -> None:
    other = Client(client.root, session="other")
    other.hook("SessionStart", source="startup")
    client.kdgat("mode", "research")
    answer = client.hook("UserPromptSubmit", prompt="and now?")
    assert answer.json["hookSpecificOutput"]["hookEventName"] == "UserPromptSubmit"
    assert "The user switched to mode 'research'" in answer.context
    assert "State a hypothesis that can fail" in answer.context
    assert client.hook("UserPromptSubmit", prompt="go on").silent
    assert "'research'" in other.hook("UserPromptSubmit", prompt="hm").context
    client.kdgat("mode", "mlops")
    assert "'mlops'" in client.hook("UserPromptSubmit", prompt="back").context


def test_a_session_that_began_in_a_mode_is_not_told_of_it(client: Client) -> None:
    client.kdgat("mode", "research")
    assert "mode 'research'" in client.hook("SessionStart", source="compact").context
    assert client.hook("UserPromptSubmit", prompt="go on").silent


def test_open_questions_are_told_in_the_mode_that_shows_them_and_only_there(client: Client) -> None:
    fires = ("--trigger", "always", "--trigger-sql", "select true")
    client.kdgat("questions", "add", "Is the kettle on?", *fires)
    assert "kettle" not in client.hook("SessionStart", source="startup").context
    client.kdgat("mode", "research")
    assert '"Is the kettle on?"' in client.hook("SessionStart", source="startup").context


def test_two_hundred_lines_without_a_look_are_spoken_of_once(client: Client) -> None:
    write_code(client, 199)
    client.hook("PostToolUse", **EDIT)
    assert client.hook("Stop", stop_hook_active=False).silent
    write_code(client, 201)
    answer = client.hook("Stop", stop_hook_active=False).json
    assert answer["decision"] == "block"
    assert "201 net lines" in answer["reason"]
    assert "prior_art" in answer["reason"]
    assert answer["reason"].count(".") == 1
    assert client.hook("Stop", stop_hook_active=False).silent


@pytest.mark.parametrize("active", [True, None, "false"])
def test_a_client_that_goes_on_because_of_a_hook_is_not_stopped_again(
    active: object, client: Client
) -> None:
    write_code(client, 300)
    client.hook("PostToolUse", **EDIT)
    assert client.hook("Stop", stop_hook_active=active).silent


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("prior-art.jsonl", {"time": "2999-01-01T00:00:00+00:00", "query": "x", "hits": []}),
        (
            "calls/a.jsonl",
            {"tool": "prior_art", "started_at": "2999-01-01T00:00:00", "error": None},
        ),
    ],
)
def test_lines_after_a_look_are_not_spoken_of(file: str, line: dict, client: Client) -> None:
    path = client.agent / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("{half a line\n" + json.dumps(line) + "\n")
    write_code(client, 300)
    client.hook("PostToolUse", **EDIT)
    assert client.hook("Stop", stop_hook_active=False).silent


def test_a_look_of_an_earlier_session_or_a_failed_one_does_not_count(client: Client) -> None:
    (client.agent / "prior-art.jsonl").write_text('{"time": "2020-01-01T00:00:00+00:00"}\n')
    (client.agent / "calls").mkdir(exist_ok=True)
    failed = {"tool": "prior_art", "started_at": "2999-01-01T00:00:00", "error": "no index"}
    (client.agent / "calls" / "a.jsonl").write_text(json.dumps(failed) + "\n")
    write_code(client, 300)
    client.hook("PostToolUse", **EDIT)
    assert client.hook("Stop", stop_hook_active=False).json["decision"] == "block"


def test_lines_are_those_of_this_session_committed_or_not(client: Client) -> None:
    write_code(client, 300)
    late = Client(client.root, session="late")
    late.hook("SessionStart", source="startup")
    write_code(client, 150, "kdgat/models/more.py")
    (client.root / "notes.md").write_text("prose\n" * 500)
    late.hook("PostToolUse", **EDIT)
    assert late.hook("Stop", stop_hook_active=False).silent
    client.git("add", "-A")
    client.git("commit", "-qm", "more")
    write_code(client, 60, "kdgat/models/most.py")
    assert "210 net lines" in late.hook("Stop", stop_hook_active=False).json["reason"]


def test_at_the_end_a_stale_context_is_rendered_and_the_user_is_told(client: Client) -> None:
    edit(
        client,
        "kdgat/configs/training.py",
        "max_epochs: int = Field(default=6",
        "max_epochs: int = Field(default=7",
    )
    said = client.hook("Stop", stop_hook_active=True).json
    assert "AGENTS.md was rendered again" in said["systemMessage"]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("event", EVENTS)
def test_whatever_a_client_sends_the_session_goes_on(
    event: str, odd: str, client_once: Client
) -> None:
    answer = client_once.send(event, ODD[odd])
    assert (answer.code, answer.err) == (0, b"")
    readable = odd not in ("nothing", "no JSON", "no text", "a list", "null", "a thousand brackets")
    if event == "SessionStart" and readable:
        assert "mode 'mlops'" in answer.context
    else:
        assert answer.out == b""
        assert readable or client_once.errors[-1]["event"] == event
    assert not list(client_once.root.parent.rglob("escape*"))


@pytest.mark.parametrize("event", EVENTS)
def test_outside_of_a_workspace_a_hook_says_and_writes_nothing(
    event: str, client_once: Client, tmp_path: Path
) -> None:
    outside = Client(client_once.root, environ={"CLAUDE_PROJECT_DIR": str(tmp_path)})
    (tmp_path / "kdgat" / "agent").mkdir(parents=True)
    shutil.copy2(ROOT / "kdgat/agent/hook.py", tmp_path / "kdgat/agent")
    before = sorted(tmp_path.rglob("*"))
    assert outside.send(event, b'{"session_id": "s"}', cwd=tmp_path).silent
    assert sorted(tmp_path.rglob("*")) == before


def test_a_checkout_without_the_script_does_not_block_its_client(client: Client) -> None:
    (client.root / "kdgat/agent/hook.py").unlink()
    for event in EVENTS:
        answer = client.hook(event)
        assert (answer.code, answer.out) == (0, b"")


def test_damaged_notes_and_an_unwritable_home_break_nothing(client: Client) -> None:
    for name in ("context.json", "mode.json", f"sessions/{client.session}.json", "session.json"):
        (client.agent / name).write_bytes(b'{"inputs": [')
    begun = client.hook("SessionStart", source="resume").context
    assert "'.kdgat/agent/mode.json' is damaged" in begun.split("\n\n")[1]
    assert "`kdgat mode mlops`" in begun.split("\n\n")[1]
    assert "Look before you theorise" in begun
    assert "## Queue: empty" in begun
    assert client.errors == []
    for event in EVENTS[1:]:
        answer = client.hook(event, stop_hook_active=False)
        assert (answer.code, answer.out, answer.err) == (0, b"", b"")
    assert {each["event"] for each in client.errors} == {"UserPromptSubmit"}
    assert "kdgat mode" in client.errors[-1]["error"]
    blocked = Client(client.root, environ={"KDGAT_HOME": str(client.root / "pyproject.toml")})
    for event in EVENTS:
        assert blocked.hook(event).code == 0


def test_a_mode_whose_file_is_wrong_is_told_and_questions_stay_hidden(client: Client) -> None:
    client.kdgat("questions", "add", "Is the kettle on?")
    client.kdgat("mode", "research")
    (client.root / "modes" / "research.md").write_text("no front matter\n")
    text = client.hook("SessionStart", source="startup").context
    assert "mode 'mlops'\n\nThat mode only because" in text
    assert "modes/research.md" in text
    assert "kettle" not in text
    (client.root / "modes" / "mlops.md").write_text("no front matter either\n")
    assert client.hook("SessionStart", source="startup").silent
    assert "modes/mlops.md" in client.errors[-1]["error"]


def test_an_event_that_nobody_knows_is_noted(client: Client) -> None:
    edit(client, ".claude/settings.json", 'hook.py\\" Stop', 'hook.py\\" Stopp')
    assert client.hook("Stop").silent
    assert "Stopp" in client.errors[-1]["error"]


def test_the_command_line_answers_a_hook_too(client: Client) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "kdgat.cli.main", "hook", "SessionStart"], cwd=client.root,
        env={**os.environ, "CLAUDE_PROJECT_DIR": str(client.root)}, input=b"{}",
        capture_output=True, check=True,
    )  # fmt: skip
    assert "mode 'mlops'" in Answer(0, done.stdout, done.stderr).context


def test_a_hook_finds_the_workspace_that_a_command_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KDGAT_HOME", "KDGAT_ROOT", "CLAUDE_PROJECT_DIR"):
        monkeypatch.delenv(name, raising=False)
    spellings = (
        "[tool.kdgat]\n", '[tool.kdgat]\nhome = "a b"\n[tool.x]\nhome = "c"\n',
        "[tool]\nkdgat = {home = 'd'}\n", "[tool.kdgat]\nhome = '~/e' # mine\n",
        "[tool.kdgat]  # ours\nhome = \"f\\u0041\"\n",
    )  # fmt: skip
    for number, text in enumerate(spellings):
        inner = tmp_path / str(number) / "deep" / "down"
        inner.mkdir(parents=True)
        (inner.parents[1] / "pyproject.toml").write_text(text)
        for environ in ({}, {"KDGAT_HOME": "elsewhere"}, {"KDGAT_ROOT": str(inner.parents[1])}):
            with monkeypatch.context() as patch:
                for name, value in environ.items():
                    patch.setenv(name, value)
                place, ws = find_place({"cwd": str(inner)}), Workspace.find(inner)
            assert place is not None
            assert (Path(place.root), Path(place.home)) == (ws.root, ws.home)


def test_the_script_and_the_modules_agree() -> None:
    assert DEFAULT_MODE == DEFAULT
    assert set(MADE) == NAMES
