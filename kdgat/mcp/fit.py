"""An answer as JSON that is no longer than a model should read, and says what was left out.

First long texts are cut, then items are dropped from the end of the answer's own list, then from
other lists, then texts once more. `next_cursor` moves back to the first item that was dropped.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

MAX_CHARACTERS = 8_000
"""Of structured JSON and text together: 2,000 tokens of four characters."""
_TEXTS = (1_500, 600, 200, 60)
"""Characters that texts are cut to, one after the other, until the answer fits."""
_NOTE = 500
"""Characters kept for what is said about the cut."""
_HINT = 400
_MARK = 40
"""Characters that saying how much was cut may take."""


class Entries(dict[str, Any]):
    """What was a mapping, and no dataclass: entries may be dropped from its end."""


@dataclass(frozen=True)
class Fitted:
    """An answer's JSON, and in a sentence what was left out of it."""

    value: dict[str, Any]
    cut: str = ""


def plain(value: Any) -> Any:
    """A dataclass as JSON has it: tuples are lists, figures that are not finite are null."""
    if dataclasses.is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        # A lone surrogate, as file names may hold, can't be sent.
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return Entries((str(key), plain(each)) for key, each in value.items())
    return [plain(each) for each in value]


def compact(value: Any) -> str:
    """JSON without blanks, as it is sent."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def fitted(value: dict[str, Any], limit: int = MAX_CHARACTERS, *, pages: bool = True) -> Fitted:
    """The same answer within so many characters of JSON; `value` is changed and given back.

    Args:
        value: an answer, as `plain` gives it.
        limit: characters of compact JSON.
        pages: whether the tool takes a cursor, so that dropped items are the next page's.
    """
    if len(compact(value)) <= limit:
        return Fitted(value)
    room = limit - _NOTE
    said: dict[str, str] = {}
    _cut_texts(value, room, _TEXTS[0], said)
    _drop_items(value, room, said, pages=pages)
    for most in _TEXTS[1:]:
        _drop_elsewhere(value, room, said)
        _cut_texts(value, room, most, said)
    cut = f"cut to fit: {'; '.join(list(said.values())[:3])}"
    if "truncated" in value:
        value["truncated"] = True
    if "hint" in value:
        value["hint"] = f"{cut}. {value['hint'] or _next_step(value)}"[:_HINT]
    return Fitted(value, cut)


def _next_step(value: dict[str, Any]) -> str:
    if value.get("next_cursor"):
        return f"Go on with cursor='{value['next_cursor']}', or ask for less."
    return "Ask for one thing, or a part of it."


def _drop_items(value: dict[str, Any], room: int, said: dict[str, str], *, pages: bool) -> None:
    """Shorten the answer's own list, and set the cursor back to what was dropped."""
    items = value.get("items")
    if not isinstance(items, list) or len(items) < 2:
        return
    dropped = _drop_from(items, len(compact(value)) - room)
    if not dropped:
        return
    said["items"] = f"{dropped} of {dropped + len(items)} items left out"
    if pages and "next_cursor" in value:
        after = str(value["next_cursor"] or value.get("total"))
        # Cursors are offsets (`answers.page`); a total that is smaller counts something else.
        end = int(after) if after.isdigit() else 0
        value["next_cursor"] = str(max(end - dropped, len(items)))


def _drop_elsewhere(value: dict[str, Any], room: int, said: dict[str, str]) -> None:
    """Shorten the longest list or mapping anywhere, as long as that is needed and helps."""
    while (over := len(compact(value)) - room) > 0:
        lists = [(path, each) for path, each in _walk(value) if _many(each)]
        if not lists:
            return
        path, longest = max(lists, key=lambda each: len(compact(each[1])))
        before = len(longest)
        if isinstance(longest, list):
            _drop_from(longest, over)
        else:
            _drop_entries(longest, over)
        said[path] = f"{path}: the last {before - len(longest)} of {before} left out"


def _many(value: Any) -> bool:
    return isinstance(value, list | Entries) and len(value) > 1


def _drop_from(items: list[Any], over: int) -> int:
    """Drop items from the end until so many characters are gone; the first one stays."""
    dropped = 0
    while over > 0 and len(items) > 1:
        over -= len(compact(items.pop())) + 1
        dropped += 1
    return dropped


def _drop_entries(entries: Entries, over: int) -> None:
    while over > 0 and len(entries) > 1:
        key, each = entries.popitem()
        over -= len(compact(key)) + len(compact(each)) + 2


def _cut_texts(value: dict[str, Any], room: int, most: int, said: dict[str, str]) -> None:
    """Cut the longest texts, but to no less than `most` characters."""
    while (over := len(compact(value)) - room) > 0:
        texts = [(path, each) for path, each in _walk(value) if isinstance(each, str)]
        path, longest = max(texts, key=lambda each: len(each[1]), default=("", ""))
        keep = max(most, len(longest) - over - _MARK)
        if len(longest) <= keep + _MARK:
            return
        left = len(longest) - keep
        _replace(value, path, f"{longest[:keep]} [... {left} more characters]")
        said[path] = f"{path}: {left} more characters"


def _walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value below one, with where it is: `items.0.quoted`."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in pairs:
        where = f"{path}.{key}" if path else str(key)
        yield where, each
        if isinstance(each, dict | list):
            yield from _walk(each, where)


def _replace(value: Any, path: str, new: str) -> None:
    # Keys may hold dots, so a path is followed by what it begins with.
    pairs = list(value.items() if isinstance(value, dict) else enumerate(value))
    for key, each in pairs:
        if str(key) == path:
            value[key] = new
            return
        if isinstance(each, dict | list) and path.startswith(f"{key}."):
            _replace(each, path.removeprefix(f"{key}."), new)
            return
