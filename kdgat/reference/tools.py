"""The page of the MCP server's tools: what a client is told of each, and its prompts and resources.

Which mode serves a tool of its own is not here: modes are text that a user adds to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kdgat.mcp.derive import Derived, derive
from kdgat.mcp.prompts import PROMPTS
from kdgat.mcp.resources import DOCS, QUESTION, RUN
from kdgat.mcp.table import TOOLS, ToolRow
from kdgat.reference.markdown import code, page, prose, table

_LIMITS = {
    "minimum": "≥ {}", "maximum": "≤ {}", "exclusiveMinimum": "> {}", "exclusiveMaximum": "< {}",
    "maxLength": "at most {:,} characters", "maxItems": "at most {:,} items",
}  # fmt: skip
_RESOURCES = (
    (RUN, "a run: record, figures, config, last epochs; an id, its beginning, or `latest`"),
    (DOCS, "a page of the docs, or one section of it: `page.md#anchor`"),
    (QUESTION, "an open question with its evidence, in modes that show questions"),
)


def tools_page() -> str:
    """Every tool: when to use it, its arguments, the fields of its answer."""
    tools = [derive(row) for row in TOOLS]
    intro = (
        "What `kdgat mcp` offers to an agent's client: tools, prompts and resources. How it is set "
        "up, and what it may do, is in the [guide](../guide/mcp.md)."
    )
    prompts = (
        (code(each.name), ", ".join(code(argument.name) for argument in each.arguments),
         prose(each.description))
        for each in PROMPTS
    )  # fmt: skip
    return page(
        "Tools of the MCP server",
        intro,
        "## All tools",
        table(("tool", "what for", "served in", "what it changes"), map(_row, tools)),
        *(part for each in tools for part in _tool(each)),
        "## Prompts",
        "A client offers these to its user, in every mode.",
        table(("prompt", "arguments", "what it is for"), prompts),
        "## Resources",
        table(("address", "what it is"), ((code(uri), prose(told)) for uri, told in _RESOURCES)),
    )


def _row(tool: Derived) -> tuple[str, str, str, str]:
    row = tool.row
    return (
        f"[{code(row.name)}](#{row.name})",
        prose(tool.description.split("\n")[0]),
        "every mode" if row.every_mode else "[modes that name it](../guide/modes.md)",
        _change(row),
    )


def _change(row: ToolRow) -> str:
    """What a call leaves behind, as the tool's hints tell a client."""
    if row.read_only:
        return "nothing" if row.idempotent else "nothing but plans of its own"
    if row.destructive:
        return "ends or overwrites what is there"
    return "adds, once" if row.idempotent else "adds, with each call"


def _tool(tool: Derived) -> Iterator[str]:
    row = tool.row
    required = tool.input_schema.get("required", ())
    yield f"## {code(row.name)} {{#{row.name}}}"
    yield "\n".join(f"{prose(line)}  " for line in tool.description.split("\n")).rstrip()
    yield table(
        ("argument", "values", "default", "meaning"),
        (
            (code(name), _values(schema), "needed" if name in required else _default(schema),
             prose(schema.get("description", "")))
            for name, schema in tool.input_schema["properties"].items()
        ),
    )  # fmt: skip
    yield f"Answers with {', '.join(map(code, tool.output_schema['properties']))}."
    commands = ", ".join(code(f"kdgat {each}") for each in row.commands)
    yield f"The same on the command line: {commands}."


def _values(schema: Mapping[str, Any]) -> str:
    """Choices or the type, with its limits."""
    if "enum" in schema:
        return " or ".join(map(code, schema["enum"]))
    kind = schema["type"]
    if kind == "array":
        kind = f"list of {_values(schema['items']).partition(',')[0]}"
    limits = (text.format(schema[key]) for key, text in _LIMITS.items() if key in schema)
    return ", ".join((kind, *limits))


def _default(schema: Mapping[str, Any]) -> str:
    return code(schema["default"]) if "default" in schema else ""
