"""A page more in a site's navigation, and a row more in a page's table."""

from __future__ import annotations

import re
from typing import Any

from kdgat.errors import WorkspaceError

_ROW = re.compile(r"^\|.*\|\s*$")


def with_page(text: str, shown: str, section: str, page: str) -> str:
    """`mkdocs.yml` with a page at the end of a section of its `nav`.

    Args:
        text: the file.
        shown: its name, for what is said about it.
        section: the section's title, such as Papers, wherever in the nav.
        page: the page, relative to the folder of pages.

    Raises:
        WorkspaceError: it is no YAML, or has no such section with a page a line.
    """
    import yaml

    try:
        # Composed and not constructed: the file has tags that only mkdocs knows.
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise WorkspaceError(f"'{shown}' is no YAML: {said}", hint="mend it first") from error
    pages = _section(_value(root, "nav"), section)
    items = [] if pages is None or pages.flow_style else pages.value
    if not items:
        raise WorkspaceError(
            f"'{shown}' has no section '{section}' with a page a line in its nav",
            hint=f"add `- {section}:` to nav, with a page below it",
        )
    last = items[-1]
    # A page's mark is behind its hyphen and blank.
    blank = " " * (last.start_mark.column - 2)
    lines = text.split("\n")
    end = _last_line(last) + 1
    return "\n".join((*lines[:end], f"{blank}- {page}", *lines[end:]))


def with_table_row(text: str, shown: str, row: str) -> str:
    """A page with a row at the end of its last table.

    Raises:
        WorkspaceError: the page has no table.
    """
    lines = text.split("\n")
    rows = [number for number, line in enumerate(lines, 1) if _ROW.match(line)]
    if not rows:
        raise WorkspaceError(
            f"'{shown}' has no table for a new row", hint="add a table that lists its pages"
        )
    return "\n".join((*lines[: rows[-1]], row, *lines[rows[-1] :]))


def _last_line(node: Any) -> int:
    """The line on which a node's last text ends; the node's own mark is where the next begins."""
    if node.id == "mapping" and node.value:
        return _last_line(node.value[-1][1])
    if node.id == "sequence" and node.value:
        return _last_line(node.value[-1])
    return node.end_mark.line


def _value(node: Any, key: str) -> Any:
    for name, value in node.value if node is not None and node.id == "mapping" else ():
        if name.value == key:
            return value
    return None


def _section(node: Any, title: str) -> Any:
    """The sequence below a title, at any depth."""
    for item in node.value if node is not None and node.id == "sequence" else ():
        for name, value in item.value if item.id == "mapping" else ():
            if name.value == title and value.id == "sequence":
                return value
            if (found := _section(value, title)) is not None:
                return found
    return None
