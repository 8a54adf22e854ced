"""The page of the MCP server's tools: what the table and the functions say, and nothing else."""

from __future__ import annotations

import re

import pytest

from kdgat.mcp.derive import derive
from kdgat.mcp.prompts import PROMPTS
from kdgat.mcp.table import TOOLS, ToolRow
from kdgat.reference.tools import tools_page


@pytest.fixture(scope="module")
def sections() -> dict[str, str]:
    """The text below each heading of the page."""
    parts = re.split(r"^## (.+)$", tools_page(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("row", TOOLS, ids=lambda row: row.name)
def test_a_tool_tells_its_arguments_and_the_fields_of_its_answer(
    row: ToolRow, sections: dict[str, str]
) -> None:
    text, tool = sections[f"`{row.name}` {{#{row.name}}}"], derive(row)
    told = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    assert told == list(tool.input_schema["properties"])
    needed = re.findall(r"^\| `(\w+)` \| .* \| needed \|", text, re.MULTILINE)
    assert needed == tool.input_schema.get("required", [])
    answer = text.partition("Answers with ")[2].partition("\n")[0]
    assert re.findall(r"`(\w+)`", answer) == list(tool.output_schema["properties"])
    assert all(f"`kdgat {each}`" in text for each in row.commands)


def test_every_tool_and_prompt_has_its_row_in_the_tables(sections: dict[str, str]) -> None:
    rows = re.findall(r"^\| \[`(\w+)`\]", sections["All tools"], re.MULTILINE)
    assert rows == [row.name for row in TOOLS]
    prompts = re.findall(r"^\| `([\w-]+)` \|", sections["Prompts"], re.MULTILINE)
    assert prompts == [row.name for row in PROMPTS]
    assert sections["Resources"].count("kdgat://") == 3


def test_what_ends_or_adds_something_is_told_apart_from_what_only_reads(
    sections: dict[str, str],
) -> None:
    changes = dict(re.findall(r"^\| \[`(\w+)`\].* \| (.+) \|$", sections["All tools"], re.M))
    assert changes["cancel"] == "ends or overwrites what is there"
    assert changes["submit_job"] == "adds, once"
    assert {changes[row.name] for row in TOOLS if row.read_only} == {
        "nothing", "nothing but plans of its own",
    }  # fmt: skip
