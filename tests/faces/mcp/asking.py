"""Tools called as the server calls them, without a client in between."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp_types import CallToolResult, TextContent

from kdgat.ledger.calls import CallLog
from kdgat.mcp.fit import MAX_CHARACTERS, compact
from kdgat.mcp.handler import Caller, call
from kdgat.ops.modes import switch_mode
from kdgat.ops.prior_art import prior_art
from kdgat.workspace import Workspace
from tests.faces.conftest import Tiny


@dataclass(frozen=True)
class Asked:
    """What a tool answered: the structured answer, and the text beside it."""

    value: dict[str, Any]
    text: str

    def __getitem__(self, name: str) -> Any:
        return self.value[name]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A table's rows by its columns."""
        return [dict(zip(self["columns"], row, strict=True)) for row in self["items"]]

    @property
    def facts(self) -> dict[str, Any]:
        """A table of names and values."""
        return {row[0]: row[1] for row in self["items"]}


class Agent:
    """Calls the tools of a workspace in its current mode."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self._log = CallLog(ws.agent / "calls")

    def ask(self, name: str, /, **arguments: Any) -> Asked:
        """The answer, which is short enough for a model and shows nothing of this machine."""
        result = self.result(name, arguments)
        text = _text(result)
        assert not result.is_error, text
        value = result.structured_content
        assert value is not None
        whole = text + compact(value)
        assert len(whole) <= MAX_CHARACTERS, len(whole)
        assert str(self.ws.root) not in text + compact(_ours(value)), whole
        assert json.loads(json.dumps(value, allow_nan=False)) == value
        if value.get("next_cursor") is not None:
            assert value["truncated"], whole
        return Asked(value, text)

    def mistake(self, name: str, /, **arguments: Any) -> str:
        """The text of an error result: a sentence and what to do next."""
        result = self.result(name, arguments)
        text = _text(result)
        assert result.is_error, text
        problem, _, hint = text.partition("\nhint: ")
        assert problem, text
        assert hint, text
        assert "\n" not in problem + hint, text
        assert "failed inside kdgat" not in text, text
        assert len(text) < 1_000, text
        return text

    def result(self, name: str, arguments: dict[str, Any], **caller: Any) -> CallToolResult:
        """What the server would send."""
        return call(self.ws, self._log, name, arguments, Caller(**caller))

    def switch(self, mode: str) -> None:
        """As the user does."""
        switch_mode(self.ws, mode)


def agent_in(tiny: Tiny, mode: str = "mlops") -> Agent:
    """An agent in a workspace, in a mode."""
    agent = Agent(Workspace(tiny.root, tiny.home))
    if mode != "mlops":
        agent.switch(mode)
    return agent


def know_packages(ws: Workspace, shared: Path) -> None:
    """Give a workspace the index of installed packages, which takes seconds to make, made once."""
    if not shared.is_dir():
        made = Workspace(shared.parent, shared.parent / "home-of-packages")
        prior_art(made, "anything")
        (made.knowledge / "things").rename(shared)
    shutil.copytree(shared, ws.knowledge / "things")


def _ours(value: Any) -> Any:
    """An answer without what it quotes: a script names whole paths."""
    if isinstance(value, dict):
        return {key: _ours(each) for key, each in value.items() if key != "quoted"}
    return [_ours(each) for each in value] if isinstance(value, list) else value


def _text(result: CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text
