"""Edits of a question's file that leave every line alone which they are not about.

Values are replaced where they stand, so that comments, the order of the settings and the body stay
as they were written by hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from kdgat.runs.open_questions import SETTINGS
from kdgat.runs.question_text import QuestionText, taken_apart

_WIDTH = 100


def new_text(settings: Mapping[str, Any], body: str) -> str:
    """The text of a new file; settings that are empty are left out."""
    given = {name: settings[name] for name in SETTINGS if settings.get(name)}
    below = f"\n{body.strip()}\n" if body.strip() else ""
    return f"---\n{_dumped(given)}---\n{below}"


def with_value(text: str, where: str, name: str, value: str | date) -> str:
    """The text with one setting changed, or added below the others.

    Raises:
        QuestionError: the text is no question's.
    """
    read = taken_apart(text, where, SETTINGS)
    node = read.settings.get(name)
    if node is None:
        return _added(read, {name: value})
    start, end = _span(read, node)
    before = "" if text[start - 1].isspace() else " "
    after = _line_end(text) if text[start:end].endswith("\n") else ""
    return text[:start] + before + _inline(value) + after + text[end:]


def with_item(text: str, where: str, name: str, item: str) -> str:
    """The text with one more item in a setting that is a list.

    Raises:
        QuestionError: the text is no question's.
    """
    read = taken_apart(text, where, SETTINGS)
    node = read.settings.get(name)
    if node is None:
        return _added(read, {name: [item]})
    start, end = _span(read, node)
    if not isinstance(node.value, list) or not node.value:
        before = "" if text[start - 1].isspace() else " "
        return f"{text[:start]}{before}[{_inline(item)}]{text[end:]}"
    last_start, last_end = _span(read, node.value[-1])
    if node.flow_style:
        return f"{text[:last_end]}, {_inline(item)}{text[last_end:]}"
    begin = text.rfind("\n", 0, last_start) + 1
    dash = text[begin : text.index("-", begin)]
    stop = text.index("\n", last_end)
    crlf = "\r" if text[stop - 1] == "\r" else ""
    return f"{text[: stop + 1]}{dash}- {_inline(item)}{crlf}\n{text[stop + 1 :]}"


def with_note(text: str, note: str) -> str:
    """The text with a paragraph at the end of its body."""
    end = _line_end(text)
    gap = "" if text.endswith("\n") else end
    return f"{text}{gap}{end}{note.strip()}".replace("\r\n", "\n").replace("\n", end) + end


def _added(read: QuestionText, setting: Mapping[str, Any]) -> str:
    lines = _dumped(setting).replace("\n", _line_end(read.text))
    return read.text[: read.end] + lines + read.text[read.end :]


def _span(read: QuestionText, node: Any) -> tuple[int, int]:
    return read.first + node.start_mark.index, read.first + node.end_mark.index


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _inline(value: str | date) -> str:
    """A text or a day as YAML on one line."""
    import yaml

    style = '"' if "\n" in str(value) else None
    # A document of one plain scalar ends with a line of three points.
    dumped = yaml.safe_dump(value, allow_unicode=True, width=2**31, default_style=style)
    return dumped.removesuffix("...\n").strip()


def _dumped(settings: Mapping[str, Any]) -> str:
    import yaml

    class Dumper(yaml.SafeDumper):
        """Lists on one line, and texts of several lines as they are."""

    def shown(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
        style = "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    def listed(dumper: yaml.SafeDumper, value: list[str]) -> yaml.Node:
        return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=True)

    Dumper.add_representer(str, shown)
    Dumper.add_representer(list, listed)
    return yaml.dump(
        dict(settings), Dumper=Dumper, allow_unicode=True, sort_keys=False, width=_WIDTH
    )
