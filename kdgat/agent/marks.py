"""The marks in AGENTS.md: between a pair of them kdgat writes, everything else is the user's.

<!-- kdgat:begin map source=kdgat/**/*.py inputs=1a2b3c4d -->
...
<!-- kdgat:end map -->
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kdgat.errors import WorkspaceError

_MARK = re.compile(r"\s*<!-- kdgat:(begin|end) ([a-z_]+)((?: [a-z]+=\S*)*) -->\s*")
_LIKE_A_MARK = re.compile(r"<!--(\s*)kdgat:")


@dataclass(frozen=True)
class Block:
    """What stands between two marks, and what they say of it."""

    name: str
    source: str
    """Where its facts are read."""
    inputs: str
    """Hash of the facts that it was made from."""
    body: str
    """Whole lines, the last one without its end."""
    line: int = 1
    """Line of its first mark in the file."""

    @property
    def text(self) -> str:
        """The block with its marks, as the file has it."""
        # A docstring may speak of marks; as a mark it would cut the block in two.
        body = _LIKE_A_MARK.sub(r"<!--\1kdgat ", self.body)
        first = f"<!-- kdgat:begin {self.name} source={self.source} inputs={self.inputs} -->"
        return f"{first}\n{body}\n<!-- kdgat:end {self.name} -->\n"


Part = str | Block


def parse(text: str, shown: str) -> tuple[Part, ...]:
    """A file as the user's texts and the blocks between them, in order.

    Args:
        text: the file's content, line ends as they are.
        shown: the file's name, for errors.

    Raises:
        WorkspaceError: a mark lacks its partner, or a block is there twice: file, line, next step.
    """
    parts: list[Part] = []
    kept: list[str] = []
    opened: tuple[str, dict[str, str], int] | None = None
    for number, line in enumerate(re.split(r"(?<=\n)", text), start=1):
        match = _MARK.fullmatch(line)
        if match is None:
            kept.append(line)
        elif match[1] == "begin":
            if opened is not None:
                raise _fault(shown, opened[2], f"'{opened[0]}' begins and never ends")
            if any(isinstance(part, Block) and part.name == match[2] for part in parts):
                raise _fault(shown, number, f"'{match[2]}' is there a second time")
            opened = (match[2], dict(each.split("=", 1) for each in match[3].split()), number)
            parts.append("".join(kept))
            kept = []
        else:
            if opened is None or opened[0] != match[2]:
                raise _fault(shown, number, f"'{match[2]}' ends and did not begin")
            parts.append(_block(opened, "".join(kept)))
            opened, kept = None, []
    if opened is not None:
        raise _fault(shown, opened[2], f"'{opened[0]}' begins and never ends")
    return tuple(part for part in (*parts, "".join(kept)) if part)


def blocks(parts: tuple[Part, ...]) -> dict[str, Block]:
    """The blocks by name."""
    return {part.name: part for part in parts if isinstance(part, Block)}


def _block(opened: tuple[str, dict[str, str], int], body: str) -> Block:
    name, says, line = opened
    source, inputs = says.get("source", ""), says.get("inputs", "")
    return Block(name, source, inputs, body.replace("\r\n", "\n").removesuffix("\n"), line)


def _fault(shown: str, line: int, what: str) -> WorkspaceError:
    return WorkspaceError(
        f"{shown}:{line}: section {what}",
        hint="delete its marks and what is between them, then `kdgat agent render`",
    )
