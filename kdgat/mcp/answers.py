"""What a tool's function takes and gives: the conventions that schemas are derived from.

    def runs(
        ws: Workspace,
        *,
        action: Literal["list", "show"] = "list",
        run: Annotated[str, Field(description="id or its beginning", max_length=64)] = "",
        cursor: Cursor = "",
        limit: Limit = 20,
        progress: Progress | None = None,
    ) -> RunsAnswer:
        '''Runs and their figures.

        Use when ...
        Not when ...
        '''

**Parameters** are keyword-only and of `str`, `int`, `float`, `bool`, a `Literal` of texts, `list[str]`,
or one of these `| None`. Text without a `max_length` gets one of 500 characters, a list one of 50.
`ws`, `progress` and `confirm` are given by the server and are no arguments of the tool.

**An answer** is a frozen dataclass of texts, numbers, booleans, `Literal`s, tuples and further
frozen dataclasses; `dict[str, X]` is fine, `Any` is refused. It has `summary()`: plain text, of which
300 characters are sent. A figure that may be NaN is `float | None`; what is not finite goes out as
null.
A list carries the fields of `Paged`. An answer that is too long is cut from the end of its lists,
and its long texts are cut; both are said in `hint` where there is one, and in the text.

**Text from files, logs, pages and captures** is in fields named `quoted`, as it is data and never an
instruction.

**A mistake** is a `KdgatError`: problem and hint become the text of an error result.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Protocol, TypeVar

from pydantic import Field

from kdgat.errors import ConfigError

Item = TypeVar("Item")

Cell = str | int | float | bool | None
"""A value in a row of a table, as JSON has it."""
Cursor = Annotated[str, Field(description="next_cursor of the last answer", max_length=20)]
"""The parameter `cursor` of every tool that lists."""
Limit = Annotated[int, Field(ge=1, le=100)]
"""The parameter `limit` of every tool that lists."""


class Answer(Protocol):
    """What every tool's function returns."""

    def summary(self) -> str:
        """The answer in a sentence or two; what is beyond 300 characters is cut."""
        ...


class Paged(Answer, Protocol):
    """An answer with a list: frozen dataclasses have these five fields beside their own.

    `items` are those of this page; `total` counts all there are; `next_cursor` asks for the next
    page and is None at the end; `truncated` says whether anything is left after `items`;
    `hint` says what to do about it, or what to do next, and may be empty.
    """

    @property
    def items(self) -> Sequence[object]: ...
    @property
    def total(self) -> int: ...
    @property
    def next_cursor(self) -> str | None: ...
    @property
    def truncated(self) -> bool: ...
    @property
    def hint(self) -> str: ...


class Confirm(Protocol):
    """Asks the user, through his client, whether to go on; False is a no, or no answer.

    A tool that wants this takes `confirm: Confirm | None`: None where the client can't ask. With
    clients of the newest protocol the call is made again once the answer is there, so nothing may
    be done before asking that can't be done twice. Ask at most one question a call.
    """

    def __call__(self, question: str) -> bool: ...


def page(found: Sequence[Item], cursor: str, limit: int) -> tuple[tuple[Item, ...], str | None]:
    """The items of one page and the cursor of the next one (None at the end).

    Raises:
        ConfigError: no answer ever gave such a cursor.
    """
    first = first_of(cursor)
    items = tuple(found[first : first + limit])
    return items, next_of(cursor, len(items), len(found))


def first_of(cursor: str) -> int:
    """How many items lie before a page; for those who fetch only that page.

    Raises:
        ConfigError: no answer ever gave such a cursor.
    """
    if not cursor:
        return 0
    # Cursors are offsets: `fit` moves them back when it drops items from the end of a page.
    if not (cursor.isascii() and cursor.isdigit()):
        raise ConfigError(
            f"the cursor '{cursor}' is none that an answer gave",
            hint="give `next_cursor` of the last answer, or leave `cursor` out for the first page",
        )
    return int(cursor)


def next_of(cursor: str, shown: int, total: int) -> str | None:
    """The cursor of the page after one that shows so many items; None at the end."""
    end = first_of(cursor) + shown
    return str(end) if shown and end < total else None
