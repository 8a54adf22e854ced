"""The table of tools against its budgets, and against the command line, both ways.

Whoever adds a tool, a command or a mode is held to these.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from kdgat.cli.main import app
from kdgat.cli.tree import command_tree
from kdgat.mcp.derive import Derived, derive
from kdgat.mcp.fit import compact
from kdgat.mcp.table import TOOLS, ToolRow, served
from kdgat.modes.packs import check_tools, list_modes
from kdgat.reference.commands import Command
from kdgat.workspace import Workspace

CHECKOUT = Path(__file__).parents[3]
MODES = list_modes(Workspace(CHECKOUT, CHECKOUT / ".kdgat"))
MOST_TOOLS = 12
MOST_CHARACTERS = 3_000 * 4
"""Of a mode's names, descriptions and input schemas; as many again of its output schemas."""
MOST_OF_A_TOOL = 950

NOT_FOR_AGENTS = {
    "quickstart": "for a person's first minute; an agent plans and submits",
    "train": "blocks for as long as the training; plan_job and submit_job return at once",
    "evaluate": "the same: submit_job with evaluations of the plan",
    "pipeline": "hours of computing on this machine; an agent plans and submits jobs instead",
    "bench": "minutes of computing on this machine, to judge the machine",
    "tune": "the same, and the user names what may be searched",
    "replay": "repeats a run bit by bit to check this machine; a person's question",
    "detect": "runs as long as the log or the bus it watches",
    "export": "writes a file for an ECU, which its user asks for and carries there",
    "data simulate": "writes a dataset, which is done once, by whoever sets up the workspace",
    "data ingest": "the same",
    "data prepare": "every job prepares what it needs",
    "data list": "the view `datasets` by the tool runs",
    "data describe": "pages of statistics for a person; the view `datasets` has the figures",
    "runs archive": "hides runs from others' leaderboards: the user's decision",
    "runs unarchive": "the same",
    "runs rm": "removes runs for good",
    "runs repair": "mends the ledger: whoever broke it should look",
    "runs sync": "copies runs to MLflow, which an agent does not read",
    "mlflow ui": "a page in a browser",
    "history compact": "happens by itself",
    "report": "writes a page for a browser",
    "models register": "what others are compared with is the user's decision",
    "models promote": "the same",
    "models pull": "copies a checkpoint to where the user wants it",
    "memory calibrate": "takes a GPU for itself for minutes",
    "docs sync": "the index follows the pages by itself",
    "docs check": "for whoever writes the pages, and CI",
    "docs build": "the same",
    "docs serve": "a page in a browser",
    "reference check": "for whoever changes kdgat, and CI",
    "reference write": "the same",
    "paper fill": "writes into the user's manuscript; the tool paper tells what it would write",
    "clusters list": "plan_job names the clusters when asked for one that is not there",
    "clusters show": "a file of the workspace, which the agent reads as such",
    "clusters import": "asks a cluster and writes its description: done once, by the user",
    "clusters check": "the same",
    "config explain": "for reading at a terminal; docs_lookup has the same page",
    "config diff": "compares two requests; plan_job shows what each would run",
    "experiments": "a list for completion at the shell; plan_job names them on a mistake",
    "mode": "the user's switch: no tool may have it",
    "doctor": "looks at this machine's set-up, which the user mends",
    "agent": "keeps the agent's own context up to date: its hooks and CI call it",
    "mcp": "starts the server itself",
}
"""Commands, or groups of them, that no tool does, each with the reason."""


def rows(mode: Any) -> tuple[ToolRow, ...]:
    return served(mode.tools)


def commands(group: Command) -> Iterator[str]:
    """Every command that a person types, without `kdgat`."""
    if group.commands:
        for each in group.commands:
            yield from commands(each)
    else:
        yield group.name.removeprefix("kdgat ")


TYPED = set(commands(command_tree(get_command(app))))


def characters(tool: Derived) -> int:
    """What a tool costs a model that reads its name, description and input schema."""
    return len(tool.row.name) + len(tool.description) + len(compact(tool.input_schema))


def parts(schema: Any) -> Iterator[dict[str, Any]]:
    """Every schema within a schema, itself included."""
    if isinstance(schema, list):
        for each in schema:
            yield from parts(each)
    elif isinstance(schema, dict):
        yield schema
        for name, each in schema.items():
            yield from parts(list(each.values()) if name == "properties" else each)


@pytest.fixture(params=TOOLS, ids=lambda row: row.name)
def tool(request: pytest.FixtureRequest) -> Derived:
    return derive(request.param)


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
class TestOfAMode:
    def test_its_tools_are_few_and_there(self, mode: Any) -> None:
        check_tools(mode, {row.name for row in TOOLS})
        assert len(rows(mode)) <= MOST_TOOLS

    def test_its_tools_cost_a_session_less_than_3000_tokens(self, mode: Any) -> None:
        costs = {row.name: characters(derive(row)) for row in rows(mode)}
        assert sum(costs.values()) < MOST_CHARACTERS, costs

    def test_its_output_schemas_cost_less_than_3000_more(self, mode: Any) -> None:
        costs = {row.name: len(compact(derive(row).output_schema)) for row in rows(mode)}
        assert sum(costs.values()) < MOST_CHARACTERS, costs


class TestOfATool:
    def test_it_says_when_to_use_it_and_when_not(self, tool: Derived) -> None:
        first, *lines = tool.description.split("\n")
        assert first.endswith(".")
        assert [line.split()[0] for line in lines if line.split()[1] == "when"] == ["Use", "Not"]

    def test_it_costs_little(self, tool: Derived) -> None:
        assert characters(tool) <= MOST_OF_A_TOOL
        assert len(compact(tool.output_schema)) <= MOST_OF_A_TOOL

    def test_its_output_schema_names_every_field(self, tool: Derived) -> None:
        assert tool.output_schema["properties"]
        for part in parts(tool.output_schema):
            kinds = part.get("type", ())
            if "object" in kinds:
                assert part.get("properties") or part.get("additionalProperties"), part
            if "array" in kinds:
                assert part["items"], part

    def test_its_schemas_are_plain(self, tool: Derived) -> None:
        assert tool.input_schema["additionalProperties"] is False
        for part in (*parts(tool.input_schema), *parts(tool.output_schema)):
            assert not {"$ref", "$defs", "title"} & set(part), part

    def test_every_text_that_it_takes_has_a_limit(self, tool: Derived) -> None:
        for part in parts(tool.input_schema):
            if part.get("type") == "string" and "enum" not in part:
                assert part["maxLength"] <= 10_000, part
            if part.get("type") == "array":
                assert part["maxItems"] <= 100, part

    def test_a_list_says_how_to_go_on(self, tool: Derived) -> None:
        fields = set(tool.output_schema["properties"])
        if "items" in fields or {"cursor", "limit"} & set(tool.input_schema["properties"]):
            assert {"items", "total", "next_cursor", "truncated", "hint"} <= fields

    def test_it_stands_on_operations(self, tool: Derived) -> None:
        module = import_module(tool.function.__module__)
        functions = [
            each
            for each in ast.walk(ast.parse(inspect.getsource(module)))
            if isinstance(each, ast.FunctionDef)
        ]
        imported = [
            each.module or ""
            for function in functions
            for each in ast.walk(function)
            if isinstance(each, ast.ImportFrom)
        ]
        assert any(name.split(".")[:2] == ["kdgat", "ops"] for name in imported), imported


def test_what_only_looks_destroys_nothing_and_may_be_asked_twice() -> None:
    for row in TOOLS:
        assert not (row.read_only and row.destructive), row.name
    assert {row.name for row in TOOLS if row.destructive} == {"cancel"}
    changing = {"submit_job", "cancel", "log_question", "questions"}
    assert {row.name for row in TOOLS if not row.read_only} == changing


def test_the_order_is_the_tables_whatever_a_mode_names() -> None:
    named = tuple(reversed([row.name for row in TOOLS if not row.every_mode]))
    assert served(named) == TOOLS


def test_questions_are_for_modes_that_show_them() -> None:
    hiding = [mode for mode in MODES if mode.questions == "hidden"]
    assert hiding
    for mode in hiding:
        assert not {"questions", "suggest"} & {row.name for row in rows(mode)}, mode.name


class TestOfTheCommandLine:
    def test_every_command_is_done_by_a_tool_or_is_exempt_with_a_reason(self) -> None:
        done = {command for row in TOOLS for command in row.commands}
        exempt = {each for each in TYPED if {each, each.split()[0]} & set(NOT_FOR_AGENTS)}
        assert sorted(TYPED - done - exempt) == []
        assert sorted(done & exempt) == []
        assert all(NOT_FOR_AGENTS.values())

    def test_every_command_that_is_named_here_exists(self) -> None:
        done = {command for row in TOOLS for command in row.commands}
        assert sorted(done - TYPED) == []
        groups = {each.split()[0] for each in TYPED}
        assert sorted(set(NOT_FOR_AGENTS) - TYPED - groups) == []

    def test_every_tool_has_a_command_that_does_the_same(self) -> None:
        assert [row.name for row in TOOLS if not row.commands] == []
