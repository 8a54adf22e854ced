"""How things that `kdgat new` makes may be called, and what their classes and titles are."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from kdgat.errors import WorkspaceError

LONGEST_IDENTIFIER = 24
"""Letters of a name in code: with more, lines of templates would be longer than they may be."""
LONGEST_SLUG = 60
_IDENTIFIER = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_SLUG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class CodeName:
    """A name in code: `edge_mlp` as a value, `EdgeMlp` of classes, `Edge mlp` in a sentence."""

    name: str
    camel: str
    title: str

    @property
    def words(self) -> dict[str, str]:
        """What stands in templates for it."""
        return {"name": self.name, "Name": self.camel, "title": self.title}


def code_name(kind: str, name: str) -> CodeName:
    """A name that may stand in code.

    Raises:
        WorkspaceError: it is no identifier of small letters, is Python's own word, or too long.
    """
    fits = _IDENTIFIER.fullmatch(name) and len(name) <= LONGEST_IDENTIFIER
    if not fits or keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise WorkspaceError(
            f"a {kind} can't be named '{name:.60}'",
            hint=f"use at most {LONGEST_IDENTIFIER} small letters, digits and single _, a letter "
            "first, and no word of Python's own: edge_mlp",
        )
    words = name.split("_")
    return CodeName(name, "".join(each.capitalize() for each in words), sentence(words))


def slug(kind: str, name: str) -> str:
    """A name that may stand in a file's name and in an address.

    Raises:
        WorkspaceError: it has other characters than small letters, digits and single hyphens.
    """
    if not _SLUG.fullmatch(name) or len(name) > LONGEST_SLUG:
        raise WorkspaceError(
            f"a {kind} can't be named '{name:.60}'",
            hint=f"use at most {LONGEST_SLUG} small letters, digits and single hyphens: my-name",
        )
    return name


def sentence(words: list[str]) -> str:
    """Words with a capital at the beginning."""
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def taken(kind: str, name: str, where: str) -> WorkspaceError:
    """What to tell of a name that exists."""
    return WorkspaceError(
        f"there is a {kind} '{name}' already, in '{where}'", hint="choose another name"
    )
