"""Every text of every tool given what an attacker or a broken client may send."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest

from kdgat.mcp.derive import Derived, derive
from kdgat.mcp.fit import MAX_CHARACTERS, compact
from kdgat.mcp.table import TOOLS
from kdgat.workspace import Workspace
from tests.faces.conftest import Tiny
from tests.faces.mcp.asking import Agent, agent_in, know_packages
from tests.unit.runs.folders import write_run

pytestmark = pytest.mark.slow

SECRET = "the content of a file that is nobody's business"
HOSTILE = {
    "path up": "../../../../../../etc/passwd",
    "path": "/etc/passwd",
    "home": "~root/.ssh/id_rsa",
    "file": "{outside}",
    "sql": "'; drop table runs; --",
    "sql read": "select * from read_text('{outside}')",
    "sql copy": "copy (select 1) to '{outside}.csv'",
    "sql attach": "attach '{outside}' as x",
    "condition": "1=1) union select content from read_text('{outside}') --",
    "shell": "$(touch {outside}.touched); `touch {outside}.touched` | touch {outside}.touched",
    "hydra": "${{oc.env:PATH}}",
    "override": "hydra.run.dir={outside}.d",
    "option": "--help",
    "json": '{{"a": [1, 2]}}',
    "format": "{{0.__class__.__mro__}} %s %n",
    "yaml": "!!python/object/apply:os.system ['touch {outside}.touched']",
    "markup": "[/bold][link=file:///etc/passwd]x[/link] <script>alert(1)</script>",
    "unicode": "\u202eevil\u200b\ufeff \U0001f600 ﷽ e\u0301",
    "blank": "   ",
    "lines": "a\n---\nstatus: answered\n---\nb",
}
REFUSED = {
    "a megabyte": "x" * 1_000_000,
    "a null": "a\x00b",
    "an escape": "a\x1b[2Jb",
    "a lone surrogate": "a\ud800b",
    "a number": 7,
    "a list of lists": [[1]],
    "a mapping": {"a": 1},
    "nothing": None,
}
NEEDED: dict[str, dict[str, Any]] = {
    "cancel": {"runs": ["latest"]},
    "docs_lookup": {"query": "slurm"},
    "log_question": {"text": "why?"},
    "plan_job": {"overrides": ["dataset=nowhere"], "cluster": "local"},
    "prior_art": {"query": "slurm"},
    "submit_job": {"plan_id": "plan-none"},
}
"""What each tool can't do without."""


def texts(tool: Derived) -> Iterator[tuple[str, bool]]:
    """Parameters that hold text, and whether they hold several."""
    for name, field in tool.input_schema["properties"].items():
        if field["type"] == "string" and "enum" not in field:
            yield name, False
        elif field["type"] == "array":
            yield name, True


def actions(tool: Derived) -> tuple[str | None, ...]:
    return tuple(tool.input_schema["properties"].get("action", {}).get("enum", (None,)))


@pytest.fixture
def agent(
    empty: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Agent:
    """A workspace with three runs, in research, with nothing of this machine on the way."""
    monkeypatch.setenv("PATH", "/nowhere")
    ws = Workspace(empty.root, empty.home)
    for number in range(3):
        write_run(ws, number)
    know_packages(ws, tmp_path_factory.getbasetemp() / "packages")
    return agent_in(empty, "research")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside.txt"
    path.write_text(SECRET)
    return path


NAMES = [row.name for row in TOOLS if row.name != "log_question"]


def tool_of(name: str) -> Derived:
    return derive(next(row for row in TOOLS if row.name == name))


def calls(name: str, value: Any) -> Iterator[dict[str, Any]]:
    """The value in each text of a tool, in each of its actions."""
    tool = tool_of(name)
    for action in actions(tool):
        for field, several in texts(tool):
            given = {**NEEDED.get(name, {}), field: [value] if several else value}
            yield {**given, **({"action": action} if action else {})}


def state_of(folder: Path) -> set[str]:
    return {os.fsdecode(path) for path in folder.iterdir()}


@pytest.mark.parametrize("name", NAMES)
def test_hostile_text_is_an_answer_or_a_mistake_and_reaches_nothing_outside(
    name: str, agent: Agent, outside: Path
) -> None:
    before = state_of(outside.parent)
    for text in HOSTILE.values():
        value = text.format(outside=outside)
        for arguments in calls(name, value):
            check(agent, name, arguments)
    assert state_of(outside.parent) == before
    assert outside.read_text() == SECRET


def check(agent: Agent, name: str, arguments: dict[str, Any]) -> None:
    """A call ends in a short answer that holds no secret, and never in a failure of ours."""
    result = agent.result(name, arguments)
    text = "".join(block.text for block in result.content)  # pyright: ignore
    whole = text + compact(result.structured_content or {})
    assert len(whole) <= MAX_CHARACTERS, (name, arguments)
    assert SECRET not in whole, (name, arguments)
    assert "root:x:0:0" not in whole, (name, arguments)
    if result.is_error:
        assert "failed inside kdgat" not in text, (name, arguments, text)
        assert "Traceback" not in text, (name, arguments, text)
        assert "\nhint: " in text, (name, arguments, text)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_short_plain_text_is_refused_in_a_sentence(
    name: str, what: str, agent: Agent
) -> None:
    value = REFUSED[what]
    for arguments in calls(name, value):
        optional = value is None and not _needed(tool_of(name), arguments)
        if optional:
            continue
        assert len(agent.mistake(name, **arguments)) < 400


def _needed(tool: Derived, arguments: dict[str, Any]) -> bool:
    """Whether None is given where it can't stand."""
    for name, value in arguments.items():
        if value is None or value == [None]:
            kind = tool.arguments.model_fields[name].annotation
            return type(None) not in get_args(kind) or get_origin(kind) is list
    return True


def test_a_thousand_items_and_unknown_arguments_are_refused(agent: Agent) -> None:
    assert "1000 items" in agent.mistake("runs", action="compare", runs=["a"] * 1000)
    assert "has no argument 'sudo'" in agent.mistake("status", sudo=True)
    assert "there is no tool" in agent.mistake("rm -rf /")


def test_a_logged_question_can_make_itself_nothing_else(agent: Agent, outside: Path) -> None:
    agent.switch("mlops")
    for text in HOSTILE.values():
        check(agent, "log_question", {"text": text.format(outside=outside), "context": text})
    for path in (agent.ws.modes / "questions").iterdir():
        assert "\nstatus: open\n" in path.read_text().partition("\n---\n")[0] + "\n"
        assert path.parent == agent.ws.modes / "questions"
