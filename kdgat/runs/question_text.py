"""The text of a question's file as YAML's own tree: every value with its line and its place.

Nodes are read and nothing is constructed: so errors name lines, an edit changes one value and not
the comments beside it, and no file can make objects or a flood of aliases. Layer by layer through
events first, because libyaml's composer overflows the stack on a hundred thousand brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from kdgat.errors import QuestionError, did_you_mean

if TYPE_CHECKING:
    import yaml

_BLOCK = re.compile(r"\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
_DEEPEST = 8
_TAG = "tag:yaml.org,2002:"
_HINT = "mend that line; knowledge/guide/questions.md shows a whole file"
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Characters that a terminal obeys or that are none; a tab and a line's end are neither."""


@dataclass(frozen=True)
class QuestionText:
    """A file, taken apart; places count characters of `text` from 0."""

    text: str
    where: str
    """The file as errors name it."""
    settings: dict[str, Any]
    """The node of each setting by name."""
    first: int
    """Where the settings begin."""
    end: int
    """Where the line that ends the settings begins."""
    body: str
    """What stands below, without what a terminal would obey."""

    def fault(self, at: Any, what: str, hint: str = _HINT) -> QuestionError:
        """What is wrong at a node, or in a line counted from 1."""
        return fault(self.where, at if isinstance(at, int) else _line(at.start_mark), what, hint)

    def line(self, name: str) -> int:
        """The line of a setting; the first line where it is not there."""
        node = self.settings.get(name)
        return 1 if node is None else _line(node.start_mark)

    def word(self, name: str) -> str | None:
        """A setting that is text; None where it is absent or empty.

        Raises:
            QuestionError: it is something else.
        """
        node = self.settings.get(name)
        return None if node is None else self._text(name, node)

    def words(self, name: str) -> tuple[str, ...]:
        """A setting that is a list of texts, each once.

        Raises:
            QuestionError: it is something else.
        """
        node = self.settings.get(name)
        if node is None or node.tag == _TAG + "null":
            return ()
        if node.tag != _TAG + "seq":
            raise self.fault(node, f"{name} is no list", f"write {name}: [one, two]")
        found = [self._text(f"an item of {name}", each) for each in node.value]
        return tuple(dict.fromkeys(each for each in found if each))

    def day(self, name: str) -> str | None:
        """A setting that is a day, as ISO 8601.

        Raises:
            QuestionError: it is something else.
        """
        node = self.settings.get(name)
        if node is None or node.tag == _TAG + "null":
            return None
        try:
            return date.fromisoformat(str(node.value)).isoformat()
        except ValueError as error:
            what = f"{name} is {_shown(node)}, not a day"
            raise self.fault(node, what, f"write {name}: 2026-11-21") from error

    def part(self, name: str, known: tuple[str, ...]) -> QuestionText | None:
        """A setting that is a table of settings itself, of known names.

        Raises:
            QuestionError: it is something else.
        """
        node = self.settings.get(name)
        if node is None or node.tag == _TAG + "null":
            return None
        inner = _table(node, self.where, name, known)
        return QuestionText(self.text, self.where, inner, self.first, self.end, "")

    def _text(self, name: str, node: Any) -> str | None:
        if node.tag == _TAG + "null":
            return None
        if node.tag != _TAG + "str":
            what = f"{name} is {_shown(node)}, not text"
            raise self.fault(node, what, "put it between quotes")
        value = str(node.value).strip()
        if odd := _UNSEEN.search(value):
            raise self.fault(node, f"{name} has the character U+{ord(odd[0]):04X}", "remove it")
        return value or None


def taken_apart(text: str, where: str, known: tuple[str, ...]) -> QuestionText:
    """A file's text, with every setting that it has.

    Args:
        text: all of the file.
        where: the file as errors name it.
        known: the settings that there may be.

    Raises:
        QuestionError: there is no front matter, it is no YAML, or a setting is unknown or twice.
    """
    match = _BLOCK.match(text)
    if match is None:
        begun = text.removeprefix("\ufeff").startswith("---")
        what = "the front matter has no end" if begun else "there is no front matter"
        raise fault(where, 1, what, "begin with a line ---, then title: and status:, then ---")
    node = _node(match[1], where)
    settings = _table(node, where, "the front matter", known)
    first, end = match.span(1)
    body = _UNSEEN.sub("\ufffd", text[match.end() :].replace("\r\n", "\n"))
    return QuestionText(text, where, settings, first, end, body.strip("\n"))


def fault(where: str, line: int, what: str, hint: str = _HINT) -> QuestionError:
    """What is wrong in a line of a file, counted from 1."""
    return QuestionError(f"'{where}:{line}': {what}", hint=hint)


def _node(text: str, where: str) -> yaml.Node | None:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(text, loader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                line = _line(event.start_mark)
                raise fault(where, line, f"lists within lists, more than {_DEEPEST} deep")
        return yaml.compose(text, loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = str(getattr(error, "problem", None) or error).split("\n")[0]
        what = f"the front matter is no YAML ({why})"
        hint = "mend that line; a text with a colon in it wants quotes"
        raise fault(where, _line(mark) if mark else 2, what, hint) from error


def _table(node: Any, where: str, what: str, known: tuple[str, ...]) -> dict[str, Any]:
    if getattr(node, "tag", "") != _TAG + "map":
        line = _line(node.start_mark) if node is not None else 2
        raise fault(where, line, f"{what} is no table of settings")
    found: dict[str, Any] = {}
    for key, value in node.value:
        # Never the text of a nest: with aliases in it, that may be endless.
        name = key.value if isinstance(key.value, str) else "?"
        line = _line(key.start_mark)
        if name not in known:
            raise fault(where, line, f"there is no setting '{name:.40}'", did_you_mean(name, known))
        if name in found:
            raise fault(where, line, f"'{name}' is set twice", "keep one of them")
        found[name] = value
    return found


def _shown(node: Any) -> str:
    if not isinstance(node.value, str):
        return "a list or a table"
    return f"'{node.value:.40}' ({node.tag.removeprefix(_TAG).lstrip('!'):.20})"


def _line(mark: Any) -> int:
    """The line of the file, whose first is `---`."""
    return mark.line + 2
